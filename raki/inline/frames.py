"""Which lines belong together, and when all of them are there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from raki.data.mrd.header import Encoding, Header
from raki.data.mrd.layout import NEITHER_IMAGE_NOR_CALIBRATION, bit
from raki.errors import ResourceError, StreamError
from raki.inline.messages import Line

LEFT_OUT = np.bitwise_or.reduce([bit(flag) for flag in NEITHER_IMAGE_NOR_CALIBRATION])
CALIBRATION, BOTH, NOISE = bit('calibration'), bit('calibration and image'), bit('noise')
LAST_IN_SLICE, LAST_IN_REPETITION = bit('last in slice'), bit('last in repetition')
LAST_IN_MEASUREMENT = bit('last in measurement')
APART = ('separate', 'external')
"""Calibration modes of which an image needs calibration lines that are not its own."""

COUNTERS = ('slice', 'contrast', 'phase', 'set', 'repetition')
"""What makes a frame: the lines of one image, or of one volume, all averages together."""

Key = tuple[int, ...]
"""Counters of a frame, in the order of COUNTERS."""


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """All that is needed to reconstruct one slice or volume."""

    key: Key
    """Counters, in the order of COUNTERS."""

    lines: tuple[Line, ...]
    """Noise, calibration of others that serves it, and its own lines, each in the order in which they came."""

    n_others: int
    """How many of them are not its own."""

    @property
    def labels(self) -> dict[str, int]:
        """Counters by name, without that of the slice."""
        return dict(zip(COUNTERS[1:], self.key[1:], strict=True))


@dataclass(slots=True, eq=False)
class Waiting:
    """Lines that wait for the rest of their frame."""

    header: Header
    """With the encoding of the image."""
    held_bytes: int
    """The most that lines may take [byte]."""

    _frames: dict[Key, list[Line]] = field(default_factory=dict)
    _noise: list[Line] = field(default_factory=list)
    _calibration: dict[int, list[Line]] = field(default_factory=dict)
    """By slice: calibration of the first repetition that has any, which serves repetitions without."""
    _done: set[Key] = field(default_factory=set)
    _n_bytes: int = 0

    def add(self, line: Line) -> Iterator[Gathered]:
        """Take a line and give the frames that it completes.

        A StreamError if its frame is complete already, a ResourceError if too much waits.
        """
        flags = line.head['flags']
        if flags & NOISE:
            self._hold(self._noise, line)
        elif not flags & LEFT_OUT:
            self._place(line, key_of(line))
        for key in self._completed(line):
            yield self._taken(key)

    def rest(self) -> Iterator[Gathered]:
        """Give what nothing said to be complete, at the end of a stream."""
        waiting = sorted(filter(self._has_image, self._frames))
        together = any(map(self._is_time_interleaved, waiting))
        every = [line for lines in self._frames.values() for line in lines] if together else []
        for key in waiting:
            yield self._taken(key, [line for line in every if key_of(line)[0] == key[0]])

    def _place(self, line: Line, key: Key) -> None:
        if key in self._done:
            raise StreamError(
                f'a line of slice {key[0]}, repetition {key[-1]} came after the flag that its slice is complete: '
                f'its header says {self._encoding(line).n_averages} average(s)'
            )
        self._hold(self._frames.setdefault(key, []), line)
        if line.head['flags'] & (CALIBRATION | BOTH) and self._is_first_calibration(key):
            self._calibration.setdefault(key[0], []).append(line)

    def _is_first_calibration(self, key: Key) -> bool:
        known = self._calibration.get(key[0])
        return not known or key_of(known[0])[-1] == key[-1]

    def _hold(self, lines: list[Line], line: Line) -> None:
        self._n_bytes += line.n_bytes
        if self._n_bytes > self.held_bytes:
            raise ResourceError(
                f'more than {self.held_bytes / 1e9:.1f} GB of lines wait for the rest of their slice: '
                'mark the last line of each (ACQ_LAST_IN_SLICE), or allow more memory'
            )
        lines.append(line)

    def _completed(self, line: Line) -> list[Key]:
        """Keys of the frames that a line completes.

        Of volumes the last line of a slice may be the last one of a partition; and where averages follow, only the last
        one of them completes a slice.
        """
        flags, key = line.head['flags'], key_of(line)
        if flags & LAST_IN_MEASUREMENT:
            return list(filter(self._is_ready, sorted(self._frames)))
        if flags & (NOISE | LEFT_OUT):
            return []
        if flags & LAST_IN_REPETITION:
            own = [each for each in self._frames if (each[0], each[-1]) == (key[0], key[-1])]
            return list(filter(self._is_ready, sorted(own)))
        encoding, average = self._encoding(line), int(line.head['idx']['average'])
        is_last = flags & LAST_IN_SLICE and not encoding.is_volume and average + 1 >= encoding.n_averages
        return [key] if is_last and self._is_ready(key) else []

    def _is_ready(self, key: Key) -> bool:
        """Whether a frame has image lines, and all that it may learn from: what comes later waits for the end."""
        if key not in self._frames or not self._has_image(key) or self._is_time_interleaved(key):
            return False
        encoding = self._encoding(image_line(self._frames[key]))
        is_apart = encoding.calibration_mode in APART and max(encoding.acceleration) > 1
        return not is_apart or key[0] in self._calibration

    def _is_time_interleaved(self, key: Key) -> bool:
        """Whether calibration is the mean of all repetitions (TGRAPPA), which are there at the end only."""
        encoding = self._encoding(image_line(self._frames[key]))
        is_interleaved = encoding.calibration_mode == 'interleaved' and max(encoding.acceleration) != 1
        return is_interleaved and not self._calibration

    def _encoding(self, line: Line) -> Encoding:
        """The encoding that a line refers to."""
        number, known = int(line.head['encoding_space_ref']), self.header.encodings
        return known[number] if number < len(known) else known[0]

    def _has_image(self, key: Key) -> bool:
        return any(not line.head['flags'] & CALIBRATION or line.head['flags'] & BOTH for line in self._frames[key])

    def _taken(self, key: Key, others: Sequence[Line] = ()) -> Gathered:
        """Take a frame out, with calibration that it does not have itself, or with other frames to learn from."""
        own, calibration = self._frames.pop(key), self._calibration.get(key[0], [])
        self._done.add(key)
        kept = set(map(id, calibration))
        self._n_bytes -= sum(line.n_bytes for line in own if id(line) not in kept)
        is_own = any(line.head['flags'] & (CALIBRATION | BOTH) for line in own)
        more = [line for line in others or ([] if is_own else calibration) if key_of(line) != key]
        return Gathered(key, (*self._noise, *more, *own), len(self._noise) + len(more))


def key_of(line: Line) -> Key:
    """The frame that a line belongs to."""
    return tuple(int(line.head['idx'][name]) for name in COUNTERS)


def image_line(lines: Sequence[Line]) -> Line:
    """The last line of an image: its header tells where and when."""
    return next(each for each in reversed(lines) if not each.head['flags'] & (NOISE | CALIBRATION) or _is_both(each))


def _is_both(line: Line) -> bool:
    return bool(line.head['flags'] & BOTH)
