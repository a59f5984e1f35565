"""What a sample of k-space is, given all that surrounds it, in every coil: learnt from the ACS, applied in the image.

Lustig and Pauly 2010, Magn Reson Med 64:457 (https://doi.org/10.1002/mrm.22428).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from raki.consistency.grid import Grid
from raki.errors import CalibrationError
from raki.interpolation.calibration import Calibration, Learnt
from raki.interpolation.neighbours import ELEMENTS_AT_ONCE, Neighbourhood
from raki.interpolation.tuning import FIRST_RIDGE

WIDTHS = {1: (5, 3), 2: (3,)}
"""Widths of a kernel along every axis to choose from, the widest first, by the number of phase axes [sample]."""

WIDER = 2
"""Lines to learn from, where others are filled in, relative to those of the ACS along its longest axis [1]."""

LEAST_LINES = 5
"""Lines of an ACS that a kernel of three needs, which is as wide as half of them at most."""

EQUATIONS_PER_UNKNOWN = 1.5
"""Equations that a kernel must have for it to be chosen, unless it is the smallest [1]."""

N_INVERSE_ITERATIONS, SHIFT = 4, 1e-3
"""Of inverse iteration, and how far from the eigenvalue zero, relative to the mean of all [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class SelfConsistency:
    """What is left of each sample when its neighbours have explained it: zero for k-space like that of the ACS."""

    weights: Tensor
    """Complex64, axes (target coil, coil, phase axes, readout): what samples at an offset from the middle of the kernel
    count in what is left of the target coil's sample; 1 for that sample itself."""

    @classmethod
    def learnt(cls, calibration: Calibration, start: Learnt | None = None) -> 'SelfConsistency':
        """Ridge regression of every sample of the ACS on all others within the kernel, for all coils from one inverse.

        With B the inverse of the regularised Gram matrix of whole patches, what is left of sample c has the weights
        B_jc / B_cc. Lines around the ACS that `start` fills in are learnt from, too, as many again: where there are
        many coils, the ACS alone would determine a narrower kernel only, which on scans with little noise is worse.
        """
        if start and not calibration.is_separate:
            n_lines = WIDER * max(calibration.acs_shape)
            calibration = calibration.extended(start.patch_map, start.neighbourhood, n_lines)
        around, widths = _block(calibration.acs)
        n_coils, n_samples = len(calibration.acs), math.prod(widths)
        inverse = torch.cholesky_inverse(calibration.normal_equations(around).factor(FIRST_RIDGE))
        middle = torch.arange(n_coils) * n_samples + n_samples // 2
        left = inverse[:, middle] / inverse.diagonal()[middle]
        weights = left.mT.reshape(n_coils, n_coils, *widths).to(torch.complex64)
        return cls(weights)

    def squared(self, grid: Grid) -> Iterator[Tensor]:
        """Energy of what is left as a form of the coils' values in a pixel: (pixel, coil, coil), run by run of pixels.

        Runs are whole rows of the grid's first axis of more than one, in order.
        """
        weights = self.weights
        for axis in reversed(range(1, len(grid.size))):
            weights = _waved(weights, axis, grid.size[axis])
        n_pixels = math.prod(grid.size[1:])
        rows = max(1, ELEMENTS_AT_ONCE // (n_pixels * len(weights) ** 2))
        for start in range(0, grid.size[0], rows):
            run = range(start, min(start + rows, grid.size[0]))
            matrices = _waved(weights, 0, grid.size[0], run).flatten(2).permute(2, 0, 1)
            yield matrices.mH @ matrices

    def sensitivities(self, grid: Grid, image: Tensor) -> Tensor:
        """Unit vectors between coils that are most consistent, in phase with an image, axes (coil, *size) both.

        Inverse iteration from that image, so that the result is smooth where it is.

        References
        ----------
        Uecker et al. 2014, Magn Reson Med 71:990 (https://doi.org/10.1002/mrm.24751): consistent k-space lies in such
        vectors.
        """
        runs, start = list[Tensor](), image.flatten(1).mT
        first = 0
        for squared in self.squared(grid):
            own = start[first : first + len(squared), :, None]
            shift = SHIFT * squared.diagonal(dim1=1, dim2=2).real.mean(1)
            inverse = torch.linalg.inv(squared + shift[:, None, None] * torch.eye(len(image)).to(squared))
            vector = own
            for _ in range(N_INVERSE_ITERATIONS):
                vector = _unit(inverse @ vector)
            runs.append((vector * _phase((vector.conj() * own).sum(1, keepdim=True)))[..., 0])
            first += len(squared)
        return torch.cat(runs).mT.unflatten(1, grid.size).contiguous()


def _block(acs: Tensor) -> tuple[Neighbourhood, tuple[int, ...]]:
    """All offsets around a sample, and the kernel's width along each axis, as wide as an ACS determines."""
    shape, n_axes = acs.shape[1:], max(1, sum(size > 1 for size in acs.shape[1:-1]))
    choices = [[min(width // 2, (size - 1) // 4) for size in shape] for width in WIDTHS[n_axes]]
    halves = next((each for each in choices if _determines(acs, each)), choices[-1])
    widths = tuple(2 * half + 1 for half in halves)
    offsets = tuple(product(*(range(-half, half + 1) for half in halves[:-1])))
    return Neighbourhood(offsets, ((0,) * len(offsets[0]),), range(-halves[-1], halves[-1] + 1)), widths


def require_neighbours(calibration: Calibration) -> None:
    """Raise a CalibrationError where the ACS is too short for a kernel that reaches from line to line."""
    sizes = zip(calibration.acs.shape[1:-1], calibration.matrix, strict=True)
    if shorter := [size for size, there in sizes if size < min(LEAST_LINES, there)]:
        raise CalibrationError(
            f'self-consistency needs an ACS of {LEAST_LINES} lines or more to tell how lines follow from those next to '
            f'them, got {min(shorter)}: acquire more lines in the centre, or use --method zero-filled'
        )


def _determines(acs: Tensor, halves: Sequence[int]) -> bool:
    """Whether an ACS (coil, phase axes, readout) has enough equations for a kernel that reaches so far."""
    n_equations = math.prod(size - 2 * half for size, half in zip(acs.shape[1:], halves, strict=True))
    return n_equations >= EQUATIONS_PER_UNKNOWN * len(acs) * math.prod(2 * half + 1 for half in halves)


def _waved(weights: Tensor, axis: int, size: int, rows: range | None = None) -> Tensor:
    """Transform offsets along an axis of a kernel (coil, coil, axes) to pixels, by default all."""
    width = weights.shape[2 + axis]
    offsets, pixels = torch.arange(width) - width // 2, torch.arange(size)
    chosen = pixels if rows is None else pixels[rows.start : rows.stop]
    turns = torch.outer(chosen, offsets).double() / size
    waves = torch.polar(torch.ones_like(turns), -2 * math.pi * turns).to(weights)
    return (weights.movedim(2 + axis, -1) @ waves.mT).movedim(-1, 2 + axis)


def _unit(vector: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(vector, dim=1, keepdim=True)
    return vector / length.clamp(min=torch.finfo(length.dtype).tiny)


def _phase(value: Tensor) -> Tensor:
    return torch.polar(torch.ones_like(value.real), value.angle())
