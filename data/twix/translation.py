"""Siemens raw data (twix, .dat) as acquisitions of MRD, so that one piece of code places lines of both.

Flags, counters, directions and times are translated as `siemens_to_ismrmrd` does it. Samples stay as the scanner stored
them: nothing is conjugated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raki.data.generic import DatasetLayout
from raki.data.mrd.acquisitions import Acquisitions
from raki.data.mrd.header import Header
from raki.data.mrd.layout import ACQUISITION, bit
from raki.data.mrd.scan import ALL_BY_FILE, RawChoice, scan_file_of
from raki.data.notes import LEFT_OUT, Note, caution
from raki.data.scan import ScanFile
from raki.data.twix.file import Measurement, measurements
from raki.data.twix.protocol import Protocol, header_of_twix
from raki.errors import ScanError

FLAGS = {
    1: ('real-time feedback',),
    2: ('feedback',),
    14: ('phase stabilisation reference',),
    15: ('phase stabilisation',),
    21: ('phase correction',),
    22: ('calibration',),
    23: ('calibration and image',),
    24: ('reversed',),
    25: ('noise',),
    35: ('surface-coil correction',),
    51: ('dummy',),
    53: ('dummy',),
    56: ('dummy',),
    60: ('navigation',),
}
"""What bits of the evaluation mask are in MRD; others are timing, which placing lines does not need."""

NOISE, SINGLE_BAND = 25, 38
"""Bits of a noise adjustment, and of a line with one of several simultaneous slices."""

COUNTERS = {
    'kspace_encode_step_1': 'Lin',
    'kspace_encode_step_2': 'Par',
    'average': 'Ave',
    'slice': 'Sli',
    'contrast': 'Eco',
    'phase': 'Phs',
    'repetition': 'Rep',
    'set': 'Set',
    'segment': 'Seg',
}

NOISE_READOUT_US = 7680.0
"""Duration of a readout of the noise adjustment, whatever its number of samples: 130 Hz a pixel."""

UNIT = 1e-2
"""How far a quaternion may be from unit length [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Translated:
    """What a file holds in terms of MRD."""

    header: Header
    """What the last measurement tells about itself; its coils are labelled by the numbers of their channels."""

    lines: Acquisitions
    """Its acquisitions."""

    noise: tuple[Header, Acquisitions] | None
    """An earlier measurement with noise, where the last one has none."""

    line: str
    """The software line, such as `VB`."""

    notes: Sequence[Note]
    """What people should know, one sentence each."""


def open_twix(
    path: str, layout: DatasetLayout | None = None, mask: str | None = None, choice: RawChoice = ALL_BY_FILE
) -> ScanFile:
    """Read the headers of the measurement that is chosen, by default the last; noise may be in one before it.

    A ScanError if the file is damaged, `twixtools` is not installed, it is not one Cartesian scan, there is no such
    measurement, or a mask or layout is given.
    """
    if mask is not None or layout is not None:
        raise ScanError(f'{path}: Siemens raw data tell their axes and lines themselves: leave --axes and --mask out')
    found = translated(path, choice.measurement)
    name = f'Siemens raw data ({found.line})'
    return scan_file_of(
        found.header, found.lines, path, name, notes=found.notes, centre=choice.centre, noise=found.noise
    )


def translated(path: str, name: str | None = None) -> Translated:
    """Translate the headers of the measurement of that name, or number from 0; of the last without it.

    Samples are read when they are needed. Errors as `open_twix`.
    """
    found = measurements(path)
    if name is not None:
        names = [Protocol.of(each.protocol).name for each in found]
        numbers = [number for number, own in enumerate(names) if name in (own, str(number))]
        if not numbers:
            raise ScanError(f'{path}: no measurement {name!r}; the file has {", ".join(names)}')
        found = found[: numbers[-1] + 1]
    image = found[-1]
    protocol, is_image = Protocol.of(image.protocol), _is_image(image)
    _require_image(image, is_image)
    notes = []
    if len(found) > 1 and name is None:
        last = protocol.name or 'without a name'
        notes.append(Note(f'{len(found)} measurements in the file, the last ({last}) is read'))
    if image.is_truncated:
        notes.append(caution('the file ends before the measurement does: what comes after was not written, or cut off'))
    labels = image.channels(int(np.flatnonzero(is_image)[0]))
    header = replace(header_of_twix(protocol, image.heads, is_image, path), coil_labels=tuple(map(str, labels)))
    noise, about_noise = (None, []) if _has(image, NOISE).any() else _noise_before(found[:-1], labels)
    head = _translated(image, protocol)
    if (ranks := _ranks_of_slices(head[is_image])) is not None:
        head['idx']['slice'] = ranks[head['idx']['slice']]
        notes.append(
            Note('slices are numbered by their place along the slice direction, not in the order of measurement')
        )
    lines = Acquisitions(head, image, path)
    return Translated(header, lines, noise, image.format.name, [*notes, *about_noise])


def _require_image(measurement: Measurement, is_image: np.ndarray) -> None:
    path, n_lines = measurement.path, len(measurement.heads)
    if not is_image.any():
        raise ScanError(f'{path}: none of the {n_lines} lines of the last measurement is one of an image')
    if _has(measurement, SINGLE_BAND).any():
        raise ScanError(
            f'{path}: simultaneous multi-slice cannot be reconstructed yet: convert to a single Cartesian scan'
        )


def _noise_before(
    measured: Sequence[Measurement], channels: list[int]
) -> tuple[tuple[Header, Acquisitions] | None, list[Note]]:
    """Noise of the last measurement that has any, and notes; none if it lacks some of these channels of the image.

    An adjustment states the time between its samples itself.
    """
    found = next((each for each in reversed(measured) if _has(each, NOISE).any()), None)
    if found is None:
        return None, []
    protocol, is_noise = Protocol.of(found.protocol), _has(found, NOISE)
    labels = found.channels(int(np.flatnonzero(is_noise)[0]))
    if not set(channels) <= set(labels):
        text = f'noise was measured by channels {labels}, which lack some of {channels}: it is left out'
        return None, [caution(text, LEFT_OUT)]
    head = _translated(found, protocol)
    if protocol.name.startswith('Adj') and protocol.dwell_us:
        head['sample_time_us'] = protocol.dwell_us
    header = replace(header_of_twix(protocol, found.heads, is_noise, found.path), coil_labels=tuple(map(str, labels)))
    note = Note(f'noise was measured before, in {protocol.name or "another measurement"}')
    return (header, Acquisitions(head, found, found.path)), [note]


def _has(measurement: Measurement, number: int) -> np.ndarray:
    """Which blocks have this bit of the evaluation mask."""
    return (np.ascontiguousarray(measurement.heads['EvalInfoMask']) >> np.uint64(number) & np.uint64(1)) != 0


def _is_image(measurement: Measurement) -> np.ndarray:
    """Which blocks are lines of the image."""
    neither = [number for number in FLAGS if number not in (22, 23, 24)]
    is_other = np.logical_or.reduce([_has(measurement, number) for number in neither])
    return ~is_other & (~_has(measurement, 22) | _has(measurement, 23))


def _translated(measurement: Measurement, protocol: Protocol) -> np.ndarray:
    """Headers of all blocks as MRD has them, axes (acquisition,)."""
    source: Any = measurement.heads
    head = np.zeros(len(source), ACQUISITION)
    head['version'] = 1
    for number, names in FLAGS.items():
        for name in names:
            head['flags'] |= np.where(_has(measurement, number), bit(name), np.uint64(0))
    for ours, theirs in COUNTERS.items():
        head['idx'][ours] = source['Counter'][theirs]
    head['idx']['user'][:, 5], head['idx']['user'][:, 6] = source['CenterLin'], source['CenterPar']
    head['measurement_uid'], head['scan_counter'] = source['MeasUID'], source['ScanCounter']
    head['acquisition_time_stamp'] = source['TimeStamp']
    head['number_of_samples'] = source['SamplesInScan']
    head['active_channels'] = head['available_channels'] = source['UsedChannels']
    head['discard_pre'], head['discard_post'] = source['CutOff']['Pre'], source['CutOff']['Post']
    head['center_sample'] = _echo(measurement)
    is_noise = _has(measurement, NOISE)
    of_noise = NOISE_READOUT_US / np.maximum(1, source['SamplesInScan'])
    head['sample_time_us'] = np.where(is_noise, of_noise, protocol.dwell_us or 0)
    _locate(head, source)
    return head


def _echo(measurement: Measurement) -> np.ndarray:
    """The sample of the echo. Lines read out backwards are flipped as a whole, which moves none of their samples."""
    source = measurement.heads
    echo, last = source['CenterCol'].astype(int), source['SamplesInScan'].astype(int) - 1
    return np.where(_has(measurement, 24), np.maximum(last - echo, 0), echo)


def _locate(head: np.ndarray, source: Any) -> None:
    """Position [mm] and directions: columns (phase, read, slice) of the rotation of a quaternion (w, x, y, z).

    NaN where it is no rotation.
    """
    for axis, name in enumerate(('Sag', 'Cor', 'Tra')):
        head['position'][:, axis] = source['SliceData']['SlicePos'][name]
    quaternions = np.asarray(source['SliceData']['Quaternion'], float)
    is_rotation = np.abs(np.linalg.norm(quaternions, axis=1) - 1) < UNIT
    w, x, y, z = np.where(is_rotation[:, None], quaternions, np.nan).T
    head['phase_dir'] = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], axis=-1)
    head['read_dir'] = np.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], axis=-1)
    head['slice_dir'] = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=-1)


def _ranks_of_slices(image: np.ndarray) -> np.ndarray | None:
    """Number of a slice along the slice direction, axes (counter,), of lines of the image.

    None where counters are in that order already, or slices are not parallel or not apart.
    """
    counters, first = np.unique(image['idx']['slice'], return_index=True)
    normals, positions = (image[name][first].astype(float) for name in ('slice_dir', 'position'))
    places = positions @ normals[0]
    is_stack = np.allclose(normals, normals[0], atol=UNIT) and len(np.unique(places)) == len(places)
    if not is_stack or bool((np.diff(places) > 0).all()):
        return None
    ranks = np.arange(1 << 16)
    ranks[counters] = counters[places.argsort().argsort()]
    return ranks
