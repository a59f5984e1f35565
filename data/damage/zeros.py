"""Exact zeros where a receiver delivered something: blocks that were lost on the way to the file.

Noise is never exactly zero, so that four in a row are damage, unless samples are whole numbers of few levels. How often
a zero follows what is not one, and how many zeros are in other coils at the same place, tells how likely a run is.
"""

import torch
from torch import Tensor

from raki.data.damage.lines import MeasuredLines

LEAST_RUN = 4
"""Zeros in a row that count as lost [sample]; the longest run on twenty clean scans was 2."""

CHANCE = 1e-3
"""Expected number of runs by chance in a slab, from which on a run is not damage [1]."""


def lost(lines: MeasuredLines) -> Tensor:
    """Which samples were lost, boolean, axes (coil, measured line, kx); none of a coil that holds only zeros."""
    is_zero = lines.samples == 0
    if not bool(is_zero.any()):
        return is_zero
    live = ~is_zero.flatten(1).all(1)
    reached = (~is_zero).flatten(0, 1).any(0)
    is_zero = is_zero & live[:, None, None] & reached
    others_hold = (~is_zero & live[:, None, None]).sum(0) * 2 >= max(2, int(live.sum()))
    held = (lines.samples != 0).float()
    beside = torch.minimum(lines.moved(held, 0, 0.0), lines.moved(held, 2, 0.0))
    lines_hold = (beside > 0) & held.any(0).any(-1)[:, None]  # lines of zeros in all coils are told by who reads them
    found = torch.zeros_like(is_zero)
    for axis in (-1, -2):
        run, is_inner = _runs(is_zero.transpose(axis, -1))
        run, is_inner = run.transpose(axis, -1), is_inner.transpose(axis, -1)
        is_held = (is_zero & (others_hold | (lines_hold & (axis == -1)))) | (is_inner & (axis == -1))
        likely = _likelihood(is_zero, axis)
        rare = is_zero.numel() * likely ** run.double() < CHANCE
        found |= is_zero & (run >= LEAST_RUN) & is_held & rare
    return found


def _runs(is_zero: Tensor) -> tuple[Tensor, Tensor]:
    """Length of the run of zeros along the last axis that each belongs to, and whether it ends before both ends."""
    size = is_zero.shape[-1]
    place = torch.arange(size, device=is_zero.device).expand(is_zero.shape)
    before = torch.where(is_zero, -1, place).cummax(-1).values
    after = torch.where(is_zero, size, place).flip(-1).cummin(-1).values.flip(-1)
    return torch.where(is_zero, after - before - 1, 0), (before >= 0) & (after < size)


def _likelihood(is_zero: Tensor, axis: int) -> Tensor:
    """Probability of a zero by chance, axes (coil, line, kx): of following something else, or of others around."""
    along = is_zero.movedim(axis, -1)
    held = ~along[..., :-1]
    begins = (along[..., 1:] & held).sum() / held.sum().clamp(min=1)
    of_others = (is_zero.sum(0) - is_zero.long()).double() / max(1, len(is_zero) - 1)
    beside = _smooth(is_zero.double(), (5, 1) if axis == -1 else (1, 5))
    beside = ((5 * beside - is_zero.double()) / 4).clamp(0, 1)
    here = torch.minimum(_smooth(of_others, (5, 5)), _smooth(beside, (1, 5) if axis == -1 else (5, 1)))
    return torch.maximum(here, begins.double())


def _smooth(values: Tensor, sizes: tuple[int, int]) -> Tensor:
    """Mean over so many lines and samples around each of those that exist."""
    half = (sizes[0] // 2, sizes[1] // 2)
    return torch.nn.functional.avg_pool2d(values[:, None], sizes, 1, half, count_include_pad=False)[:, 0]
