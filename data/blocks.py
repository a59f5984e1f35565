"""Blocks of measured positions, and what every pattern tells of its own."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

Box = tuple[range, ...]
"""A block of neighbouring positions, one side per phase axis; all sides empty where there is none."""


@dataclass(frozen=True, eq=False)
class Positions:
    """Measured positions; kinds of patterns say which block of them is filled."""

    mask: Tensor
    """Boolean, axes (ky,) or (kz, ky): the measured positions."""

    @cached_property
    def inside(self) -> Tensor:
        """The block of positions that are measured or to be filled, boolean on the matrix."""
        raise NotImplementedError

    @cached_property
    def acs(self) -> Box:
        """The largest block of neighbouring measured positions; empty where no two lines of it touch."""
        return acs_of(self.mask)

    def acs_block(self, kspace: Tensor) -> Tensor:
        """View of the ACS of k-space, axes (..., phase axes, kx)."""
        return kspace[(..., *slices(self.acs), slice(None))]

    @property
    def net_acceleration(self) -> float:
        """Positions measured or filled over positions measured, R_net, ACS included."""
        return int((self.inside | self.mask).sum()) / max(1, int(self.mask.sum()))


def slices(box: Box) -> tuple[slice, ...]:
    """Index of a block on the phase axes."""
    return tuple(slice(side.start, side.stop) for side in box)


def longest_run(mask: Tensor) -> range:
    """Find the longest run of True in a boolean mask, axes (ky,); the first of equals; empty without any."""
    runs = [range(0)]
    for line in indices(mask):
        start = runs.pop().start if line == runs[-1].stop else line
        runs.append(range(start, line + 1))
    return max(runs, key=len)


def acs_of(mask: Tensor) -> Box:
    """Find the largest block of True in a mask, two or more lines of two or more partitions; empty without any.

    One partition suffices where there is no other. The first of equals.
    """
    if mask.ndim == 1:
        return acs_of(mask[None])[1:]
    best, area, least = (range(0), range(0)), 1, min(2, len(mask))
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


def indices(mask: Tensor) -> list[int]:
    """Numbers of the True in a boolean mask, axes (ky,), ascending."""
    return mask.nonzero().flatten().tolist()
