"""Learn once more, from the scan's own reconstruction: every measured line outside the ACS is an equation, too.

What is learnt on the bright centre of k-space is used in its dim periphery, where other weights are best. There
measured lines abound, but not their neighbours: these are what the first map made of the lines around them. So each
measured lattice line is predicted from reconstructed lines that surround it as measured ones surround a missing line.

Reconstructed samples are not measured ones: they are the mean of what is likely, given the measured lines, and they
scatter around it by a covariance that the ACS tells. Second moments of samples are therefore those of the means plus
that covariance (the expectation step of Dempster, Laird and Rubin 1977, J R Stat Soc B 39:1); without it errors of the
first map pass for signal. Only measured samples are targets, so that the first map is never asked to confirm itself.

Equations of the ACS count as much as they are alike: by the inverse of the misfit that weights from outside leave on
the ACS, against what they leave outside. Where one map holds everywhere, the ACS decides; elsewhere, the periphery.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from raki.interpolation.calibration import Calibration, Learnt, PatchMap
from raki.interpolation.least_squares import LinearMap, NormalEquations
from raki.interpolation.neighbours import Cells, Kernel, Neighbourhood
from raki.interpolation.powers import patch_power, squares
from raki.interpolation.tuning import Misfit, Tuned, cross_validated, tune

CalibrationFrom = Literal['own', 'measured']
"""What a method learns from: measured lines, or also the scan's own reconstruction."""

NOTE = "learnt once more from the scan's own reconstruction"
NOT_ANEW = 'learnt from the ACS only: too few lines around it, or the ACS was measured apart'
"""What a user is told."""

MOST_ELEMENTS = 2**23
"""Source samples of all equations of a target; more equations would tell the same [1]."""


def relearnt(calibration: Calibration, tuned: Tuned) -> Tuned:
    """Weights that hold where lines are missing, from those that were tuned on the ACS; the same without enough lines.

    1. The first map fills what it can; the scatter of its errors comes from its residuals on the ACS.
    2. For each target, measured lattice lines there are predicted from reconstructed ones at the places of the sources.
    3. What these weights leave unexplained on the ACS, against outside, tells how much equations of the ACS count.
    4. All equations of a target are solved together, its ridge by generalised cross-validation.

    Measured apart from the k-space to fill, an ACS may be of another unit: then nothing is learnt anew.
    """
    if calibration.is_separate or calibration.lines is None:
        return tuned
    outside = Outside.of(calibration, tuned)
    found = [outside.equations(number) for number in range(len(tuned.neighbourhood.targets))]
    parts = [part for part in found if part is not None]
    if len(parts) < len(found):
        return tuned
    weights, _, left = _solution(parts)
    if not math.isfinite(left):
        return tuned
    acs, weight = _of_acs(calibration, tuned.neighbourhood, weights, left)
    weight += sum(part.n_equations for part in parts) / len(parts)
    return _as_tuned(tuned, [part + _of_target(acs, number, len(parts)) for number, part in enumerate(parts)], weight)


def learn_linear(calibration: Calibration, kernels: Sequence[Kernel], source: CalibrationFrom) -> Learnt:
    """The tuned linear map, of measured lines or of the scan's own reconstruction as well."""
    tuned = tune(calibration, kernels)
    return tuned.learnt() if source == 'measured' else learnt_anew(tuned, relearnt(calibration, tuned))


def doubled(calibration: Calibration) -> Calibration:
    """With twice the lines of the ACS, as a linear map that was learnt anew reconstructs them, measured ones kept.

    For methods that train on one block. The same where the ACS was measured apart.
    """
    if calibration.is_separate or calibration.lines is None:
        return calibration
    learnt = learn_linear(calibration, (), 'own')
    return calibration.extended(learnt.patch_map, learnt.neighbourhood, 2 * max(calibration.acs_shape))


def learnt_anew(first: Tuned, own: Tuned, patch_map: PatchMap | None = None, warnings: tuple[str, ...] = ()) -> Learnt:
    """What a method gives back that uses weights learnt anew, or a map that starts from them; edges keep the ACS."""
    learnt = first.learnt(own.linear if patch_map is None else patch_map, warnings)
    note = NOTE if own is not first else NOT_ANEW
    return replace(learnt, n_equations=own.total.n_equations, notes=(note,))


