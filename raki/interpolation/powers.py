"""Powers of samples and of patches, in double precision: single precision cannot hold 1e-20 squared."""

import torch
from torch import Tensor

from raki.interpolation.neighbours import Cells


def patch_power(lines: Tensor, cells: Cells) -> Tensor:
    """Mean |sample|^2 of the sources of every patch of lines (coil, line, readout), float64, axes (cell, column)."""
    seen = (energy(lines) / len(lines))[cells.sources.to(lines.device)].mean(1)
    return seen.unfold(-1, len(cells.neighbourhood.samples), 1).mean(-1)


def energy(kspace: Tensor) -> Tensor:
    """Sum of |sample|^2 over coils, the first axis, float64, as single precision cannot hold 1e-20 squared."""
    total = torch.zeros(kspace.shape[1:], dtype=torch.float64, device=kspace.device)
    for coil in kspace:
        total += squares(coil)
    return total


def squares(values: Tensor) -> Tensor:
    """|value|^2, float64."""
    return torch.view_as_real(values).double().square().sum(-1)
