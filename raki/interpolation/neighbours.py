"""Which samples predict which: a neighbourhood in offsets, and the cells where it stands, in line numbers.

K-space is (coil, line, readout) once its phase axes are flattened, and a line is one readout wherever its position is.
That a line's number came from (ky,) or (kz, ky) is known to the two tables of `Cells` and to nothing above them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import torch
from torch import Tensor

from raki.data.blocks import Box, longest_run, slices
from raki.data.equispaced import Alike, Gaps
from raki.data.lattice import Lattice, Offset
from raki.data.sampling import Sampling
from raki.errors import CalibrationError

ELEMENTS_AT_ONCE = 2**23
"""Source samples that are cut out together; at least those of one cell."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """How far a neighbourhood reaches: acquired lines, readout samples, and partitions of a volume."""

    lines: int
    """Acquired lines [1]."""

    readout: int
    """Readout samples [1]; fewer where k-space or ACS have fewer."""

    partitions: int | None = None
    """Acquired partitions where there is a second phase axis; None for as many as lines [1]."""

    def __post_init__(self) -> None:
        if self.lines < 2 or self.readout < 1 or self.n_partitions < 2:
            raise ValueError(f'a kernel needs at least 2 lines x 1 sample and 2 partitions, got {self}')

    def __str__(self) -> str:
        depth = '' if self.partitions is None else f'{self.partitions}x'
        return f'{depth}{self.lines}x{self.readout}'

    @property
    def n_partitions(self) -> int:
        """Acquired partitions of a volume [1]."""
        return self.lines if self.partitions is None else self.partitions


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Which lattice points predict which positions of a cell together, as offsets from the cell's lattice point."""

    sources: tuple[Offset, ...]
    """Offsets of lattice points."""

    targets: tuple[Offset, ...]
    """Offsets of what they predict: by default all R - 1 missing positions, so that they share one Gram matrix."""

    samples: range
    """Distances along the readout from a sample to its sources [sample]."""

    @classmethod
    def around(cls, lattice: Lattice | Gaps, kernel: Kernel, shape: Sequence[int], n_readout: int) -> 'Neighbourhood':
        """The lattice points around the missing positions of a cell.

        For lines they are as many before and after the gap as the kernel says, one more after it if it is odd. Where
        two axes are accelerated, a source is less than half the kernel away along both axes from a position that is
        missing, so that sources surround all of them evenly, whatever the CAIPI shift. Those that no position can have
        in what is to be filled, of this `shape` on the phase axes, are left out.
        """
        width = min(kernel.readout, n_readout)
        samples = range(-(width // 2), width - width // 2)
        missing = tuple(target for target in lattice.missing if all(t < n for t, n in zip(target, shape, strict=True)))
        if sum(size > 1 for size in shape) < 2:
            along, before = max(range(len(shape)), key=shape.__getitem__), kernel.lines // 2
            rows = [lattice.distance(row, along) for row in range(1 - before, kernel.lines - before + 1)]
            sources = [tuple(row * (axis == along) for axis in range(len(shape))) for row in rows]
            return cls(tuple(sources), missing, samples)
        assert isinstance(lattice, Lattice)  # gaps are those of one axis
        counts = kernel.n_partitions, kernel.lines
        halves = [(count * size - 1) // 2 for count, size in zip(counts, lattice.cell, strict=True)]
        most = [min(half, size - 1) for half, size in zip(halves, shape, strict=True)]
        steps = torch.tensor(list(product(*(range(-n, n + 1) for n in most))))
        every = (torch.tensor(missing)[:, None] + steps).flatten(0, 1)
        return cls(tuple(map(tuple, every[lattice.joins(every)].unique(dim=0).tolist())), missing, samples)

    @property
    def reach(self) -> tuple[tuple[int, int], ...]:
        """How far it reaches before and after the lattice point of its cell, along the phase axes [line]."""
        axes = zip(*self.sources, *self.targets, strict=True)
        return tuple((max(0, -min(steps)), max(0, *steps)) for steps in axes)

    @property
    def extent(self) -> tuple[int, ...]:
        """Size of the block that a cell's sources and targets lie in, phase axes and readout."""
        return (*(1 + before + after for before, after in self.reach), len(self.samples))

    def part(self, sources: Sequence[int], samples: range) -> 'Neighbourhood':
        """Only some of its sources, by number, and of its samples."""
        return replace(self, sources=tuple(self.sources[index] for index in sources), samples=samples)

    def columns(self, n_readout: int) -> range:
        """Readout positions where all samples exist."""
        return range(-self.samples.start, n_readout - self.samples[-1])

    def require_fits(self, acs: Sequence[int]) -> None:
        """Raise a CalibrationError unless an ACS of this size, phase axes and readout, holds at least one cell."""
        if any(size < wanted for size, wanted in zip(acs, self.extent, strict=True)):
            names = ('kz', 'ky', 'kx')[-len(self.extent) :]
            raise CalibrationError(
                f'a kernel that reaches over {by(self.extent)} positions ({", ".join(names)}) needs an ACS of at least '
                f'that size, got {by(acs)}: use a kernel of fewer lines or acquire more ACS'
            )


@dataclass(frozen=True, eq=False)
class Cells:
    """A neighbourhood standing at some places, as tables of line numbers."""

    neighbourhood: Neighbourhood
    """What stands there."""

    anchors: Tensor
    """Where, integers, axes (cell, phase axis): the lattice points of the cells, on the matrix or just beyond it."""

    shape: tuple[int, ...]
    """Size of the matrix on the phase axes."""

    box: Box
    """The part of it where there are sources and something to fill."""

    @classmethod
    def inside(cls, neighbourhood: Neighbourhood, shape: Sequence[int]) -> 'Cells':
        """Every place inside a fully sampled block of this size, in order."""
        sides = [range(before, size - after) for (before, after), size in zip(neighbourhood.reach, shape, strict=True)]
        anchors = torch.tensor(list(product(*sides)), dtype=torch.int64).view(-1, len(sides))
        return cls(neighbourhood, anchors, tuple(shape), tuple(map(range, shape)))

    @classmethod
    def on(cls, neighbourhood: Neighbourhood, sampling: Sampling | Alike) -> 'Cells':
        """Every place of a pattern where a target lies in what is to be filled, measured or not, in order."""
        anchors = sampling.anchors(neighbourhood.targets)
        return cls(neighbourhood, anchors, tuple(sampling.mask.shape), sampling.filled)

    def __len__(self) -> int:
        return len(self.anchors)

    @cached_property
    def sources(self) -> Tensor:
        """Line numbers of the sources, axes (cell, source); -1 where there is none."""
        return self._numbers(self.neighbourhood.sources)

    @cached_property
    def targets(self) -> Tensor:
        """Line numbers of the targets, axes (cell, target); -1 beyond what is to be filled."""
        return self._numbers(self.neighbourhood.targets)

    def _numbers(self, offsets: Sequence[Offset]) -> Tensor:
        positions = self.anchors[:, None] + torch.tensor(offsets).view(1, -1, len(self.shape))
        number = torch.zeros(positions.shape[:2], dtype=torch.int64)
        exists = torch.ones_like(number, dtype=torch.bool)
        for axis, (size, side) in enumerate(zip(self.shape, self.box, strict=True)):
            number = number * size + positions[..., axis]
            exists &= (positions[..., axis] >= side.start) & (positions[..., axis] < side.stop)
        return torch.where(exists, number, -1)

    def at(self, chosen: Tensor | slice) -> 'Cells':
        """Some of the places, by number or by a boolean."""
        return replace(self, anchors=self.anchors[chosen])

    @cached_property
    def is_whole(self) -> Tensor:
        """Whether all sources exist, boolean, axes (cell,)."""
        return (self.sources >= 0).all(1)

    def moved(self, neighbourhood: Neighbourhood) -> 'Cells':
        """Another neighbourhood in the same places."""
        return replace(self, neighbourhood=neighbourhood)

    def neighbours(self, offsets: Tensor) -> Tensor:
        """Numbers of the cells at offsets (offset, phase axis) from each, axes (cell, offset); -1 where none is."""
        wanted = self.anchors[:, None] + offsets
        low, high = wanted.amin((0, 1)), wanted.amax((0, 1))
        own, others = torch.zeros(len(self), dtype=torch.int64), torch.zeros(wanted.shape[:2], dtype=torch.int64)
        for axis, size in enumerate(map(int, high - low + 1)):  # tolist() fails where torch 2.6 differentiates
            own = own * size + self.anchors[:, axis] - low[axis]
            others = others * size + wanted[..., axis] - low[axis]
        found = torch.searchsorted(own, others).clamp(max=len(own) - 1)
        return torch.where(own[found] == others, found, -1)

    @cached_property
    def used(self) -> tuple[Tensor, Tensor]:
        """The lines that are a source of any cell, and the table of sources as numbers among these."""
        return self.sources.unique(return_inverse=True)

    def chunks(self, n_elements: int) -> Iterator['Cells']:
        """Runs of cells, if each takes so many elements, that fit into memory together."""
        step = max(1, ELEMENTS_AT_ONCE // max(1, n_elements))
        if step >= len(self):
            yield self
            return
        for start in range(0, len(self), step):
            yield self.at(slice(start, start + step))

    def patches(self, lines: Tensor, columns: range | None = None) -> Tensor:
        """Cut the sources of every cell out of lines (coil, line, readout); all of them must exist.

        For these columns, by default all where all samples exist: axes (cell, column, source), where a source is (coil,
        source line, sample).
        """
        samples = self.neighbourhood.samples
        columns = columns or self.neighbourhood.columns(lines.shape[-1])
        seen = lines[..., columns.start + samples.start : columns.stop + samples[-1]]
        windows = seen[:, self.sources.to(lines.device)].unfold(-1, len(samples), 1)
        return windows.permute(1, 3, 0, 2, 4).flatten(2)

    def values(self, lines: Tensor) -> Tensor:
        """Samples of the targets of lines (coil, line, readout), which must exist: (coil, target, cell, column)."""
        columns = self.neighbourhood.columns(lines.shape[-1])
        return lines[:, self.targets.mT.to(lines.device), columns.start : columns.stop]

    def put(self, target: Tensor, values: Tensor, columns: range) -> None:
        """Write values (coil, target, cell, column) into lines (coil, line, readout), where there is a line."""
        numbers = self.targets.mT.flatten()
        exists = (numbers >= 0).to(target.device)
        chosen = values.flatten(1, 2)[:, exists]
        target[:, numbers[numbers >= 0].to(target.device), columns.start : columns.stop] = chosen


def grown(known: Tensor, hull: Box, acs: Box, n_lines: int) -> Box:
    """Widen a block along one axis after the other, as evenly as can be, to n_lines at most of known ones in a hull."""
    box = list(acs)
    for axis, (side, limits) in enumerate(zip(acs, hull, strict=True)):
        across = slices((*box[:axis], range(known.shape[axis]), *box[axis + 1 :]))
        complete = known[across].movedim(axis, 0).reshape(known.shape[axis], -1).all(1)
        complete[: limits.start], complete[limits.stop :] = False, False
        complete[side.start : side.stop] = True
        run = longest_run(complete)
        size = min(max(n_lines, len(side)), len(run))
        first = max(run.start, min(side.start - max(0, n_lines - len(side)) // 2, run.stop - size))
        box[axis] = range(first, first + size)
    return tuple(box)


def by(sizes: Sequence[int]) -> str:
    """Sizes as people write them."""
    return ' x '.join(map(str, sizes))
