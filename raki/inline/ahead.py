"""Placing the lines of a slice while they come, where an earlier repetition of it has shown which ones will.

Headers tell how a scan is to be understood. Where those of a repetition are the ones that were understood before, up to
its number and the time, it is understood likewise, and the same code can place its lines one by one: when the last one
comes, only that is left to do. Whatever is not as expected goes the ordinary way, which looks at all lines at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from raki.data.memory import COMPLEX64_BYTES
from raki.data.mrd.acquisitions import Acquisitions, HeldSamples
from raki.data.mrd.layout import ACQUISITION
from raki.data.mrd.lines import Placing, joined
from raki.data.mrd.scan import SlabReader
from raki.data.scan import Scan
from raki.errors import ScanError
from raki.inline.frames import Gathered
from raki.inline.messages import Line

PASSING = ('scan_counter', 'acquisition_time_stamp', 'physiology_time_stamp')
"""What a header says of the moment only."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """How the lines of a slice are understood, by their headers alone."""

    reader: SlabReader

    notes: Sequence[str]
    """What was decided, one sentence each."""

    others: tuple[Line, ...]
    """Lines before its own: noise."""

    heads: tuple[bytes, ...]
    """Headers of its own lines, without what passes."""

    n_bytes: int
    """Of its k-space."""

    @classmethod
    def of(cls, reader: SlabReader, notes: Sequence[str], gathered: Gathered) -> 'Known | None':
        """As one repetition has shown it; None where more has to be done than to place lines."""
        if not reader.begun():
            return None
        own, others = gathered.lines[gathered.n_others :], gathered.lines[: gathered.n_others]
        samples = HeldSamples([line.samples for line in others])  # those of its own are not kept
        lines = Acquisitions(reader.lines.head, samples, reader.lines.path, reader.lines.numbers)
        light = replace(reader, lines=lines, noise=(reader.header, lines))
        n_bytes = COMPLEX64_BYTES * gathered.lines[-1].samples.shape[0] * prod(reader.header.encoded.matrix)
        return cls(light, notes, others, tuple(map(lasting, own)), n_bytes)


@dataclass(slots=True, eq=False)
class Begun:
    """A slice of which some lines are there."""

    known: Known
    _placings: list[Placing]
    _n_lines: int = 0
    _is_as_known: bool = field(default=True)

    @classmethod
    def of(cls, known: Known) -> 'Begun':
        """Nothing placed yet."""
        return cls(known, known.reader.begun())

    def add(self, line: Line) -> None:
        """Place the next line, if it is the one that was expected."""
        number, heads = self._n_lines, self.known.heads
        self._n_lines += 1
        self._is_as_known &= number < len(heads) and lasting(line) == heads[number]
        if not self._is_as_known:
            self._placings = []
        else:
            position = number + len(self.known.others)
            for placing in self._placings:
                if position in placing:
                    placing.add(position, line.samples)

    def scan(self, gathered: Gathered) -> Scan | None:
        """What `gathered` is, bit for bit as `SlabReader.read_slab` has it; None if it is not what was expected."""
        others = gathered.lines[: gathered.n_others]
        is_whole = self._n_lines == len(self.known.heads) == len(gathered.lines) - gathered.n_others
        if not (self._is_as_known and is_whole and _same(others, self.known.others)):
            return None
        try:
            image, *more = [placing.finished() for placing in self._placings]
        except ScanError:
            return None  # said in the words of the ordinary way
        return self.known.reader.scan_with(joined(image, more[0]) if more else image, None)


def lasting(line: Line) -> bytes:
    """A header without what passes, its repetition included."""
    head = np.frombuffer(bytearray(line.head.tobytes()), ACQUISITION)
    for name in PASSING:
        head[name] = 0
    head['idx']['repetition'] = 0
    return head.tobytes()


def _same(one: Sequence[Line], other: Sequence[Line]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
