"""Which samples predict a missing one, in offsets on a lattice of (kz, ky) positions.

The sources of a missing position are the lattice points less than `partitions` / 2 and `lines` / 2 spacings of the
lattice away from it: as many as the kernel says, or one fewer along an axis on which it lies level with one of them.
So they surround it evenly, whatever the CAIPI shift, and as long as the kernel has two of each, one of them exists
wherever there is something to fill. They are the same for every cell of the lattice, and everywhere inside the ACS.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise, product

import torch
from torch import Tensor

from raki.data.lattice import Lattice, Offset, VolumeSampling
from raki.errors import CalibrationError
from raki.interpolation.kernel import Kernel

Region = tuple[range, range, range]
"""Positions to predict, (kz, ky, kx): any even spacing along kz and ky, neighbours along kx."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a patch takes its samples from, relative to the sample it predicts."""

    offsets: tuple[Offset, ...]
    """Distances along (kz, ky)."""

    samples: range
    """Distances along kx."""

    def patches(self, kspace: Tensor, region: Region) -> Tensor:
        """Cut out the patch of every position of a region; all of it must lie inside k-space.

        Parameters
        ----------
        kspace
            Axes (coil, kz, ky, kx).
        region
            Positions to predict.

        Returns
        -------
        Axes (position, source); positions are (kz, ky, kx), a source is (coil, offset, sample).
        """
        partitions, lines, columns = region
        readout = range(columns.start + self.samples.start, columns.stop + self.samples.stop - 1)
        seen = [kspace[at((_moved(partitions, z), _moved(lines, y), readout))] for z, y in self.offsets]
        windows = torch.stack(seen, dim=1).unfold(-1, len(self.samples), 1)
        return windows.permute(2, 3, 4, 0, 1, 5).flatten(0, 2).flatten(1)

    @property
    def extent(self) -> tuple[int, ...]:
        """Size (kz, ky, kx) of the block that a patch and the sample it predicts lie in."""
        return tuple(1 + before + after for before, after in self._reach)

    def inside(self, shape: tuple[int, ...]) -> Region:
        """All positions of a block (kz, ky, kx) whose patch lies wholly inside; empty sides where there are none."""
        sides = [range(before, size - after) for size, (before, after) in zip(shape, self._reach, strict=True)]
        return sides[0], sides[1], sides[2]

    @property
    def _reach(self) -> list[tuple[int, int]]:
        """How far it reaches before and after the sample it predicts, along (kz, ky, kx)."""
        steps = (*zip(*self.offsets, strict=True), tuple(self.samples))
        return [(max(0, -min(side)), max(0, *side)) for side in steps]


