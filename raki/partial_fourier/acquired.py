"""Which block of k-space was acquired, and where its mirror image around DC tells more."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from raki.data.blocks import Box
from raki.data.masks import Pattern

AXES = ('kz', 'ky', 'kx')
"""Names of the last axes of k-space."""

MOST_PADDING = 4
"""How many times more positions than were acquired a k-space has that is padded on purpose [1]."""

LEAST_REACH = 3
"""Positions on either side of DC that tell a phase, with enough of them to hide some [sample]."""


@dataclass(frozen=True, eq=False)
class Acquired:
    """The block of k-space that was measured or filled in, on (ky, kx) or (kz, ky, kx).

    Axes are counted from the last, as those of k-space with coils before them. An axis is partial if one end lies
    further from DC than the other. Padding on both sides is nobody's to complete: only positions are missing whose
    mirror image was acquired.
    """

    shape: tuple[int, ...]
    """Size of these axes."""

    sides: Box
    """What of each was acquired; DC is at n // 2."""

    least_reach: int = LEAST_REACH
    """Positions on either side of DC below which an axis is not completed [sample]."""

    @classmethod
    def of(cls, kspace: Tensor, pattern: Pattern, within: range | None = None) -> 'Acquired':
        """Lines that a pattern measures or fills, and readout samples that any measured line holds (asymmetric echo).

        Of k-space (coil, phase axes, kx), in which no receiver delivers an exact zero; of the readout only what is
        `within`, where that is known.
        """
        inside, n_axes = pattern.inside, pattern.mask.ndim
        lines = [inside.movedim(axis, 0).flatten(1).any(1) if n_axes > 1 else inside for axis in range(n_axes)]
        mask, readout = pattern.mask.to(kspace.device)[..., None], torch.zeros(kspace.shape[-1], dtype=torch.bool)
        for coil in kspace:
            readout |= ((coil != 0) & mask).flatten(0, -2).any(0).cpu()
            if bool(readout.all()):
                break
        if within is not None:
            readout[: within.start], readout[within.stop :] = False, False
        return cls(tuple(kspace.shape[1:]), tuple(map(_extent, (*lines, readout))))

    @property
    def axes(self) -> tuple[int, ...]:
        """All axes."""
        return tuple(range(-len(self.shape), 0))

    @cached_property
    def partial(self) -> tuple[int, ...]:
        """Axes of which the missing end can be completed."""
        return tuple(axis for axis in self.axes if self.is_one_sided(axis) and self.reach(axis) >= self.least_reach)

    def is_one_sided(self, axis: int) -> bool:
        """Whether one end lies further from DC than the other, by more than even sizes make."""
        before, after = self._ends(axis)
        return abs(before - after) > 1

    def is_coarse(self, axis: int) -> bool:
        """Whether so little was acquired that it is no padding for display, which doubles or quadruples a matrix."""
        return len(self.sides[axis]) * MOST_PADDING < self.shape[axis]

    def reach(self, axis: int) -> int:
        """Positions on either side of DC that were both acquired; negative if DC itself was not."""
        return min(self._ends(axis))

    def _ends(self, axis: int) -> tuple[int, int]:
        """Positions acquired before DC and after it."""
        side, centre = self.sides[axis], self.shape[axis] // 2
        return centre - side.start, side.stop - 1 - centre

    def missing_part(self, axis: int) -> float:
        """Part of what would be symmetric around DC that was not acquired [1]."""
        far = max(self._ends(axis))
        return (far - self.reach(axis)) / (2 * far + 1)

    def only(self, axis: int) -> 'Acquired':
        """The same with one partial axis at most; all others count as acquired as far as they reach."""
        sides = zip(self.axes, self.sides, self.shape, strict=True)
        return replace(self, sides=tuple(side if each == axis else range(size) for each, side, size in sides))

    @property
    def symmetric(self) -> Box:
        """The block that reaches as far to either side of DC; of axes that are not partial, all of the axis."""
        return tuple(
            range(size // 2 - self.reach(axis), size // 2 + self.reach(axis) + 1)
            if axis in self.partial
            else range(size)
            for axis, size in zip(self.axes, self.shape, strict=True)
        )

    @property
    def halves(self) -> tuple['Acquired', 'Acquired']:
        """On `symmetric`, all but the outer half of one side of every partial axis, and all but that of the other."""
        block = self.symmetric

        def cut(axis: int, *, is_first: bool) -> range:
            size, n_hidden = len(block[axis]), self.reach(axis) - self.reach(axis) // 2
            if axis not in self.partial:
                return self.sides[axis]
            return range(n_hidden, size) if is_first else range(size - n_hidden)

        first, last = (tuple(cut(axis, is_first=each) for axis in self.axes) for each in (True, False))
        shape = tuple(map(len, block))
        return Acquired(shape, first, least_reach=1), Acquired(shape, last, least_reach=1)

    def held(self, axes: Sequence[int]) -> Tensor:
        """Acquired positions as far as these axes decide, boolean, of size 1 along others."""
        return self._product([self._held(axis) for axis in axes], axes)

    def missing(self, axes: Sequence[int]) -> Tensor:
        """Positions that were not acquired, but their mirror image was, axes as `held`."""
        return self._product([self._mirrored(axis) for axis in axes], axes) & ~self.held(axes)

    def window(self, axes: Sequence[int]) -> Tensor:
        """Hann window over the symmetric part along partial axes, axes as `held`."""
        return self._product([self._hann(axis) for axis in axes], axes)

    def doubled(self, axis: int) -> Tensor:
        """Weights that make up for what is missing: 2 where the mirror image is missing, else 1; axes as `held`."""
        single = self._held(axis) & ~self._mirrored(axis)
        return self._product([self._held(axis).float() + single], [axis])

    def _held(self, axis: int) -> Tensor:
        held = torch.zeros(self.shape[axis], dtype=torch.bool)
        held[self.sides[axis].start : self.sides[axis].stop] = True
        return held

    def _mirrored(self, axis: int) -> Tensor:
        size, held = self.shape[axis], self._held(axis)
        if axis not in self.partial:
            return held
        mirror = 2 * (size // 2) - torch.arange(size)
        return (mirror < size) & held[mirror.clamp(max=size - 1)]

    def _hann(self, axis: int) -> Tensor:
        if axis not in self.partial:
            return self._held(axis).float()
        turn, width = torch.arange(self.shape[axis]) - self.shape[axis] // 2, self.reach(axis) + 1
        return torch.where(turn.abs() < width, torch.cos(torch.pi * turn / (2 * width)) ** 2, 0)

    def _product(self, vectors: Sequence[Tensor], axes: Sequence[int]) -> Tensor:
        """Outer product of vectors along some axes, of size 1 along others."""
        product = torch.ones((1,) * len(self.shape), dtype=vectors[0].dtype)
        for vector, axis in zip(vectors, axes, strict=True):
            product = product * vector.view(-1, *(1,) * (-1 - axis))
        return product


def _extent(held: Tensor) -> range:
    indices = held.nonzero().flatten().tolist()
    return range(indices[0], indices[-1] + 1) if indices else range(len(held))
