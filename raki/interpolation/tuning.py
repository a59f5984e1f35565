"""What GRAPPA leaves open, chosen from the ACS alone: how much each equation counts, the ridge, and the kernel.

Least squares treats all equations alike, but what a kernel leaves unexplained is not alike: noise is the same
everywhere, the misfit of a short kernel grows with the signal around it. The few bright equations at the centre of
k-space then decide over weights that are used in the dim periphery. Weighted by the inverse of their expected misfit,
which is estimated from the residuals of a first fit (feasible generalised least squares), equations tell as much as
they know; where only noise is left unexplained the weights become equal and nothing changes. With equations of equal
variance, generalised cross-validation finds the ridge, and rows of the ACS left out in turn find the kernel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from raki.interpolation.fit import Calibration, Learnt, PatchMap
from raki.interpolation.kernel import Kernel, patches
from raki.interpolation.linear import LinearMap, NormalEquations
from raki.interpolation.moments import calibration_targets, energies, mean_power

FIRST_RIDGE = 1e-3
"""Of the fit whose residuals tell the misfit, relative to the mean energy of a source sample [1]."""

RIDGES = torch.logspace(-9, 1, 41, dtype=torch.float64)
"""Ridge weights to choose from, relative to the mean energy of a weighted source sample [1]."""

N_REWEIGHTINGS = 2
"""Times that the misfit is estimated anew from the residuals of a weighted fit."""

N_BLOCKS = 4
"""Blocks of neighbouring rows of the ACS that are left out in turn."""

N_BINS = 24
"""Groups of patches of similar power over which squared residuals are averaged."""

EQUATIONS_PER_SOURCE = 8
"""Equations for the misfit, per source of the kernel; those in between tell the same [1]."""

FLOOR = 1e-9
"""Least misfit of a patch, relative to the mean of all, so that no equation decides alone [1]."""

MAX_LEVERAGE = 0.99
"""Largest part of an equation's own influence on its prediction that is corrected for [1]."""

MIN_FREEDOM = 0.02
"""Least part of the equations that must be left over for their residuals to mean anything [1]."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """Power that a kernel is expected to leave unexplained, summed over targets: noise + share * power of the patch."""

    noise: float
    """Where there is no signal [unit of k-space squared]."""

    share: float
    """Part of the mean power of a patch's sources [1]."""

    def at(self, power: Tensor) -> Tensor:
        """Of patches of this mean power."""
        return self.noise + self.share * power

    def weight(self, power: Tensor) -> Tensor:
        """How much equations of patches of this mean power count: equations of weight 1 have unit variance."""
        return 1 / self.at(power)

    @classmethod
    def from_residuals(cls, power: Tensor, residual: Tensor) -> 'Misfit':
        """Fit to squared residuals, axes (patch,) both, by the likelihood of an exponential distribution.

        Its standard deviation is its mean, so bright and dim patches count alike.
        """
        power, residual, count = _binned(power, residual)
        units = float(power.mean()), float(residual.mean())
        if not min(units) > 0:
            return cls(1.0, 0.0)
        power, residual = power / units[0], residual / units[1]
        expected, both = residual.clamp(min=FLOOR), torch.stack([torch.ones_like(power), power], dim=1)
        noise = share = 0.0
        for _ in range(20):
            noise, share = _non_negative_fit(both, residual, count / expected.square())
            expected = (noise + share * power).clamp(min=FLOOR)
        return cls(max(noise, FLOOR) * units[1], share * units[1] / units[0])


