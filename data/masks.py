"""Patterns that need not be a lattice, for methods that ask for no more than a mask and its ACS.

Two ways to draw lines are those of the fastMRI challenges (Zbontar et al. 2018, https://arxiv.org/abs/1811.08839): a
fraction of all lines in the centre is measured, and of the others so many that one of R lines is measured in all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from raki.data.equispaced import Equispaced, equispaced_of
from raki.data.sampling import Box, Sampling, acs_of, slices
from raki.errors import SamplingError

CENTRE_FRACTION = 0.08
"""Of all lines, as the challenges have it with R = 4 [1]."""


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

    @property
    def net_acceleration(self) -> float:
        """Positions measured or filled over positions measured, R_net, ACS included."""
        return int((self.inside | self.mask).sum()) / max(1, int(self.mask.sum()))


Pattern = Sampling | Equispaced | Irregular
"""Any pattern: what was measured, the ACS and what is filled may be asked of both."""


def pattern_of(mask: Tensor) -> Pattern:
    """The lattice of a mask, axes (ky,) or (kz, ky), where it has one, or the order of its lines."""
    try:
        return Sampling.from_mask(mask)
    except SamplingError:
        return equispaced_of(mask) or Irregular(mask)


def _reach(measured: Tensor) -> range:
    """From the first to the last measured position, boolean (position,), with margins narrower than the widest gap."""
    places = measured.nonzero().flatten()
    if len(places) == 0:
        return range(0)
    first, last, widest = int(places[0]), int(places[-1]), int(places.diff().max()) if len(places) > 1 else 1
    start = 0 if first < widest else first
    return range(start, len(measured) if len(measured) - 1 - last < widest else last + 1)


def equispaced_fraction(
    n_lines: int, acceleration: float, centre_fraction: float = CENTRE_FRACTION, seed: int = 0
) -> Tensor:
    """Draw an equispaced mask, boolean (ky,): the spacing is wider than R, and no integer, to make up for the centre.

    Lines lie at the spacing's multiples, rounded, from a first one that the seed decides; so gaps differ by one.

    Raises
    ------
    SamplingError
        If the centre alone is more than one of R lines.
    """
    mask, share = _centre(n_lines, acceleration, centre_fraction)
    spacing = 1 / share
    first = torch.randint(max(1, round(spacing)), (1,), generator=torch.Generator().manual_seed(seed))
    places = (first + spacing * torch.arange(n_lines, dtype=torch.float64)).round().long()
    mask[places[places < n_lines]] = True
    return mask


def random_lines(n_lines: int, acceleration: float, centre_fraction: float = CENTRE_FRACTION, seed: int = 0) -> Tensor:
    """Draw a random mask, boolean (ky,): every line outside the centre is measured with the same probability.

    R holds on average only. Raises as `equispaced_fraction` does.
    """
    mask, share = _centre(n_lines, acceleration, centre_fraction)
    return mask | (torch.rand(n_lines, generator=torch.Generator().manual_seed(seed)) < share)


MASKS: Mapping[str, Callable[..., Tensor]] = {'equispaced_fraction': equispaced_fraction, 'random': random_lines}
"""Ways to draw lines, by the names that the challenges gave them."""


def _centre(n_lines: int, acceleration: float, centre_fraction: float) -> tuple[Tensor, float]:
    """Mask of the centre, which starts at (n - n_centre + 1) // 2, and which share of the other lines is measured."""
    n_centre = round(n_lines * centre_fraction)
    n_others = n_lines / acceleration - n_centre
    if n_others <= 0 or acceleration < 1:
        raise SamplingError(
            f'R={acceleration:g} allows {n_lines / acceleration:g} of {n_lines} lines, but a centre of '
            f'{centre_fraction:g} has {n_centre}: use a smaller R, of 1 or more, or a smaller centre'
        )
    mask = torch.zeros(n_lines, dtype=torch.bool)
    start = (n_lines - n_centre + 1) // 2
    mask[start : start + n_centre] = True
    return mask, n_others / (n_lines - n_centre)
