"""Which phase-encoding positions were measured: a lattice, the ACS block and the acquired range, read off the mask."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from raki.data.blocks import Box, Positions, acs_of, indices, slices
from raki.data.lattice import Lattice, Offset
from raki.errors import SamplingError

NAMES = ('partitions', 'lines')
"""Of positions along (kz, ky)."""


@dataclass(frozen=True, eq=False)
class Sampling(Positions):
    """A lattice of positions with an optional rectangular block of autocalibration lines (ACS).

    Margins narrower than the spacing of the lattice belong to it and are filled; wider ones are partial Fourier or
    padding and stay empty.
    """

    lattice: Lattice
    """The regular pattern among them."""

    filled: Box
    """Block of positions that are measured or to be filled; every lattice point in it was measured."""

    def __post_init__(self) -> None:
        lost = _lost(self.lattice, self.mask, self.filled)
        if lost or not all(self.filled):
            raise SamplingError(
                f'measured positions must be a regular lattice over {_words(self.filled)}, but {len(lost)} points of '
                f'{self.lattice} are missing{f", first {_place(lost[0])}" if lost else ""}'
                ': the methods spirit and sparse take any pattern'
            )

    @classmethod
    def from_mask(cls, mask: Tensor | Sequence[bool]) -> 'Sampling':
        """Read the lattice, its shift and the ACS block off a mask, axes (ky,) or (kz, ky).

        R is the widest gap between partitions, and between lines of one partition, outside the ACS, which is the
        largest block of neighbouring positions. No header is asked: the positions win.

        Raises
        ------
        SamplingError
            If fewer than two lines were measured (on a partition), or they are not a regular lattice.
        """
        mask = torch.as_tensor(mask)
        if mask.ndim not in (1, 2) or mask.dtype != torch.bool:
            raise SamplingError(f'a mask must be boolean, axes (ky,) or (kz, ky), got {mask.dtype} {_by(mask.shape)}')
        acs = acs_of(mask)
        outside = mask.clone()
        outside[slices(acs)] = False
        if not bool(outside.any()) and all(acs):
            return cls(mask, Lattice.of((1,) * mask.ndim, first=tuple(side.start for side in acs)), acs)
        lattice = _lattice_of(mask, outside, acs)
        strays = (outside & ~lattice.on(mask.shape)).nonzero().tolist()
        if mask.ndim == 1 and (strays or _lost(lattice, mask, _bounding_box(mask))):
            raise SamplingError(_uneven_message(indices(mask), acs[0]))
        if strays:
            raise SamplingError(
                f'measured positions must be a regular lattice{f" outside the ACS ({_words(acs)})" if all(acs) else ""}'
                f', but {len(strays)} of them do not lie on {lattice}, first {_place(strays[0])}: '
                'the methods spirit and sparse take any pattern'
            )
        return cls(mask, lattice, _filled_by(lattice, mask, outside, acs))

    @property
    def acceleration(self) -> int:
        """R: positions per lattice point."""
        return self.lattice.rate

    @cached_property
    def inside(self) -> Tensor:
        """The block `filled`, boolean on the matrix."""
        inside = torch.zeros_like(self.mask)
        inside[slices(self.filled)] = True
        return inside

    @cached_property
    def points(self) -> Tensor:
        """Lattice points that were measured as such, boolean on the matrix."""
        return self.inside & self.lattice.on(self.mask.shape)

    def anchors(self, targets: Sequence[Offset]) -> Tensor:
        """Lattice points of which a target, an offset, lies in what is to be filled: integers, axes (cell, phase axis).

        In order; on the matrix or just beyond it.
        """
        positions, first = self.inside.cpu().nonzero(), torch.tensor(self.lattice.first)
        anchors = torch.cat([positions - torch.tensor(target) for target in targets])
        return anchors[self.lattice.joins(anchors - first)].unique(dim=0)


def undersample(
    measured: Tensor, rate: Sequence[int], acs: Sequence[int], shift: int = 0, first: Offset | None = None
) -> Sampling:
    """Keep a lattice and a central ACS block of a fully sampled scan.

    Parameters
    ----------
    measured
        Boolean, axes (ky,) or (kz, ky): the positions there are; one block (a partial-Fourier scan stays one).
    rate
        Spacing (R,) or (Rz, Ry) of the lattice [line].
    acs
        Size of the ACS block [line]; it starts at (n - n_acs + 1) // 2.
    shift
        CAIPI shift from one lattice partition to the next, modulo Ry [line].
    first
        Lattice offset, counted from the first position there is.

    Raises
    ------
    SamplingError
        If the scan is not fully sampled, or too small for the request.
    """
    names = NAMES[-measured.ndim :]
    if len(rate) != measured.ndim or len(acs) != measured.ndim:
        raise SamplingError(
            f'a scan with {measured.ndim} phase axes needs as many sizes of rate and ACS, got {_by(rate)}, {_by(acs)}'
        )
    block = _bounding_box(measured)
    if not all(block) or not bool(measured[slices(block)].all()):
        raise SamplingError(
            f'need a fully sampled scan to undersample, but only {int(measured.sum())} of {measured.numel()} '
            'lines are measured'
        )
    start = [(size - n_acs + 1) // 2 for size, n_acs in zip(measured.shape, acs, strict=True)]
    centre = tuple(range(begin, begin + n_acs) for begin, n_acs in zip(start, acs, strict=True))
    for name, wanted, there in zip(names, centre, block, strict=True):
        if wanted and (wanted.start < there.start or wanted.stop > there.stop):
            raise SamplingError(f'an ACS of {len(wanted)} {name} does not fit into the measured {name} {_ends(there)}')
    offsets = first or (0,) * measured.ndim
    origin = tuple(side.start + own % step for side, own, step in zip(block, offsets, rate, strict=True))
    for name, side, begin, step in zip(names, block, origin, rate, strict=True):
        if len(side) > 1 and len(range(begin, side.stop, step)) < 2:
            raise SamplingError(f'R={step} leaves 1 of {len(side)} {name}; need at least two')
    lattice = Lattice.of(rate, shift % rate[-1], origin)
    mask = lattice.on(measured.shape) & measured
    mask[slices(centre)] = True
    return Sampling(mask, lattice, block)


def _lattice_of(mask: Tensor, outside: Tensor, acs: Box) -> Lattice:
    """Spacings, shift and first point of the positions outside the ACS."""
    if mask.ndim == 1:
        lines = indices(mask)
        if len(lines) < 2:
            raise SamplingError(f'need at least two measured lines, got {len(lines)} of {len(mask)}')
        return Lattice.of((max(b - a for a, b in pairwise(lines)),), first=(indices(outside)[0],))
    is_hidden = len(acs[1]) == len(_bounding_box(mask)[1])  # whole lattice partitions may lie inside the ACS
    rows = indices((mask if is_hidden else outside).any(1))
    seen = indices(outside.any(1))
    gaps = [b - a for row in seen for a, b in pairwise(indices(mask[row]))]
    if not gaps or (len(rows) < 2 and len(mask) > 1):
        raise SamplingError(
            f'need at least two measured lines on each of two partitions, got {int(mask.sum())} positions on '
            f'{len(rows)} of {len(mask)} partitions'
        )
    steps = [b - a for a, b in pairwise(rows)] or [1]
    usual = max(steps) if is_hidden else min(steps, key=lambda step: (-steps.count(step), step))
    lines = [indices(outside[row])[0] for row in seen]
    shifts = [lines[i + 1] - lines[i] for i in range(len(seen) - 1) if seen[i + 1] - seen[i] == usual]
    return Lattice.of((usual, max(gaps)), shifts[0] % max(gaps) if shifts else 0, (seen[0], lines[0]))


def _filled_by(lattice: Lattice, mask: Tensor, outside: Tensor, acs: Box) -> Box:
    """Bounding box of the lattice points, with margins narrower than its spacing in which none of them is missing."""
    seen = _bounding_box(outside)
    box = tuple(_joined(seen, acs, axis) for axis in range(mask.ndim))
    for axis, (size, spacing) in enumerate(zip(mask.shape, lattice.spacing, strict=True)):
        for margin in (range(box[axis].start), range(box[axis].stop, size)):
            wider = (*box[:axis], _hull(box[axis], margin), *box[axis + 1 :])
            box = wider if len(margin) < spacing and not _lost(lattice, mask, wider) else box
    return box


def _joined(seen: Box, acs: Box, axis: int) -> range:
    """What is seen outside the ACS, and the ACS where it reaches all across: there it hides lattice points."""
    across = all(
        own.start <= there.start and own.stop >= there.stop
        for other, (own, there) in enumerate(zip(acs, seen, strict=True))
        if other != axis
    )
    return _hull(seen[axis], acs[axis]) if across else seen[axis]


def _lost(lattice: Lattice, mask: Tensor, box: Box) -> list[list[int]]:
    """Lattice points in a box that were not measured."""
    inside = torch.zeros_like(mask)
    inside[slices(box)] = True
    return (lattice.on(mask.shape) & inside & ~mask).nonzero().tolist()


def _hull(side: range, other: range) -> range:
    """Everything from the first to the last of both."""
    return range(min(side.start, other.start), max(side.stop, other.stop)) if other else side


def _bounding_box(mask: Tensor) -> Box:
    sides = [indices(mask.movedim(axis, 0).flatten(1).any(1) if mask.ndim > 1 else mask) for axis in range(mask.ndim)]
    return tuple(range(side[0], side[-1] + 1) if side else range(0) for side in sides)


def _ends(side: range) -> str:
    return f'{side.start} to {side.stop - 1}'


def _words(box: Box) -> str:
    return ', '.join(f'{name} {_ends(side)}' for name, side in zip(NAMES[-len(box) :], box, strict=True))


def _place(position: Sequence[int]) -> str:
    return f'(kz, ky) = {tuple(position)}' if len(position) > 1 else f'line {position[0]}'


def _by(sizes: Sequence[int]) -> str:
    return 'x'.join(map(str, sizes))


def _uneven_message(lines: list[int], acs: range) -> str:
    outside = [(a, b) for a, b in pairwise(lines) if not (a in acs and b in acs)]
    gaps = Counter(b - a for a, b in outside)
    usual = gaps.most_common(1)[0][0]
    first = next(((a, b) for a, b in outside if b - a != usual and not (a in acs or b in acs)), outside[0])
    named = ', '.join(f'{gap} ({count}x)' for gap, count in gaps.most_common())
    block = f' outside the ACS (lines {_ends(acs)})' if acs else ''
    return (
        f'measured lines must be evenly spaced{block}, '
        f'got gaps of {named}, first between lines {first[0]} and {first[1]}: '
        'the methods spirit and sparse take any; for others, gaps outside the ACS may differ by one line, as rounding '
        'makes them, or mask out the lines that break it'
    )
