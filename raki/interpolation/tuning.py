"""What a linear map leaves open, chosen from the ACS alone: how much each equation counts, the ridge, and the kernel.

Least squares treats all equations alike, but what a kernel leaves unexplained is not alike: noise is the same
everywhere, the misfit of a short kernel grows with the signal around it. The few bright equations at the centre of
k-space then decide over weights that are used in the dim periphery. Weighted by the inverse of their expected misfit,
which is estimated from the residuals of a first fit (feasible generalised least squares), equations tell as much as
they know; where only noise is left unexplained the weights become equal and nothing changes. With equations of equal
variance, generalised cross-validation finds the ridge, and rows of the ACS left out in turn find the kernel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from raki.data.lattice import Lattice
from raki.interpolation.calibration import Calibration, Learnt, PatchMap
from raki.interpolation.least_squares import LinearMap, NormalEquations, energies, mean_power, pairs
from raki.interpolation.neighbours import Kernel, Neighbourhood

LINE_KERNELS = (Kernel(lines=2, readout=5), Kernel(lines=2, readout=7))
"""Kernels to choose from, smallest first. With weighted equations, more lines do not pay for their unknowns."""

VOLUME_KERNELS = (Kernel(lines=2, readout=5), Kernel(lines=3, readout=5))
"""Kernels to choose from in volumes: lattice points closer than one cell, or one and a half."""

FIRST_RIDGE = 1e-3
"""Of the fit whose residuals tell the misfit, relative to the mean energy of a source sample [1]."""

SINGLE, SINGLE_RIDGE = torch.float32, 1e-4
"""Products of equations that only tell the misfit may be rounded to this, with a ridge no weaker than that [1]."""

RIDGES = torch.logspace(-9, 1, 41, dtype=torch.float64)
"""Ridge weights to choose from, relative to the mean energy of a weighted source sample [1]."""

N_REWEIGHTINGS = 2
"""Times that the misfit is estimated anew from the residuals of a weighted fit."""

N_BINS = 24
"""Groups of patches of similar power over which squared residuals are averaged."""

EQUATIONS_PER_SOURCE = {1: 8, 2: 6}
"""Equations for the misfit per source of the kernel, by the number of phase axes; more of them tell the same [1]."""

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


@dataclass(frozen=True, eq=False)
class Tuned:
    """Weights of one neighbourhood with what was chosen for them."""

    neighbourhood: Neighbourhood
    """Where sources and targets are."""

    regularization: float
    """Ridge weight, relative to the mean energy of a weighted source sample [1]."""

    misfit: Misfit
    """What the neighbourhood leaves unexplained on the ACS."""

    expected_error: float
    """Mean |error|^2 outside the ACS, summed over targets, judged by rows of the ACS that were not learnt from."""

    folds: tuple[NormalEquations, ...]
    """Weighted equations of `Calibration.folds`."""

    condition: float | None = None
    """Largest over smallest eigenvalue of the normal equations with the ridge [1]."""

    kernels: tuple[Kernel, ...] = ()
    """That were to choose from; `kernels_for` the calibration where there are none."""

    @cached_property
    def total(self) -> NormalEquations:
        """Weighted equations of the whole ACS."""
        return sum(self.folds[1:], self.folds[0])

    @cached_property
    def linear(self) -> LinearMap:
        """The weights as a patch map."""
        weights = self.total.solve(self.regularization)
        residual = self.total.residual(weights, self.regularization)
        return LinearMap(weights.to(torch.complex64), residual, self.condition)

    @cached_property
    def without(self) -> tuple[LinearMap, ...]:
        """What it would be without each of the folds."""
        left = [(self.total - fold).solve(self.regularization) for fold in self.folds]
        return tuple(LinearMap(weights.to(torch.complex64)) for weights in left)

    def learnt(self, patch_map: PatchMap | None = None, warnings: tuple[str, ...] = ()) -> Learnt:
        """What a method gives back that uses this map, or another of the same extent that starts from it."""
        ridge, total = min(self.regularization, FIRST_RIDGE), self.total
        found = self.linear if patch_map is None else patch_map
        return Learnt(found, self.neighbourhood, ridge, total.n_equations, len(total.gram), warnings)


def kernels_for(calibration: Calibration) -> tuple[Kernel, ...]:
    """Kernels to choose from, smallest first; they grow only along the other axis where one alone is accelerated."""
    if not calibration.has_two_axes:
        return LINE_KERNELS
    small, large = VOLUME_KERNELS
    assert isinstance(calibration.lattice, Lattice)  # gaps are those of one axis
    partitions, lines = calibration.lattice.cell
    if partitions == 1:
        return small, replace(large, lines=small.lines, partitions=large.n_partitions)
    return (small, replace(large, partitions=small.n_partitions)) if lines == 1 else VOLUME_KERNELS


def tune(calibration: Calibration, kernels: Sequence[Kernel] = ()) -> Tuned:
    """Choose weights, ridge and kernel; kernels that the ACS does not hold are left out, but the first.

    Kernels, by default `kernels_for` the calibration, are tried in order, smallest first, as long as they promise less
    error than the one before.

    Raises
    ------
    CalibrationError
        If the ACS does not hold the first kernel, or nothing but zeros.
    """
    chosen = kernels or kernels_for(calibration)
    return calibration.once(('tuned', calibration.lattice, *chosen), lambda: _best(calibration, tuple(kernels)))


def of_all_kinds(calibration: Calibration, tuned: Tuned) -> list[tuple[Calibration, Tuned]]:
    """What was tuned for one kind of cells, and then for all others of its pattern."""
    others = (kind for kind in calibration.kinds if kind.lattice != calibration.lattice)
    return [(calibration, tuned), *((kind, tune(kind, tuned.kernels)) for kind in others)]


def _best(calibration: Calibration, kernels: tuple[Kernel, ...]) -> Tuned:
    every = (calibration.neighbourhood(kernel) for kernel in kernels or kernels_for(calibration))
    first, *others = dict.fromkeys(every)
    best, size = _tuned(calibration, first), calibration.acs.shape[1:]
    for around in others:
        if all(wanted <= there for wanted, there in zip(around.extent, size, strict=True)):
            found = _tuned(calibration, around)
            if not found.expected_error < best.expected_error:
                break
            best = found
    return replace(best, kernels=kernels)


def _tuned(calibration: Calibration, around: Neighbourhood) -> Tuned:
    """Choose the ridge of one neighbourhood."""
    cells, lines = calibration.cells(around), calibration.acs_lines
    misfit = estimated_misfit(calibration, around)
    folds = [NormalEquations.of(lines, cells.at(fold), misfit.weight) for fold in calibration.folds(around)]
    total = sum(folds[1:], folds[0])
    ridge, _, condition = cross_validated(total)
    expected = _held_out_error(folds, total, ridge) * float(misfit.at(torch.tensor(calibration.missing_power)))
    return Tuned(around, ridge, misfit, expected, tuple(folds), condition)


def least_gcv(equations: NormalEquations) -> float:
    """Ridge weight with the least generalised cross-validation score."""
    return cross_validated(equations)[0]


def cross_validated(equations: NormalEquations) -> tuple[float, float, float]:
    """Ridge weight with the least generalised cross-validation score, one eigendecomposition for all.

    And that score: the mean |error|^2 of an equation that was not learnt from, summed over targets; infinite where the
    equations leave no freedom to judge. And the condition number of the equations with that ridge.

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
    score = equations.n_equations * unexplained / freedom.square()
    score[freedom < MIN_FREEDOM * equations.n_equations] = torch.inf
    best = int(score.argmin()) if bool(score.isfinite().any()) else len(RIDGES) - 1
    return float(RIDGES[best]), float(score[best]), float(shifted[best].max() / shifted[best].min())


