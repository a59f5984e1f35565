"""Whether filling in does harm: from the scan's own data, whatever filled it in, against zero filling.

Scaled by any factor f, filled lines F leave |S - f F|^2 of the missing lines S. Zero filling (f = 0) is no worse than
filling in (f = 1) where the regression of S on F, Re<F, S> / <F, F>, is below 1/2. Noise in S does not matter to that.
<F, F> is known. <F, S> is the correlation of F and S times both norms: |S|^2 follows from measured neighbours, and the
correlation from ACS lines that were not learnt from: those at either end of the ACS, beyond which lines are missing.
They are predicted by the tuned linear map, and by the one that is learnt anew from the scan's own reconstruction, each
without their equations. Taking rows away from a short ACS costs much of what it teaches, so the greater correlation
decides. Where filled lines have more power than what they stand for, which a conditional mean never has (law of total
variance), neither may be trusted, and there is a warning if the lesser says that they do harm.

Held-out lines tell about lines like them. Where the brightest lines are not in the ACS, or one row of cells is all that
there is, k-space must be extrapolated, and errors may be twice as large as they were seen: the signal must then be
predicted to three quarters of its power, so that twice the error is less than zero filling's. Filled lines of too much
power are warned of there: neighbours of the bright centre are no measure of it, so they may be right all the same.

Lines without a lattice have no cells to hold out. But where |F| > 2 |S|, filling in does harm whatever F is:
|S - F| >= |F| - |S| > |S|.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, sqrt

import torch
from torch import Tensor

from raki.coils.transform import CoilTransform
from raki.data.masks import Irregular
from raki.errors import CalibrationError
from raki.interpolation.calibration import N_FOLDS, Calibration
from raki.interpolation.fit import Interpolator
from raki.interpolation.least_squares import LinearMap, NormalEquations, mean_power, pairs
from raki.interpolation.neighbours import Neighbourhood, by
from raki.interpolation.noise_power import noise_neighbourhood, noise_power
from raki.interpolation.own import around_acs, of_acs
from raki.interpolation.powers import energy, power_everywhere, squares
from raki.interpolation.tuning import Tuned, cross_validated, least_gcv, tune
from raki.magnitude import in_unit

LEAST_GAIN = 0.1
"""Least part of the missing energy that filling in must be expected to restore [1]."""

LEAST_EXPLAINED = 0.75
"""Least part of the signal power of held-out lines that is predicted where k-space is extrapolated [1]."""

MOST_POWER = 1.25
"""Most power of filled lines, over what their neighbours let expect, where k-space is extrapolated: these are no better
known than to a quarter [1]."""

DOUBTFUL_POWER, HARMFUL_POWER = 2.0, 4.0
"""Power of filled lines, over what measured lines let expect, from which they do harm unless they are correlated with
what they stand for by 0.71 and more, and whatever they are [1]."""

FALLBACK = 'not filled in (zero filling), as measured lines tell that filling in would do harm'
"""What a user is told first."""

DOUBT = (
    'ghosts are possible: {}, and filled lines have {:.2f} times the power of their neighbours: '
    'acquire more ACS lines at the centre, or compare with --method zero-filled'
)
"""What a user is told where harm is likely only."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How well samples were predicted that were not learnt from, summed over all."""

    overlap: float
    """Re<prediction, sample> [unit of k-space squared]."""

    predicted: float
    """|prediction|^2 [unit of k-space squared]."""

    measured: float
    """|sample|^2 [unit of k-space squared]."""

    n_samples: int
    """Number of samples [1]."""

    @classmethod
    def of(cls, prediction: Tensor, sample: Tensor) -> 'HeldOut':
        """Of arrays of the same axes."""
        overlap = float((prediction.conj() * sample).real.double().sum())
        return cls(overlap, float(squares(prediction).sum()), float(squares(sample).sum()), sample.numel())

    def __add__(self, other: 'HeldOut') -> 'HeldOut':
        """Of both."""
        names = 'overlap', 'predicted', 'measured', 'n_samples'
        return HeldOut(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def correlation(self) -> float:
        """Of predictions and samples, 0 where there are none, or none but zeros [1]."""
        return self.overlap / sqrt(norms) if (norms := self.predicted * self.measured) > 0 else 0.0

    def explained(self, noise: float) -> float:
        """Part of the power of the signal that is predicted, from the noise power of a sample [1]."""
        signal = self.measured - noise * self.n_samples
        return self.correlation * abs(self.correlation) * self.measured / signal if signal > 0 else 0.0


def guarded(interpolator: Interpolator, kinds: Sequence[Calibration], kspace: Tensor) -> Interpolator:
    """Leave k-space (coil, phase axes, kx) as measured, with a warning, where filling it in would do harm.

    Calibrations are those that it was fitted to, in its virtual coils, one for each kind of cells. Where harm is likely
    only, there is a warning.
    """
    told = harm(interpolator, kinds, kspace)
    if told is None:
        return interpolator
    interpolator = replace(interpolator, warnings=(told, *interpolator.warnings))
    return replace(interpolator, inner=(), edges=(), refinement=None) if told.startswith(FALLBACK) else interpolator


def harm(interpolator: Interpolator, kinds: Sequence[Calibration], kspace: Tensor) -> str | None:
    """Why filling k-space in does harm, or may, in a sentence; None where nothing is known against it."""
    calibration = kinds[0]
    if isinstance(calibration.sampling, Irregular):
        return _excess(interpolator, calibration, kspace)
    tuned = tune(calibration)
    every = held_out(calibration, tuned)
    if every is None or is_extrapolated(calibration):
        found = across_readout(calibration, tuned) if every is None else every[0]
        part = found.explained(_noise(calibration.acs))
        where = 'the ACS holds one row of cells only' if every is None else 'the ACS does not hold the brightest lines'
        if part < LEAST_EXPLAINED:
            return f'{FALLBACK}: {where}, and of lines left out {100 * max(part, 0):.0f} % of the signal is predicted'
        power = _relative_power(interpolator, kinds, kspace)
        return None if power <= MOST_POWER else DOUBT.format(where, power)
    power = _relative_power(interpolator, kinds, kspace)
    least, most = (choose(each.correlation for each in every) for choose in (min, max))
    predicted = 'lines of the ACS that were left out are predicted with a correlation of {:.2f}'.format
    gain = expected_gain(most, power)
    if power > 0 and gain < LEAST_GAIN:
        outcome = (
            f'restore {100 * gain:.0f} % of the missing energy' if gain >= 0 else 'add more error than they restore'
        )
        what = f'filled lines, of {power:.2f} times the power of their neighbours, would {outcome}'
        return f'{FALLBACK}: {predicted(most)}, so that {what}'
    is_doubtful = power > 1 and expected_gain(least, power) < LEAST_GAIN
    return DOUBT.format(predicted(least), power) if is_doubtful else None


def _excess(interpolator: Interpolator, calibration: Calibration, kspace: Tensor) -> str | None:
    """Whether lines without a lattice are filled in with so much power that this alone is harm; None if not."""
    lines = in_unit(interpolator.fill(kspace), interpolator.unit).flatten(1, -2)
    if interpolator.transform is not None:
        lines = interpolator.transform.apply(lines)
    missing = interpolator.sampling.inside.flatten().to(lines.device) & ~calibration.known
    expected = len(lines) * float(power_everywhere(calibration)[missing].sum())
    power = float(energy(lines)[missing].sum()) / expected if expected > 0 else 0.0
    if power <= DOUBTFUL_POWER:
        return None
    if power <= HARMFUL_POWER or is_extrapolated(calibration):
        return DOUBT.format(f'the ACS has {by(calibration.acs.shape[1:-1])} lines', power)
    return f'{FALLBACK}: filled lines have {power:.0f} times the power that measured lines around them let expect'


def _relative_power(interpolator: Interpolator, kinds: Sequence[Calibration], kspace: Tensor) -> float:
    """Of filled lines, over what their neighbours let expect; 0 where either has none [1]."""
    lines = in_unit(interpolator.fill(kspace), interpolator.unit)
    filled, missing = powers(lines, kinds, interpolator.transform)
    return filled / missing if missing > 0 else 0.0


def expected_gain(correlation: float, power: float) -> float:
    """Part of the missing energy that filling in restores: 2 Re<F, S> - <F, F> over <S, S>, of lines F for S.

    From their correlation and <F, F> / <S, S>; a regression of S on F above 1, which noise in measured neighbours makes
    of weak lines, counts as 1.
    """
    return power * (2 * min(1.0, correlation / sqrt(power)) - 1)


def is_extrapolated(calibration: Calibration) -> bool:
    """Whether the brightest measured line is not in the ACS; unknown, so False, where that was measured apart."""
    if calibration.is_separate:
        return False
    inside = torch.zeros(calibration.matrix, dtype=torch.bool)
    irregular = calibration.sampling if isinstance(calibration.sampling, Irregular) else None
    sides = (irregular or calibration.pattern).acs
    inside[tuple(slice(side.start, side.stop) for side in sides)] = True
    return not bool(inside.flatten()[energy(calibration.measured).sum(-1).argmax().cpu()])


def held_out(calibration: Calibration, tuned: Tuned) -> tuple[HeldOut, ...] | None:
    """Of the first and last rows of the ACS, by the tuned map without them, and by that learnt anew if there is one.

    None where there is one row only.
    """
    rows = calibration.folds(tuned.neighbourhood)
    if len(rows) < 2:
        return None
    first = _without(calibration, tuned.neighbourhood, rows, tuned.total, tuned.folds, tuned.regularization)
    around = around_acs(calibration, tuned)
    if around is None:
        return (first,)
    ridge, left = cross_validated(around)
    if not isfinite(left):
        return (first,)
    places = [rows[0], rows[-1], slice(None)]
    equations, _ = of_acs(calibration, tuned.neighbourhood, around.solve(ridge), left, places)
    total = around + equations[-1]
    return first, _without(calibration, tuned.neighbourhood, rows, total, equations[:2], least_gcv(total))


def _without(
    calibration: Calibration,
    around: Neighbourhood,
    rows: Sequence[Tensor],
    total: NormalEquations,
    parts: Sequence[NormalEquations],
    ridge: float,
) -> HeldOut:
    """What maps predict of the first and last rows that are solved without their equations, the first and last part."""
    cells, lines, found = calibration.cells(around), calibration.acs_lines, list[HeldOut]()
    for number in (0, -1):
        some, weights = cells.at(rows[number]), (total - parts[number]).solve(ridge)
        found.append(HeldOut.of(LinearMap(weights.to(torch.complex64))(lines, some), some.values(lines)))
    return found[0] + found[1]


def across_readout(calibration: Calibration, tuned: Tuned) -> HeldOut:
    """Of runs of the readout that are left out in turn."""
    around = tuned.neighbourhood
    sources, targets = pairs(calibration.acs_lines, calibration.cells(around))
    scale = tuned.misfit.weight(mean_power(sources)).sqrt()[:, None]
    numbers, found = torch.arange(len(sources)).tensor_split(N_FOLDS), HeldOut(0.0, 0.0, 0.0, 0)
    for number, left in enumerate(numbers):
        kept = torch.cat([*numbers[:number], *numbers[number + 1 :]])
        equations = NormalEquations.from_pairs([(scale[kept] * sources[kept], scale[kept] * targets[kept])], around)
        weights = equations.solve(tuned.regularization)
        found += HeldOut.of(sources[left].to(weights) @ weights, targets[left])
    return found


def powers(filled: Tensor, kinds: Sequence[Calibration], transform: CoilTransform | None) -> tuple[float, float]:
    """Energy of lines that were filled in, of k-space (coil, phase axes, kx), and what their neighbours let expect.

    That is the geometric mean over the sources of a cell, near ones counting more.
    """
    lines = filled.flatten(1, -2) if transform is None else transform.apply(filled.flatten(1, -2))
    own, there = energy(lines).sum(-1), energy(kinds[0].measured).sum(-1)
    sums = torch.zeros(2, dtype=torch.float64, device=lines.device)
    for kind in kinds:
        around = tune(kind).neighbourhood
        cells = kind.lattice_cells(around)
        steps = [torch.tensor(offsets, dtype=torch.float64) for offsets in (around.targets, around.sources)]
        closeness = 1 / torch.cdist(steps[0], steps[1])
        closeness = (closeness / closeness.sum(1, keepdim=True)).to(lines.device)
        logarithms = there.clamp(min=torch.finfo(there.dtype).tiny).log()[cells.sources.to(lines.device)]
        expected, numbers = (logarithms @ closeness.mT).exp(), cells.targets.to(lines.device)
        missing = (numbers >= 0) & ~kind.known[numbers.clamp(min=0)]
        sums += torch.stack([own[numbers[missing]].sum(), expected[missing].sum()])
    return float(sums[0]), float(sums[1])


def _noise(acs: Tensor) -> float:
    """Noise power of a sample of the ACS; 0 where that is too small to tell."""
    extent = noise_neighbourhood(acs).extent
    fits = all(wanted <= there for wanted, there in zip(extent, acs.shape[1:], strict=True))
    try:
        return noise_power(acs) if fits else 0.0
    except CalibrationError:
        return 0.0