@dataclass(frozen=True, slots=True, eq=False)
class Outside:
    """A reconstruction by a first map, and how sure it is."""

    calibration: Calibration
    neighbourhood: Neighbourhood
    lines: Tensor
    """Axes (coil, line, readout), of the readout only what the first map reaches."""
    is_known: Tensor
    """Which lines were measured or reconstructed, boolean, axes (line,)."""
    errors: Tensor
    """Expected |error|^2, summed over targets of a cell, float64, axes (line, readout); zero where measured."""
    covariance: Tensor
    """Of errors between coils, complex128, axes (target, coil, coil), of all targets together with the trace 1."""

    @classmethod
    def of(cls, calibration: Calibration, tuned: Tuned, patch_map: PatchMap | None = None) -> 'Outside':
        """By tuned weights, or by another map of the same extent that is at least as sure."""
        measured, cells = calibration.measured, calibration.lattice_cells(tuned.neighbourhood)
        columns, lines = tuned.neighbourhood.columns(measured.shape[-1]), torch.zeros_like(measured)
        cells.put(lines, (patch_map or tuned.linear)(measured, cells), columns)
        expected = tuned.misfit.at(patch_power(measured, cells))[None, None]
        errors = torch.zeros(measured.shape[1:], dtype=torch.float64, device=lines.device)
        cells.put(errors[None], expected.expand(1, cells.targets.shape[1], -1, -1), columns)
        is_known = calibration.known.clone()
        is_known[cells.targets[cells.targets >= 0].to(is_known.device)] = True
        known, kept = calibration.known[:, None], slice(columns.start, columns.stop)
        lines, errors = torch.where(known, measured, lines)[..., kept], (errors * ~known)[..., kept]
        return cls(calibration, tuned.neighbourhood, lines, is_known, errors, _covariance(calibration, tuned))

    def equations(self, number: int) -> NormalEquations | None:
        """Of measured lines as the target of this number, all alike; None where there is nothing to learn from."""
        cells = self._some(self.cells(number, self.neighbourhood))
        seen = self.lines[:, cells.used[0].to(self.lines.device)]
        if not bool(seen.any()) or not cells.neighbourhood.columns(seen.shape[-1]):
            return None
        found = NormalEquations.of(self.lines, cells)
        return replace(found, gram=found.gram + self._scatter(cells, self.covariance[self._opposite(number)]))

    def cells(self, number: int, around: Neighbourhood) -> Cells:
        """Places where a lattice line is the target of this number and all sources are known, but not all measured."""
        pattern, target = self.calibration.pattern, around.targets[number]
        anchors, single = pattern.points.cpu().nonzero() - torch.tensor(target), replace(around, targets=(target,))
        every = Cells(single, anchors, tuple(pattern.mask.shape), pattern.filled)
        whole = every.at(every.is_whole)
        known, measured = (each.cpu()[whole.sources].all(1) for each in (self.is_known, self.calibration.known))
        return whole.at(known & ~measured)

    def _some(self, cells: Cells) -> Cells:
        n_sources = len(self.lines) * len(cells.neighbourhood.sources) * len(cells.neighbourhood.samples)
        return cells.at(slice(None, None, max(1, len(cells) * self.lines.shape[-1] * n_sources // MOST_ELEMENTS)))

    def drawn(self, generator: torch.Generator) -> Tensor:
        """Lines as they may well have been, axes as `lines`: with errors as likely as those of the map."""
        noise = torch.randn(self.lines.shape, dtype=self.lines.dtype, generator=generator).to(self.lines.device)
        values, vectors = torch.linalg.eigh(self.covariance)
        factors = (vectors * values.clamp(min=0).sqrt()[:, None]).to(noise.dtype)
        targets, found = self.calibration.lattice_cells(self.neighbourhood).targets.to(noise.device), self.lines.clone()
        for factor, numbers in zip(factors, targets.mT, strict=True):
            there = numbers[numbers >= 0]
            scale = self.errors[there].sqrt().to(noise.dtype)
            found[:, there] += torch.tensordot(factor, noise[:, there], dims=1) * scale
        return found

    def _opposite(self, number: int) -> int:
        """Number of the target whose place sources have when the target of this number is on the lattice."""
        targets = torch.tensor(self.neighbourhood.targets)
        return int(self.calibration.lattice.joins(targets + targets[number]).nonzero()[0])

    def _scatter(self, cells: Cells, covariance: Tensor) -> Tensor:
        """What errors of sources add to the Gram matrix; different samples err independently."""
        n_columns = len(cells.neighbourhood.columns(self.lines.shape[-1]))
        power = self.errors[cells.sources.to(self.errors.device)].unfold(-1, n_columns, 1).sum((0, 3)).flatten()
        gram = covariance.new_zeros(len(covariance), len(power), len(covariance), len(power))
        gram.diagonal(dim1=1, dim2=3).copy_(covariance.conj()[..., None] * power)
        return gram.flatten(2).flatten(0, 1)


def _covariance(calibration: Calibration, tuned: Tuned) -> Tensor:
    """Of residuals on the ACS, each in units of its expected misfit, see `Outside.covariance`."""
    cells, lines = calibration.cells(tuned.neighbourhood), calibration.acs_lines
    missed = (cells.values(lines) - tuned.linear(lines, cells)).to(torch.complex128)
    white = (missed * tuned.misfit.weight(patch_power(lines, cells)).sqrt()).transpose(0, 1).flatten(2)
    found = white @ white.mH
    return found / found.diagonal(dim1=1, dim2=2).real.sum().clamp(min=torch.finfo(torch.float64).tiny)


def _solution(parts: Sequence[NormalEquations]) -> tuple[Tensor, float, float]:
    """Weights of all targets, the geometric mean of their ridges, and the error that is expected of them.

    Weights have axes (source, (coil, target)); ridges are those of cross-validation, and the error is its estimate of
    the mean |error|^2 of an equation, summed over targets.
    """
    ridges, left = zip(*(cross_validated(part) for part in parts), strict=True)
    weights = [part.solve(ridge) for part, ridge in zip(parts, ridges, strict=True)]
    ridge = math.exp(sum(map(math.log, ridges)) / len(ridges))
    return torch.stack(weights, dim=2).flatten(1), ridge, sum(left)


def _of_acs(
    calibration: Calibration, around: Neighbourhood, weights: Tensor, left: float
) -> tuple[NormalEquations, float]:
    """Equations of the ACS, each counted by what others leave unexplained over what these weights leave there.

    And how much they count in all.
    """
    lines, cells = calibration.acs_lines, calibration.cells(around)
    missed = cells.values(lines) - LinearMap(weights.to(torch.complex64))(lines, cells)
    power = patch_power(lines, cells).flatten()
    misfit = Misfit.from_residuals(power, squares(missed).sum((0, 1)).flatten())
    equations = NormalEquations.of(lines, cells, lambda power: left * misfit.weight(power))
    return equations, left * float(misfit.weight(power).sum())


def _of_target(equations: NormalEquations, number: int, n_targets: int) -> NormalEquations:
    """Only of the target of this number."""
    cross, energy = equations.cross[:, number::n_targets], equations.energy[number::n_targets]
    return replace(equations, cross=cross, energy=energy)


def _as_tuned(tuned: Tuned, parts: Sequence[NormalEquations], weight: float) -> Tuned:
    """One set of equations with the mean Gram matrix of all targets, whose solution are the weights of each.

    They count 1 on average; the parts' count `weight` in all, the mean of targets.
    """
    weights, ridge, _ = _solution(parts)
    n_equations, energy = parts[0].n_equations, torch.stack([part.energy for part in parts], dim=1).flatten()
    gram = sum((part.gram for part in parts[1:]), parts[0].gram) * (n_equations / weight / len(parts))
    shift = ridge * gram.diagonal().real.mean()
    cross = gram @ weights + shift * weights
    total = NormalEquations(gram, cross, energy * (n_equations / weight), n_equations, tuned.neighbourhood)
    return replace(tuned, regularization=ridge, folds=(total,))
