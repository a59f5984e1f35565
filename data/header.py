"""The ISMRMRD XML header, of MRD files and of fastMRI's `ismrmrd_header`: what a reader needs of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from raki.errors import ScanError

ROUNDED = 0.01
"""Fields of view in headers are rounded: sizes that differ by less are the same."""


@dataclass(frozen=True, slots=True)
class Space:
    """A matrix in space."""

    matrix: tuple[int, int, int]
    """Size (x, y, z); x is the readout [sample]."""

    field_of_view: tuple[float, float, float]
    """Extent (x, y, z) [m]; zero where not stated."""


@dataclass(frozen=True, slots=True)
class Header:
    """Geometry and sampling of the first encoding."""

    encoded: Space
    """What was measured, oversampling included."""

    reconstructed: Space
    """What images should be."""

    ky_centre: int
    """Counter of the line through the centre of k-space."""

    kz_centre: int
    """Counter of the partition through the centre of k-space."""

    trajectory: str
    """Such as `cartesian`."""

    calibration_mode: str
    """Such as `embedded`; empty where not stated."""

    acceleration: int
    """Factor along ky as stated, for a cross-check only; 0 where not stated."""

    is_multiband: bool
    """Whether several slices were excited at once."""

    noise_bandwidth: float | None
    """Bandwidth of the receiver's noise relative to that of its samples; None where not stated [1]."""

    facts: Mapping[str, str]
    """What people want to know and patients do not mind: field strength, system, protocol."""

    @property
    def image_shape(self) -> tuple[int, int]:
        """Size (y, x) of images: the part of the encoded matrix that covers the wanted field of view.

        A wanted matrix that is finer or coarser over the same field of view asks for interpolation, not for a crop.
        """
        return self._wanted_size(1), self._wanted_size(0)

    @property
    def n_slices_of_volume(self) -> int:
        """Number of slices of a volume: the part of the encoded matrix that covers the wanted slab."""
        return self._wanted_size(2)

    def _wanted_size(self, axis: int) -> int:
        encoded, wanted = self.encoded, self.reconstructed
        n_encoded, n_wanted = encoded.matrix[axis], wanted.matrix[axis]
        if not (encoded.field_of_view[axis] > 0 and wanted.field_of_view[axis] > 0):
            return min(n_encoded, n_wanted)
        size = n_encoded * wanted.field_of_view[axis] / encoded.field_of_view[axis]
        stated = [n for n in (n_encoded, n_wanted) if abs(size / n - 1) < ROUNDED]
        return min(n_encoded, stated[0] if stated else max(1, round(size)))

    @property
    def voxel_size(self) -> tuple[float, float] | None:
        """Size (y, x) of a voxel of the encoded matrix [m]."""
        (x, y, _), (width, height, _) = self.encoded.matrix, self.encoded.field_of_view
        return (height / y, width / x) if width > 0 and height > 0 else None

    @property
    def voxel_size_of_volume(self) -> tuple[float, float, float] | None:
        """Size (z, y, x) of a voxel of the encoded matrix [m]."""
        depth, plane = self.encoded.field_of_view[2], self.voxel_size
        return (depth / self.encoded.matrix[2], *plane) if plane and depth > 0 else None


def parse_header(xml: str, path: str) -> Header:
    """Read the header; unknown elements and any namespace are accepted.

    Raises
    ------
    ScanError
        If it is not XML, declares a document type or entities, or lacks the encoding.
    """
    if '<!DOCTYPE' in xml or '<!ENTITY' in xml:
        raise ScanError(f'{path}: the XML header declares a document type or entities, which no ISMRMRD header needs')
    try:
        root = ElementTree.fromstring(xml.strip('\ufeff\0 '))
    except (ElementTree.ParseError, ValueError) as error:
        raise ScanError(f'{path}: the ISMRMRD header is not valid XML ({error})') from error
    for element in root.iter():
        element.tag = element.tag.rpartition('}')[2]
    encoding = root.find('encoding')
    if encoding is None:
        raise ScanError(f'{path}: the ISMRMRD header has no <encoding>')
    encoded = _space(encoding, 'encodedSpace', path)
    return Header(
        encoded=encoded,
        reconstructed=_space(encoding, 'reconSpace', path),
        ky_centre=_integer(encoding, 'encodingLimits/kspace_encoding_step_1/center', encoded.matrix[1] // 2),
        kz_centre=_integer(encoding, 'encodingLimits/kspace_encoding_step_2/center', encoded.matrix[2] // 2),
        trajectory=encoding.findtext('trajectory', 'cartesian').strip().lower(),
        calibration_mode=encoding.findtext('parallelImaging/calibrationMode', '').strip().lower(),
        acceleration=_integer(encoding, 'parallelImaging/accelerationFactor/kspace_encoding_step_1', 0),
        is_multiband=encoding.find('parallelImaging/multiband') is not None or encoding.find('multiband') is not None,
        noise_bandwidth=_noise_bandwidth(root),
        facts=_facts(root),
    )


def _space(encoding: ElementTree.Element, name: str, path: str) -> Space:
    def number(part: str, axis: str) -> float:
        text = encoding.findtext(f'{name}/{part}/{axis}')
        try:
            value = float(text or 'nothing')
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ScanError(f'{path}: the ISMRMRD header needs a number in {name}/{part}/{axis}, got {text!r}')
        return value

    x, y, z = (int(number('matrixSize', axis)) for axis in 'xyz')
    if min(x, y, z) < 1:
        raise ScanError(f'{path}: the ISMRMRD header has an empty {name}: {x} x {y} x {z}')
    width, height, depth = (number('fieldOfView_mm', axis) / 1000 for axis in 'xyz')
    return Space((x, y, z), (width, height, depth))


def _integer(encoding: ElementTree.Element, name: str, default: int) -> int:
    text = encoding.findtext(name, '').strip()
    return int(text) if text.lstrip('-').isdigit() else default


def _noise_bandwidth(root: ElementTree.Element) -> float | None:
    text = root.findtext('acquisitionSystemInformation/relativeReceiverNoiseBandwidth', '')
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def _facts(root: ElementTree.Element) -> dict[str, str]:
    wanted = {
        'vendor': 'acquisitionSystemInformation/systemVendor',
        'system': 'acquisitionSystemInformation/systemModel',
        'field strength [T]': 'acquisitionSystemInformation/systemFieldStrength_T',
        'protocol': 'measurementInformation/protocolName',
    }
    found = {name: root.findtext(path, '').strip() for name, path in wanted.items()}
    return {name: text for name, text in found.items() if text}
