"""What all samples of a coil tell together: clipping, coils that are constant, and noise that is not theirs."""

import math

import torch
from torch import Tensor

from raki.data.damage.lines import MeasuredLines

FEWEST_CLIPPED, FEWEST_LEVELS = 4, 16
"""Samples at the largest magnitude of a coil that count as clipped [sample], of so many different magnitudes."""

ACCUMULATED = 3.0
"""Samples at the largest magnitude, over the mean number at each magnitude that occurs in the upper half [1]."""

NOISE_FACTOR = 10.0
"""Of a noise sample over its coil's median: chance is exp(-69); the largest on twenty clean scans was 4.2 [1]."""

DEAD = 1e-3
"""A coil whose median is less than this part of the others' holds nothing, which is told elsewhere [1]."""

OVERDONE = 1e3
"""A coil whose samples are so many times as large as those of the median coil, which no sensitivity explains [1]."""

LEAST_NOISE = 0.3
"""Median of k-space over the standard deviation of its noise; of nothing but noise it is 0.83 [1]."""


def about_coils(lines: MeasuredLines, noise: Tensor | None) -> list[str]:
    """Clipped and constant coils, and noise samples in other units, one sentence each."""
    return [
        *_clipped(lines.samples),
        *_constant(lines.samples),
        *_louder(lines.samples),
        *_other_noise(lines.samples, noise),
    ]


def about_noise(noise: Tensor | None) -> list[str]:
    """Which noise samples, axes (coil, sample), stand out."""
    if noise is None or not noise.numel():
        return []
    magnitude = noise.abs()
    found = (magnitude > NOISE_FACTOR * magnitude.median(dim=1, keepdim=True).values).cpu().nonzero().tolist()
    found = [(coil, sample) for coil, sample in found if bool(magnitude[coil].median() > 0)]
    if not found:
        return []
    coil, sample = found[0]
    return [
        f'{len(found)} noise sample(s) are over {NOISE_FACTOR:g} times the median of their coil, the first in coil '
        f'{coil}, sample {sample}: coils may be whitened wrongly; --no-whiten does without noise samples'
    ]


def _clipped(samples: Tensor) -> list[str]:
    parts = torch.view_as_real(samples).flatten(1).abs()
    most = parts.amax(1, keepdim=True)
    n_most = ((parts == most) & (most > 0)).sum(1)
    found = []
    for coil in (n_most >= FEWEST_CLIPPED).cpu().nonzero().flatten().tolist():
        levels, counts = parts[coil].unique(return_counts=True)
        upper = counts[(levels >= most[coil] / 2) & (levels < most[coil])].double()
        usual = float(upper.mean()) if len(upper) else 1.0
        if len(levels) >= FEWEST_LEVELS and int(n_most[coil]) > ACCUMULATED * usual:
            found.append((coil, int(n_most[coil])))
    if not found:
        return []
    return [
        f'coil {found[0][0]} holds its largest value {found[0][1]} times'
        + (f', and so do {len(found) - 1} other coils theirs' if len(found) > 1 else '')
        + ': the receiver was overdriven, and these samples are clipped'
    ]


def _constant(samples: Tensor) -> list[str]:
    flat = samples.flatten(1)
    is_constant = (flat == flat[:, :1]).all(1) & (flat[:, 0] != 0)
    if flat.shape[1] < FEWEST_LEVELS or bool(is_constant.all()):
        return []
    return [
        f'coil {coil} holds the same value in every sample, which no receiver delivers: take it out of the file'
        for coil in is_constant.cpu().nonzero().flatten().tolist()
    ]


def _louder(samples: Tensor) -> list[str]:
    """Coils that drown all others, judged by medians, which single samples do not change."""
    level = samples.abs().flatten(1).median(1).values.double()
    if not bool(level.any()):
        return []
    ratio = level / level[level > 0].median()
    return [
        f'coil {coil} is {float(ratio[coil]):.1e} times as large as the median coil, so that nothing else is seen: it '
        'is in other units'
        for coil in (ratio > OVERDONE).cpu().nonzero().flatten().tolist()
    ]


def _other_noise(samples: Tensor, noise: Tensor | None) -> list[str]:
    """Noise that is larger than k-space, of which it is a part."""
    if noise is None or noise.shape[1] < FEWEST_LEVELS:
        return []
    held, own = samples.flatten(1), noise.to(samples.device)
    deviation = own.abs().median(1).values.double() / math.log(2) ** 0.5  # which single large samples do not change
    level = held.abs().median(1).values.double()
    ratio, is_dead = level / deviation, level < DEAD * level.median()
    # coils of many zeros, such as those of an asymmetric echo, have a median that says nothing
    less = (
        ((ratio < LEAST_NOISE) & ~is_dead & (deviation > 0) & ((held != 0).double().mean(1) > 0.8))
        .cpu()
        .nonzero()
        .flatten()
        .tolist()
    )
    if not less:
        return []
    coils = 'all coils' if len(less) == len(ratio) else f'coil {", ".join(map(str, less[:8]))}'
    return [
        f'the noise samples of {coils} are larger than k-space itself (the median of coil {less[0]} is '
        f'{float(ratio[less[0]]):.1e} of its noise): one of them is in other units; --no-whiten does without'
    ]
