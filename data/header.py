"""The ISMRMRD XML header, of MRD files and of fastMRI's `ismrmrd_header`: what a reader needs of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from raki.errors import ScanError


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

    ky_maximum: int
    """Largest counter of a line."""

    trajectory: str
    """Such as `cartesian`."""

    calibration_mode: str
    """Such as `embedded`; empty where not stated."""

    acceleration: tuple[int, int]
    """Factors along ky and kz as stated; (1, 1) where not stated."""

    is_multiband: bool
    """Whether several slices were excited at once."""

    facts: Mapping[str, str]
    """What people want to know and patients do not mind: field strength, system, protocol."""

    @property
    def has_oversampled_readout(self) -> bool:
        """Whether the readout covers more than the wanted field of view at the same resolution."""
        encoded, wanted = self.encoded, self.reconstructed
        if wanted.matrix[0] >= encoded.matrix[0]:
            return False
        return _same_resolution(encoded, wanted, 0)

    @property
    def image_shape(self) -> tuple[int, int]:
        """Size (y, x) of images: the wanted matrix, where it is a crop of the encoded one."""
        encoded, wanted = self.encoded, self.reconstructed
        x, y = (
            min(encoded.matrix[axis], wanted.matrix[axis])
            if _same_resolution(encoded, wanted, axis)
            else encoded.matrix[axis]
            for axis in (0, 1)
        )
        return y, x

    @property
    def voxel_size(self) -> tuple[float, float] | None:
        """Size (y, x) of a voxel of the encoded matrix [m]."""
        (x, y, _), (width, height, _) = self.encoded.matrix, self.encoded.field_of_view
        return (height / y, width / x) if width > 0 and height > 0 else None


def parse_header(xml: bytes, path: str) -> Header:
    """Read the header; unknown elements and any namespace are accepted.

    Raises
    ------
    ScanError
        If it is not XML, declares a document type or entities, or lacks the encoding.
    """
    if b'<!DOCTYPE' in xml or b'<!ENTITY' in xml:
        raise ScanError(f'{path}: the XML header declares a document type or entities, which no ISMRMRD header needs')
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ScanError(f'{path}: the ISMRMRD header is not valid XML ({error})') from error
    for element in root.iter():
        element.tag = element.tag.rpartition('}')[2]
    encoding = root.find('encoding')
    if encoding is None:
        raise ScanError(f'{path}: the ISMRMRD header has no <encoding>')
    encoded = _space(encoding, 'encodedSpace', path)
    limits = 'encodingLimits/kspace_encoding_step_1/'
    return Header(
        encoded=encoded,
        reconstructed=_space(encoding, 'reconSpace', path),
        ky_centre=_integer(encoding, limits + 'center', encoded.matrix[1] // 2),
        ky_maximum=_integer(encoding, limits + 'maximum', encoded.matrix[1] - 1),
        trajectory=encoding.findtext('trajectory', 'cartesian').strip().lower(),
        calibration_mode=encoding.findtext('parallelImaging/calibrationMode', '').strip().lower(),
        acceleration=(
            _integer(encoding, 'parallelImaging/accelerationFactor/kspace_encoding_step_1', 1),
            _integer(encoding, 'parallelImaging/accelerationFactor/kspace_encoding_step_2', 1),
        ),
        is_multiband=encoding.find('parallelImaging/multiband') is not None or encoding.find('multiband') is not None,
        facts=_facts(root),
    )


def _same_resolution(encoded: Space, wanted: Space, axis: int) -> bool:
    measured = encoded.field_of_view[axis] / encoded.matrix[axis]
    return measured <= 0 or abs(wanted.field_of_view[axis] / wanted.matrix[axis] / measured - 1) < 0.01


def _space(encoding: ElementTree.Element, name: str, path: str) -> Space:
    def number(part: str, axis: str) -> float:
        text = encoding.findtext(f'{name}/{part}/{axis}')
        try:
            return float(text or 'nothing')
        except ValueError as error:
            raise ScanError(
                f'{path}: the ISMRMRD header needs a number in {name}/{part}/{axis}, got {text!r}'
            ) from error

    x, y, z = (int(number('matrixSize', axis)) for axis in 'xyz')
    if min(x, y, z) < 1:
        raise ScanError(f'{path}: the ISMRMRD header has an empty {name}: {x} x {y} x {z}')
    width, height, depth = (number('fieldOfView_mm', axis) / 1000 for axis in 'xyz')
    return Space((x, y, z), (width, height, depth))


def _integer(encoding: ElementTree.Element, name: str, default: int) -> int:
    text = encoding.findtext(name, '').strip()
    return int(text) if text.lstrip('-').isdigit() else default


def _facts(root: ElementTree.Element) -> dict[str, str]:
    wanted = {
        'vendor': 'acquisitionSystemInformation/systemVendor',
        'system': 'acquisitionSystemInformation/systemModel',
        'field strength [T]': 'acquisitionSystemInformation/systemFieldStrength_T',
        'protocol': 'measurementInformation/protocolName',
    }
    found = {name: root.findtext(path, '').strip() for name, path in wanted.items()}
    return {name: text for name, text in found.items() if text}
