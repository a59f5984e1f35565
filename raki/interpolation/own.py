"""Learn once more, from the scan's own reconstruction: every measured line outside the ACS is an equation, too.

What is learnt on the bright centre of k-space is used in its dim periphery, where other weights are best. There
measured lines abound, but not their neighbours: these are what the first map made of the lines around them. So lines
are predicted from lines that surround them as measured ones surround missing ones, at all positions of a cell.

Reconstructed samples are not measured ones: they are the mean of what is likely, given the measured lines, and they
scatter around it as residuals on the ACS tell, between coils and along the readout. Second moments of sources are those
of the means plus that scatter (the expectation step of Dempster, Laird and Rubin 1977, J R Stat Soc B 39:1); without it
errors of the first map pass for signal. Errors of targets are taken as independent of it, which makes one step bolder
than one of expectation-maximisation. The scatter is no larger than it can be: what errors of sources alone make of a
prediction is at most all that the first map is expected to miss.

Equations of the ACS count as much as they are alike: by the inverse of the misfit that weights from outside leave on
the ACS, against what they leave outside. Where one map holds everywhere, the ACS decides; elsewhere, the periphery.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from raki.data.lattice import Lattice, Offset
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

MOST_ELEMENTS = 2**20
"""Source samples of all equations of a position of the cell; eight times as many take twice the time for 2 % [1]."""


def relearnt(calibration: Calibration, tuned: Tuned) -> Tuned:
    """Weights that hold where lines are missing, from those that were tuned on the ACS; the same without enough lines.

    1. The first map fills what it can; the scatter of its errors comes from its residuals on the ACS.
    2. Every line that was measured or filled is predicted from others at the places of the sources, all alike.
    3. What these weights leave unexplained on the ACS, against outside, tells how much equations of the ACS count.
    4. All equations are solved together, with the ridge of generalised cross-validation.

    Where the ACS was measured apart, nothing is learnt anew, for it may be of another unit.
    """
    found = around_acs(calibration, tuned)
    if found is None:
        return tuned
    ridge, left, _ = cross_validated(found)
    if not math.isfinite(left):
        return tuned
    (acs,), weight = of_acs(calibration, tuned.neighbourhood, found.solve(ridge), left)
    total = found + acs
    scale = total.n_equations / (found.n_equations + weight)  # equations count 1 on average, as the gates want
    total = replace(total, gram=scale * total.gram, cross=scale * total.cross, energy=scale * total.energy)
    ridge, _, condition = cross_validated(total)
    return replace(tuned, regularization=ridge, folds=(total,), condition=condition)


def around_acs(calibration: Calibration, tuned: Tuned) -> NormalEquations | None:
    """Equations of lines that were measured, from the first reconstruction around them; None where there are none."""
    if calibration.is_separate or calibration.lines is None:
        return None
    if calibration.acs.shape[-1] < 2 * len(tuned.neighbourhood.samples) - 1:  # errors must be seen over a patch's width
        return None
    key = ('around', calibration.lattice, tuned.neighbourhood)
    return calibration.once(key, lambda: Outside.of(calibration, tuned).bounded(tuned).equations())


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
    moments: Tensor
    """Of errors in a window along the readout, E conj(e) e', complex128, axes (kind of line, (coil, sample), (coil,
    sample)): targets of the cells of each kind; those of all targets of a cell and coils have the mean square 1
    together."""
    kind: Tensor
    """Of each line, integers, axes (line,); any where there are no errors."""

    first: int = 0
    """Number of the first target of the cells to learn for, among kinds of lines."""

    @classmethod
    def of(cls, calibration: Calibration, tuned: Tuned, patch_map: PatchMap | None = None) -> 'Outside':
        """By tuned weights, or on a lattice by another map of the same extent that is at least as sure.

        Cells of all kinds reconstruct, once for all of them.
        """
        if isinstance(calibration.lattice, Lattice):
            return cls._by([(calibration, tuned)], tuned, patch_map)
        every = [(kind, tune(kind, tuned.kernels)) for kind in calibration.kinds]
        width = len(tuned.neighbourhood.samples)
        found = calibration.once(('outside', width, tuned.kernels), lambda: cls._by(every, tuned))
        before = itertools.takewhile(lambda each: each[0].lattice != calibration.lattice, every)
        first = sum(len(other.neighbourhood.targets) for _, other in before)
        return replace(found, calibration=calibration, neighbourhood=tuned.neighbourhood, first=first)

    @classmethod
    def _by(
        cls, every: Sequence[tuple[Calibration, Tuned]], tuned: Tuned, patch_map: PatchMap | None = None
    ) -> 'Outside':
        """By cells of every kind, with moments for a neighbourhood as wide as that of tuned weights."""
        calibration = every[0][0]
        measured, known = calibration.measured, calibration.known[:, None]
        lines, is_known, moments = torch.zeros_like(measured), calibration.known.clone(), list[Tensor]()
        errors = torch.zeros(measured.shape[1:], dtype=torch.float64, device=lines.device)
        kind, reached = torch.zeros(len(is_known), dtype=torch.int64), range(measured.shape[-1])
        for each, own in every:
            cells, columns = each.lattice_cells(own.neighbourhood), own.neighbourhood.columns(measured.shape[-1])
            if len(cells):
                cells.put(lines, (patch_map or own.linear)(measured, cells), columns)
                expected = own.misfit.at(patch_power(measured, cells))[None, None]
                cells.put(errors[None], expected.expand(1, cells.targets.shape[1], -1, -1), columns)
            is_known[cells.targets[cells.targets >= 0].to(is_known.device)] = True
            for number, targets in enumerate(cells.targets.mT, start=sum(map(len, moments))):
                kind[targets[targets >= 0]] = number
            moments.append(_moments(each, own, len(tuned.neighbourhood.samples)))
            reached = range(max(reached.start, columns.start), min(reached.stop, columns.stop))
        kept = slice(reached.start, reached.stop)
        lines, errors = torch.where(known, measured, lines)[..., kept], (errors * ~known)[..., kept]
        return cls(calibration, tuned.neighbourhood, lines, is_known, errors, torch.cat(moments), kind)

    def equations(self) -> NormalEquations | None:
        """Of all cells that are known but not all measured, on the lattice and beside it; None without any of these."""
        targets = self.neighbourhood.targets
        on = self._equations(self._all_known(self.calibration.lattice_cells(self.neighbourhood)), is_scattered=False)
        every = [self._equations(self._known(target, self.neighbourhood)) for target in targets]
        beside = [part for part in every if part is not None]
        return sum(beside, on) if on is not None and beside else None

    def bounded(self, tuned: Tuned) -> 'Outside':
        """With errors no larger than they can be.

        A measured sample t and weights w of the first map leave E |t - w s|^2 = |t - w E s|^2 + w^H C w, with C the
        covariance of reconstructed sources s. The misfit of the map is expected of both, so w^H C w cannot exceed it.
        """
        through = expected = 0.0
        weights, n_targets = tuned.linear.weights.to(torch.complex128), len(self.neighbourhood.targets)
        moments = self.moments[self.first : self.first + n_targets]
        parts = moments.diagonal(dim1=1, dim2=2).real.sum(1) / len(self.neighbourhood.samples)
        for number in range(n_targets):
            cells, own = self.cells(number, self.neighbourhood), weights[:, number::n_targets]
            through += float((own.conj() * (self._scatter(cells) @ own)).real.sum()) if len(cells) else 0.0
            expected += float(parts[number]) * float(tuned.misfit.at(patch_power(self.lines, cells)).sum())
        return replace(self, errors=self.errors * min(1.0, expected / through)) if through > 0 else self

    def cells(self, number: int, around: Neighbourhood) -> Cells:
        """Places where a lattice line is the target of this number and all sources are known, but not all measured."""
        target = around.targets[number]
        return self._known(target, replace(around, targets=(target,)))

    def _known(self, back: Offset, around: Neighbourhood) -> Cells:
        """Places so far before lines of the lattice, or in the order of the spacing."""
        pattern = self.calibration.pattern
        anchors = pattern.points.cpu().nonzero() - torch.tensor(back)
        return self._all_known(Cells(around, anchors, tuple(pattern.mask.shape), pattern.filled))

    def _all_known(self, every: Cells) -> Cells:
        """Those of some cells where everything is known, but not all measured."""
        whole = every.at(every.is_whole & (every.targets >= 0).all(1))
        numbers = torch.cat([whole.sources, whole.targets], dim=1)
        known, measured = (each.cpu()[numbers].all(1) for each in (self.is_known, self.calibration.known))
        return whole.at(known & ~measured)

    def _equations(self, cells: Cells, *, is_scattered: bool = True) -> NormalEquations | None:
        """Of some cells, with or without what errors of sources add."""
        n_columns = len(cells.neighbourhood.columns(self.lines.shape[-1]))
        n_sources = len(self.lines) * len(cells.neighbourhood.sources) * len(cells.neighbourhood.samples)
        some = cells.at(slice(None, None, max(1, len(cells) * n_columns * n_sources // MOST_ELEMENTS)))
        if not len(some) or not n_columns or not bool(self.lines[:, some.used[0].to(self.lines.device)].any()):
            return None
        found = NormalEquations.of(self.lines, some)
        return replace(found, gram=found.gram + self._scatter(some)) if is_scattered else found

    def _scatter(self, cells: Cells) -> Tensor:
        """What errors of sources add to the Gram matrix; those of different lines are independent."""
        width, n_coils, n_sources = len(cells.neighbourhood.samples), len(self.lines), cells.sources.shape[1]
        scale = self.errors.sqrt()[cells.sources.to(self.errors.device)].unfold(-1, self.lines.shape[-1] - width + 1, 1)
        moments = self.moments.view(-1, n_coils, width, n_coils, width)
        gram = moments.new_zeros(n_coils, n_sources, width, n_coils, n_sources, width)
        for source, numbers in enumerate(cells.sources.mT):
            for kind in self.kind[numbers].unique():
                some = scale[(self.kind[numbers] == kind).to(scale.device), source]
                gram[:, source, :, :, source] += moments[kind] * torch.einsum('cax,cbx->ab', some, some)[:, None]
        return gram.flatten(3).flatten(0, 2)

    def drawn(self, generator: torch.Generator) -> Tensor:
        """Lines as they may well have been, axes as `lines`: with errors as likely as those of the map."""
        noise = torch.randn(self.lines.shape, dtype=self.lines.dtype, generator=generator).to(self.lines.device)
        n_coils, width = len(self.lines), len(self.neighbourhood.samples)
        moments = self.moments.unflatten(1, (n_coils, width)).unflatten(3, (n_coils, width))
        values, vectors = torch.linalg.eigh(moments.diagonal(dim1=2, dim2=4).mean(-1).conj())
        factors = (vectors * values.clamp(min=0).sqrt()[:, None]).to(noise.dtype)
        targets, found = self.calibration.lattice_cells(self.neighbourhood).targets.to(noise.device), self.lines.clone()
        for factor, numbers in zip(factors, targets.mT, strict=True):
            there = numbers[numbers >= 0]
            scale = self.errors[there].sqrt().to(noise.dtype)
            found[:, there] += torch.tensordot(factor, noise[:, there], dims=1) * scale
        return found


def _moments(calibration: Calibration, tuned: Tuned, width: int) -> Tensor:
    """Of residuals on the ACS over so many samples, in units of their expected misfit, see `Outside.moments`."""
    cells, lines = calibration.cells(tuned.neighbourhood), calibration.acs_lines
    missed = (cells.values(lines) - tuned.linear(lines, cells)).to(torch.complex128)
    white = missed * tuned.misfit.weight(patch_power(lines, cells)).sqrt()
    windows = white.unfold(-1, width, 1)
    rows = windows.permute(1, 2, 3, 0, 4).flatten(3).flatten(1, 2)
    unit = squares(white).sum((0, 1)).mean().clamp(min=torch.finfo(torch.float64).tiny)
    return rows.mH @ rows / (rows.shape[1] * unit)


def of_acs(
    calibration: Calibration,
    around: Neighbourhood,
    weights: Tensor,
    left: float,
    places: Sequence[Tensor | slice] = (slice(None),),
) -> tuple[list[NormalEquations], float]:
    """Equations of the ACS, each counted by what others leave unexplained over what these weights leave there.

    Of some of its cells together, for each of `places`. And how much all of them count.
    """
    lines, cells = calibration.acs_lines, calibration.cells(around)
    missed = cells.values(lines) - LinearMap(weights.to(torch.complex64))(lines, cells)
    power = patch_power(lines, cells).flatten()
    misfit = Misfit.from_residuals(power, squares(missed).sum((0, 1)).flatten())
    every = [NormalEquations.of(lines, cells.at(place), lambda power: left * misfit.weight(power)) for place in places]
    return every, left * float(misfit.weight(power).sum())
