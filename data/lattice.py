"""Which (kz, ky) positions of a volume were measured: a lattice with two accelerated axes and a CAIPI shift.

One accelerated axis is the lattice with one partition, so everything that is written in offsets on it holds there, too.

Breuer et al. 2006, Magn Reson Med 55:549 (https://doi.org/10.1002/mrm.20787).
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import gcd

import torch
from torch import Tensor

from raki.data.sampling import longest_run
from raki.errors import SamplingError

Offset = tuple[int, int]
"""Distance along (kz, ky) [partition, line]."""

Box = tuple[range, range]
"""A block of neighbouring (kz, ky) positions; both empty where there is none."""

NOWHERE: Box = (range(0), range(0))


@dataclass(frozen=True, slots=True)
class Lattice:
    """Every Rz-th partition; on it every Ry-th line, `shift` lines further from one such partition to the next."""

    acceleration: tuple[int, int]
    """Spacing (Rz, Ry) of its partitions and of the lines on each [partition, line]."""

    shift: int = 0
    """CAIPI shift, 0 to Ry - 1 [line]."""

    first: Offset = (0, 0)
    """One of its points, from which all others follow (kz, ky)."""

    def __post_init__(self) -> None:
        if min(self.acceleration) < 1 or not 0 <= self.shift < self.acceleration[1] or min(self.first) < 0:
            raise SamplingError(f'a lattice needs Rz, Ry >= 1, 0 <= shift < Ry and a first point >= 0, got {self}')

    def __str__(self) -> str:
        return f'R={self.acceleration[0]}x{self.acceleration[1]} shift {self.shift}'

    @property
    def missing(self) -> tuple[Offset, ...]:
        """Offsets of the R - 1 positions of a cell that are not measured, from the one that is."""
        n_partitions, n_lines = self.acceleration
        return tuple((z, y) for z in range(n_partitions) for y in range(n_lines) if (z, y) != (0, 0))

    @property
    def spacing(self) -> tuple[int, int]:
        """Size (kz, ky) of a cell, as square as can be [partition, line].

        The same lattice has a point every Ry lines on every Rz-th partition, and every R/g partitions on every g-th
        line, with g the greatest common divisor of Ry and shift: R=1x4 with shift 2 is R=2x2 with a shift along kz.
        """
        n_partitions, n_lines = self.acceleration
        spacing = gcd(n_lines, self.shift)
        return min(self.acceleration, (n_partitions * n_lines // spacing, spacing), key=max)

    @property
    def period(self) -> int:
        """After how many of its partitions the lines on them are the same again."""
        return next(n for n in range(1, self.acceleration[1] + 1) if n * self.shift % self.acceleration[1] == 0)

    def line(self, row: int) -> int:
        """Remainder modulo Ry of the lines on partition first + row * Rz."""
        return (self.first[1] + row * self.shift) % self.acceleration[1]

    def on(self, shape: tuple[int, int]) -> Tensor:
        """All its points on a matrix of this shape, boolean, axes (kz, ky)."""
        partition, line = torch.arange(shape[0])[:, None] - self.first[0], torch.arange(shape[1]) - self.first[1]
        row = partition.div(self.acceleration[0], rounding_mode='floor')
        is_row = partition % self.acceleration[0] == 0
        return is_row & ((line - row * self.shift) % self.acceleration[1] == 0)


@dataclass(frozen=True, eq=False)
class VolumeSampling:
    """A lattice of (kz, ky) positions with an optional rectangular block of autocalibration lines (ACS).

    Margins narrower than the spacing of the lattice belong to it and are filled; wider ones are partial Fourier or
    padding and stay empty.
    """

    mask: Tensor
    """Boolean, axes (kz, ky): the measured positions."""

    lattice: Lattice
    """The regular pattern among them."""

    filled: Box
    """Block of positions that are measured or to be filled; every lattice point in it was measured."""

    def __post_init__(self) -> None:
        lost = _lost(self.lattice, self.mask, self.filled)
        if lost or not all(self.filled):
            raise SamplingError(
                f'measured positions must be a regular lattice over partitions {_words(self.filled[0])} and lines '
                f'{_words(self.filled[1])}, but {len(lost)} points of {self.lattice} are missing'
                + (f', first (kz, ky) = {tuple(lost[0])}' if lost else '')
                + ': elliptical and random patterns are not handled yet'
            )

    @classmethod
    def from_mask(cls, mask: Tensor) -> 'VolumeSampling':
        """Read the lattice, its shift and the ACS block off a mask, axes (kz, ky).

        Rz and Ry are the widest gaps between partitions, and between lines of one partition, outside the ACS, which is
        the largest block of neighbouring positions. No header is asked: the positions win.

        Raises
        ------
        SamplingError
            If fewer than two positions were measured on a partition, or they are not a regular lattice.
        """
        if mask.ndim != 2 or mask.dtype != torch.bool:
            raise SamplingError(
                f'the mask of a volume must be boolean with axes (kz, ky), got {mask.dtype} {tuple(mask.shape)}'
            )
        acs = acs_of(mask)
        outside = mask.clone()
        outside[_slices(acs)] = False
        if not bool(outside.any()) and all(acs):
            return cls(mask, Lattice((1, 1), first=(acs[0].start, acs[1].start)), acs)
        lattice = _lattice_of(mask, outside, acs)
        strays = (outside & ~lattice.on((len(mask), mask.shape[1]))).nonzero().tolist()
        if strays:
            block = f' outside the ACS (partitions {_words(acs[0])}, lines {_words(acs[1])})' if all(acs) else ''
            raise SamplingError(
                f'measured positions must be a regular lattice{block}, but {len(strays)} of them do not lie on '
                f'{lattice}, first (kz, ky) = {tuple(strays[0])}: elliptical and random patterns are not handled yet'
            )
        return cls(mask, lattice, _filled_by(lattice, mask, outside, acs))

    @property
    def shape(self) -> tuple[int, int]:
        """Size (kz, ky) of the matrix."""
        return len(self.mask), self.mask.shape[1]

    @property
    def acceleration(self) -> tuple[int, int]:
        """Spacing (Rz, Ry) of the lattice [partition, line]."""
        return self.lattice.acceleration

    @cached_property
    def acs(self) -> Box:
        """The largest block of neighbouring measured positions; empty where no two lines of it touch."""
        return acs_of(self.mask)

    def acs_block(self, kspace: Tensor) -> Tensor:
        """View of the ACS of k-space, axes (..., kz, ky, kx)."""
        return kspace[(..., *_slices(self.acs), slice(None))]

    @property
    def net_acceleration(self) -> float:
        """Positions measured or filled over positions measured, R_net, ACS included."""
        covered = self.mask.clone()
        covered[_slices(self.filled)] = True
        return int(covered.sum()) / int(self.mask.sum())


def undersample_volume(
    measured: Tensor, acceleration: tuple[int, int], shift: int, acs: tuple[int, int], first: Offset = (0, 0)
) -> VolumeSampling:
    """Keep a lattice and a central ACS block of a fully sampled volume.

    Parameters
    ----------
    measured
        Boolean, axes (kz, ky): the positions there are; one block (a partial-Fourier scan stays one).
    acceleration
        Spacing (Rz, Ry) of the lattice [partition, line].
    shift
        CAIPI shift from one lattice partition to the next, modulo Ry [line].
    acs
        Size (kz, ky) of the ACS block [partition, line]; it starts at (n - n_acs + 1) // 2.
    first
        Lattice offset, counted from the first position there is.

    Raises
    ------
    SamplingError
        If the volume is not fully sampled, or too small for the request.
    """
    block = _bounding_box(measured)
    if not bool(measured[_slices(block)].all()) or not all(block):
        raise SamplingError(
            f'need a fully sampled volume to undersample, but only {int(measured.sum())} of {measured.numel()} '
            'positions are measured'
        )
    start = [(size - n_acs + 1) // 2 for size, n_acs in zip(measured.shape, acs, strict=True)]
    centre = (range(start[0], start[0] + acs[0]), range(start[1], start[1] + acs[1]))
    for name, wanted, there in zip(('partitions', 'lines'), centre, block, strict=True):
        if wanted and (wanted.start < there.start or wanted.stop > there.stop):
            raise SamplingError(f'an ACS of {len(wanted)} {name} does not fit into {name} {_words(there)}')
    if any(len(side) <= step for side, step in zip(block, acceleration, strict=True) if len(side) > 1):
        raise SamplingError(
            f'R={acceleration[0]}x{acceleration[1]} leaves fewer than two partitions or lines of {len(block[0])} x '
            f'{len(block[1])} (kz, ky)'
        )
    origin = [side.start + offset % step for side, offset, step in zip(block, first, acceleration, strict=True)]
    lattice = Lattice(acceleration, shift % acceleration[1], (origin[0], origin[1]))
    mask = lattice.on((len(measured), measured.shape[1])) & measured
    mask[_slices(centre)] = True
    return VolumeSampling(mask, lattice, block)


def acs_of(mask: Tensor) -> Box:
    """Find the largest block of True in a boolean mask, axes (kz, ky), two or more lines of two or more partitions.

    One partition suffices where there is no other. The first of equals; empty without any.
    """
    best, area, least = NOWHERE, 1, min(2, len(mask))
    for start in range(len(mask)):
        common = torch.ones_like(mask[0])
        for stop in range(start + 1, len(mask) + 1):
            common = common & mask[stop - 1]
            n_lines = int(common.sum())
            if n_lines * (len(mask) - start) <= area:
                break
            if stop - start >= least and n_lines * (stop - start) > area:
                run = longest_run(common)
                if len(run) > 1 and len(run) * (stop - start) > area:
                    best, area = (range(start, stop), run), len(run) * (stop - start)
    return best


def _lattice_of(mask: Tensor, outside: Tensor, acs: Box) -> Lattice:
    """Spacings, shift and first point of the positions outside the ACS."""
    is_hidden = len(acs[1]) == len(_bounding_box(mask)[1])  # whole lattice partitions may lie inside the ACS
    rows = _indices((mask if is_hidden else outside).any(1))
    seen = _indices(outside.any(1))
    gaps = [b - a for row in seen for a, b in pairwise(_indices(mask[row]))]
    if not gaps or (len(rows) < 2 and len(mask) > 1):
        raise SamplingError(
            f'need at least two measured lines on each of two partitions, got {int(mask.sum())} positions on '
            f'{len(rows)} of {len(mask)} partitions'
        )
    steps = [b - a for a, b in pairwise(rows)] or [1]
    usual = max(steps) if is_hidden else min(steps, key=lambda step: (-steps.count(step), step))
    lines = [_indices(outside[row])[0] for row in seen]
    shifts = [lines[i + 1] - lines[i] for i in range(len(seen) - 1) if seen[i + 1] - seen[i] == usual]
    return Lattice((usual, max(gaps)), shifts[0] % max(gaps) if shifts else 0, (seen[0], lines[0]))


def _filled_by(lattice: Lattice, mask: Tensor, outside: Tensor, acs: Box) -> Box:
    """Bounding box of the lattice points, with margins narrower than its spacing in which none of them is missing."""
    seen = _bounding_box(outside)
    box = _joined(seen[0], acs[0], seen[1], acs[1]), _joined(seen[1], acs[1], seen[0], acs[0])
    for axis, (size, spacing) in enumerate(zip(mask.shape, lattice.acceleration, strict=True)):
        for margin in (range(box[axis].start), range(box[axis].stop, size)):
            side = _hull(box[axis], margin)
            wider = (side, box[1]) if axis == 0 else (box[0], side)
            box = wider if len(margin) < spacing and not _lost(lattice, mask, wider) else box
    return box


def _lost(lattice: Lattice, mask: Tensor, box: Box) -> list[list[int]]:
    """Lattice points in a box that were not measured."""
    inside = torch.zeros_like(mask)
    inside[_slices(box)] = True
    return (lattice.on((len(mask), mask.shape[1])) & inside & ~mask).nonzero().tolist()


def _joined(seen: range, acs: range, across: range, acs_across: range) -> range:
    """What is seen outside the ACS, and the ACS where it reaches all across: there it hides lattice points."""
    return _hull(seen, acs) if acs_across.start <= across.start and acs_across.stop >= across.stop else seen


def _hull(side: range, other: range) -> range:
    """Everything from the first to the last of both."""
    return range(min(side.start, other.start), max(side.stop, other.stop)) if other else side


def _bounding_box(mask: Tensor) -> Box:
    partitions, lines = _indices(mask.any(1)), _indices(mask.any(0))
    return (range(partitions[0], partitions[-1] + 1), range(lines[0], lines[-1] + 1)) if lines else NOWHERE


def _indices(mask: Tensor) -> list[int]:
    return mask.nonzero().flatten().tolist()


def _slices(box: Box) -> tuple[slice, slice]:
    return slice(box[0].start, box[0].stop), slice(box[1].start, box[1].stop)


def _words(side: range) -> str:
    return f'{side.start} to {side.stop - 1}'
