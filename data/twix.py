"""Siemens raw data (twix, .dat) as acquisitions of MRD, so that one piece of code places lines of both.

Flags, counters, directions and times are translated as `siemens_to_ismrmrd` does it. Samples stay as the scanner stored
them: nothing is conjugated.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raki.data.acquisitions import Acquisitions
from raki.data.generic import DatasetLayout
from raki.data.header import Header
from raki.data.mrd_layout import ACQUISITION, bit
from raki.data.mrd_scan import scan_file_of
from raki.data.scan import ScanFile
from raki.data.twix_file import Measurement, measurements
from raki.data.twix_protocol import Protocol, header_of_twix
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
    34: ('surface-coil correction',),
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
class Blocks:
    """Samples of chosen blocks of one or two measurements, with noise in the channels of the image."""

    parts: tuple[Measurement, ...]
    """The measurement of the image, and that of the noise if it is another."""

    part: np.ndarray
    """Which of them each acquisition is from, axes (acquisition,)."""

    block: np.ndarray
    """Its block there, axes (acquisition,)."""

    is_noise: np.ndarray
    """Which acquisitions have other channels than the image, boolean, axes (acquisition,)."""

    channels: np.ndarray
    """Where the image's channels are among those, axes (coil,)."""

    @classmethod
    def of(cls, measurement: Measurement) -> 'Blocks':
        """All blocks of a measurement."""
        n = len(measurement.heads)
        return cls((measurement,), np.zeros(n, int), np.arange(n), np.zeros(n, bool), np.zeros(0, int))

    def with_noise(self, measurement: Measurement, chosen: np.ndarray) -> 'Blocks':
        """These, and the chosen blocks of another measurement after them."""
        return Blocks(
            (*self.parts, measurement),
            np.concatenate([self.part, np.full(len(chosen), len(self.parts))]),
            np.concatenate([self.block, chosen]),
            np.concatenate([self.is_noise, np.zeros(len(chosen), bool)]),
            self.channels,
        )

    def kept(self, chosen: np.ndarray) -> 'Blocks':
        """Only some acquisitions, boolean with axes (acquisition,)."""
        return replace(self, part=self.part[chosen], block=self.block[chosen], is_noise=self.is_noise[chosen])

    def channels_of(self, position: int) -> list[int]:
        """Numbers of the receiver channels of an acquisition."""
        return self.parts[self.part[position]].channels(int(self.block[position]))

    def read(self, positions: np.ndarray) -> list[np.ndarray]:
        """As `raki.data.acquisitions.SampleSource.read`."""
        found: list[np.ndarray] = [np.empty(0)] * len(positions)
        for number, measurement in enumerate(self.parts):
            here = np.flatnonzero(self.part[positions] == number)
            for at, values in zip(here.tolist(), measurement.read(self.block[positions[here]]), strict=True):
                found[at] = values[self.channels] if self.is_noise[positions[at]] else values
        return found


def open_twix(path: str, layout: DatasetLayout | None = None, mask: str | None = None) -> ScanFile:
    """Read the headers of the last measurement in the file; noise may be in one before it.

    A ScanError if the file is damaged, `twixtools` is not installed, it is not one Cartesian scan, or a mask or layout
    is given.
    """
    if mask is not None or layout is not None:
        raise ScanError(f'{path}: Siemens raw data tell their axes and lines themselves: leave --axes and --mask out')
    header, lines, notes = translated(path)
    return scan_file_of(header, lines, path, f'Siemens raw data ({notes[0]})', notes=notes[1:])


def translated(path: str) -> tuple[Header, Acquisitions, list[str]]:
    """What a file holds in terms of MRD, with the software line and notes for people. Errors as `open_twix`."""
    found = measurements(path)
    image = found[-1]
    protocol, is_image = Protocol.of(image.protocol), _is_image(image)
    _require_image(image, is_image)
    notes = [image.format.name]
    if len(found) > 1:
        notes.append(f'{len(found)} measurements in the file, the last ({protocol.name or "without a name"}) is read')
    if image.is_truncated:
        notes.append('the file ends within a line: what comes after was not written, or cut off')
    head, blocks = _translated(image, protocol), Blocks.of(image)
    first, is_noise = int(np.flatnonzero(is_image)[0]), _has(image, NOISE)
    earlier = next((each for each in reversed(found[:-1]) if _has(each, NOISE).any()), None)
    if earlier is not None and not is_noise.any():
        noise, chosen = _noise_before(earlier)
        head, blocks = np.concatenate([head, noise]), blocks.with_noise(earlier, chosen)
        notes.append(f'noise was measured before, in {Protocol.of(earlier.protocol).name or "another measurement"}')
    head, blocks, problem = _matched(head, blocks, first)
    notes += [problem] if problem else []
    return header_of_twix(protocol, image.heads, is_image, path), Acquisitions(head, blocks, path), notes


def _require_image(measurement: Measurement, is_image: np.ndarray) -> None:
    path, n_lines = measurement.path, len(measurement.heads)
    if not is_image.any():
        raise ScanError(f'{path}: none of the {n_lines} lines of the last measurement is one of an image')
    if _has(measurement, SINGLE_BAND).any():
        raise ScanError(
            f'{path}: simultaneous multi-slice cannot be reconstructed yet: convert to a single Cartesian scan'
        )


def _noise_before(measurement: Measurement) -> tuple[np.ndarray, np.ndarray]:
    """Headers of the noise lines of an earlier measurement, and which of its blocks they are.

    An adjustment states the time between its samples itself.
    """
    protocol, chosen = Protocol.of(measurement.protocol), np.flatnonzero(_has(measurement, NOISE))
    noise = _translated(measurement, protocol)[chosen]
    if protocol.name.startswith('Adj') and protocol.dwell_us:
        noise['sample_time_us'] = protocol.dwell_us
    return noise, chosen


def _matched(head: np.ndarray, blocks: 'Blocks', first: int) -> tuple[np.ndarray, 'Blocks', str]:
    """Noise in the channels of the image, whose first line is `first`; left out, with a reason, if it has others."""
    is_noise = (head['flags'] & bit('noise')) != 0
    if not is_noise.any():
        return head, blocks, ''
    own, noise = blocks.channels_of(first), blocks.channels_of(int(np.flatnonzero(is_noise)[0]))
    if own == noise:
        return head, blocks, ''
    if len(set(noise)) < len(noise) or not set(own) <= set(noise):
        reason = f'noise was measured by channels {noise[:4]} and so on, the image by {own[:4]}: it is left out'
        return head[~is_noise], blocks.kept(~is_noise), reason
    head['active_channels'][is_noise] = len(own)
    channels = np.asarray([noise.index(number) for number in own])
    return head, replace(blocks, channels=channels, is_noise=is_noise), ''


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
