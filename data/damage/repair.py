"""Replace samples that are damaged by what those around them predict, learnt from the undamaged rest of the slab.

As GRAPPA fills in a line, but for one sample, and with neighbours in all directions: the two before and after it along
the readout and the measured lines beside it, in all coils. Neighbours that are damaged themselves are left out.
"""

import torch
from torch import Tensor

from raki.data.damage.lines import MeasuredLines

RIDGE = 1e-4
"""Relative to the mean power of a source [1]."""

STEPS = (-1, 0, 1)
"""Along the readout, on the line itself and those beside it [sample]."""


def repaired(lines: MeasuredLines, damaged: Tensor) -> Tensor:
    """Samples (coil, measured line, kx) with those that are damaged, boolean, predicted; zero where nothing can be."""
    clean = torch.where(damaged, 0, lines.samples)
    windows, usable = _windows(lines, clean), _windows(lines, (~damaged).to(clean.dtype)).real > 0
    rows, whole = windows.flatten(1).mT, usable.flatten(1).all(0)
    rows = rows / rows.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    known = rows[whole].to(torch.complex128)
    gram = known.mH @ known
    ridge = RIDGE * gram.diagonal().real.mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    n_offsets, size = len(windows) // len(clean), clean.shape[-1]
    result = clean.clone()
    groups: dict[tuple[int, bytes], list[tuple[int, int]]] = {}
    for coil, line, sample in damaged.cpu().nonzero().tolist():
        pattern = usable[:, line, sample].cpu().numpy().tobytes()
        groups.setdefault((coil, pattern), []).append((line, sample))
    for (coil, _), places in groups.items():
        line, sample = places[0]
        sources, target = usable[:, line, sample].nonzero().flatten(), coil * n_offsets + CENTRE
        if not len(sources) or not bool(whole.any()):
            continue
        part = gram[sources][:, sources] + ridge[sources][:, sources]
        weights = torch.linalg.solve(part, gram[sources, target])
        at = torch.tensor(places, device=clean.device)
        around = windows.flatten(1)[:, at[:, 0] * size + at[:, 1]][sources]
        result[coil, at[:, 0], at[:, 1]] = (weights @ around.to(weights)).to(clean)
    return result


CENTRE = STEPS.index(0)
"""Which offset of a window is the sample itself."""


def _windows(lines: MeasuredLines, values: Tensor) -> Tensor:
    """Values around every sample, axes (coil and offset, measured line, kx), zero beyond the edges."""
    parts = [_moved(values, step) for step in STEPS]
    for column in (0, 2):
        beside = lines.moved(values, column, 0)
        parts += [_moved(beside, step) for step in STEPS]
    return torch.stack(parts, dim=1).flatten(0, 1)


def _moved(values: Tensor, step: int) -> Tensor:
    moved, size = torch.zeros_like(values), values.shape[-1]
    moved[..., max(0, -step) : size - max(0, step)] = values[..., max(0, step) : size - max(0, -step)]
    return moved
