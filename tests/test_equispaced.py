"""Lines whose gaps differ by one: what they are told apart by, and laws of filling them in."""

import re
from functools import cache

import pytest
import torch
from torch import Tensor

from raki.coils.combine import matched_weights
from raki.data.equispaced import Equispaced, Gaps, equispaced_of
from raki.data.masks import MASKS, Irregular, equispaced_fraction, pattern_of
from raki.data.sampling import Sampling, undersample
from raki.data.simulate import Simulation, simulate
from raki.errors import CalibrationError, SamplingError
from raki.evaluation.noise_maps import analytic_noise_map, replica_noise_map
from raki.fourier import image_from_kspace, spatial_axes
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Calibration, Method
from raki.interpolation.fit import Interpolator, fit
from raki.interpolation.neighbours import Cells, Kernel
from raki.interpolation.own import Outside
from raki.interpolation.tuning import tune
from raki.networks.gated import Gated
from tests.toys import METHODS, largest_error, lines_at, measured_only, plane_wave, point_sources, random_kspace

MASK = lines_at(63, *range(1, 23, 3), *range(24, 41), 44, 48, 51, 55, 59)
"""Gaps of 3 before and of 3 and 4 after the ACS, which is lines 24 to 40, beside it of 2 and 4, and margins."""

KERNELS = [Kernel(2, 5), Kernel(3, 4), Kernel(4, 5), Kernel(5, 3)]


@cache
def uneven() -> Equispaced:
    found = pattern_of(MASK)
    assert isinstance(found, Equispaced)
    return found


@cache
def noisy() -> Tensor:
    return point_sources(9, 4, 63, 31) + 0.1 * random_kspace(4, 63, 31)


@cache
def fitted(method: Method) -> Interpolator:
    return fit(method, noisy(), uneven())


def as_order(sampling: Sampling) -> Equispaced:
    """A lattice written as lines whose gaps happen not to differ."""
    lines = tuple(sampling.points.nonzero().flatten().tolist())
    return Equispaced(sampling.mask, lines, sampling.acceleration)


def test_gaps_tell_where_lines_are_around_a_cell() -> None:
    gaps = Gaps((3, 5, 4, 6), own=1)
    assert [gaps.distance(number) for number in range(-1, 4)] == [-3, 0, 5, 9, 15]
    assert (gaps.rate, gaps.spacing, gaps.missing) == (5, (5,), ((1,), (2,), (3,), (4,)))
    with pytest.raises(ValueError, match=r'gaps of 3-5-4-6 around number 1 do not reach to line 4'):
        gaps.distance(4)


def test_an_order_of_lines_is_read_off_the_mask() -> None:
    pattern = uneven()
    assert pattern.acs == (range(24, 41),)
    assert pattern.filled == (range(63),)
    assert pattern.gaps == {2: 1, 3: 8, 4: 4}
    assert {24, 40} < set(pattern.lines)
    assert bool(pattern.mask[list(pattern.lines)].all())
    assert {str(kind.lattice) for kind in pattern.alike(0, 0)} == {'gaps of 2', 'gaps of 3', 'gaps of 4'}
    assert pattern.net_acceleration == pytest.approx(63 / int(MASK.sum()))


@pytest.mark.parametrize(('before', 'after'), [(0, 0), (1, 1), (1, 2)])
def test_every_missing_line_is_a_target_of_one_kind_of_cells(before: int, after: int) -> None:
    targets = [
        start + offset
        for kind in uneven().alike(before, after)
        for start in uneven().starts(kind.lattice)
        for (offset,) in kind.lattice.missing
    ]
    missing = (~MASK).nonzero().flatten().tolist()
    assert sorted(set(targets) & set(missing)) == missing
    assert max(map(targets.count, missing)) == 1


