"""Laws that every method must keep."""

import pytest
import torch

from raki.data.sampling import Sampling
from raki.errors import CalibrationError
from raki.grappa.method import Grappa
from raki.interpolation.fit import Method, fit, leave_empty
from raki.interpolation.kernel import Kernel
from tests.toys import METHODS, acs_of, lattice_with_acs, measured_only, point_sources, random_kspace

EVERY_METHOD = [pytest.param(method, id=name) for name, method in METHODS.items()]
LATTICES = [(2, 0), (3, 1), (4, 3)]
LINEAR = [pytest.param(METHODS[name], id=name) for name in ('grappa', 'grappa-2x3')]


def noisy(n_coils: int = 4, n_lines: int = 54, n_readout: int = 31) -> torch.Tensor:
    """Structured k-space with noise."""
    return point_sources(9, n_coils, n_lines, n_readout) + 0.1 * random_kspace(n_coils, n_lines, n_readout)


@pytest.mark.parametrize('method', EVERY_METHOD)
@pytest.mark.parametrize(('acceleration', 'first_line'), LATTICES)
def test_measured_samples_come_back_bit_for_bit(method: Method, acceleration: int, first_line: int) -> None:
    full = noisy()
    sampling = lattice_with_acs(54, acceleration, first_line, range(15, 40))
    filled = fit(method, acs_of(full, sampling), sampling, full).fill(full)
    assert torch.equal(filled[:, sampling.mask], full[:, sampling.mask])


@pytest.mark.parametrize('method', EVERY_METHOD)
@pytest.mark.parametrize(('acceleration', 'first_line'), LATTICES)
def test_every_missing_line_is_filled_from_measured_ones_only(
    method: Method, acceleration: int, first_line: int
) -> None:
    full = noisy()
    sampling = lattice_with_acs(54, acceleration, first_line, range(15, 40))
    interpolator = fit(method, acs_of(full, sampling), sampling)
    filled = interpolator.fill(full)
    assert bool((filled != 0).any(dim=0).any(dim=-1).all())
    assert torch.equal(filled, interpolator.fill(measured_only(full, sampling)))


@pytest.mark.parametrize('method', EVERY_METHOD)
def test_same_seed_same_bits(method: Method) -> None:
    full, sampling = noisy(), lattice_with_acs(54, 3, 1, range(15, 40))
    first, second = (fit(method, acs_of(full, sampling), sampling, full).fill(full) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize('method', EVERY_METHOD)
def test_fit_and_fill_leave_arguments_and_the_global_random_state_alone(method: Method) -> None:
    full, sampling = noisy(), lattice_with_acs(54, 3, 1, range(15, 40))
    acs, copies, state = acs_of(full, sampling), full.clone(), torch.random.get_rng_state()
    fit(method, acs, sampling, full).fill(full)
    assert torch.equal(full, copies)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize('method', EVERY_METHOD)
@pytest.mark.parametrize('factor', [1e-6, 0.5, 3.0, 1e5])
def test_filling_is_positively_homogeneous(method: Method, factor: float) -> None:
    """No bias anywhere: fill(a k) = a fill(k) for a > 0 and a fixed fit."""
    full, sampling = noisy(), lattice_with_acs(54, 4, 1, range(15, 40))
    interpolator = fit(method, acs_of(full, sampling), sampling)
    expected = factor * interpolator.fill(full)
    torch.testing.assert_close(
        interpolator.fill(factor * full), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())
    )


@pytest.mark.parametrize('method', EVERY_METHOD)
@pytest.mark.parametrize('factor', [1e-12, 1e-6, 1e6, 1e12])
def test_the_unit_of_k_space_does_not_matter(method: Method, factor: float) -> None:
    """Scanners deliver samples from 1e-6 to 1e5: fit and fill scale along."""
    full, sampling = noisy(), lattice_with_acs(54, 4, 1, range(15, 40))
    expected = fit(method, acs_of(full, sampling), sampling, full).fill(full)
    scaled = factor * full
    filled = fit(method, acs_of(scaled, sampling), sampling, scaled).fill(scaled) / factor
    assert float((filled - expected).norm() / expected.norm()) < 1e-3  # float32 training amplifies rounding


