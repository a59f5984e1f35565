"""The XML header that an MRD file (version 1) must have, written: of raw data, and of images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from raki.data.scan import ScanFile

NAMESPACE = 'http://www.ismrm.org/ISMRMRD'

MM = 1000.0

LARMOR = 42.577478518e6
"""Gyromagnetic ratio of the proton over 2 pi [Hz/T]."""

SYSTEM = {'vendor': 'systemVendor', 'system': 'systemModel', 'field strength [T]': 'systemFieldStrength_T'}

SUBJECT = ('patientName', 'patientWeight_kg', 'patientHeight_m', 'patientID', 'patientBirthdate', 'patientGender')
"""In the order of the schema."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a header tells."""

    matrix: tuple[int, int, int]
    """Size (z, y, x) of the encoded matrix."""

    voxel_size: tuple[float, float, float]
    """Along (z, y, x), of slices their thickness first [m]; zero where it is not known."""

    image_shape: tuple[int, int, int] | None = None
    """Size (z, y, x) of images; None where it is the matrix."""

    limits: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """First, last and central value of counters such as `kspace_encoding_step_1`."""

    acceleration: tuple[int, int] = (1, 1)
    """Along (ky, kz)."""

    calibration_mode: str = ''
    """Such as `embedded`; empty where nothing is accelerated."""

    noise_bandwidth: float | None = None
    """Bandwidth of noise relative to that of samples [1]."""

    n_coils: int | None = None
    """Number of receiver channels."""

    scanner: Mapping[str, str] = field(default_factory=dict)
    """Vendor, system and field strength, by the names in `raki.data.mrd.header`."""

    subject: Mapping[str, str] = field(default_factory=dict)
    """Who the patient is, by the names of the header: only where somebody asked for it."""


def scanner_of(scan: ScanFile) -> dict[str, str]:
    """Facts about the machine that go into outputs; others are free text, which may name somebody."""
    return {name: scan.facts[name] for name in SYSTEM if name in scan.facts}


def header_xml(described: Description) -> str:
    """Write the header, elements in the order of the schema."""
    root = Element('ismrmrdHeader', xmlns=NAMESPACE)
    known = [(name, described.subject[name]) for name in SUBJECT if described.subject.get(name)]
    if known:
        _add(root, 'subjectInformation', known)
    _add_system(root, described)
    encoding = SubElement(root, 'encoding')
    encoded, wanted = described.matrix, described.image_shape or described.matrix
    for name, matrix in (('encodedSpace', encoded), ('reconSpace', wanted)):
        space = SubElement(encoding, name)
        _add(space, 'matrixSize', zip('xyz', matrix[::-1], strict=True))
        extent = [MM * n * size for n, size in zip(matrix, described.voxel_size, strict=True)]
        _add(space, 'fieldOfView_mm', zip('xyz', (f'{each:.9g}' for each in extent[::-1]), strict=True))
    limits = SubElement(encoding, 'encodingLimits')
    for name, values in described.limits.items():
        _add(limits, name, zip(('minimum', 'maximum', 'center'), values, strict=True))
    SubElement(encoding, 'trajectory').text = 'cartesian'
    if described.calibration_mode:
        parallel = SubElement(encoding, 'parallelImaging')
        steps = ('kspace_encoding_step_1', 'kspace_encoding_step_2')
        _add(parallel, 'accelerationFactor', zip(steps, described.acceleration, strict=True))
        SubElement(parallel, 'calibrationMode').text = described.calibration_mode
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(root, encoding='unicode')


def _add(parent: Element, name: str, values: object) -> None:
    element = SubElement(parent, name)
    for each, value in values:  # type: ignore[attr-defined]
        SubElement(element, each).text = str(value)


def _add_system(root: Element, described: Description) -> None:
    system = [(SYSTEM[name], described.scanner[name]) for name in SYSTEM if described.scanner.get(name)]
    if described.noise_bandwidth is not None:
        system.append(('relativeReceiverNoiseBandwidth', f'{described.noise_bandwidth:g}'))
    if described.n_coils is not None:
        system.append(('receiverChannels', str(described.n_coils)))
    _add(root, 'acquisitionSystemInformation', sorted(system, key=lambda each: _ORDER.index(each[0])))
    _add(root, 'experimentalConditions', [('H1resonanceFrequency_Hz', round(_resonance(described)))])


_ORDER = ('systemVendor', 'systemModel', 'systemFieldStrength_T', 'relativeReceiverNoiseBandwidth', 'receiverChannels')


def _resonance(described: Description) -> float:
    """Frequency of the proton [Hz], which every header must state; zero where the field is not known."""
    try:
        found = LARMOR * float(described.scanner.get('field strength [T]', 0))
    except ValueError:
        return 0.0
    return found if math.isfinite(found) else 0.0
