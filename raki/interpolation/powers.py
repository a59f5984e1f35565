"""Powers of samples and of patches, in double precision: single precision cannot hold 1e-20 squared."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from raki.interpolation.calibration import Calibration
from raki.interpolation.neighbours import Cells

SMOOTHED_SAMPLES = 9
"""Readout samples over which the power of measured lines is averaged."""

NEAREST = {1: 2, 2: 4}
"""Measured lines next to a missing one that tell its power, by the number of phase axes."""


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


def power_everywhere(calibration: Calibration) -> Tensor:
    """Mean |sample|^2 over coils, smooth along the readout, float64, axes (line, readout).

    Of missing lines it is the geometric mean of that of the nearest measured ones, near ones counting more.
    """
    lines, known, shape = calibration.measured, calibration.known, calibration.matrix
    window = min(SMOOTHED_SAMPLES, lines.shape[-1] // 2 * 2 + 1)
    own = lines[:, known].abs().square().double().mean(0)
    own = avg_pool1d(own[:, None], window, 1, window // 2, count_include_pad=False)[:, 0]
    positions = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing='ij'), -1).flatten(0, -2).double()
    positions = positions.to(lines.device)
    n_axes = sum(size > 1 for size in shape) or 1
    distances, numbers = torch.cdist(positions, positions[known]).topk(min(NEAREST[n_axes], len(own)), largest=False)
    closeness = 1 / distances.clamp(min=1e-6)
    closeness = closeness / closeness.sum(1, keepdim=True)
    logarithms = own.clamp(min=torch.finfo(own.dtype).tiny).log()
    return (closeness[..., None] * logarithms[numbers]).sum(1).exp()