@dataclass(frozen=True, slots=True)
class Part:
    """Those sources of a neighbourhood that exist near an edge of k-space."""

    chosen: tuple[int, ...]
    """Which offsets."""

    samples: range
    """Which kernel samples."""

    def of(self, sources: Tensor) -> Tensor:
        """Choose this part of sources with axes (..., offset, kernel sample)."""
        return sources[..., list(self.chosen), self.samples.start : self.samples.stop]


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The sources of one of the R - 1 missing positions of a cell."""

    missing: Offset
    """The position, from the lattice point of its cell."""

    sources: Sources
    """Its sources."""

    @classmethod
    def around(cls, missing: Offset, sampling: VolumeSampling, kernel: Kernel) -> 'Neighbourhood':
        """Choose the lattice points next to a missing position that are there at all on this matrix."""
        spacing, sides = sampling.lattice.spacing, sampling.filled
        steps = product(
            _steps(kernel.partitions * spacing[0], len(sides[0])), _steps(kernel.lines * spacing[1], len(sides[1]))
        )
        offsets = tuple(step for step in steps if _is_on(sampling.lattice, missing, step))
        half = kernel.readout // 2
        return cls(missing, Sources(offsets, range(-half, kernel.readout - half)))

    @property
    def as_kernel(self) -> Kernel:
        """How normal equations see it: its offsets are the lines of a patch."""
        return Kernel(len(self.sources.offsets), len(self.sources.samples))

    @property
    def whole(self) -> Part:
        """All of it."""
        return Part(tuple(range(len(self.sources.offsets))), range(len(self.sources.samples)))

    def existing(self, part: Part) -> Sources:
        """Only those sources that are part of it."""
        offsets = tuple(self.sources.offsets[index] for index in part.chosen)
        return Sources(offsets, self.sources.samples[part.samples.start : part.samples.stop])

    def fits(self, acs: Tensor) -> bool:
        """Whether an ACS, axes (coil, kz, ky, kx), holds at least one patch."""
        return all(self.sources.inside(acs.shape[1:]))

    def blocks(self, acs: Tensor, n_blocks: int) -> list[Region]:
        """Cut the positions inside an ACS (coil, kz, ky, kx) into blocks along the longer of kz and ky."""
        partitions, lines, columns = self._inside(acs)
        if len(partitions) > len(lines):
            return [(part, lines, columns) for part in _cut(partitions, n_blocks)]
        return [(partitions, part, columns) for part in _cut(lines, n_blocks)]

    def pairs(self, acs: Tensor, region: Region | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Sources (patch, source) and targets (patch, coil) of an ACS (coil, kz, ky, kx), partition by partition.

        Of all positions inside, or of those in a region.

        Raises
        ------
        CalibrationError
            If the ACS is smaller than one patch.
        """
        partitions, lines, columns = region or self._inside(acs)
        for partition in partitions:
            slab = range(partition, partition + 1), lines, columns
            yield self.sources.patches(acs, slab), acs[at(slab)].flatten(1).mT

    def _inside(self, acs: Tensor) -> Region:
        if not self.fits(acs):
            raise CalibrationError(
                f'a kernel that reaches over {_by(self.sources.extent)} positions (kz, ky, kx) needs an ACS of at '
                f'least that size, got {_by(acs.shape[1:])}: use a smaller kernel or acquire more ACS'
            )
        return self.sources.inside(acs.shape[1:])

    def regions(self, sampling: VolumeSampling, n_readout: int) -> dict[Part, list[Region]]:
        """All positions to fill with it, by those of its sources that exist there."""
        found: dict[Part, list[Region]] = {}
        column_runs = _runs(range(n_readout), self.sources.samples, range(n_readout))
        for partitions, z in self._partition_runs(sampling):
            for (lines, y), (columns, x) in product(self._line_runs(sampling, partitions), column_runs):
                if part := self._part(z, y, x):
                    found.setdefault(part, []).append((partitions, lines, columns))
        return found

    def _partition_runs(self, sampling: VolumeSampling) -> list['Run']:
        """Partitions with the same existing sources and the same lines."""
        first, step = sampling.lattice.first[0] + self.missing[0], sampling.acceleration[0]
        steps = {z for z, _ in self.sources.offsets}
        runs = _runs(_every(step, first, sampling.filled[0]), steps, sampling.filled[0])
        period = sampling.lattice.period
        return [(run[index::period], z) for run, z in runs for index in range(min(period, len(run)))]

    def _line_runs(self, sampling: VolumeSampling, partitions: range) -> list['Run']:
        """Lines on these partitions with the same existing sources."""
        lattice = sampling.lattice
        row = (partitions[0] - self.missing[0] - lattice.first[0]) // lattice.acceleration[0]
        lines = _every(lattice.acceleration[1], lattice.line(row) + self.missing[1], sampling.filled[1])
        return _runs(lines, {y for _, y in self.sources.offsets}, sampling.filled[1])

    def _part(self, z: tuple[int, ...], y: tuple[int, ...], x: tuple[int, ...]) -> Part | None:
        chosen = tuple(index for index, offset in enumerate(self.sources.offsets) if offset[0] in z and offset[1] in y)
        start = self.sources.samples.index(x[0])
        return Part(chosen, range(start, start + len(x))) if chosen else None


Run = tuple[range, tuple[int, ...]]
"""Evenly spaced positions along an axis that share the same existing steps to sources, and these steps."""


def at(region: Region) -> tuple[slice, slice, slice, slice]:
    """Index of a region in k-space, axes (coil, kz, ky, kx)."""
    partitions, lines, columns = (slice(side.start, side.stop, side.step) for side in region)
    return slice(None), partitions, lines, columns


def _cut(positions: range, n_blocks: int) -> list[range]:
    """Cut into blocks of similar size, as many as there are positions for."""
    edges = [round(len(positions) * block / n_blocks) for block in range(n_blocks + 1)]
    return [positions[start:stop] for start, stop in pairwise(edges) if stop > start]


def _steps(width: int, size: int) -> range:
    """Steps of less than half a width that stay on a side of that size from somewhere."""
    most = min((width - 1) // 2, size - 1)
    return range(-most, most + 1)


def _is_on(lattice: Lattice, missing: Offset, step: Offset) -> bool:
    """Whether a step from a missing position leads to a lattice point."""
    row, rest = divmod(missing[0] + step[0], lattice.acceleration[0])
    return rest == 0 and (missing[1] + step[1] - row * lattice.shift) % lattice.acceleration[1] == 0


def _runs(positions: range, steps: Iterable[int], side: range) -> list[Run]:
    """Group neighbouring positions by which steps from them stay on a side of a box."""
    groups = groupby(positions, lambda position: tuple(step for step in steps if position + step in side))
    runs = [(list(members), exists) for exists, members in groups]
    return [(range(members[0], members[-1] + 1, positions.step), exists) for members, exists in runs]


def _every(spacing: int, first: int, side: range) -> range:
    """Positions on a side of a box that are `first` modulo the spacing."""
    return range(side.start + (first - side.start) % spacing, side.stop, spacing)


def _moved(positions: range, step: int) -> range:
    return range(positions.start + step, positions.stop + step, positions.step)


def _by(shape: Iterable[int]) -> str:
    return ' x '.join(str(size) for size in shape)
