"""Patterns that need not be a lattice, and the ways to draw lines that the fastMRI challenges and their code have.

A fraction of all lines in the centre is measured in all of them (Zbontar et al. 2018,
https://arxiv.org/abs/1811.08839), and others that differ by name. Seeds are ours: what is drawn with one is not what
other programs draw with it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from raki.data.blocks import Positions, slices
from raki.data.equispaced import Equispaced, equispaced_of
from raki.data.sampling import Sampling
from raki.errors import SamplingError

CENTRE_FRACTION = 0.08
"""Of all lines, as the challenges have it with R = 4 [1]."""

CENTRE_TIMES_RATE = 0.32
"""Centre fraction times R: 8 % at R = 4 and 4 % at R = 8, as published [1]."""


@dataclass(frozen=True, eq=False)
class Irregular(Positions):
    """Measured positions without any order.

    What is filled reaches from the first to the last of them, and beyond over margins narrower than the widest gap
    along that axis, as on a lattice; wider ones are partial Fourier or padding and stay empty.
    """

    @cached_property
    def inside(self) -> Tensor:
        """The block of positions that are measured or to be filled, boolean on the matrix."""
        inside = torch.zeros_like(self.mask)
        others = [[other for other in range(self.mask.ndim) if other != axis] for axis in range(self.mask.ndim)]
        inside[slices(tuple(_reach(self.mask.sum(axes) > 0 if axes else self.mask) for axes in others))] = True
        return inside


Pattern = Sampling | Equispaced | Irregular
"""Any pattern: what was measured, the ACS and what is filled may be asked of all."""


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


def random_lines(n_lines: int, acceleration: float, centre_fraction: float = CENTRE_FRACTION, seed: int = 0) -> Tensor:
    """Draw a random mask, boolean (ky,): every line outside the centre is measured with the same probability.

    R holds on average only.

    Raises
    ------
    SamplingError
        If the centre alone is more than one of R lines.
    """
    mask, share = _centre(n_lines, acceleration, centre_fraction)
    return mask | (torch.rand(n_lines, generator=torch.Generator().manual_seed(seed)) < share)


def equispaced(n_lines: int, acceleration: float, centre_fraction: float = CENTRE_FRACTION, seed: int = 0) -> Tensor:
    """Draw every R-th line from a first one that the seed decides, boolean (ky,), and the centre besides.

    So more than one of R lines is measured. Raises a SamplingError unless R is a whole number.
    """
    mask, spacing = _centre_of(n_lines, centre_fraction), _whole(acceleration)
    mask[_drawn(spacing, seed) :: spacing] = True
    return mask


def equispaced_fraction(
    n_lines: int, acceleration: float, centre_fraction: float = CENTRE_FRACTION, seed: int = 0
) -> Tensor:
    """Draw an equispaced mask, boolean (ky,): the spacing is wider than R, and no integer, to make up for the centre.

    Lines lie at the spacing's multiples, rounded, from a first one that the seed decides; so gaps differ by one. Raises
    as `random_lines` does.
    """
    mask, share = _centre(n_lines, acceleration, centre_fraction)
    spacing = 1 / share
    places = _drawn(max(1, round(spacing)), seed) + spacing * torch.arange(n_lines, dtype=torch.float64)
    mask[places[places < n_lines - 1].round().long()] = True
    return mask


def magic(n_lines: int, acceleration: float, centre_fraction: float = CENTRE_FRACTION, seed: int = 0) -> Tensor:
    """Draw every R-th line of both halves of k-space, boolean (ky,), those of one half between the mirrored others.

    And the centre besides, so more than one of R lines is measured. Raises a SamplingError unless R is a whole number.

    References
    ----------
    Defazio 2019, https://arxiv.org/abs/1912.01101.
    """
    return _centre_of(n_lines, centre_fraction) | _offset_halves(n_lines, _whole(acceleration), seed)


def magic_fraction(
    n_lines: int, acceleration: float, centre_fraction: float = CENTRE_FRACTION, seed: int = 0
) -> Tensor:
    """Draw as `magic` does, boolean (ky,), with a spacing that makes up for the centre, rounded to whole lines.

    The centre is no more than one of R lines.
    """
    n_wanted = round(n_lines / acceleration)
    n_centre = max(min(round(n_lines * centre_fraction), n_wanted), 1)
    mask = _centre_of(n_lines, n_centre / n_lines)
    if n_wanted == n_centre:
        return mask
    return mask | _offset_halves(n_lines, round(n_lines / (n_wanted - n_centre)), seed)


MASKS: Mapping[str, Callable[..., Tensor]] = {
    'equispaced_fraction': equispaced_fraction,
    'equispaced': equispaced,
    'magic': magic,
    'magic_fraction': magic_fraction,
    'random': random_lines,
}
"""Ways to draw lines, by the names that the challenges and their code gave them."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A mask by name, with the published centre: 8 % of all lines at R = 4, 4 % at R = 8."""

    name: str
    """One of MASKS."""

    seed: int = 0
    """Of what is drawn."""

    def __post_init__(self) -> None:
        if self.name not in MASKS:
            raise ValueError(f'a mask to draw must be one of {", ".join(MASKS)}, got {self.name}')

    def centre_fraction(self, acceleration: float) -> float:
        """Part of all lines that is measured in the centre [1]."""
        return CENTRE_TIMES_RATE / acceleration

    def lines(self, n_lines: int, acceleration: float) -> Tensor:
        """Draw, boolean (ky,)."""
        return MASKS[self.name](n_lines, acceleration, self.centre_fraction(acceleration), self.seed)


def _drawn(number: int, seed: int) -> int:
    """One of the first so many numbers."""
    return int(torch.randint(number, (1,), generator=torch.Generator().manual_seed(seed)))


def _whole(acceleration: float) -> int:
    if acceleration < 1 or acceleration != round(acceleration):
        raise SamplingError(f'every R-th line needs a whole R of 1 or more, got {acceleration:g}')
    return round(acceleration)


def _offset_halves(n_lines: int, spacing: int, seed: int) -> Tensor:
    """Every R-th line on either side of DC, boolean (ky,); mirrored, those of one half fall between the others."""
    first = _drawn(spacing, seed)
    after, before = (first + 1, first + 3) if first % 2 == 0 else (first + 2, first)
    distance = torch.arange(n_lines) - n_lines // 2
    own = torch.where(distance < 0, -distance - before, distance - after)
    return (own >= 0) & (own % spacing == 0)


def _centre_of(n_lines: int, centre_fraction: float) -> Tensor:
    """Boolean (ky,): the centre, which starts at (n - n_centre + 1) // 2."""
    mask, n_centre = torch.zeros(n_lines, dtype=torch.bool), round(n_lines * centre_fraction)
    start = (n_lines - n_centre + 1) // 2
    mask[start : start + n_centre] = True
    return mask


def _centre(n_lines: int, acceleration: float, centre_fraction: float) -> tuple[Tensor, float]:
    """Mask of the centre, and which share of the other lines is measured."""
    n_centre = round(n_lines * centre_fraction)
    n_others = n_lines / acceleration - n_centre
    if n_others <= 0 or acceleration < 1:
        raise SamplingError(
            f'R={acceleration:g} allows {n_lines / acceleration:g} of {n_lines} lines, but a centre of '
            f'{centre_fraction:g} has {n_centre}: use a smaller R, of 1 or more, or a smaller centre'
        )
    return _centre_of(n_lines, centre_fraction), n_others / (n_lines - n_centre)