@pytest.mark.parametrize('n_gaps', [1, 2, 3, 4])
def test_there_are_few_kinds_of_cells(n_gaps: int) -> None:
    """One more than gaps that are looked at, beside those at the ACS: two gaps there, in n_gaps windows each."""
    for seed in range(6):
        pattern = equispaced_of(equispaced_fraction(320, 4, 0.08, seed))
        assert pattern is not None
        assert len(pattern.alike(n_gaps // 2, n_gaps - 1 - n_gaps // 2)) <= n_gaps + 1 + 2 * n_gaps + 2


@pytest.mark.parametrize('name', MASKS)
def test_drawn_masks_are_lattices_or_in_an_order_but_for_random_ones(name: str) -> None:
    for n_lines, rate in ((128, 4), (320, 8), (161, 4)):
        for seed in range(6):
            pattern = pattern_of(MASKS[name](n_lines, rate, 0.32 / rate, seed))
            assert isinstance(pattern, Irregular) == (name == 'random')


@pytest.mark.parametrize(
    'lines',
    [
        pytest.param((0, 3, 8, *range(12, 20), 23), id='gaps of 3 and 5'),
        pytest.param((0, 3, 6, *range(12, 20), 23), id='a wider gap at the ACS'),
        pytest.param((*range(5, 12),), id='an ACS alone'),
    ],
)
def test_other_gaps_are_no_order(lines: tuple[int, ...]) -> None:
    assert equispaced_of(lines_at(24, *lines)) is None


def test_lines_beyond_the_acquired_range_stay_empty() -> None:
    """Padding wider than a gap, at both ends."""
    mask = torch.zeros(80, dtype=torch.bool)
    mask[9:72] = MASK
    pattern = pattern_of(mask)
    assert isinstance(pattern, Equispaced)
    assert pattern.filled == (range(10, 69),)
    full = point_sources(9, 4, 80, 31)
    filled = fit(Grappa(), full, pattern).fill(full)
    assert not bool(filled[:, :10].any() | filled[:, 69:].any())
    assert bool((filled[:, 10:69] != 0).any(0).any(-1).all())


@pytest.mark.parametrize('kernel', KERNELS, ids=str)
def test_a_lattice_written_as_an_order_of_lines_is_filled_in_alike(kernel: Kernel) -> None:
    """Whatever is learnt from."""
    full = noisy()
    for method in (Grappa(kernel, 1e-3), Grappa(kernel, calibration='measured'), Gated((kernel,))):
        for rate, first in ((2, 1), (4, 3)):
            sampling = undersample(torch.ones(63, dtype=torch.bool), (rate,), (24,), first=(first,))
            found, expected = (fit(method, full, each).fill(full) for each in (as_order(sampling), sampling))
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('kernel', KERNELS[:3], ids=str)
def test_noise_free_low_rank_is_filled_in_exactly(kernel: Kernel) -> None:
    """Four points seen by eight coils: one line of sources determines the rest, margins included."""
    full = point_sources(4, 8, 63, 31)
    measured = measured_only(full, uneven())
    for method in (Grappa(kernel, 1e-9), Grappa(kernel)):
        assert largest_error(fit(method, measured, uneven()).fill(measured), full) < 1e-4


@pytest.mark.parametrize('name', ['equispaced_fraction', 'magic_fraction'])
def test_a_plane_wave_is_filled_in_exactly_on_drawn_masks(name: str) -> None:
    """Default settings; not beyond the last line, where the margin may be as wide as a gap."""
    full = plane_wave(6, 128, 31)
    for seed in range(4):
        pattern = pattern_of(MASKS[name](128, 3, 0.1, seed))
        filled = fit(Grappa(), measured_only(full, pattern), pattern).fill(full)
        assert largest_error(filled * pattern.inside[:, None], full * pattern.inside[:, None]) < 1e-4


def test_the_exactness_test_notices_a_line_shifted_by_one() -> None:
    full = point_sources(4, 8, 63, 31)
    interpolator = fit(Grappa(Kernel(2, 3), 1e-9), full, uneven())
    for step in (1, -1):
        assert largest_error(interpolator.fill(full.roll(step, dims=1)), full) > 0.1


def test_shifting_k_space_and_its_lines_shifts_what_is_filled_in() -> None:
    """Away from the ends, one line further; with measured lines only, which stay the same."""
    mask = torch.zeros(70, dtype=torch.bool)
    mask[3:66] = MASK
    pattern, moved = pattern_of(mask), pattern_of(mask.roll(1))
    full = point_sources(9, 4, 70, 31) + 0.1 * random_kspace(4, 70, 31)
    method = Grappa(calibration='measured')
    filled = fit(method, full, pattern).fill(full)
    again = fit(method, full.roll(1, dims=1), moved).fill(full.roll(1, dims=1)).roll(-1, dims=1)
    torch.testing.assert_close(again[:, 8:60], filled[:, 8:60], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', ['grappa', 'grappa-2x3', 'gated', 'spirit', 'sparse'])
def test_measured_samples_come_back_bit_for_bit_and_all_others_are_filled_from_them(name: str) -> None:
    full, interpolator = noisy(), fitted(METHODS[name])
    filled = interpolator.fill(full)
    assert torch.equal(filled[:, MASK], full[:, MASK])
    assert bool((filled != 0).any(0).any(-1).all())
    assert torch.equal(filled, interpolator.fill(measured_only(full, uneven())))
    assert torch.equal(filled, fit(METHODS[name], measured_only(full, uneven()), uneven()).fill(full))


@pytest.mark.parametrize('name', ['grappa', 'gated'])
def test_the_unit_of_k_space_and_the_order_of_coils_do_not_matter(name: str) -> None:
    order, expected = torch.tensor([2, 0, 3, 1]), fitted(METHODS[name]).fill(noisy())
    scaled = 1e-9 * noisy()[order]
    filled = 1e9 * fit(METHODS[name], scaled, uneven()).fill(scaled)
    assert float((filled - expected[order]).norm() / expected.norm()) < 1e-3


def test_grappa_is_linear() -> None:
    full, other, fill = noisy(), random_kspace(4, 63, 31, seed=1), fitted(Grappa()).fill
    expected = (2 - 3j) * fill(full) + fill(other)
    torch.testing.assert_close(fill((2 - 3j) * full + other), expected, rtol=1e-4, atol=1e-4)


def test_the_derivative_is_that_of_filling() -> None:
    """Of a linear map itself; of gates, which open with power, by differences in double the step."""
    full, change = noisy(), 1e-3 * random_kspace(4, 63, 31, seed=2)
    for method in (Grappa(), Gated()):
        interpolator = fitted(method)
        found = interpolator.derivative(full).fill(change)
        numeric = (interpolator.fill(full + change) - interpolator.fill(full - change)) / 2
        assert float((found - numeric).norm() / numeric.norm()) < 1e-3


def test_the_analytic_noise_map_is_what_replicas_tend_to() -> None:
    """200 replicas: 5 % in a pixel, so 2 % on average over many."""
    interpolator, covariance = fitted(Grappa()), torch.eye(4, dtype=torch.complex128)
    filled = interpolator.fill(noisy())
    weights = matched_weights(image_from_kspace(filled, spatial_axes(filled))).conj()
    exact = analytic_noise_map(interpolator, covariance, weights)
    replicas = replica_noise_map(interpolator.fill, noisy(), uneven(), covariance, n_replicas=200)
    ratio = replicas.std / exact.std
    assert float(ratio.mean()) == pytest.approx(1, abs=0.02)
    assert float(ratio.std()) < 0.08
    assert exact.net_acceleration == uneven().net_acceleration


def test_every_kind_of_cells_learns_from_what_all_of_them_reconstructed() -> None:
    """Every line is known then, and errors are those of whoever filled it in."""
    kind = uneven().alike(0, 0)[0]
    lines = measured_only(noisy(), uneven())
    known = Calibration(uneven().acs_block(noisy()), kind.lattice, kind, lines)
    outside = Outside.of(known, tune(known))
    assert torch.equal(outside.is_known, (torch.arange(63) > 0) & (torch.arange(63) < 60))
    assert bool((outside.errors[outside.is_known & ~MASK] > 0).all())
    assert not bool(outside.errors[MASK].any())
    found = outside.equations()
    assert found is not None
    assert found.n_equations > tune(known).total.n_equations
    assert float(torch.linalg.eigvalsh(found.gram)[0]) > 0


def test_own_calibration_pays_on_a_simulated_scan() -> None:
    """As it does on lattices: on dim lines around a short ACS it has less error than the ACS alone."""
    scan = simulate(Simulation((96, 72), 6, 1, 0.01))
    full, pattern = scan.kspace[0], pattern_of(equispaced_fraction(96, 4, 0.12, 1))
    assert scan.reference is not None
    measured, own = (fit(Grappa(calibration=each), full, pattern).fill(full) for each in ('measured', 'own'))
    errors = [float((filled - scan.reference[0])[:, ~pattern.mask].norm()) for filled in (own, measured)]
    assert errors[0] < 0.95 * errors[1]


@pytest.mark.parametrize('name', ['raki', 'raki-complex', 'rraki', 'iraki'])
def test_methods_that_see_further_refuse_and_name_those_that_do_not(name: str) -> None:
    message = re.escape(
        'got gaps of 2 (1x), 3 (8x), 4 (4x): the methods grappa and gated take gaps that differ by one line'
    )
    with pytest.raises(SamplingError, match=message):
        fit(METHODS[name], noisy(), uneven())


def test_an_acs_too_short_for_a_gap_is_refused_with_what_is_needed_and_what_takes_it() -> None:
    mask = lines_at(63, 0, 5, 10, 15, 21, *range(26, 31), 35, 40, 45, 50, 55, 60)
    message = r'gaps of 6: a kernel that reaches over 7 x 5 .* got 5 x 31: .* spirit and sparse take any mask'
    for method in (Grappa(), Gated()):
        with pytest.raises(CalibrationError, match=message):
            fit(method, noisy(), pattern_of(mask))


def test_random_masks_are_refused_with_what_takes_them() -> None:
    full, pattern = random_kspace(3, 128, 9), pattern_of(MASKS['random'](128, 4, 0.08, 1))
    for method in (Grappa(), Gated()):
        with pytest.raises(SamplingError, match='spirit and sparse take any; for others, gaps outside the ACS may'):
            fit(method, full, pattern)


def test_notes_tell_what_maps_there_are_and_warnings_which_of_them_they_are_about() -> None:
    interpolator = fitted(Grappa(Kernel(2, 5), 1e-3))
    assert interpolator.notes == ('a map for each kind of cells: gaps of 4, gaps of 3, gaps of 2',)
    short = lines_at(63, *range(0, 27, 3), *range(28, 34), *range(36, 63, 4))
    found = fit(Grappa(Kernel(2, 7), 1e-3), noisy(), pattern_of(short)).warnings
    assert [text.split(':')[0] for text in found] == ['gaps of 4']


def test_separate_calibration_teaches_lines_without_acs() -> None:
    mask = lines_at(63, *range(0, 30, 3), *range(30, 63, 4))
    pattern, full = pattern_of(mask), point_sources(4, 8, 63, 31)
    assert isinstance(pattern, Equispaced)
    filled = fit(Grappa(), measured_only(full, pattern), pattern, point_sources(4, 8, 63, 31)[:, 20:44]).fill(full)
    assert largest_error(filled, full) < 1e-4


def test_cells_of_a_kind_stand_where_these_gaps_are() -> None:
    kind = next(kind for kind in uneven().alike(0, 0) if kind.lattice.rate == 4)
    cells = Cells.on(Calibration(uneven().acs_block(noisy()), kind.lattice, kind).neighbourhood(Kernel(2, 3)), kind)
    assert set(cells.anchors.flatten().tolist()) >= {40, 44, 51}
    assert bool((cells.sources[cells.is_whole].diff(dim=1) == 4).all())
