"""The ISMRMRD XML header, of MRD files and of fastMRI's `ismrmrd_header`: what a reader needs of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from xml.etree import ElementTree

import h5py
from defusedxml import DTDForbidden, EntitiesForbidden, ExternalReferenceForbidden
from defusedxml.ElementTree import fromstring

from raki.data.hdf5 import dataset, text_of, whole
from raki.data.mrd.layout import XYZ
from raki.data.place import is_voxel
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
class Encoding:
    """Geometry and sampling of one encoding space; a reference scan may have one of its own."""

    encoded: Space
    """What was measured, oversampling included."""

    reconstructed: Space
    """What images should be."""

    ky_centre: int | None = None
    """Counter of the line through the centre of k-space, where the header states it."""

    kz_centre: int | None = None
    """Counter of the partition through the centre of k-space, where the header states it."""

    trajectory: str = 'cartesian'
    """Such as `cartesian`."""

    calibration_mode: str = ''
    """Such as `embedded`; empty where not stated."""

    interleaved_over: str = ''
    """The counter that interleaved calibration runs over, such as `repetition`; empty where not stated."""

    acceleration: tuple[int, int] = (0, 0)
    """Factors along (ky, kz) as stated, for a cross-check only; 0 where not stated."""

    is_multiband: bool = False
    """Whether several slices were excited at once."""

    n_averages: int = 1
    """How often lines are measured, as stated."""

    @property
    def is_volume(self) -> bool:
        """Whether there is a second phase-encoding axis."""
        return self.encoded.matrix[2] > 1

    @property
    def n_axes(self) -> int:
        """Number of axes of an image, 2 or 3."""
        return 3 if self.is_volume else 2

    @property
    def phase_shape(self) -> tuple[int, ...]:
        """Size (ky,) or (kz, ky) of the encoded matrix."""
        return self.encoded.matrix[self.n_axes - 1 : 0 : -1]

    def image_shape(self, n_axes: int) -> tuple[int, ...]:
        """Size (y, x), or (z, y, x) of 3 axes, of images: the part of the encoded matrix in the wanted field of view.

        A wanted matrix that is finer or coarser over the same field of view asks for interpolation, not for a crop.
        """
        return tuple(self._wanted_size(axis) for axis in reversed(range(n_axes)))

    def voxel_size(self, n_axes: int) -> tuple[float, ...] | None:
        """Size (y, x), or (z, y, x) of 3 axes, of a voxel of the encoded matrix [m]; None where it is none."""
        space = self.encoded
        sizes = tuple(space.field_of_view[axis] / space.matrix[axis] for axis in reversed(range(n_axes)))
        return sizes if all(map(is_voxel, sizes)) else None

    def with_readout(self, n_samples: int) -> 'Encoding':
        """The same voxels along a readout of `n_samples`: the field of view grows with it."""
        (x, y, z), (width, height, depth) = self.encoded.matrix, self.encoded.field_of_view
        return replace(self, encoded=Space((n_samples, y, z), (width * n_samples / x, height, depth)))

    def _wanted_size(self, axis: int) -> int:
        encoded, wanted = self.encoded, self.reconstructed
        n_encoded, n_wanted = encoded.matrix[axis], wanted.matrix[axis]
        if not (encoded.field_of_view[axis] > 0 and wanted.field_of_view[axis] > 0):
            return min(n_encoded, n_wanted)
        size = n_encoded * wanted.field_of_view[axis] / encoded.field_of_view[axis]
        stated = [n for n in (n_encoded, n_wanted) if abs(size / n - 1) < ROUNDED]
        return min(n_encoded, stated[0] if stated else max(1, round(size)))


@dataclass(frozen=True, slots=True)
class Header:
    """What a scan tells about itself beside its acquisitions."""

    encodings: tuple[Encoding, ...]
    """One or more; acquisitions refer to them by their position."""

    noise_bandwidth: float | None = None
    """Bandwidth of the receiver's noise relative to that of its samples; None where not stated [1]."""

    coil_labels: tuple[str, ...] = ()
    """Names of the receiver channels in the order of samples; empty where not stated."""

    facts: Mapping[str, str] = field(default_factory=dict)
    """What people want to know and patients do not mind: field strength, system, protocol."""

    identity: Mapping[str, str] = field(default_factory=dict)
    """What may tell who the patient is, and when and where the scan was done, by the names of the header. Never shown
    or written unless asked for."""

    @property
    def first(self) -> Encoding:
        """The encoding of the image."""
        return self.encodings[0]

    @property
    def encoded(self) -> Space:
        """What was measured for the image."""
        return self.first.encoded

    def image_shape(self, n_axes: int) -> tuple[int, ...]:
        """As `Encoding.image_shape`, of the first encoding."""
        return self.first.image_shape(n_axes)

    def voxel_size(self, n_axes: int) -> tuple[float, ...] | None:
        """As `Encoding.voxel_size`, of the first encoding."""
        return self.first.voxel_size(n_axes)


