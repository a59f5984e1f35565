"""The gated network: where theory says what it is, and how far it is trusted."""

import pytest
import torch
from torch import Tensor

from raki.data.sampling import undersample
from raki.data.simulate import Simulation, simulate
from raki.grappa.method import Grappa
from raki.interpolation.fit import Calibration, fit
from raki.interpolation.kernel import Kernel, patches
from raki.interpolation.linear import LinearMap, NormalEquations
from raki.networks.gated import Blend, GatedNetwork, patch_power, smoothed
from raki.networks.recommended import GatedRaki
from raki.networks.trust import Shares
from tests.toys import acs_of, lattice_with_acs, plane_wave, point_sources, random_kspace

KERNEL = Kernel(2, 5)
RIDGE = 1e-3


def noisy() -> Tensor:
    """Structured k-space with noise, axes (coil, line, readout)."""
    return point_sources(9, 5, 40, 37) + 0.3 * random_kspace(5, 40, 37)


def solved(kspace: Tensor, noise: float) -> tuple[GatedNetwork, NormalEquations]:
    """A network from fully sampled lines at R=3, and its equations."""
    equations = NormalEquations.from_acs(kspace, 3, KERNEL)
    network = GatedNetwork.solved(equations, equations.n_equations, RIDGE, noise)
    assert network is not None
    return network, equations


def test_without_noise_the_network_is_ridge_regression() -> None:
    kspace = noisy()
    network, equations = solved(kspace, 1e-9)
    linear = LinearMap(equations.solve(RIDGE), KERNEL)
    torch.testing.assert_close(network(kspace, 3), linear(kspace, 3), rtol=1e-3, atol=1e-3)


def test_where_the_power_is_constant_the_network_is_the_wiener_filter_of_that_power() -> None:
    """Covariance power * C + noise * 1 of the sources: a ridge of noise / power, whatever the gates are made of."""
    noise, acs, wave = 0.2, noisy(), plane_wave(5, 30, 29)
    network, equations = solved(acs, noise)
    power = float(wave.abs().square().mean())
    n_equations, unit = equations.n_equations, torch.eye(len(equations.gram)).to(equations.gram)
    signal = n_equations * (equations.source_power - noise)
    covariance = (equations.gram - n_equations * noise * unit) / signal
    values, vectors = torch.linalg.eigh(covariance)
    covariance = (vectors * values.clamp(min=0)) @ vectors.mH
    ridge = RIDGE * n_equations * equations.source_power / signal + noise / (power - noise)
    weights = torch.linalg.solve(covariance + ridge * unit, equations.cross / signal)
    torch.testing.assert_close(network(wave, 3), LinearMap(weights, KERNEL)(wave, 3), rtol=1e-4, atol=1e-4)


def test_a_network_commutes_with_the_phase_of_k_space() -> None:
    kspace, turn = noisy(), torch.polar(torch.tensor(1.0), torch.tensor(0.7))
    network, _ = solved(kspace, 0.1)
    torch.testing.assert_close(network(turn * kspace, 3), turn * network(kspace, 3), rtol=1e-4, atol=1e-4)


def test_gates_open_with_the_power_of_k_space() -> None:
    kspace = noisy()
    network, _ = solved(kspace, 0.1)
    closed, opened = (network.gates(factor * kspace, 3) for factor in (0.5, 2.0))
    assert bool((opened > closed).all())


def test_power_of_a_patch_is_that_of_its_samples() -> None:
    kspace = random_kspace(3, 20, 17)
    direct = patches(kspace, KERNEL, 3).abs().square().mean(-1)
    torch.testing.assert_close(patch_power(kspace, KERNEL, 3), direct.double(), rtol=1e-5, atol=0)


def test_smoothing_keeps_constants_up_to_the_border() -> None:
    torch.testing.assert_close(smoothed(torch.full((7, 20), 2.5), dilation=2), torch.full((7, 20), 2.5))