def _binned(power: Tensor, residual: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means of power and residual over groups of patches of similar power, and their sizes."""
    groups = power.argsort().tensor_split(min(N_BINS, len(power)))
    means = [torch.stack([values[group].double().mean() for group in groups]) for values in (power, residual)]
    return means[0], means[1], torch.tensor([len(group) for group in groups], dtype=torch.float64).to(power.device)


def _non_negative_fit(columns: Tensor, wanted: Tensor, weights: Tensor) -> tuple[float, float]:
    """Weighted least squares with two coefficients that must not be negative."""
    weighted = columns * weights[:, None]
    gram, cross = columns.mT @ weighted, weighted.mT @ wanted
    both, failed = torch.linalg.solve_ex(gram, cross)
    if not bool(failed) and bool((both >= 0).all()):
        return float(both[0]), float(both[1])
    alone = cross / gram.diagonal()
    return (float(alone[0]), 0.0) if alone[0] * cross[0] >= alone[1] * cross[1] else (0.0, float(alone[1]))


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """Weights of one kernel with what was chosen for them."""

    kernel: Kernel
    """Acquired lines x readout samples."""

    weights: Tensor
    """Complex128, axes (source, target), as in `raki.interpolation.linear.LinearMap`."""

    regularization: float
    """Ridge weight, relative to the mean energy of a weighted source sample [1]."""

    misfit: Misfit
    """What the kernel leaves unexplained on the ACS."""

    expected_error: float
    """Mean |error|^2 outside the ACS, summed over targets, judged by rows of the ACS that were not learnt from."""

    blocks: tuple[NormalEquations, ...]
    """Weighted equations of parts of the ACS, along lines those of `row_blocks`."""

    @property
    def linear(self) -> LinearMap:
        """The weights as a patch map."""
        return LinearMap(self.weights.to(torch.complex64), self.kernel)

    def learnt(self, patch_map: PatchMap, warnings: tuple[str, ...] = ()) -> Learnt:
        """What a method gives back that uses this map, or another of the same extent that starts from it."""
        ridge, n_equations = min(self.regularization, FIRST_RIDGE), sum(block.n_equations for block in self.blocks)
        return Learnt(patch_map, self.kernel, ridge, n_equations, len(self.weights), warnings)


def tune(calibration: Calibration, kernels: Sequence[Kernel]) -> Tuned:
    """Choose weights, ridge and kernel; kernels that the ACS does not hold are left out, but the first.

    Raises
    ------
    CalibrationError
        If the ACS does not hold the first kernel, or nothing but zeros.
    """
    n_lines, n_readout = calibration.acs.shape[1:]
    others = [kernel for kernel in kernels[1:] if kernel.fits(n_lines, n_readout, calibration.acceleration)]
    every = [_tuned(calibration, kernel) for kernel in (kernels[0], *others)]
    return min(every, key=lambda tuned: tuned.expected_error)


def _tuned(calibration: Calibration, kernel: Kernel) -> Tuned:
    misfit = estimated_misfit(calibration, kernel)
    return tuned_on(_blocks(calibration, kernel, misfit), misfit, calibration.missing_power)


def tuned_on(blocks: Sequence[NormalEquations], misfit: Misfit, missing_power: float) -> Tuned:
    """Choose the ridge of one kernel; whatever the geometry.

    Parameters
    ----------
    blocks
        Equations of parts of the ACS, weighted by the misfit.
    misfit
        What the kernel leaves unexplained.
    missing_power
        Mean |k-space sample|^2 where the weights will be used.
    """
    total = sum(blocks[1:], blocks[0])
    ridge = least_gcv(total)
    expected = held_out_error(blocks, total, ridge) * float(misfit.at(torch.tensor(missing_power)))
    return Tuned(total.kernel, total.solve(ridge), ridge, misfit, expected, tuple(blocks))


def _blocks(calibration: Calibration, kernel: Kernel, misfit: Misfit) -> list[NormalEquations]:
    """Weighted equations of blocks of neighbouring rows of the ACS."""
    acs, acceleration = calibration.acs, calibration.acceleration
    beyond = kernel.span(acceleration) - 1
    return [
        NormalEquations.from_acs(acs[:, rows.start : rows.stop + beyond], acceleration, kernel, misfit.weight)
        for rows in row_blocks(calibration, kernel)
    ]


def row_blocks(calibration: Calibration, kernel: Kernel) -> list[range]:
    """Rows of the ACS that are left out in turn; a row is a position of the kernel along the lines."""
    n_rows = calibration.acs.shape[1] - kernel.span(calibration.acceleration) + 1
    edges = [round(n_rows * block / N_BLOCKS) for block in range(N_BLOCKS + 1)]
    return [range(start, stop) for start, stop in pairwise(edges) if stop > start]


def least_gcv(equations: NormalEquations) -> float:
    """Ridge weight with the least generalised cross-validation score, one eigendecomposition for all.

    References
    ----------
    Golub, Heath and Wahba 1979, Technometrics 21:215 (https://doi.org/10.1080/00401706.1979.10489751).
    """
    values, vectors = torch.linalg.eigh(equations.gram)
    values = values.clamp(min=0)
    shifted = values + RIDGES.to(values)[:, None] * values.mean()
    explained = (vectors.mH @ equations.cross).abs().square().sum(1) * (2 / shifted - values / shifted.square())
    unexplained = (equations.energy.sum() - explained.sum(1)).clamp(min=0)
    freedom = equations.n_equations - (values / shifted).sum(1)
    score = unexplained / freedom.square()
    score[freedom < MIN_FREEDOM * equations.n_equations] = torch.inf
    return float(RIDGES[int(score.argmin())]) if bool(score.isfinite().any()) else float(RIDGES[-1])


def held_out_error(blocks: Sequence[NormalEquations], total: NormalEquations, ridge: float) -> float:
    """Mean weighted squared error of blocks that are left out in turn, in units of the expected misfit.

    Infinite with fewer than two: nothing is known about rows that were not learnt from.
    """
    if len(blocks) < 2:
        return math.inf
    errors = [float(block.unexplained((total - block).solve(ridge)).sum()) for block in blocks]
    return sum(errors) / total.n_equations


def estimated_misfit(calibration: Calibration, kernel: Kernel, ridge: float = FIRST_RIDGE) -> Misfit:
    """What a kernel leaves unexplained on the ACS."""
    return misfit_of(*_some_pairs(calibration, kernel), kernel, calibration.acs.shape[:2], ridge)


def misfit_of(
    sources: Tensor, targets: Tensor, kernel: Kernel, shape: Sequence[int], ridge: float = FIRST_RIDGE
) -> Misfit:
    """What a kernel leaves unexplained, from leave-one-out residuals of a fit, and again of weighted ones.

    Parameters
    ----------
    sources, targets
        Equations, axes (equation, source) and (equation, target).
    kernel
        Extent of a patch.
    shape
        Number of coils and of ACS lines.
    ridge
        Ridge weight of the fits, relative to the mean energy of a weighted source sample [1].
    """
    power = mean_power(sources)
    misfit = Misfit(noise=1.0, share=0.0)
    for _ in range(1 + N_REWEIGHTINGS):
        weight = misfit.weight(power)
        scale = weight.sqrt()[:, None]
        pairs = [(scale * sources, scale * targets)]
        equations = NormalEquations.from_pairs(pairs, kernel, *shape)
        missed = left_out_residuals(equations, ridge, sources, targets, weight)
        misfit = Misfit.from_residuals(power, mean_power(missed) * missed.shape[1])
    return misfit


def _some_pairs(calibration: Calibration, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """Equations evenly spread over the ACS, enough for a fit: axes (equation, source) and (equation, target)."""
    sources = patches(calibration.acs, kernel, dilation=calibration.acceleration).flatten(0, 1)
    targets = calibration_targets(calibration.acs, calibration.acceleration, kernel).flatten(0, 1).flatten(1)
    n_wanted = EQUATIONS_PER_SOURCE * sources.shape[1]
    chosen = slice(None, None, max(1, len(sources) // n_wanted))
    return sources[chosen], targets[chosen]


def left_out_residuals(
    equations: NormalEquations, ridge: float, sources: Tensor, targets: Tensor, weight: Tensor
) -> Tensor:
    """Residual of each equation if it alone were not part of the fit.

    Parameters
    ----------
    equations
        All equations.
    ridge
        Ridge weight, relative to the mean energy of a source sample [1].
    sources, targets
        Some of them, axes (equation, source) and (equation, target).
    weight
        How much each of these counted, axes (equation,).

    Returns
    -------
    Axes (equation, target).
    """
    factor = equations.factor(ridge).to(sources.dtype)
    whitened = torch.linalg.solve_triangular(factor, sources.mH, upper=False)
    leverage = weight * energies(whitened)
    missed = targets - sources @ equations.solve(ridge).to(sources.dtype)
    return missed / (1 - leverage.clamp(max=MAX_LEVERAGE))[:, None]
