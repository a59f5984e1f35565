"""A linear branch and a network on its residual: where theory says what it is, and what holds it back."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raki.data.sampling import undersample
from raki.data.simulate import Simulation, simulate
from raki.grappa.method import Grappa
from raki.interpolation.fit import Interpolator, fit
from raki.interpolation.kernel import Kernel, patches
from raki.interpolation.linear import LinearMap, NormalEquations
from raki.networks.layers import FIRST, RECEPTIVE_FIELD, initial_weights
from raki.networks.raki import RAKI_2019, NetworkMap, Raki
from raki.networks.residual import ResidualMap, ResidualRaki, _Judged, _whitening
from raki.networks.training import Recipe
from raki.networks.trust import Draws
from tests.toys import COMPLEX_QUICK, RRAKI_QUICK, acs_of, lattice_with_acs, point_sources, random_kspace

KERNELS = [Kernel(2, 5), Kernel(2, 7)]


def network(method: Raki = COMPLEX_QUICK, n_coils: int = 3, acceleration: int = 3) -> NetworkMap:
    """With random weights."""
    weights = initial_weights(method.shape(n_coils, acceleration), 0.3, torch.complex64, seed=4)
    return NetworkMap(method, weights, None, 1.0)


def residual(kernel: Kernel, share: float = 1.0, method: Raki = COMPLEX_QUICK) -> ResidualMap:
    """Random weights throughout, 3 coils, R=3."""
    weights = random_kspace(3 * kernel.lines * kernel.readout, 6, seed=2)
    return ResidualMap(LinearMap(weights, kernel), network(method), share)


def around(seed: int = 0) -> Tensor:
    return random_kspace(3, 22, 25, seed=seed)


@pytest.mark.parametrize('kernel', KERNELS, ids=str)
@pytest.mark.parametrize('dilation', [1, 3])
def test_the_correction_is_added_to_the_samples_that_the_network_predicts(kernel: Kernel, dilation: int) -> None:
    """Filling in with each branch alone puts every sample where it belongs; so must their sum."""
    both, kspace = residual(kernel), around()
    n_rows, n_columns = 22 - dilation, 25 - kernel.readout + 1
    sums = torch.zeros(3, 2, n_rows, n_columns, dtype=torch.complex64)
    sums += both.linear(kspace, dilation)
    found = both.network(kspace, dilation)
    first = 3 - kernel.readout // 2  # the network's first target is in column 3
    sums[:, :, : 22 - 2 * dilation, first : first + 19] += found
    torch.testing.assert_close(both(kspace, dilation), sums)


@pytest.mark.parametrize('kernel', KERNELS, ids=str)
def test_a_share_of_the_correction_is_a_share_of_the_way(kernel: Kernel) -> None:
    kspace = around()
    none, some, whole = (residual(kernel, share)(kspace, 1) for share in (0.0, 0.3, 1.0))
    torch.testing.assert_close(some, 0.7 * none + 0.3 * whole)
    torch.testing.assert_close(none, residual(kernel).linear(kspace, 1))


@pytest.mark.parametrize('shape', [(3, 2, 25), (3, 22, 6)])
def test_where_the_network_does_not_fit_the_linear_branch_remains(shape: tuple[int, int, int]) -> None:
    both, kspace = residual(Kernel(2, 5)), random_kspace(*shape)
    torch.testing.assert_close(both(kspace, 1), both.linear(kspace, 1))
    torch.testing.assert_close(both.linearized(kspace, 1)(kspace, 1), both.linear(kspace, 1))


def test_the_overlap_of_noise_is_that_of_the_weights() -> None:
    """A network of slope 1 is linear, so its weights can be read off impulses; 400 draws at 20 positions, 3 %."""
    both = residual(Kernel(2, 5), 0.5, replace(COMPLEX_QUICK, slope=1.0))
    impulses = torch.eye(3 * 21, dtype=torch.complex64).view(-1, 3, 3, 7)
    start, whole = (torch.stack([each(lines, 1)[:, :, 0] for lines in impulses]) for each in (both.linear, both))
    # one window of 3 x 7 holds 3 positions of the 2 x 5 kernel; the network's target belongs to the middle one
    expected = 0.2 * float((whole[..., 1].conj() * start[..., 1]).real.sum())
    judged = _Judged(both, 0.2, Draws(400, seed=0))
    overlap = judged.noise_overlap(random_kspace(3, 6, 11), 1, both.linear)
    assert float(overlap[:-1, 1:-1].mean()) == pytest.approx(expected, rel=0.03)


def test_inputs_are_whitened_by_the_weighted_equations() -> None:
    acs = random_kspace(4, 24, 31) + 0.5 * random_kspace(1, 24, 31, seed=1)
    method = replace(COMPLEX_QUICK, regularization=1e-9)
    for kernel in KERNELS:
        equations = NormalEquations.from_acs(acs, 3, kernel)
        whitening = _whitening(equations, method)
        margin = (kernel.readout - 5) // 2
        inputs = patches(acs[..., margin : 31 - margin], FIRST, 3).flatten(0, 1).mT * equations.source_power**-0.5
        white = whitening @ inputs
        torch.testing.assert_close(
            white @ white.mH / white.shape[1], torch.eye(40, dtype=white.dtype), rtol=0, atol=1e-2
        )


def grappa_and(method: ResidualRaki, n_acs: int = 25) -> tuple[Tensor, Tensor, Interpolator]:
    """What GRAPPA and a method fill in of a noisy toy at R=3."""
    full = point_sources(9, 4, 54, 31) + 0.1 * random_kspace(4, 54, 31)
    sampling = lattice_with_acs(54, 3, 1, range(15, 15 + n_acs))
    acs = acs_of(full, sampling)
    fitted = fit(method, acs, sampling, full)
    return fit(Grappa(), acs, sampling, full).fill(full), fitted.fill(full), fitted


def test_an_acs_too_short_for_the_network_leaves_grappa_and_says_so() -> None:
    """3 lines at R=3 reach over 7; the linear kernel over 4."""
    linear, found, fitted = grappa_and(RRAKI_QUICK, n_acs=6)
    assert torch.equal(linear, found)
    assert any('rraki is GRAPPA here: the scan has too little' in text for text in fitted.warnings)


def test_a_training_that_fails_leaves_grappa_and_says_so() -> None:
    wild = replace(COMPLEX_QUICK, recipe=Recipe(n_iterations=20, learning_rate=1e30))
    linear, found, fitted = grappa_and(ResidualRaki(wild))
    assert torch.equal(linear, found)
    assert any('rraki is GRAPPA here: training left the finite range' in text for text in fitted.warnings)


def test_where_noise_rules_rraki_is_closer_to_the_truth_than_grappa() -> None:
    """A simulation whose noise-free k-space is known; the margin is half of what is found."""
    scan = simulate(Simulation((96, 80), 8, 1, 0.05, 3))
    assert scan.reference is not None
    full, truth = scan.kspace[0], scan.reference[0]
    sampling = undersample(torch.ones(96, dtype=torch.bool), 2, 32)
    acs, missing = full[:, sampling.acs.start : sampling.acs.stop], ~sampling.mask
    small = replace(COMPLEX_QUICK, recipe=Recipe(n_iterations=40, learning_rate=3e-3))
    errors = [
        float((fit(method, acs, sampling, full).fill(full) - truth)[:, missing].abs().square().sum())
        for method in (Grappa(), ResidualRaki(small))
    ]
    assert errors[1] < 0.94 * errors[0]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'network': RAKI_2019}, 'must be complex, one for all coils'),
        ({'kernels': ()}, '2 lines x 5 to 7 samples'),
        ({'kernels': (Kernel(4, 5),)}, '2 lines x 5 to 7 samples'),
        ({'n_probes': 0}, 'at least one draw of noise, got 0'),
    ],
)
def test_impossible_settings_are_refused_at_birth(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RRAKI_QUICK, **settings)


def test_the_network_sees_what_raki_sees() -> None:
    assert Kernel(3, 7) == RECEPTIVE_FIELD
