"""Zero filling takes over where a scan's own lines tell that filling in does harm, and nowhere else."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from raki.consistency.spirit import Spirit
from raki.data.masks import pattern_of
from raki.data.sampling import Sampling, undersample
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Calibration, Method, Refinement
from raki.interpolation.fit import Interpolator, fit
from raki.interpolation.harm import FALLBACK, HeldOut, expected_gain, guarded, is_extrapolated, powers
from raki.networks.gated import Gated
from raki.pipeline import Slab
from tests.toys import (
    calibration_of,
    largest_error,
    lattice_with_acs,
    measured_only,
    point_sources,
    random_kspace,
    relative_error,
)

LATTICE = lattice_with_acs(63, 3, 1, range(20, 44))
VOLUME = undersample(torch.ones(18, 22, dtype=torch.bool), (2, 2), (9, 12), 1)
METHODS = [Grappa(), Grappa(calibration='measured'), Gated()]
some_methods = pytest.mark.parametrize('method', METHODS, ids=['grappa', 'measured', 'gated'])


def bright_centre(n_coils: int, *shape: int, noise: float = 0.01) -> Tensor:
    """K-space of points that fades away from its centre, with noise."""
    distance = sum(
        (torch.arange(n) - n // 2).view(-1, *(1,) * (len(shape) - 1 - i)).square() for i, n in enumerate(shape)
    )
    assert isinstance(distance, Tensor)
    return point_sources(9, n_coils, *shape) / (1 + 0.01 * distance) + noise * random_kspace(n_coils, *shape, seed=1)


def reconstructed(method: Method, full: Tensor, sampling: Sampling) -> Interpolator:
    """What a scan is filled in with."""
    return Slab(measured_only(full, sampling), sampling).fitted(method)


def falls_back(interpolator: Interpolator) -> bool:
    """Whether it leaves k-space as measured, and says so; never one without the other."""
    told = any(text.startswith(FALLBACK) for text in interpolator.warnings)
    assert told == (not interpolator.inner)
    return told


@some_methods
@pytest.mark.parametrize('sampling', [LATTICE, VOLUME], ids=['lines', 'volume'])
def test_noise_is_not_filled_in(method: Method, sampling: Sampling) -> None:
    """Of white noise S is independent of F, so that its regression on F is 0 and any F only adds to the error."""
    full = random_kspace(4, *sampling.mask.shape, 31)
    assert falls_back(found := reconstructed(method, full, sampling))
    assert torch.equal(found.fill(measured_only(full, sampling)), measured_only(full, sampling))


@some_methods
def test_what_is_exact_is_filled_in(method: Method) -> None:
    full = point_sources(2, 4, 63, 31)
    assert not falls_back(found := reconstructed(method, full, LATTICE))
    assert largest_error(found.fill(full), full) < 0.01


@pytest.mark.parametrize('sampling', [LATTICE, VOLUME], ids=['lines', 'volume'])
def test_what_is_predicted_is_filled_in_bit_for_bit(sampling: Sampling) -> None:
    """Without a warning nothing changes."""
    full = bright_centre(6, *sampling.mask.shape, 31)
    measured = measured_only(full, sampling)
    assert not falls_back(found := reconstructed(Grappa(), full, sampling))
    assert torch.equal(found.fill(measured), fit(Grappa(), measured, sampling).fill(measured))


@pytest.mark.parametrize('full', [bright_centre(6, 63, 31), random_kspace(6, 63, 31)], ids=['signal', 'noise'])
def test_units_and_phases_of_coils_do_not_matter(full: Tensor) -> None:
    phases = torch.polar(torch.ones(6), torch.linspace(0, 5, 6))[:, None, None]
    verdicts = {falls_back(reconstructed(Grappa(), scale * full, LATTICE)) for scale in (1, 2.0**-30, 2.0**30, phases)}
    assert len(verdicts) == 1


def test_a_calibration_of_something_else_is_not_believed() -> None:
    """Rows of another object predict each other as badly as noise does."""
    full, other = bright_centre(6, 63, 31), random_kspace(6, 24, 31, seed=5)
    lattice = lattice_with_acs(63, 3, 1, range(0))
    assert falls_back(Slab(measured_only(full, lattice), lattice, other).fitted(Grappa()))
    assert not falls_back(Slab(measured_only(full, lattice), lattice, full[:, 20:44]).fitted(Grappa()))


def test_where_the_brightest_lines_are_not_in_the_acs() -> None:
    full = bright_centre(6, 63, 31)
    assert not is_extrapolated(calibration_of(full, LATTICE))
    beside = lattice_with_acs(63, 3, 1, range(40, 63))
    assert is_extrapolated(calibration_of(full, beside))
    apart = replace(calibration_of(full, beside), is_separate=True)
    assert not is_extrapolated(apart)


def test_an_acs_beside_the_centre_must_predict_its_signal() -> None:
    """Three quarters of it; of noise-like k-space with a bright line elsewhere nothing is."""
    beside, full = lattice_with_acs(63, 3, 1, range(40, 63)), random_kspace(6, 63, 31)
    full[:, 31] *= 10
    assert 'brightest' in reconstructed(Grappa(), full, beside).warnings[0]
    assert not falls_back(reconstructed(Grappa(), point_sources(2, 6, 63, 31), beside))


def test_one_row_of_cells_is_judged_along_the_readout() -> None:
    one = lattice_with_acs(63, 3, 1, range(31, 35))
    noise = random_kspace(6, 63, 31)
    noise[:, 31] *= 2
    assert 'one row' in reconstructed(Grappa(), noise, one).warnings[0]
    assert not falls_back(reconstructed(Grappa(), point_sources(2, 6, 63, 31), one))


@pytest.mark.parametrize(('correlation', 'factor'), [(1.0, 1.0), (0.9, 0.7), (0.3, 1.0), (0.0, 0.5), (0.5, 2.0)])
def test_expected_gain(correlation: float, factor: float) -> None:
    """(|S|^2 - |S - F|^2) / |S|^2 of F = factor (correlation S + sqrt(1 - correlation^2) N), N orthogonal to S."""
    signal, noise = torch.eye(2, dtype=torch.float64)
    filled = factor * (correlation * signal + math.sqrt(1 - correlation**2) * noise)
    gain = 1 - float((signal - filled).square().sum())
    regression = correlation / factor
    if regression <= 1:
        assert expected_gain(correlation, factor**2) == pytest.approx(gain)
    else:
        assert expected_gain(correlation, factor**2) == pytest.approx(factor**2)


def test_harm_begins_where_the_regression_is_one_half() -> None:
    assert expected_gain(0.5, 1.0) == pytest.approx(0)
    assert expected_gain(0.49, 1.0) < 0 < expected_gain(0.51, 1.0)


def test_correlation_and_explained_part() -> None:
    """Noise in samples is not signal that was missed: with noise n per sample, c^2 |t|^2 / (|t|^2 - n)."""
    signal, noise = random_kspace(2, 40, 500), random_kspace(2, 40, 500, seed=1)
    found = HeldOut.of(signal, signal + noise)
    assert found.correlation == pytest.approx(math.sqrt(0.5), abs=0.01)
    assert found.explained(0.0) == pytest.approx(0.5, abs=0.02)
    assert found.explained(1.0) == pytest.approx(1, abs=0.02)
    assert (found + found).correlation == pytest.approx(found.correlation)
    assert HeldOut.of(0 * signal, signal).correlation == 0


def test_expected_power_of_missing_lines() -> None:
    """Of lines as bright as exp(-line / 10) it is theirs, whatever lies between."""
    brightness = torch.exp(-torch.arange(63) / 20.0)[:, None].expand(63, 31)
    full = torch.polar(brightness, torch.zeros(63, 31)).expand(3, 63, 31)
    known = calibration_of(full, LATTICE)
    filled, expected = powers(full, [known], None)
    assert filled == pytest.approx(expected, rel=1e-5)


def test_kinds_of_cells_are_judged_together() -> None:
    """Where gaps differ, every missing line counts once."""
    full = bright_centre(6, 60, 31)
    mask = torch.zeros(60, dtype=torch.bool)
    mask[[0, 3, 7, 10, 14, 17, *range(20, 42), 45, 48, 52, 55, 59]] = True
    measured = torch.where(mask[:, None], full, 0)
    slab = Slab(measured, pattern_of(mask))
    assert not falls_back(slab.fitted(Grappa()))
    noise = Slab(torch.where(mask[:, None], random_kspace(6, 60, 31), 0), pattern_of(mask))
    assert falls_back(noise.fitted(Grappa()))


def test_the_guard_is_asked_for() -> None:
    """`fit` alone fills in whatever it costs."""
    full = random_kspace(4, 63, 31)
    measured = measured_only(full, LATTICE)
    assert fit(Grappa(), measured, LATTICE).inner
    assert not fit(Grappa(), measured, LATTICE, guard=guarded).inner


@dataclass(frozen=True)
class Louder:
    """A refinement that is so many times another."""

    refinement: Refinement
    factor: float

    def __call__(self, lines: Tensor) -> Tensor:
        return self.factor * self.refinement(lines)

    def derivative(self, lines: Tensor) -> Callable[[Tensor], Tensor]:
        raise NotImplementedError(len(lines))


@pytest.mark.parametrize('factor', [1.0, 1.2, 1.8, 4.0])
def test_lines_without_a_lattice_are_not_filled_in_with_more_than_can_be(factor: float) -> None:
    """Where |F| > 2 |S|, F is further from S than nothing is, whatever it is."""
    full = point_sources(9, 6, 60, 31) + 0.01 * random_kspace(6, 60, 31, seed=1)
    mask = torch.zeros(60, dtype=torch.bool)
    mask[[1, 3, 6, 9, 11, 14, 16, 19, 22, *range(24, 37), 39, 41, 43, 46, 49, 50, 52, 55, 57]] = True
    measured = torch.where(mask[:, None], full, 0)

    def louder(fitted: Interpolator, kinds: Sequence[Calibration], kspace: Tensor) -> Interpolator:
        assert fitted.refinement is not None
        return guarded(replace(fitted, refinement=Louder(fitted.refinement, factor)), kinds, kspace)

    found = fit(Spirit(Grappa()), measured, pattern_of(mask), guard=louder)
    is_harmful = relative_error(found.fill(measured), full) > relative_error(measured, full)
    told = [text for text in found.warnings if text.startswith(FALLBACK)]
    assert bool(told) == (factor > 2)
    assert torch.equal(found.fill(measured), measured) == (factor > 2)
    assert bool(found.warnings) == (factor > 1.5)
    assert not is_harmful
