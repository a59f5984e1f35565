"""The acquisitions of a scan as MRD has them: their headers in one array, their samples on demand.

Every raw format is translated to it: HDF5, Siemens raw data and streams share one piece of code that places lines.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from raki.data.mrd.layout import NEITHER_IMAGE_NOR_CALIBRATION, bit, headers
from raki.data.place import LABELS, Frame
from raki.errors import ScanError


class SampleSource(Protocol):
    """Where samples come from."""

    def read(self, positions: np.ndarray) -> Iterable[np.ndarray]:
        """Samples of the acquisitions at these ascending positions, each complex64, coil after coil.

        Not more of them should be in memory at once than need be.
        """
        ...


@dataclass(slots=True, eq=False)
class HeldSamples:
    """Samples that are in memory."""

    samples: list[np.ndarray]
    """Of each acquisition, complex64 with axes (coil, sample); more may be appended while a scan arrives."""

    is_read: bool = False
    """Whether any were looked at."""

    def read(self, positions: np.ndarray) -> list[np.ndarray]:
        """As `SampleSource.read`."""
        self.is_read = True
        return [self.samples[position] for position in positions.tolist()]


@dataclass(frozen=True, eq=False)
class Acquisitions:
    """Headers of all acquisitions, what their flags say, and where their samples are."""

    head: np.ndarray
    """Headers, axes (acquisition,), of the type `raki.data.mrd.layout.ACQUISITION`."""

    source: SampleSource
    """Where samples come from."""

    path: str
    """The file or stream, for errors."""

    numbers: np.ndarray | None = None
    """Position of each acquisition in the source, axes (acquisition,); None where all are there."""

    def __post_init__(self) -> None:
        object.__setattr__(self, 'head', headers(self.head))

    def with_head(self, head: np.ndarray) -> 'Acquisitions':
        """The same samples with other headers."""
        return Acquisitions(head, self.source, self.path, self.numbers)

    def only(self, chosen: np.ndarray) -> 'Acquisitions':
        """Those that are chosen, boolean with axes (acquisition,)."""
        return Acquisitions(self.head[chosen], self.source, self.path, self.number_of(np.flatnonzero(chosen)))

    def number_of(self, positions: np.ndarray) -> np.ndarray:
        """Positions of acquisitions in the source."""
        return positions if self.numbers is None else self.numbers[positions]

    def __len__(self) -> int:
        """Number of acquisitions."""
        return len(self.head)

    def has(self, flag: str) -> np.ndarray:
        """Which acquisitions have this flag of `raki.data.mrd.layout.FLAGS`, axes (acquisition,)."""
        return (self.flags & bit(flag)) != 0

    @cached_property
    def flags(self) -> np.ndarray:
        """Flags of each acquisition, a bit each."""
        return np.ascontiguousarray(self.head['flags'])

    @cached_property
    def is_left_out(self) -> np.ndarray:
        """Neither image nor calibration nor noise: navigators, phase correction, feedback, dummies."""
        return np.logical_or.reduce([self.has(flag) for flag in NEITHER_IMAGE_NOR_CALIBRATION])

    @property
    def left_out(self) -> dict[str, int]:
        """How many acquisitions are left out, by the first flag that says so: converters set two from one."""
        counts, uncounted = {}, np.ones(len(self), bool)
        for flag in NEITHER_IMAGE_NOR_CALIBRATION:
            counts[flag] = int((self.has(flag) & uncounted).sum())
            uncounted &= ~self.has(flag)
        return {flag: count for flag, count in counts.items() if count}

    @cached_property
    def is_noise(self) -> np.ndarray:
        """Noise adjustment."""
        return self.has('noise')

    @cached_property
    def is_calibration(self) -> np.ndarray:
        """Parallel-imaging calibration, whether or not also part of the image."""
        return (self.has('calibration') | self.has('calibration and image')) & ~self.is_left_out & ~self.is_noise

    @cached_property
    def is_image(self) -> np.ndarray:
        """Part of the image, whether or not also calibration."""
        is_wanted = ~self.has('calibration') | self.has('calibration and image')
        return is_wanted & ~self.is_left_out & ~self.is_noise

    @property
    def is_calibration_only(self) -> np.ndarray:
        """Calibration that is not part of the image."""
        return self.is_calibration & ~self.is_image

    @cached_property
    def is_reversed(self) -> np.ndarray:
        """Read out backwards."""
        return self.has('reversed')

    def index(self, counter: str) -> np.ndarray:
        """Values of an encoding counter such as `slice`, axes (acquisition,)."""
        return self.head['idx'][counter]

    def labels(self, names: Sequence[str] = LABELS) -> np.ndarray:
        """Counters of frames, axes (acquisition, name)."""
        return np.stack([self.index(name) for name in names], axis=1)

    def in_frame(self, frame: Frame) -> np.ndarray:
        """Which acquisitions belong to a frame, axes (acquisition,)."""
        return np.logical_and.reduce([self.index(name) == value for name, value in asdict(frame).items()])

    @cached_property
    def n_averages(self) -> np.ndarray:
        """How often each line of the image was measured, axes (line,), in no particular order."""
        codes = np.zeros(int(self.is_image.sum()), np.int64)
        for name in ('kspace_encode_step_1', 'kspace_encode_step_2', 'slice', *LABELS):
            values = self.index(name)[self.is_image].astype(np.int64)
            codes = np.unique(codes * (values.max() + 1) + values, return_inverse=True)[1]
        return np.bincount(codes)

    def n_coils(self, chosen: np.ndarray) -> int:
        """Number of receiver coils of the acquisitions at these positions; a ScanError if they have different ones."""
        numbers = np.unique(self.head['active_channels'][chosen]).tolist()
        if len(numbers) != 1:
            raise ScanError(
                f'{self.path}: acquisitions have different numbers of coils {numbers}: '
                'k-space needs the same receivers on all of its lines'
            )
        return numbers[0]

    @contextmanager
    def samples(self, positions: np.ndarray) -> Iterator[Iterator[tuple[int, np.ndarray]]]:
        """Position and samples (coil, sample), complex64, of the acquisitions at these ascending positions.

        A context, because a file is open meanwhile. A ScanError if there are not as many samples as a header says.
        """
        read = self.source.read(self.number_of(positions))
        with closing(read) if isinstance(read, Generator) else nullcontext():
            yield self._shaped(positions, read)

    def _shaped(self, positions: np.ndarray, read: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        n_coils, n_samples = (self.head[name][positions] for name in ('active_channels', 'number_of_samples'))
        sizes = zip(n_coils.tolist(), n_samples.tolist(), strict=True)
        for position, size, values in zip(positions.tolist(), sizes, read, strict=True):
            if values.size != size[0] * size[1]:
                raise ScanError(
                    f'{self.path}: acquisition {self.number_of(np.array(position))} must hold {size[0]} coils x '
                    f'{size[1]} complex samples, got {2 * values.size} numbers'
                )
            yield position, values.reshape(size)