def test_overlap_of_noise_is_that_of_the_weights() -> None:
    """tr(W1^H W0) at a position whose gates make the network the map W1."""
    network, equations = solved(noisy(), 0.1)
    start = equations.solve(RIDGE)
    around = random_kspace(5, 9, 11)
    gates = network.gates(around, 1)
    gated = network.analysis @ (gates[:, 2, 3, None] * network.synthesis)
    expected = 0.1 * float((gated.conj() * start.to(gated)).sum().real)
    assert float(network.noise_overlap(around, 1, LinearMap(start, KERNEL))[2, 3]) == pytest.approx(expected, rel=1e-4)


def test_a_network_needs_signal_above_the_noise() -> None:
    equations = NormalEquations.from_acs(random_kspace(5, 30, 29), 3, KERNEL)
    assert GatedNetwork.solved(equations, equations.n_equations, RIDGE, 2 * equations.source_power) is None


def test_a_blend_lies_between_its_ends() -> None:
    kspace = noisy()
    network, equations = solved(kspace, 0.1)
    linear = LinearMap(equations.solve(RIDGE), KERNEL)
    expected = 0.7 * linear(kspace, 3) + 0.3 * network(kspace, 3)
    torch.testing.assert_close(Blend(linear, network, 0.3)(kspace, 3), expected)


@pytest.mark.parametrize(
    ('noise', 'held_out', 'expected', 'trusted'),
    [(0.5, 1.0, 1.0, 0.5), (0.5, 2.0, 1.0, 0.5), (0.9, 0.6, 1.0, 0.5), (2.0, 1.0, 1.0, 1.0), (0.3, 0.2, 0.9, 0.0)],
)
def test_held_out_rows_hold_back_but_do_not_drive_on(
    noise: float, held_out: float, expected: float, trusted: float
) -> None:
    assert Shares(noise, held_out, expected).trusted == pytest.approx(trusted)


def test_without_noise_raki_is_grappa_and_says_so() -> None:
    full, sampling = point_sources(4, 6, 54, 31), lattice_with_acs(54, 3, 1, range(14, 44))
    acs = acs_of(full, sampling)
    interpolator = fit(GatedRaki(), acs, sampling, full)
    largest = float((interpolator.fill(full) - full).abs().max() / full.abs().max())
    assert largest < 1e-4
    assert any('raki is GRAPPA here' in text for text in interpolator.warnings)


def test_raki_needs_the_lines_that_it_is_for_to_trust_a_network() -> None:
    full, sampling = noisy(), lattice_with_acs(40, 3, 1, range(8, 32))
    acs = acs_of(full, sampling)
    linear, alone = (fit(method, acs, sampling).fill(full) for method in (Grappa(), GatedRaki()))
    torch.testing.assert_close(alone, linear)


def test_where_noise_rules_raki_is_closer_to_the_truth_than_grappa() -> None:
    """A simulation whose noise-free k-space is known; the margin is a third of what is found."""
    scan = simulate(Simulation((96, 80), 8, 1, 0.05, 3))
    assert scan.reference is not None
    full, truth = scan.kspace[0], scan.reference[0]
    sampling = undersample(torch.ones(96, dtype=torch.bool), 2, 24)
    acs, missing = full[:, sampling.acs.start : sampling.acs.stop], ~sampling.mask
    linear, gated = (fit(method, acs, sampling, full).fill(full) for method in (Grappa(), GatedRaki()))
    errors = [float((filled - truth)[:, missing].abs().square().sum()) for filled in (linear, gated)]
    assert errors[1] < 0.9 * errors[0]


def test_missing_lines_of_every_gap_follow_the_mask() -> None:
    sampling = lattice_with_acs(13, 4, 1, range(4, 8))
    assert sampling.missing.tolist() == [
        [False, False, True],
        [True, True, False],
        [False, False, True],
        [True, True, True],
    ]


def test_settings_are_validated() -> None:
    with pytest.raises(ValueError, match='at least one kernel'):
        GatedRaki(kernels=())


def test_lines_are_needed_for_missing_ones() -> None:
    """The fields that only `fit` with k-space knows are optional."""
    assert Calibration(random_kspace(3, 12, 9), 2).missing is None
