"""The acquisitions of an ISMRMRD file: their headers in one array, their samples on demand."""

from dataclasses import dataclass

import h5py
import numpy as np

from raki.errors import ScanError

NOISE, CALIBRATION, CALIBRATION_AND_IMAGE, REVERSED = 19, 20, 21, 22

LEFT_OUT = {
    23: 'navigation',
    24: 'phase correction',
    26: 'feedback',
    27: 'dummy',
    28: 'real-time feedback',
    29: 'surface-coil correction',
    30: 'phase stabilisation reference',
    31: 'phase stabilisation',
}
"""Flags (counted from 1, as the standard does) of acquisitions that are neither image nor calibration."""

FIELDS = {'flags', 'idx', 'active_channels', 'encoding_space_ref', 'sample_time_us'}
SAMPLES = {'number_of_samples', 'center_sample', 'discard_pre', 'discard_post'}
"""Fields of an acquisition header that are needed, about all of it and about its samples."""

INDICES = {'kspace_encode_step_1', 'kspace_encode_step_2', 'slice', 'repetition', 'average', 'contrast', 'phase', 'set'}
"""Encoding counters that are needed."""


@dataclass(frozen=True, slots=True, eq=False)
class Acquisitions:
    """Headers of all acquisitions, and what their flags say."""

    head: np.ndarray
    """Structured array, axes (acquisition,), with the fields of the ISMRMRD acquisition header."""

    path: str
    """The file, for errors."""

    @classmethod
    def read(cls, data: h5py.Dataset, path: str) -> 'Acquisitions':
        """Read all headers at once; no samples."""
        if data.ndim != 1 or not _holds_acquisitions(data.dtype):
            raise ScanError(f'{path}: {data.name} must hold acquisitions with head and data, got {data.dtype}')
        lines = cls(np.asarray(data['head']), path)
        if not lines.is_image.any():
            kinds = {**lines.left_out, 'noise': int(lines.is_noise.sum())}
            there = ', '.join(f'{count} {kind}' for kind, count in kinds.items() if count) or 'calibration only'
            raise ScanError(f'{path}: none of the {len(data)} acquisitions is an image line ({there})')
        n_coils = np.unique(lines.head['active_channels'][~lines._is_left_out]).tolist()
        if len(n_coils) != 1:
            raise ScanError(f'{path}: acquisitions have different numbers of coils {n_coils}, which is not handled yet')
        return lines

    def has(self, flag: int) -> np.ndarray:
        """Which acquisitions have this flag (counted from 1)."""
        return (self.head['flags'] & np.uint64(1 << (flag - 1))) != 0

    @property
    def _is_left_out(self) -> np.ndarray:
        return np.logical_or.reduce([self.has(flag) for flag in LEFT_OUT])

    @property
    def _is_imaging(self) -> np.ndarray:
        return ~self._is_left_out & ~self.is_noise

    @property
    def left_out(self) -> dict[str, int]:
        """How many acquisitions of each kind are left out."""
        counts = {name: int(self.has(flag).sum()) for flag, name in LEFT_OUT.items()}
        return {name: count for name, count in counts.items() if count}

    @property
    def is_noise(self) -> np.ndarray:
        """Noise adjustment."""
        return self.has(NOISE)

    @property
    def is_calibration(self) -> np.ndarray:
        """Parallel-imaging calibration, whether or not also part of the image."""
        return (self.has(CALIBRATION) | self.has(CALIBRATION_AND_IMAGE)) & self._is_imaging

    @property
    def is_image(self) -> np.ndarray:
        """Part of the image, whether or not also calibration."""
        return (~self.has(CALIBRATION) | self.has(CALIBRATION_AND_IMAGE)) & self._is_imaging

    @property
    def is_calibration_only(self) -> np.ndarray:
        """Calibration that is not part of the image."""
        return self.is_calibration & ~self.is_image

    @property
    def is_reversed(self) -> np.ndarray:
        """Read out backwards."""
        return self.has(REVERSED)

    @property
    def n_coils(self) -> int:
        """Number of receiver coils."""
        return int(self.head['active_channels'][~self._is_left_out][0])

    def counters(self, axis: str) -> list[int]:
        """Values that a counter of image lines takes, such as `slice`, ascending; there may be holes."""
        return np.unique(self.head['idx'][axis][self.is_image]).tolist()

    def at(self, axis: str, position: int) -> np.ndarray:
        """Which acquisitions belong to the slice or repetition at this position among `counters`."""
        return self.head['idx'][axis] == self.counters(axis)[position]

    def samples(self, data: h5py.Dataset, chosen: np.ndarray) -> list[np.ndarray]:
        """Read the samples of the chosen acquisitions, each complex64 with axes (coil, sample)."""
        positions = np.flatnonzero(chosen)
        if len(positions) == 0:
            return []
        first, stop = int(positions[0]), int(positions[-1]) + 1
        is_dense = 2 * len(positions) >= stop - first
        values = data[first:stop, 'data'][positions - first] if is_dense else data[positions, 'data']
        return [self._complex(value, int(position)) for value, position in zip(values, positions, strict=True)]

    def _complex(self, value: np.ndarray, position: int) -> np.ndarray:
        head = self.head[position]
        wanted = (int(head['active_channels']), int(head['number_of_samples']))
        if value.size != 2 * wanted[0] * wanted[1]:
            raise ScanError(
                f'{self.path}: acquisition {position} must hold {wanted[0]} coils x {wanted[1]} complex samples, '
                f'got {value.size} numbers'
            )
        return np.asarray(value, np.float32).view(np.complex64).reshape(wanted)


def _holds_acquisitions(dtype: np.dtype) -> bool:
    if dtype.names is None or not {'head', 'data'} <= set(dtype.names):
        return False
    return set(dtype['head'].names or ()) >= FIELDS | SAMPLES and set(dtype['head']['idx'].names or ()) >= INDICES
