"""Pseudo replicas and derivatives where the answer is known."""

import weakref
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from raki.coils.combine import matched_weights, root_sum_of_squares
from raki.coils.noise import covariance_from_periphery, noise_covariance
from raki.data.sampling import Sampling
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import object_mask
from raki.evaluation.noise_maps import (
    analytic_noise_map,
    covariance_without_noise_scan,
    full_noise,
    jvp_noise_map,
    refitting,
    replica_noise_map,
)
from raki.fourier import image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method, PatchMap
from raki.interpolation.fit import Interpolator, fit
from raki.interpolation.neighbours import Cells
from tests.toys import METHODS, RAKI_QUICK, lattice_with_acs, point_sources, random_kspace


def kspace_and_covariance() -> tuple[Tensor, Tensor]:
    mixing = torch.randn(4, 4, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    kspace = 20 * (point_sources(40, 4, 40, 26) + random_kspace(4, 40, 26, seed=99))
    return kspace, mixing @ mixing.mH + torch.eye(4)


def test_at_rate_one_g_is_one() -> None:
    kspace, covariance = kspace_and_covariance()
    sampling = Sampling.from_mask(torch.ones(40, dtype=torch.bool))
    found = replica_noise_map(Interpolator(sampling, 26).fill, kspace, sampling, covariance, n_replicas=400)
    error = found.relative_standard_error
    assert error == pytest.approx(0.0354, abs=1e-4)
    assert float(found.gfactor.mean()) == pytest.approx(1, abs=5 * error / (40 * 26) ** 0.5)
    assert float((found.gfactor - 1).abs().max()) < 5 * error
    assert float(found.gfactor.std()) == pytest.approx(error, rel=0.15)


@pytest.mark.parametrize('acceleration', [2, 3])
def test_zero_filling_has_the_noise_of_the_lines_it_has(acceleration: int) -> None:
    """Fewer lines, less noise: std goes down by sqrt(R_net), so g = 1 / R_net by its definition."""
    kspace, covariance = kspace_and_covariance()
    sampling = lattice_with_acs(40, acceleration, 0, range(14, 26))
    found = replica_noise_map(Interpolator(sampling, 26).fill, kspace, sampling, covariance, n_replicas=200)
    assert found.net_acceleration == pytest.approx(40 / int(sampling.mask.sum()))
    assert float(found.gfactor.mean()) == pytest.approx(1 / found.net_acceleration, rel=0.02)


def test_grappas_map_is_that_of_its_matrix() -> None:
    """A linear method as an explicit matrix: std^2 is the diagonal of A Psi A^H in phase."""
    kspace, covariance = kspace_and_covariance()
    kspace = kspace[:, :24, :10]
    sampling = lattice_with_acs(24, 2, 0, range(8, 20))
    fill = fit(Grappa(regularization=1e-2), kspace, sampling).fill
    weights = matched_weights(image_from_kspace(fill(kspace))).conj()
    factor = torch.linalg.cholesky(covariance).to(torch.complex64)
    variance = torch.zeros(24, 10)
    for coil in range(4):
        for line in sampling.mask.nonzero().flatten().tolist():
            for sample in range(10):
                unit = torch.zeros(4, 24, 10, dtype=torch.complex64)
                unit[:, line, sample] = factor[:, coil]
                response = (weights * image_from_kspace(fill(unit))).sum(0)
                variance += response.abs().square() / 2
    found = replica_noise_map(fill, kspace, sampling, covariance, n_replicas=1000)
    ratio = found.std / variance.sqrt()
    assert float((ratio - 1).abs().median()) < 0.03
    assert float((ratio - 1).abs().max()) < 5 * found.relative_standard_error


def test_lines_beyond_the_acquired_range_count_neither_as_noise_nor_as_acceleration() -> None:
    """A fully sampled partial-Fourier scan has R_net = 1 and g = 1."""
    kspace, covariance = kspace_and_covariance()
    sampling = Sampling.from_mask(torch.arange(40) >= 10)
    found = replica_noise_map(Interpolator(sampling, 26).fill, kspace, sampling, covariance, n_replicas=200)
    assert found.net_acceleration == 1
    assert float(found.gfactor.mean()) == pytest.approx(1, abs=0.01)


def test_noise_of_the_full_scan_is_that_of_its_weights() -> None:
    weights, covariance = random_kspace(4, 5, 6), kspace_and_covariance()[1]
    expected = torch.empty(5, 6, dtype=torch.float64)
    for y in range(5):
        for x in range(6):
            w = weights[:, y, x].to(torch.complex128)
            expected[y, x] = ((w @ covariance @ w.conj()).real / 2).sqrt()
    torch.testing.assert_close(full_noise(weights, covariance), expected)


def test_same_seed_same_map_and_one_replica_has_no_spread() -> None:
    kspace, covariance = kspace_and_covariance()
    sampling = lattice_with_acs(40, 2, 0, range(14, 26))
    fill = Interpolator(sampling, 26).fill
    first, second = (replica_noise_map(fill, kspace, sampling, covariance, n_replicas=3, seed=5) for _ in range(2))
    assert torch.equal(first.std, second.std)
    with pytest.raises(ValueError, match='at least 2 replicas, got 1'):
        replica_noise_map(fill, kspace, sampling, covariance, n_replicas=1)


def network(slope: float, kspace: Tensor, sampling: Sampling) -> Interpolator:
    """A quickly trained network of the 2019 kind."""
    return fit(replace(RAKI_QUICK, slope=slope), kspace, sampling)


def inside(kspace: Tensor) -> Tensor:
    return object_mask(root_sum_of_squares(image_from_kspace(kspace)))


def scan_and_covariance() -> tuple[Tensor, Tensor]:
    scan = simulate(Simulation((60, 46), n_coils=5, noise=0.01))
    assert scan.noise is not None
    return scan.kspace[0], noise_covariance(scan.noise)


def test_at_rate_one_the_small_noise_map_has_g_of_one() -> None:
    kspace, covariance = kspace_and_covariance()
    sampling = Sampling.from_mask(torch.ones(40, dtype=torch.bool))
    found = jvp_noise_map(Interpolator(sampling, 26), kspace, covariance, n_probes=400)
    assert found.relative_standard_error == pytest.approx(0.0354, abs=1e-4)
    assert float(found.gfactor.mean()) == pytest.approx(1, abs=0.01)
    assert float((found.gfactor - 1).abs().max()) < 5 * found.relative_standard_error


def test_grappas_maps_agree_analytic_replica_and_derivative() -> None:
    kspace, covariance = scan_and_covariance()
    sampling = lattice_with_acs(60, 3, 1, range(20, 40))
    interpolator = fit(Grappa(), kspace, sampling)
    weights = matched_weights(image_from_kspace(interpolator.fill(kspace))).conj()
    exact = analytic_noise_map(interpolator, covariance, weights).std[inside(kspace)]
    replicas = replica_noise_map(interpolator.fill, kspace, sampling, covariance, n_replicas=1000)
    probes = jvp_noise_map(interpolator, kspace, covariance, n_probes=500, seed=1)
    for found in (replicas, probes):
        ratio = found.std[inside(kspace)] / exact
        assert float((ratio - 1).abs().median()) < 0.03
        assert float(ratio.median()) == pytest.approx(1, abs=0.005)


def test_the_map_of_a_linear_network_does_not_depend_on_the_object() -> None:
    """Slope 1: only the coils' combination knows the object, so it is given the same phases."""
    kspace, covariance = scan_and_covariance()
    sampling = lattice_with_acs(60, 3, 1, range(20, 40))
    fitted = network(1, kspace, sampling)
    first, second = (jvp_noise_map(fitted, factor * kspace, covariance, n_probes=8).std for factor in (1, 37))
    torch.testing.assert_close(second, first, rtol=1e-4, atol=0)
    change = random_kspace(*kspace.shape, seed=5)
    pushed = [fitted.derivative(at).fill(change) for at in (kspace, random_kspace(*kspace.shape, seed=4))]
    torch.testing.assert_close(pushed[0], pushed[1], rtol=1e-4, atol=1e-4 * float(pushed[0].abs().max()))


@pytest.mark.parametrize('slope', [0, 0.5])
def test_the_map_of_a_network_is_that_of_replicas_at_vanishing_noise(slope: float) -> None:
    """The same draws of noise in both, so that they may differ by the mean that replicas subtract and by curvature."""
    kspace, covariance = scan_and_covariance()
    sampling = lattice_with_acs(60, 3, 1, range(20, 40))
    fitted, small = network(slope, kspace, sampling), 1e-3
    replicas = replica_noise_map(fitted.fill, kspace, sampling, small**2 * covariance, n_replicas=100)
    probes = jvp_noise_map(fitted, kspace, covariance, n_probes=100)
    ratio = (replicas.std / small / probes.std)[inside(kspace)]
    assert float((ratio - 1).abs().median()) < 0.03
    torch.testing.assert_close(ratio.median(), torch.tensor(1.0), rtol=0, atol=0.01)


@pytest.mark.filterwarnings('ignore:.torch.jit.script. is deprecated:DeprecationWarning')
@pytest.mark.parametrize('method', METHODS.values(), ids=METHODS)
def test_the_derivative_of_filling_is_torchs_own(method: Method) -> None:
    kspace, _ = scan_and_covariance()
    sampling = lattice_with_acs(60, 3, 1, range(20, 40))
    interpolator = fit(method, kspace, sampling)
    change = random_kspace(*kspace.shape)
    derivatives: Any = torch.func  # its stubs do not tell the results apart by options
    filled, expected = derivatives.jvp(interpolator.fill, (kspace,), (change,))
    pushed = interpolator.derivative(kspace).fill(change)
    assert torch.equal(filled, interpolator.fill(kspace))
    torch.testing.assert_close(pushed, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    output, pull = derivatives.vjp(interpolator.fill, kspace)
    other = random_kspace(*kspace.shape, seed=3)
    forwards, backwards = (float((a.conj() * b).sum().real) for a, b in ((other, pushed), (pull(other)[0], change)))
    assert torch.equal(output, filled)
    assert forwards == pytest.approx(backwards, rel=1e-3, abs=1e-3 * float(pushed.norm()))


GATED = 'gated', 'spirit', 'sparse', 'rraki'
HOMOGENEOUS = {name: method for name, method in METHODS.items() if name not in GATED}
"""Gates, and what starts from them, know the noise, which has a scale."""


@pytest.mark.parametrize('method', HOMOGENEOUS.values(), ids=HOMOGENEOUS)
def test_the_derivative_along_k_space_itself_is_the_filled_one(method: Method) -> None:
    """Euler's theorem for positively homogeneous functions."""
    kspace, _ = scan_and_covariance()
    sampling = lattice_with_acs(60, 3, 1, range(20, 40))
    interpolator = fit(method, kspace, sampling)
    filled = interpolator.fill(kspace)
    pushed = interpolator.derivative(kspace).fill(kspace)
    torch.testing.assert_close(pushed, filled, rtol=1e-4, atol=1e-5 * float(filled.abs().max()))


def _called(inner: PatchMap, lines: Tensor, cells: Cells) -> Tensor:
    return inner(lines, cells)


def test_a_map_that_does_not_know_its_derivative_is_differentiated() -> None:
    kspace, covariance = scan_and_covariance()
    sampling = lattice_with_acs(60, 3, 1, range(20, 40))
    known = network(0, kspace, sampling)
    assert known.inner
    called = replace(known.inner[0], patch_map=partial(_called, known.inner[0].patch_map))
    unknown = replace(known, inner=(called,))
    maps = [jvp_noise_map(each, kspace, covariance, n_probes=3).std for each in (known, unknown)]
    torch.testing.assert_close(maps[0], maps[1], rtol=1e-4, atol=0)


def test_a_linear_method_has_no_bias_and_shrinkage_shows_as_one() -> None:
    """|bias| of a linear method is its standard error, std / sqrt(K); soft thresholds shrink noisy replicas."""
    kspace, covariance = kspace_and_covariance()
    sampling = Sampling.from_mask(torch.ones(40, dtype=torch.bool))
    linear = replica_noise_map(Interpolator(sampling, 26).fill, kspace, sampling, covariance, n_replicas=100)
    assert linear.bias is not None
    assert float((linear.bias / linear.std).square().mean()) == pytest.approx(1 / 100, rel=0.2)

    def halving(values: Tensor) -> Tensor:
        return torch.where(torch.view_as_real(values - kspace).abs().amax(-1) > 0, 0.5 * values, values)

    shrunk = replica_noise_map(halving, kspace, sampling, covariance, n_replicas=100)
    assert shrunk.bias is not None
    image = root_sum_of_squares(image_from_kspace(kspace))
    torch.testing.assert_close(shrunk.bias, -0.5 * image, rtol=0, atol=3 * float(shrunk.std.max()) / 10)


def test_replicas_may_refit_the_weights() -> None:
    """Two replicas by hand: everything is learnt anew from the noisy ACS."""
    kspace, covariance = kspace_and_covariance()
    sampling = lattice_with_acs(40, 2, 0, range(14, 26))
    fill = refitting(Grappa(regularization=1e-2), sampling)
    expected = fit(Grappa(regularization=1e-2), kspace, sampling).fill(kspace)
    assert torch.equal(fill(kspace), expected)
    fixed = fit(Grappa(regularization=1e-2), kspace, sampling).fill
    maps = [
        replica_noise_map(each, kspace, sampling, 100 * covariance, n_replicas=50).std.mean() for each in (fill, fixed)
    ]
    assert float((maps[0] - maps[1]).abs() / maps[1]) > 0.01


def test_replicas_do_not_pile_up() -> None:
    """Of 200 replicas no more than a few are in memory at any time."""
    kspace, covariance = kspace_and_covariance()
    sampling = Sampling.from_mask(torch.ones(40, dtype=torch.bool))
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def counting(values: Tensor) -> Tensor:
        nonlocal most
        alive.append(weakref.ref(values))
        most = max(most, sum(each() is not None for each in alive))
        return values.clone()

    replica_noise_map(counting, kspace, sampling, covariance, n_replicas=200)
    assert len(alive) == 201
    assert most <= 3


@pytest.mark.parametrize(('matrix', 'noise'), [((96, 128), 0.02), ((96, 128), 0.003), ((48, 40), 0.003)])
def test_noise_without_noise_samples_has_the_right_power(matrix: tuple[int, int], noise: float) -> None:
    """Within 15 % of the power that was put in, where the periphery alone is up to 65 times too high."""
    scan = simulate(Simulation(matrix, n_coils=6, noise=noise))
    assert scan.noise is not None
    kspace, start = scan.kspace[0], matrix[0] // 2 - 16
    found = covariance_without_noise_scan(kspace, scan.mask, kspace[:, start : start + 32])
    true = noise_covariance(scan.noise)
    assert float(found.diagonal().real.mean() / true.diagonal().real.mean()) == pytest.approx(1, abs=0.15)
    assert float((found - true).norm() / true.norm()) < 0.5
    assert bool((torch.linalg.eigvalsh(found) > 0).all())


def test_with_too_little_acs_the_periphery_tells_the_noise() -> None:
    scan = simulate(Simulation((48, 40), n_coils=6))
    found = covariance_without_noise_scan(scan.kspace[0], scan.mask, scan.kspace[0][:, 23:25])
    torch.testing.assert_close(found, covariance_from_periphery(scan.kspace[0], scan.mask))


def test_a_map_needs_a_probe() -> None:
    kspace, covariance = kspace_and_covariance()
    sampling = Sampling.from_mask(torch.ones(40, dtype=torch.bool))
    with pytest.raises(ValueError, match='at least 1 probe, got 0'):
        jvp_noise_map(Interpolator(sampling, 26), kspace, covariance, n_probes=0)
