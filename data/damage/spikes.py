"""Samples that stand out from all around them, as a flipped bit or a spark in the scanner room leaves them.

The signal of an object smaller than the field of view varies little from one sample of k-space to the next, and noise
is as large everywhere. A sample far above all 24 around it (two measured lines and two samples in every direction) is
neither. How far is a matter of chance: of n + 1 samples of equal power, one exceeds the largest of n others by a factor
f in magnitude with the probability prod k / (k + f^2), k = 1..n. The factor is 5, or what makes that rarer than RARE
where fewer samples are around.

What is true may stand out, too: the peak of an object that fills the field of view is one sample wide. But all coils
see the same object. So a peak in most coils that lies near the centre of k-space, or is no sharper than the peak there,
is taken as true, and one near the centre of a few coils, too, unless it is OUTSHINES times as large as others there.
"""

import math
from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from raki.data.damage.lines import MeasuredLines

LEAST_FACTOR = 5.0
"""Over the largest of its neighbours, in magnitude; over that of eight it was at most 3.1 on twenty clean scans [1]."""

RARE = 1e-12
"""Probability of a sample of noise to be taken for a spike, which is less than 1 in 10,000 scans of 1e8 samples [1]."""

OUTSHINES = 100.0
"""Of a peak near the centre, over the same place of other coils [1]."""

SHARED = 0.5
"""Part of the coils in which a true peak is seen [1]."""

PEAKED = 2.0
"""Over its neighbours, from where on a coil counts as having a peak [1]."""

CENTRAL = 1 / 8
"""Part of every axis, on both sides of its middle, in which the peak of an object lies [1]."""


@cache
def factor_for(n_neighbours: int) -> float:
    """How far a sample must exceed the largest of so many neighbours, in magnitude [1]."""
    factor = LEAST_FACTOR
    while sum(math.log(k / (k + factor**2)) for k in range(1, n_neighbours + 1)) > math.log(RARE) and n_neighbours:
        factor *= 1.02
    return factor if n_neighbours else math.inf


def spikes(lines: MeasuredLines) -> Tensor:
    """Which samples are spikes, boolean, axes (coil, measured line, kx)."""
    magnitude = lines.samples.abs()
    typical = _typical(magnitude)[:, None, None]
    found = torch.zeros_like(magnitude, dtype=torch.bool)
    for around, n_around in _around(lines, magnitude):
        factors = torch.tensor([factor_for(n) for n in range(25)], device=magnitude.device)[n_around]
        level = torch.maximum(around, typical)
        candidates = magnitude > factors * level
        if bool(candidates.any()):
            found |= candidates & ~_true_peaks(lines, magnitude, around, level, candidates)
    return found


def _around(lines: MeasuredLines, magnitude: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Largest of the neighbours of every sample (coil, line, kx), and their number (line, kx): all, those on its line.

    The second finds sparks that last for several lines.
    """
    n_readout = magnitude.shape[-1]
    along = [_shifted(magnitude, step, -1.0) for step in (-2, -1, 1, 2)]
    own = torch.stack(along).amax(0)
    whole = torch.maximum(own, magnitude)
    largest = own
    for column in range(4):
        largest = torch.maximum(largest, lines.moved(whole, column, -1.0))
    width = _shifted_count(n_readout, magnitude.device)
    count = (width - 1)[None] + (lines.beside >= 0).sum(1)[:, None] * width[None]
    yield largest.clamp(min=0), count
    yield own.clamp(min=0), (width - 1).expand_as(count)


def _shifted(values: Tensor, step: int, absent: float) -> Tensor:
    """Values `step` samples further along the readout."""
    moved = torch.full_like(values, absent)
    size = values.shape[-1]
    if abs(step) < size:
        target = slice(max(0, -step), size - max(0, step))
        moved[..., target] = values[..., max(0, step) : size - max(0, -step)]
    return moved


def _shifted_count(n_readout: int, device: torch.device) -> Tensor:
    """How many of five samples around every one exist."""
    place = torch.arange(n_readout, device=device)
    return (place + 2).clamp(max=n_readout - 1) - (place - 2).clamp(min=0) + 1


def _typical(magnitude: Tensor) -> Tensor:
    """Median of the samples of a coil that are not zero, axes (coil,): no spike is below five times it."""
    flat = magnitude.flatten(1)
    order = flat[:, :: max(1, flat.shape[1] // 4096)].sort(dim=1).values
    zeros = (order == 0).sum(1)
    middle = (zeros + order.shape[1]).div(2, rounding_mode='floor').clamp(max=order.shape[1] - 1)
    return order.gather(1, middle[:, None])[:, 0]


def _true_peaks(lines: MeasuredLines, magnitude: Tensor, around: Tensor, level: Tensor, candidates: Tensor) -> Tensor:
    """Which candidates may be peaks of the object, axes (coil, line, kx)."""
    n_live = int(magnitude.flatten(1).any(1).sum())
    is_peak = magnitude > PEAKED * level
    is_shared = is_peak.sum(0) > SHARED * n_live
    near = _central(lines, magnitude.shape[-1])
    every, largest = (each.double().square().sum(0).sqrt() for each in (magnitude, around))
    sharpness = every / largest.clamp(min=torch.finfo(torch.float64).tiny)
    others = torch.where(candidates, 0, torch.maximum(magnitude, around)).amax(0)
    outshines = magnitude > OUTSHINES * others
    in_centre = torch.where(near & is_shared, sharpness, 0).max()
    return (near & (is_shared | ~outshines)) | (is_shared & (sharpness <= 2 * in_centre))


def _central(lines: MeasuredLines, n_readout: int) -> Tensor:
    """Which samples lie near the middle of every axis, boolean, axes (line, kx)."""
    device = lines.samples.device
    found = _near_middle(torch.arange(n_readout, device=device), n_readout)[None]
    for axis, size in enumerate(lines.shape):
        found = found & _near_middle(lines.positions[:, axis], size)[:, None]
    return found


def _near_middle(place: Tensor, size: int) -> Tensor:
    return (place - size // 2).abs() <= max(2, round(CENTRAL * size))
