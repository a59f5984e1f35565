"""Whether separate calibration was measured with the coils of the scan, in the same order.

Covariances between coils follow from their sensitivities and the object, nearly whatever the contrast and the lines. As
samples of a normal distribution, those of the scan S differ from those of the calibration C, with coils in the order P,
by the divergence D(P) = n log(tr((P C P^T)^-1 S) / n) - log det(C^-1 S), which gains do not change. It is large where
the scan has power in a combination of coils that is quiet in the calibration, as in every wrong order. How large it is
in the right one nobody knows beforehand; but no other should be much better, and a random one not nearly as good.
"""

from itertools import combinations

import torch
from torch import Tensor

from raki.errors import CalibrationError
from raki.magnitude import largest

N_CHANCES = 100
"""Random orders to compare with."""

MUCH = 2.0
"""By which factor divergences must differ to tell orders apart [1]."""

FLOOR = 1e-3
"""Power that every combination of coils has at least, relative to the mean over coils [1]."""

LARGEST_GAIN = 1e6
"""Between the largest sample of a calibration and of its scan: more than receivers, flip angles and missing lines
make [1]."""

ROUNDING = 1e-9
"""Divergences below this are those of equal covariances [1]."""

FEWEST_COILS = 4
"""With fewer there are too few orders to tell."""


def disagreement(calibration: Tensor, scan: Tensor, name: str = 'the separate calibration') -> str | None:
    """Say why separate calibration does not fit the scan; None where nothing speaks against it.

    Parameters
    ----------
    calibration, scan
        Measured samples, axes (coil, sample), with as many coils. Lines that were not measured may be zero in both.
    name
        What the calibration is, in words.
    """
    n_coils = len(scan)
    if n_coils < FEWEST_COILS:
        return None
    divergence = _Divergence(_covariance(calibration), _covariance(scan))
    here, chance = list(range(n_coils)), torch.Generator().manual_seed(0)
    found = divergence(here)
    if found < ROUNDING:
        return None
    if MUCH * found > min(divergence(torch.randperm(n_coils, generator=chance).tolist()) for _ in range(N_CHANCES)):
        return (
            f'{name} resembles the scan hardly more than with its coils shuffled: it belongs to another scan, or its '
            'coils are in another order'
        )
    usual = [here[start:] + here[:start] for start in here] + [here[::-1]]
    order = min((_improved(divergence, each) for each in (here, min(usual, key=divergence))), key=divergence)
    if MUCH * divergence(order) < found:
        moved = [coil for coil in here if order[coil] != coil]
        return (
            f'coils {", ".join(map(str, moved))} of {name} fit the scan better in the order '
            f'{", ".join(str(order[coil]) for coil in moved)}: check the order of its coils'
        )
    return None


def require_same_gain(calibration: Tensor, scan: Tensor) -> None:
    """Raise a CalibrationError if separate calibration and scan (coil, sample) cannot be of one receiver's gain."""
    known, seen = largest(calibration), largest(scan)
    if known and seen and not 1 / LARGEST_GAIN < known / seen < LARGEST_GAIN:
        raise CalibrationError(
            f'the separate calibration has samples up to {known:.1e}, the scan up to {seen:.1e}: they are in different '
            'units; multiply one of them so that both have the gain of one receiver'
        )


def _covariance(samples: Tensor) -> Tensor:
    """Covariance between coils, complex128 on the CPU, with a mean power of one and the floor."""
    scaled = (samples / samples.abs().max().clamp(min=torch.finfo(torch.float32).tiny)).to('cpu', torch.complex128)
    covariance = scaled @ scaled.mH
    power = covariance.diagonal().real.mean().clamp(min=torch.finfo(torch.float64).tiny)
    return covariance / power + FLOOR * torch.eye(len(covariance), dtype=covariance.dtype)


class _Divergence:
    """D of the module, of an order of the calibration's coils."""

    def __init__(self, known: Tensor, seen: Tensor) -> None:
        self._precision, self._seen = torch.linalg.inv(known), seen
        self._determinant = float(torch.linalg.slogdet(self._precision @ seen)[1].real)

    def __call__(self, order: list[int]) -> float:
        mean = (self._precision[order][:, order].mT * self._seen).sum().real / len(order)
        return len(order) * float(mean.log()) - self._determinant


def _improved(divergence: _Divergence, order: list[int]) -> list[int]:
    """Swap pairs of coils as long as that helps."""
    least = divergence(order)
    while True:
        swapped = {pair: divergence(_swapped(order, *pair)) for pair in combinations(range(len(order)), 2)}
        pair = min(swapped, key=lambda each: swapped[each])
        if swapped[pair] >= least:
            return order
        order, least = _swapped(order, *pair), swapped[pair]


def _swapped(order: list[int], one: int, other: int) -> list[int]:
    """The same order with the coils at these two places exchanged."""
    order = list(order)
    order[one], order[other] = order[other], order[one]
    return order
