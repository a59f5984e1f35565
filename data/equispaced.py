"""Lines in an order whose gaps differ: equispaced masks with a spacing that is no integer, rounded to lines.

Between two lines lies a cell, as on a lattice, but what surrounds it differs from cell to cell: a spacing of 5.4 leaves
gaps of 5 and 6. Cells with the same gaps around them are alike, and there are few kinds of these: windows of n gaps of
a rounded even spacing have at most n + 1 different contents (Morse and Hedlund 1940, https://doi.org/10.2307/2371431).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil

import torch
from torch import Tensor

from raki.data.blocks import Box, Positions, acs_of, slices
from raki.data.lattice import Offset


@dataclass(frozen=True, slots=True)
class Gaps:
    """A gap and those around it: to cells that are alike what a `raki.data.lattice.Lattice` is to all of its own."""

    sizes: tuple[int, ...]
    """Distances from line to line, one after the other [line]."""

    own: int = 0
    """Number of the gap that is to be filled, among these."""

    def __str__(self) -> str:
        return f'gaps of {"-".join(map(str, self.sizes))}'

    @property
    def spacing(self) -> Offset:
        """Size (R,) of the cell [line]."""
        return (self.sizes[self.own],)

    @property
    def rate(self) -> int:
        """R: positions of the cell per measured one."""
        return self.sizes[self.own]

    @property
    def missing(self) -> tuple[Offset, ...]:
        """Offsets of the R - 1 positions of the cell that are not measured, from the line before them."""
        return tuple((offset,) for offset in range(1, self.rate))

    @property
    def steps(self) -> tuple[Offset, ...]:
        """From a cell to the next where its like follows."""
        return (self.spacing,)

    def distance(self, number: int, axis: int = 0) -> int:
        """From the line before the cell to the line of this number after it, or of a negative one before it [line]."""
        del axis
        there = self.own + number
        if not 0 <= there <= len(self.sizes):
            raise ValueError(f'{self} around number {self.own} do not reach to line {number}')
        return sum(self.sizes[self.own : there]) if number > 0 else -sum(self.sizes[there : self.own])


@dataclass(frozen=True, eq=False)
class Equispaced(Positions):
    """Lines whose gaps have at most two neighbouring sizes outside the ACS, as an even spacing has that is rounded.

    Margins narrower than the widest gap are filled; wider ones are partial Fourier or padding and stay empty.
    """

    lines: tuple[int, ...]
    """Measured lines that cells lie between, ascending; of the ACS both ends, and some between them."""

    widest: int
    """Gap outside the ACS [line]."""

    @cached_property
    def filled(self) -> Box:
        """Block of lines that are measured or to be filled."""
        measured, n_lines = self.mask.nonzero().flatten(), len(self.mask)
        start = 0 if self.lines[0] < self.widest else min(self.lines[0], int(measured[0]))
        stop = n_lines if n_lines - self.lines[-1] <= self.widest else max(self.lines[-1], int(measured[-1])) + 1
        return (range(start, stop),)

    @cached_property
    def inside(self) -> Tensor:
        """The block `filled`, boolean, axes (ky,)."""
        inside = torch.zeros_like(self.mask)
        inside[slices(self.filled)] = True
        return inside

    @property
    def gaps(self) -> dict[int, int]:
        """How many gaps between measured lines there are of each size, those within the ACS left out."""
        places = self.mask.nonzero().flatten().tolist()
        return dict(sorted(Counter(b - a for a, b in pairwise(places) if b - a > 1).items()))

    def alike(self, n_before: int, n_after: int) -> 'tuple[Alike, ...]':
        """All kinds of cells that have anything to fill in, told apart by so many gaps before and after their own.

        Those that fill in most come first.
        """
        found = Counter[Gaps]()
        for number, gaps in self._windows(n_before, n_after):
            start, stop = (self._chain[number + step] for step in (0, 1))
            missing = self.inside[max(0, start + 1) : max(0, stop)] & ~self.mask[max(0, start + 1) : max(0, stop)]
            found[gaps] += int(missing.sum())
        return tuple(Alike(self, gaps) for gaps, n_missing in found.most_common() if n_missing)

    def starts(self, gaps: Gaps) -> list[int]:
        """Lines, on the matrix or just before it, after which a cell with these gaps around it begins."""
        n_before = gaps.own
        windows = self._windows(n_before, len(gaps.sizes) - 1 - n_before)
        return [self._chain[number] for number, found in windows if found == gaps]

    @cached_property
    def _chain(self) -> list[int]:
        """Lines, and as if there were others at the widest gap on both sides of them."""
        first, last, beyond = self.lines[0], self.lines[-1], range(1, len(self.mask) + 1)
        before = [first - self.widest * number for number in reversed(beyond)]
        return [*before, *self.lines, *(last + self.widest * number for number in beyond)]

    def _windows(self, n_before: int, n_after: int) -> list[tuple[int, Gaps]]:
        """Number in the chain where a cell begins that may hold lines, and the gaps around it."""
        sizes = [b - a for a, b in pairwise(self._chain)]
        first = len(self.mask)
        numbers = range(first - 1, first + len(self.lines))
        return [(n, Gaps(tuple(sizes[n - n_before : n + n_after + 1]), n_before)) for n in numbers]


@dataclass(frozen=True, slots=True)
class Alike:
    """The cells of a pattern that have the same gaps around them; offers what a `raki.data.sampling.Sampling` does."""

    whole: Equispaced
    """The pattern."""

    lattice: Gaps
    """What surrounds these cells."""

    @property
    def mask(self) -> Tensor:
        """Boolean, axes (ky,): the measured positions of the whole pattern."""
        return self.whole.mask

    @property
    def acs(self) -> Box:
        """That of the whole pattern."""
        return self.whole.acs

    @property
    def filled(self) -> Box:
        """Block of lines that are measured or to be filled by cells of all kinds."""
        return self.whole.filled

    @property
    def inside(self) -> Tensor:
        """The block `filled`, boolean, axes (ky,)."""
        return self.whole.inside

    @property
    def points(self) -> Tensor:
        """Lines in the order of the spacing, boolean, axes (ky,)."""
        points = torch.zeros_like(self.mask)
        points[list(self.whole.lines)] = True
        return points

    @property
    def kinds(self) -> 'tuple[Alike, ...]':
        """All kinds of cells of the pattern, told apart as these are."""
        return self.whole.alike(self.lattice.own, len(self.lattice.sizes) - 1 - self.lattice.own)

    def anchors(self, targets: Sequence[Offset]) -> Tensor:
        """Where these cells begin that have a target in what is to be filled, integers, axes (cell, 1), in order."""
        side = self.filled[0]
        starts = [start for start in self.whole.starts(self.lattice) if any(start + t in side for (t,) in targets)]
        return torch.tensor(starts, dtype=torch.int64).view(-1, 1)


def equispaced_of(mask: Tensor) -> Equispaced | None:
    """The order of the lines of a mask, boolean (ky,), None where gaps outside the ACS are of other sizes.

    They may differ by one line, and those that adjoin the ACS be narrower; at least one line must lie outside the ACS.
    """
    if mask.ndim != 1:
        return None
    places, acs = mask.nonzero().flatten().tolist(), acs_of(mask)[-1]
    outside = [line for line in places if line not in acs]
    if len(places) < 3 or not outside:
        return None
    free = [b - a for a, b in pairwise(places) if a not in acs and b not in acs]
    adjoining = [b - a for a, b in pairwise(places) if (a in acs) != (b in acs)]
    sizes = free or [max(adjoining)]
    if max(sizes) - min(sizes) > 1 or max(adjoining, default=0) > max(sizes) + (len(set(sizes)) == 1):
        return None
    mean = sum(sizes) / len(sizes)
    widest = max(*sizes, *adjoining, 1)
    return Equispaced(mask, tuple(sorted({*outside, *_hidden(acs, mean, widest)})), widest)


def _hidden(acs: range, mean: float, widest: int) -> list[int]:
    """Both ends of the ACS, as near to the gaps beside it as can be, and evenly spaced lines between them."""
    if not acs:
        return []
    length = len(acs) - 1
    number = max(1, round(length / mean), ceil(length / widest))
    return [acs.start + round(length * step / number) for step in range(number + 1)]
