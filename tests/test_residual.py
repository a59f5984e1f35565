"""A linear branch and a network on its residual: where theory says what it is, and what holds it back."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raki.data.lattice import Lattice
from raki.data.sampling import undersample
from raki.data.simulate import Simulation, simulate
from raki.interpolation.calibration import Calibration, silent
from raki.interpolation.fit import Interpolator, fit
from raki.interpolation.least_squares import LinearMap
from raki.interpolation.neighbours import Cells, Kernel
from raki.interpolation.points import Points
from raki.networks.gated import Gated
from raki.networks.layers import FIRST, initial_weights
from raki.networks.raki import RAKI_2019, NetworkMap, Raki
from raki.networks.residual import ResidualMap, ResidualRaki, _whitening
from raki.networks.training import Recipe
from tests.toys import COMPLEX_QUICK, RRAKI_QUICK, calibration_of, lattice_with_acs, point_sources, random_kspace

KERNELS = [Kernel(2, 5), Kernel(2, 7)]
LINES = Calibration(random_kspace(3, 22, 25), Lattice.of((3,)))
VOLUME = Calibration(random_kspace(3, 9, 11, 13), Lattice.of((2, 2), 1))
both_geometries = pytest.mark.parametrize('calibration', [LINES, VOLUME], ids=['lines', 'volume'])


def residual(
    kernel: Kernel, share: float = 1.0, method: Raki = COMPLEX_QUICK, calibration: Calibration = LINES
) -> tuple[ResidualMap, Cells]:
    """Random weights throughout, and every place of the linear branch."""
    around, stack = calibration.neighbourhood(kernel), method.stack(calibration)
    n_sources, n_targets = 3 * len(around.sources) * len(around.samples), 3 * len(around.targets)
    weights = initial_weights(method.shape(calibration), 0.3, torch.complex64, seed=4)
    network = NetworkMap(method, stack, weights, None, 1.0)
    linear = LinearMap(random_kspace(n_sources, n_targets, seed=2))
    return ResidualMap(linear, network, stack.receptive_field, share), calibration.cells(around)


@both_geometries
@pytest.mark.parametrize('kernel', KERNELS, ids=str)
def test_the_correction_is_added_to_the_samples_that_the_network_predicts(
    kernel: Kernel, calibration: Calibration
) -> None:
    """Filling in with each branch alone puts every sample where it belongs; so must their sum."""
    (both, cells), lines = residual(kernel, calibration=calibration), calibration.acs_lines
    own = calibration.cells(both.receptive_field)
    found, expected = torch.zeros_like(lines), torch.zeros_like(lines)
    for target in range(len(cells.neighbourhood.targets)):

        def put(into: Tensor, values: Tensor, where: Cells, target: int = target) -> None:
            columns = where.neighbourhood.columns(lines.shape[-1])
            into[:, where.targets[:, target], columns.start : columns.stop] += values[:, target]

        put(found, both(lines, cells), cells)
        put(expected, both.start(lines, cells), cells)
        put(expected, both.network(lines, own), own)
        torch.testing.assert_close(found, expected)


@both_geometries
@pytest.mark.parametrize('kernel', KERNELS, ids=str)
def test_a_share_of_the_correction_is_a_share_of_the_way(kernel: Kernel, calibration: Calibration) -> None:
    each = [residual(kernel, share, calibration=calibration) for share in (0.0, 0.3, 1.0)]
    lines = calibration.acs_lines
    none, some, whole = (both(lines, cells) for both, cells in each)
    torch.testing.assert_close(some, 0.7 * none + 0.3 * whole)
    torch.testing.assert_close(none, each[0][0].start(lines, each[0][1]))


@pytest.mark.parametrize('shape', [(3, 4, 25), (3, 22, 6)])
def test_where_the_network_does_not_fit_the_linear_branch_remains(shape: tuple[int, int, int]) -> None:
    (both, cells), lines = residual(Kernel(2, 5)), random_kspace(*shape)
    cells = Cells.inside(cells.neighbourhood, shape[1:2])
    torch.testing.assert_close(both(lines, cells), both.start(lines, cells))


@both_geometries
@pytest.mark.parametrize('kernel', KERNELS, ids=str)
def test_inputs_are_whitened_by_the_equations_of_the_linear_branch(kernel: Kernel, calibration: Calibration) -> None:
    acs = calibration.acs + 0.5 * random_kspace(1, *calibration.acs.shape[1:], seed=1)
    calibration = replace(calibration, acs=acs, _known={})
    equations = calibration.normal_equations(calibration.neighbourhood(kernel))
    first = calibration.neighbourhood(FIRST)
    whitening = _whitening(equations, first, replace(COMPLEX_QUICK, regularization=1e-9))
    margin = (kernel.readout - 5) // 2
    cells, n_readout = calibration.cells(first), acs.shape[-1]
    inside = calibration.acs_lines[..., margin : n_readout - margin]
    inputs = cells.patches(inside).flatten(0, 1).mT * equations.source_power**-0.5
    white = whitening @ inputs
    unit = torch.eye(len(white), dtype=white.dtype)
    torch.testing.assert_close(white @ white.mH / white.shape[1], unit, rtol=0, atol=1e-2)


def gated_and(method: ResidualRaki, n_readout: int = 31) -> tuple[Tensor, Tensor, Interpolator]:
    """What the gated network and a method fill in of a noisy toy at R=3."""
    full = point_sources(9, 4, 54, n_readout) + 0.1 * random_kspace(4, 54, n_readout)
    sampling = lattice_with_acs(54, 3, 1, range(15, 40))
    fitted = fit(method, full, sampling)
    return fit(Gated(method.kernels), full, sampling).fill(full), fitted.fill(full), fitted


def test_a_readout_too_short_for_the_network_leaves_gated_and_says_so() -> None:
    """Of 10 samples the linear kernel fills 6; the network sees 7."""
    first, found, fitted = gated_and(RRAKI_QUICK, n_readout=10)
    assert torch.equal(first, found)
    assert any('rraki is gated here: the scan has too little' in text for text in fitted.warnings)


def test_a_training_that_fails_leaves_gated_and_says_so() -> None:
    wild = replace(COMPLEX_QUICK, recipe=Recipe(n_iterations=20, learning_rate=1e30))
    first, found, fitted = gated_and(ResidualRaki(wild))
    assert torch.equal(first, found)
    assert any('rraki is gated here: training left the finite range' in text for text in fitted.warnings)


def test_where_lines_are_many_rraki_is_closer_to_the_truth_than_the_gated_network() -> None:
    """A simulation whose noise-free k-space is known; the margin is half of what is found."""
    scan = simulate(Simulation((96, 80), 8, 1, 0.01, 3))
    assert scan.reference is not None
    full, truth = scan.kspace[0], scan.reference[0]
    sampling = undersample(scan.mask, (4,), (20,))
    small = replace(COMPLEX_QUICK, recipe=Recipe(150, 2e-3, 'mean square', is_annealed=True))
    errors = [
        float((fit(method, full, sampling).fill(full) - truth)[:, ~sampling.mask].abs().square().sum())
        for method in (Gated(), ResidualRaki(small))
    ]
    assert errors[1] < 0.98 * errors[0]


def test_small_points_come_back_as_the_bound_says() -> None:
    """The gated branch keeps the bound by itself; more of them come back by following the network less far."""
    scan = simulate(Simulation((96, 80), 8, 1, 0.01, 3))
    calibration = calibration_of(scan.kspace[0], undersample(scan.mask, (4,), (20,)))
    small = ResidualRaki(replace(COMPLEX_QUICK, recipe=Recipe(150, 2e-3, 'mean square', is_annealed=True)))
    free = small.learn(calibration, silent)
    assert isinstance(free.patch_map, ResidualMap)
    points = Points.of(calibration, free.neighbourhood, free.patch_map.start)
    first, last = points.retained(free.patch_map.start), points.retained(free.patch_map)
    assert last < first
    unbound, bounded, most = (
        replace(small, faithful=bound).learn(calibration, silent) for bound in (0.0, 0.5 * (first + last), 1.0)
    )
    assert isinstance(unbound.patch_map, ResidualMap)
    assert isinstance(bounded.patch_map, ResidualMap)
    assert unbound.patch_map.share == free.patch_map.share
    assert bounded.patch_map.share == pytest.approx(0.5 * free.patch_map.share)
    assert points.retained(bounded.patch_map) == pytest.approx(0.5 * (first + last), abs=1e-3)
    assert isinstance(most.patch_map, LinearMap)
    assert any('GRAPPA gives back' in text for text in most.warnings)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'faithful': 1.1}, 'faithful must be between 0 and 1, got 1.1'),
        ({'network': RAKI_2019}, 'must be complex, one for all coils'),
        ({'network': replace(COMPLEX_QUICK, is_high_pass=True)}, 'without high-pass'),
        ({'n_draws': 0}, 'at least one draw of the reconstruction, got 0'),
    ],
)
def test_impossible_settings_are_refused_at_birth(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RRAKI_QUICK, **settings)


@pytest.mark.parametrize('kernel', [Kernel(2, 3), Kernel(2, 9)], ids=str)
def test_a_kernel_that_holds_less_or_more_than_the_network_sees_leaves_the_gated_branch(kernel: Kernel) -> None:
    """Its equations must whiten the inputs of the network, which must be judged wherever it is used."""
    first, found, fitted = gated_and(replace(RRAKI_QUICK, kernels=(kernel,)))
    assert torch.equal(first, found)
    assert any('rraki is gated here' in text for text in fitted.warnings)
