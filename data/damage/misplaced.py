"""Blocks that do not belong where they are: what the other coils hold there says something else.

What the relation between coils (see `raki.data.damage.relation`) leaves of runs of samples is compared with what it
usually leaves: the noise, and a part of the signal. A block of another place is as large as the signal that it hides,
or larger, and independent of it.
"""

import torch
from torch import Tensor

from raki.data.damage.lines import MeasuredLines
from raki.data.damage.relation import left_of, relation

RUN = 16
"""Samples that are judged together, along the readout or along measured lines [sample]."""

LIMITS = ((25.0, 1.0), (100.0, 0.75))
"""Power of what is left over its usual power, and over that of the signal, the larger of what is held and predicted, of
which two that are independent leave the sum. On 216 simulations and the shared scans the first was at most 20
and 43 beyond the second [1].
"""

JUDGED = 0.5
"""The same of the usual runs of a coil; above it, others say too little about it to judge it by them [1]."""

HARM = 0.005
"""Change of k-space, relative in the norm, from which on such blocks matter; half of what harms an image [1]."""

STRONG = 10.0
"""Power over that of noise, from where on it is signal [1]."""

FEWEST_COILS = 2
"""Coils that can be compared."""


def misplaced(lines: MeasuredLines) -> Tensor:
    """Which samples belong to blocks that other coils contradict, boolean, axes (coil, measured line, kx)."""
    samples = lines.samples
    found = torch.zeros_like(samples, dtype=torch.bool)
    power = samples.abs().double().square()
    of_coil = power.mean((1, 2))
    live = of_coil > 0
    if int(live.sum()) < FEWEST_COILS:
        return found
    scaled = samples[live] / of_coil[live].sqrt().to(samples.real.dtype)[:, None, None]
    left = left_of(scaled, relation(scaled))
    of_left, of_own, of_others = (each.abs().double().square() for each in (left, scaled, scaled - left))
    for axis in (1, 2):
        if samples.shape[axis] >= RUN:
            found[live] |= _unusual(of_left, of_own, of_others, axis)
    harm = (of_left * found[live] * of_coil[live][:, None, None]).sum() / power.sum()
    return found & (harm > HARM**2)


def _unusual(of_left: Tensor, of_own: Tensor, of_others: Tensor, axis: int) -> Tensor:
    """Samples of runs along an axis that are unusual, from powers of what is left, held and predicted."""
    left, own, others = (_of_runs(each, axis) for each in (of_left, of_own, of_others))
    signal, least = torch.maximum(own, others), torch.finfo(left.dtype).tiny
    noise = torch.where(own > 0, left, torch.nan).flatten(1).nanmedian(1).values[:, None, None]
    is_strong = others > STRONG * noise
    part = (left * is_strong).sum((1, 2)) / (others * is_strong).sum((1, 2)).clamp(min=least)
    unrelated = torch.where(signal > STRONG * noise, left / signal, torch.nan).flatten(1).nanmedian(1).values
    usual = noise + part[:, None, None] * others
    found = [(left > unusual * usual) & (left > large * signal) for unusual, large in LIMITS]
    is_unusual = torch.stack(found).any(0) & (unrelated < JUDGED)[:, None, None]
    spread = torch.nn.functional.pad(is_unusual.double(), (RUN - 1, RUN - 1))
    return (_of_runs(spread, -1) > 0.5).movedim(-1, axis)


def _of_runs(values: Tensor, axis: int) -> Tensor:
    """Sums over all runs along an axis, which becomes the last."""
    sums = torch.nn.functional.pad(values.movedim(axis, -1), (1, 0)).cumsum(-1)
    return sums[..., RUN:] - sums[..., :-RUN]
