"""Patterns that need not be a lattice, for methods that ask for no more than a mask and its ACS."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from raki.data.sampling import Box, Sampling, acs_of, slices


@dataclass(frozen=True, eq=False)
class Irregular:
    """Measured positions without any order.

    What is filled reaches from the first to the last of them, and beyond over margins narrower than the widest gap
    along that axis, as on a lattice; wider ones are partial Fourier or padding and stay empty.
    """

    mask: Tensor
    """Boolean, axes (ky,) or (kz, ky): the measured positions."""

    @cached_property
    def acs(self) -> Box:
        """The largest block of neighbouring measured positions; empty where no two lines of it touch."""
        return acs_of(self.mask)

    @cached_property
    def inside(self) -> Tensor:
        """The block of positions that are measured or to be filled, boolean on the matrix."""
        inside = torch.zeros_like(self.mask)
        others = [[other for other in range(self.mask.ndim) if other != axis] for axis in range(self.mask.ndim)]
        inside[slices(tuple(_reach(self.mask.sum(axes) > 0 if axes else self.mask) for axes in others))] = True
        return inside

    def acs_block(self, kspace: Tensor) -> Tensor:
        """View of the ACS of k-space, axes (..., phase axes, kx)."""
        return kspace[(..., *slices(self.acs), slice(None))]


Pattern = Sampling | Irregular
"""Any pattern: what was measured, the ACS and what is filled may be asked of both."""


def _reach(measured: Tensor) -> range:
    """From the first to the last measured position, boolean (position,), with margins narrower than the widest gap."""
    places = measured.nonzero().flatten()
    if len(places) == 0:
        return range(0)
    first, last, widest = int(places[0]), int(places[-1]), int(places.diff().max()) if len(places) > 1 else 1
    start = 0 if first < widest else first
    return range(start, len(measured) if len(measured) - 1 - last < widest else last + 1)