@pytest.mark.parametrize('method', EVERY_METHOD)
@pytest.mark.parametrize('power', [-30, 17])
def test_units_that_differ_by_a_power_of_two_change_no_bit(method: Method, power: int) -> None:
    """Nothing is rounded then; other factors change last bits, which long training may amplify to per cents."""
    full, sampling = noisy(), lattice_with_acs(54, 4, 1, range(15, 40))
    scaled = 2.0**power * full
    expected = 2.0**power * fit(method, acs_of(full, sampling), sampling, full).fill(full)
    filled = fit(method, acs_of(scaled, sampling), sampling, scaled).fill(scaled)
    torch.testing.assert_close(filled, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize('method', EVERY_METHOD)
def test_one_coil_and_samples_that_are_not_finite_are_refused(method: Method) -> None:
    full, sampling = noisy(), lattice_with_acs(54, 4, 1, range(15, 40))
    with pytest.raises(CalibrationError, match='at least 2 coils, got 1'):
        fit(method, acs_of(full[:1], sampling), sampling)
    with pytest.raises(CalibrationError, match='NaN or infinite'):
        fit(method, acs_of(full, sampling) * float('nan'), sampling)


@pytest.mark.parametrize('method', LINEAR)
def test_grappa_is_linear(method: Grappa) -> None:
    full, other = noisy(), random_kspace(4, 54, 31, seed=1)
    sampling = lattice_with_acs(54, 3, 1, range(15, 40))
    fill = fit(method, acs_of(full, sampling), sampling).fill
    expected = (2 - 3j) * fill(full) + fill(other)
    torch.testing.assert_close(fill((2 - 3j) * full + other), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('method', LINEAR)
def test_coil_order_does_not_matter_to_grappa(method: Grappa) -> None:
    full, sampling = noisy(), lattice_with_acs(54, 3, 1, range(15, 40))
    order = torch.tensor([2, 0, 3, 1])
    expected = fit(method, acs_of(full, sampling), sampling).fill(full)[order]
    filled = fit(method, acs_of(full[order], sampling), sampling).fill(full[order])
    torch.testing.assert_close(filled, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('method', LINEAR)
def test_shifting_k_space_shifts_what_grappa_fills_in(method: Grappa) -> None:
    """One line further, one lattice line further: away from the edges, nothing else changes."""
    full = noisy(n_lines=60)
    sampling, moved = lattice_with_acs(60, 4, 0, range(16, 44)), lattice_with_acs(60, 4, 1, range(17, 45))
    filled = fit(method, acs_of(full, sampling), sampling).fill(full)
    shifted = full.roll(1, dims=1)
    again = fit(method, acs_of(shifted, moved), moved).fill(shifted).roll(-1, dims=1)
    torch.testing.assert_close(again[:, 12:48], filled[:, 12:48], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('method', EVERY_METHOD)
def test_rate_one_returns_the_input(method: Method) -> None:
    full = noisy()
    sampling = Sampling.from_mask(torch.ones(54, dtype=torch.bool))
    assert torch.equal(fit(method, full, sampling).fill(full), full)


def test_zero_filling_keeps_what_was_measured_and_nothing_else() -> None:
    full, sampling = noisy(), lattice_with_acs(54, 3, 1, range(15, 40))
    assert torch.equal(leave_empty(sampling, 31).fill(full), measured_only(full, sampling))


@pytest.mark.parametrize(
    'method', [METHODS[name] for name in METHODS if name != 'rraki']
)  # needs lines to be judged by
def test_separate_calibration_may_have_another_readout(method: Method) -> None:
    """Inside, where the kernel is whole, the same lines teach the same wherever k-space is longer."""
    full, sampling = noisy(), lattice_with_acs(54, 3, 1, range(0))
    acs = noisy()[:, 10:40, 3:27]
    filled = fit(method, acs, sampling, full).fill(full)
    narrow = fit(method, acs, sampling).fill(full[..., 3:27].contiguous())
    torch.testing.assert_close(filled[:, 16:-16, 8:-9], narrow[:, 16:-16, 5:-5], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('method', EVERY_METHOD)
def test_other_precisions_are_refused(method: Method) -> None:
    full, sampling = noisy(), lattice_with_acs(54, 3, 1, range(15, 40))
    with pytest.raises(ValueError, match='k-space must be complex64'):
        fit(method, acs_of(full, sampling).to(torch.complex128), sampling)


@pytest.mark.parametrize(
    ('n_acs', 'message'), [(0, 'learns from autocalibration lines'), (1, 'needs an ACS of at least')]
)
@pytest.mark.parametrize('method', EVERY_METHOD)
def test_too_small_an_acs_is_refused(method: Method, n_acs: int, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        fit(method, noisy()[:, :n_acs], lattice_with_acs(54, 4, 0, range(0)))


def test_too_small_an_acs_says_how_much_is_needed() -> None:
    with pytest.raises(CalibrationError, match=r'4 lines x 5 samples at R=4 .* at least 13 x 5, got 8 x 31'):
        fit(Grappa(Kernel(4, 5)), noisy()[:, :8], lattice_with_acs(54, 4, 0, range(0)))


def test_an_acs_of_zeros_is_refused() -> None:
    with pytest.raises(CalibrationError, match='nothing but zeros'):
        fit(Grappa(), torch.zeros(4, 20, 31, dtype=torch.complex64), lattice_with_acs(54, 4, 0, range(0)))


def test_another_matrix_than_fitted_for_is_refused() -> None:
    full, sampling = noisy(), lattice_with_acs(54, 3, 1, range(15, 40))
    interpolator = fit(Grappa(), acs_of(full, sampling), sampling)
    with pytest.raises(ValueError, match=r'fitted for k-space \(coil, ky, kx\) of 4 x 54 x 31, got \(4, 54, 30\)'):
        interpolator.fill(full[..., :30])
    with pytest.raises(ValueError, match=r'of 4 x 54 x 31, got \(3, 54, 31\)'):
        interpolator.fill(full[:3])


@pytest.mark.parametrize('kernel', [(1, 5), (4, 0)])
def test_an_empty_kernel_is_refused(kernel: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match='at least 2 lines x 1 sample'):
        Kernel(*kernel)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('method', EVERY_METHOD)
def test_gpu_and_cpu_agree(method: Method) -> None:
    full, sampling = noisy(), lattice_with_acs(54, 3, 1, range(15, 40))
    expected = fit(method, acs_of(full, sampling), sampling, full).fill(full)
    there = full.cuda()
    filled = fit(method, acs_of(there, sampling), sampling, there).fill(there).cpu()
    assert float((filled - expected).norm() / expected.norm()) < 1e-3