def header_of(file: h5py.File, name: str) -> Header:
    """Read the header in the dataset `name`; a ScanError as `header_from`."""
    return header_from(text_of(whole(dataset(file, name))), file.filename)


def header_from(xml: str | bytes, path: str) -> Header:
    """Read an XML header; unknown elements and any namespace are accepted. `path` says in errors where it is from.

    A ScanError if it is not XML, declares a document type or entities, or lacks the encoding.
    """
    text = xml.decode(errors='replace') if isinstance(xml, bytes) else xml
    try:
        root = fromstring(_without_declaration(text.strip('\ufeff\0 \r\n\t')), forbid_dtd=True)
    except (DTDForbidden, EntitiesForbidden, ExternalReferenceForbidden) as error:
        raise ScanError(
            f'{path}: the XML header declares a document type or entities, which no ISMRMRD header needs'
        ) from error
    except (ElementTree.ParseError, ValueError) as error:
        raise ScanError(f'{path}: the ISMRMRD header is not valid XML ({error})') from error
    for element in root.iter():
        element.tag = str(element.tag).rpartition('}')[2]
    encodings = root.findall('encoding')
    if not encodings:
        raise ScanError(f'{path}: the ISMRMRD header has no <encoding>')
    bandwidth = _number(root, 'acquisitionSystemInformation/relativeReceiverNoiseBandwidth')
    return Header(
        encodings=tuple(_encoding(element, path) for element in encodings),
        noise_bandwidth=bandwidth if 0 < bandwidth < math.inf else None,
        coil_labels=_coil_labels(root),
        facts=_facts(root),
        identity=_identity(root),
    )


def _without_declaration(text: str) -> str:
    """Text without the line that states a coding: it has been decoded already."""
    return text.partition('?>')[2].lstrip() if text.startswith('<?xml') else text


def _encoding(encoding: ElementTree.Element, path: str) -> Encoding:
    step, factor = 'encodingLimits/kspace_encoding_step', 'parallelImaging/accelerationFactor/kspace_encoding_step'
    return Encoding(
        encoded=_space(encoding, 'encodedSpace', path),
        reconstructed=_space(encoding, 'encodedSpace' if encoding.find('reconSpace') is None else 'reconSpace', path),
        ky_centre=_integer(encoding, f'{step}_1/center', None),
        kz_centre=_integer(encoding, f'{step}_2/center', None),
        trajectory=encoding.findtext('trajectory', 'cartesian').strip().lower(),
        calibration_mode=encoding.findtext('parallelImaging/calibrationMode', '').strip().lower(),
        interleaved_over=encoding.findtext('parallelImaging/interleavingDimension', '').strip().lower(),
        acceleration=(_integer(encoding, f'{factor}_1', 0) or 0, _integer(encoding, f'{factor}_2', 0) or 0),
        is_multiband=encoding.find('parallelImaging/multiband') is not None or encoding.find('multiband') is not None,
        n_averages=1 + max(0, _integer(encoding, 'encodingLimits/average/maximum', 0) or 0),
    )


def _space(encoding: ElementTree.Element, name: str, path: str) -> Space:
    elements = [f'{name}/{part}/{axis}' for part in ('matrixSize', 'fieldOfView_mm') for axis in 'xyz']
    unstated = encoding.find(f'{name}/fieldOfView_mm') is None
    numbers = [0.0 if unstated and n >= XYZ else _number(encoding, element) for n, element in enumerate(elements)]
    *sizes, width, height, depth = numbers
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


def _integer(encoding: ElementTree.Element, name: str, default: int | None) -> int | None:
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


def _coil_labels(root: ElementTree.Element) -> tuple[str, ...]:
    """Names of channels by their number; empty if a number or name is missing or occurs twice."""
    labels = root.findall('acquisitionSystemInformation/coilLabel')
    named = {_number(label, 'coilNumber'): label.findtext('coilName', '').strip() for label in labels}
    is_clear = len(set(named.values()) - {''}) == len(labels) and all(map(math.isfinite, named))
    return tuple(named[number] for number in sorted(named)) if is_clear else ()


def _identity(root: ElementTree.Element) -> dict[str, str]:
    """Every text of the sections about the patient and the study, and what tells when and where."""
    sections = [element for name in ('subjectInformation', 'studyInformation') for element in root.findall(name)]
    leaves = [leaf for section in sections for leaf in section.iter()]
    others = [
        'acquisitionSystemInformation/institutionName',
        'acquisitionSystemInformation/stationName',
        'acquisitionSystemInformation/deviceID',
        'acquisitionSystemInformation/deviceSerialNumber',
        'measurementInformation/measurementID',
        'measurementInformation/seriesDate',
        'measurementInformation/seriesTime',
        'measurementInformation/seriesDescription',
        'measurementInformation/seriesInstanceUIDRoot',
        'measurementInformation/frameOfReferenceUID',
    ]
    leaves += [leaf for name in others for leaf in root.findall(name)]
    return {str(leaf.tag): leaf.text.strip() for leaf in leaves if leaf.text and leaf.text.strip()}