def _held_out_error(folds: Sequence[NormalEquations], total: NormalEquations, ridge: float) -> float:
    """Mean weighted squared error of folds that are left out in turn, in units of the expected misfit.

    Infinite with fewer than two: nothing is known about rows that were not learnt from.
    """
    if len(folds) < 2:
        return math.inf
    errors = [float(fold.unexplained((total - fold).solve(ridge)).sum()) for fold in folds]
    return sum(errors) / total.n_equations


def estimated_misfit(calibration: Calibration, around: Neighbourhood, ridge: float = FIRST_RIDGE) -> Misfit:
    """What a neighbourhood leaves unexplained, from leave-one-out residuals of a fit, and again of weighted ones.

    The ridge of these fits is relative to the mean energy of a weighted source sample [1].
    """
    sources, targets = _some_pairs(calibration, around)
    power, misfit = mean_power(sources), Misfit(noise=1.0, share=0.0)
    for _ in range(1 + N_REWEIGHTINGS):
        weight = misfit.weight(power)
        scale = weight.sqrt()[:, None].to(SINGLE if ridge >= SINGLE_RIDGE else power.dtype)
        equations = NormalEquations.from_pairs([(scale * sources, scale * targets)], around)
        missed = left_out_residuals(equations, ridge, sources, targets, weight)
        misfit = Misfit.from_residuals(power, mean_power(missed) * missed.shape[1])
    return misfit


def _some_pairs(calibration: Calibration, around: Neighbourhood) -> tuple[Tensor, Tensor]:
    """Equations evenly spread over the ACS, enough for a fit: axes (equation, source) and (equation, target)."""
    cells, lines = calibration.cells(around), calibration.acs_lines
    n_sources = len(lines) * len(around.sources) * len(around.samples)
    n_columns = len(around.columns(lines.shape[-1]))
    step, start = max(1, len(cells) * n_columns // (EQUATIONS_PER_SOURCE[1 + calibration.has_two_axes] * n_sources)), 0
    chosen = []
    for chunk in cells.chunks(n_sources * n_columns):
        chosen.append([part[-start % step :: step] for part in pairs(lines, chunk)])
        start += len(chunk) * n_columns
    sources, targets = (torch.cat(parts) for parts in zip(*chosen, strict=True))
    return sources, targets


def left_out_residuals(
    equations: NormalEquations, ridge: float, sources: Tensor, targets: Tensor, weight: Tensor
) -> Tensor:
    """Residual of each of some equations if it alone were not part of the fit to all, axes (equation, target).

    They have axes (equation, source) and (equation, target), and counted with a weight (equation,); the ridge is
    relative to the mean energy of a source sample [1].
    """
    factor = equations.factor(ridge).to(sources.dtype)
    whitened = torch.linalg.solve_triangular(factor, sources.mH, upper=False)
    leverage = weight * energies(whitened)
    missed = targets - sources @ equations.solve(ridge).to(sources.dtype)
    return missed / (1 - leverage.clamp(max=MAX_LEVERAGE))[:, None]
