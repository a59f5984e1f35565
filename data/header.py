"""The ISMRMRD XML header, of MRD files and of fastMRI's `ismrmrd_header`: what a reader needs of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import h5py

from raki.data.hdf5 import dataset, text_of
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
    def is_volume(self) -> bool:
        """Whether there is a second phase-encoding axis."""
        return self.encoded.matrix[2] > 1

    def image_shape(self, n_axes: int) -> tuple[int, ...]:
        """Size (y, x), or (z, y, x) of 3 axes, of images: the part of the encoded matrix in the wanted field of view.

        A wanted matrix that is finer or coarser over the same field of view asks for interpolation, not for a crop.
        """
        return tuple(self._wanted_size(axis) for axis in reversed(range(n_axes)))

    def voxel_size(self, n_axes: int) -> tuple[float, ...] | None:
        """Size (y, x), or (z, y, x) of 3 axes, of a voxel of the encoded matrix [m]."""
        space = self.encoded
        sizes = tuple(space.field_of_view[axis] / space.matrix[axis] for axis in reversed(range(n_axes)))
        return sizes if min(sizes) > 0 else None

    def _wanted_size(self, axis: int) -> int:
        encoded, wanted = self.encoded, self.reconstructed
        n_encoded, n_wanted = encoded.matrix[axis], wanted.matrix[axis]
        if not (encoded.field_of_view[axis] > 0 and wanted.field_of_view[axis] > 0):
            return min(n_encoded, n_wanted)
        size = n_encoded * wanted.field_of_view[axis] / encoded.field_of_view[axis]
        stated = [n for n in (n_encoded, n_wanted) if abs(size / n - 1) < ROUNDED]
        return min(n_encoded, stated[0] if stated else max(1, round(size)))


def header_of(file: h5py.File, name: str) -> Header:
    """Read the header in the dataset `name`; unknown elements and any namespace are accepted.

    A ScanError if it is not XML, declares a document type or entities, or lacks the encoding.
    """
    path, xml = file.filename, text_of(dataset(file, name)[()])
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
    bandwidth = _number(root, 'acquisitionSystemInformation/relativeReceiverNoiseBandwidth')
    return Header(
        encoded=encoded,
        reconstructed=_space(encoding, 'reconSpace', path),
        ky_centre=_integer(encoding, 'encodingLimits/kspace_encoding_step_1/center', encoded.matrix[1] // 2),
        kz_centre=_integer(encoding, 'encodingLimits/kspace_encoding_step_2/center', encoded.matrix[2] // 2),
        trajectory=encoding.findtext('trajectory', 'cartesian').strip().lower(),
        calibration_mode=encoding.findtext('parallelImaging/calibrationMode', '').strip().lower(),
        acceleration=_integer(encoding, 'parallelImaging/accelerationFactor/kspace_encoding_step_1', 0),
        is_multiband=encoding.find('parallelImaging/multiband') is not None or encoding.find('multiband') is not None,
        noise_bandwidth=bandwidth if 0 < bandwidth < math.inf else None,
        facts=_facts(root),
    )


def _space(encoding: ElementTree.Element, name: str, path: str) -> Space:
    elements = [f'{name}/{part}/{axis}' for part in ('matrixSize', 'fieldOfView_mm') for axis in 'xyz']
    *sizes, width, height, depth = numbers = [_number(encoding, element) for element in elements]
    for element, number in zip(elements, numbers, strict=True):
        if not math.isfinite(number):
            text = encoding.findtext(element)
            raise ScanError(f'{path}: the ISMRMRD header needs a number in {element}, got {text!r}')
    x, y, z = map(int, sizes)
    if min(x, y, z) < 1:
        raise ScanError(f'{path}: the ISMRMRD header has an empty {name}: {x} x {y} x {z}')
    return Space((x, y, z), (width / 1000, height / 1000, depth / 1000))


def _number(parent: ElementTree.Element, name: str) -> float:
    """Number in an element; NaN where there is none."""
    try:
        return float(parent.findtext(name, ''))
    except ValueError:
        return math.nan


def _integer(encoding: ElementTree.Element, name: str, default: int) -> int:
    value = _number(encoding, name)
    return int(value) if value.is_integer() else default


def _facts(root: ElementTree.Element) -> dict[str, str]:
    wanted = {
        'vendor': 'acquisitionSystemInformation/systemVendor',
        'system': 'acquisitionSystemInformation/systemModel',
        'field strength [T]': 'acquisitionSystemInformation/systemFieldStrength_T',
        'protocol': 'measurementInformation/protocolName',
    }
    found = {name: root.findtext(path, '').strip() for name, path in wanted.items()}
    return {name: text for name, text in found.items() if text}
