"""Runs of samples that occur twice in a slab, bit for bit: a block that was written over another one.

Every sample holds noise of its own, so no receiver delivers the same run again. In whole numbers chance may do so: two
samples of noise with the standard deviation s of a real part, in steps of the quantisation, agree with the probability
1 / (4 pi s^2). A run counts where so many agreeing in a row are not expected anywhere in the slab. Both come from the
run itself: s from the median distance to its median, and the step from the smallest distance of its values, which is
never less than that of the quantisation.
"""

import math

import torch
from torch import Tensor

from raki.data.damage.lines import MeasuredLines

RUN = 8
"""Samples that are compared at once, along the readout or along measured lines [sample]."""

CHANCE = 1e-3
"""Expected number of such pairs by chance in a slab, from which on they are not damage [1]."""

LOOKED_AT = 8
"""One of so many runs, chosen by what it holds so that both copies are; a page holds hundreds [1]."""

WHOLE = 0.5
"""Part of the runs of two coils at the same places that agree, from where on they are one coil stored twice [1]."""

MULTIPLIER = -7046029254386353131
"""Of the polynomial that maps a run to 64 bits: odd, and without a pattern [1]."""

TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution over the median distance from its median [1]."""


def repeated(lines: MeasuredLines) -> Tensor:
    """Which samples belong to a run that is also elsewhere in the slab, boolean, axes (coil, measured line, kx)."""
    found = torch.zeros_like(lines.samples, dtype=torch.bool)
    for axis in (1, 2):
        samples = lines.samples.transpose(axis, 2)
        if samples.shape[2] >= RUN:
            found |= _along_last(samples).transpose(axis, 2)
    return found


def _along_last(samples: Tensor) -> Tensor:
    codes = _codes(samples)
    places = (codes.remainder(LOOKED_AT) == 0).flatten().nonzero()[:, 0]
    order = codes.flatten()[places].sort(stable=True)
    is_pair = order.values[1:] == order.values[:-1]
    first, second = places[order.indices[:-1][is_pair]], places[order.indices[1:][is_pair]]
    runs = samples.unfold(2, RUN, 1)
    is_damage = _is_same(runs, first, second) & _is_rare(runs, first, samples.numel())
    is_damage &= ~_of_same_coil(codes.shape, first, second, places)
    found = torch.zeros_like(samples, dtype=torch.bool)
    for place in (first[is_damage], second[is_damage]):
        coil, line, start = _split(codes.shape, place)
        for step in range(RUN):
            found[coil, line, start + step] = True
    return found


def _codes(samples: Tensor) -> Tensor:
    """A number for every run, axes (coil, line, first sample)."""
    parts = torch.view_as_real(samples.contiguous()).contiguous()
    bits = parts.view(torch.int32 if parts.dtype == torch.float32 else torch.int64).long()
    mixed = (bits[..., 0] * MULTIPLIER + bits[..., 1]) * MULTIPLIER
    codes, factor = mixed ^ (mixed >> 29), MULTIPLIER
    step = 1
    while step < RUN:
        codes = codes[..., :-step] * factor + codes[..., step:]
        factor, step = (factor * factor + 2**63) % 2**64 - 2**63, 2 * step
    return codes ^ (codes >> 31)


def _split(shape: torch.Size, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Coil, line and first sample of a run."""
    n_lines, n_runs = shape[1:]
    return place // (n_lines * n_runs), place // n_runs % n_lines, place % n_runs


def _is_same(runs: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Whether runs agree, and not only their codes."""
    return (runs[_split(runs.shape[:3], first)] == runs[_split(runs.shape[:3], second)]).all(1)


def _is_rare(runs: Tensor, place: Tensor, n_samples: int) -> Tensor:
    """Whether no run like this one is expected twice among so many."""
    values = torch.view_as_real(runs[_split(runs.shape[:3], place)]).flatten(1).double()
    steps = values.sort(1).values.diff(dim=1)
    step = torch.where(steps > 0, steps, math.inf).amin(1)
    deviation = TO_DEVIATION * (values - values.median(1, keepdim=True).values).abs().median(1).values
    levels = (deviation / step).square()
    log_chance = -RUN * torch.log((4 * math.pi * levels).clamp(min=1)) + 2 * math.log(n_samples) - math.log(2)
    return log_chance < math.log(CHANCE)


def _of_same_coil(shape: torch.Size, first: Tensor, second: Tensor, places: Tensor) -> Tensor:
    """Whether a pair is of two coils that hold the same nearly everywhere, which is another matter."""
    (one, *at_one), (other, *at_other) = _split(shape, first), _split(shape, second)
    is_beside = (at_one[0] == at_other[0]) & (at_one[1] == at_other[1])
    n_same = torch.bincount((one * shape[0] + other)[is_beside], minlength=shape[0] ** 2)
    n_runs = torch.bincount(_split(shape, places)[0], minlength=shape[0])
    return is_beside & (n_same[one * shape[0] + other] > WHOLE * n_runs[one])
