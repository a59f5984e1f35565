"""The gated network: where theory says what it is, and how far it is trusted."""

import re
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from raki.data.lattice import Lattice
from raki.data.sampling import Sampling, undersample
from raki.data.simulate import Simulation, simulate
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Calibration, silent
from raki.interpolation.fit import fit
from raki.interpolation.least_squares import LinearMap, NormalEquations
from raki.interpolation.neighbours import Cells, Kernel
from raki.interpolation.points import Points
from raki.networks.gated import Blend, Gated, GatedNetwork, smoothed
from raki.networks.trust import Draws, Shares, patch_power
from tests.toys import calibration_of, lattice_with_acs, plane_wave, point_sources, random_kspace

RIDGE = 1e-3


class Toy(NamedTuple):
    """Fully sampled structured k-space with noise, as a calibration, and every place in it."""

    calibration: Calibration
    cells: Cells

    @property
    def lines(self) -> Tensor:
        return self.calibration.acs_lines

    def solved(self, noise: float) -> tuple[GatedNetwork, NormalEquations]:
        """A network, and its equations."""
        equations = self.calibration.normal_equations(self.cells.neighbourhood)
        steps = self.calibration.lattice.steps
        network = GatedNetwork.solved(equations, equations.n_equations, RIDGE, noise, steps)
        assert network is not None
        return network, equations


def toy(shape: tuple[int, ...], lattice: Lattice) -> Toy:
    kspace = point_sources(9, 5, *shape) + 0.3 * random_kspace(5, *shape)
    calibration = Calibration(kspace, lattice)
    return Toy(calibration, calibration.cells(calibration.neighbourhood(Kernel(2, 5))))


LINES, VOLUME = toy((40, 37), Lattice.of((3,))), toy((11, 13, 17), Lattice.of((2, 2), 1))
both_geometries = pytest.mark.parametrize('toy', [LINES, VOLUME], ids=['lines', 'volume'])


@both_geometries
def test_without_noise_the_network_is_ridge_regression(toy: Toy) -> None:
    network, equations = toy.solved(1e-9)
    linear = LinearMap(equations.solve(RIDGE))
    torch.testing.assert_close(network(toy.lines, toy.cells), linear(toy.lines, toy.cells), rtol=1e-3, atol=1e-3)


@both_geometries
def test_where_the_power_is_constant_the_network_is_the_wiener_filter_of_that_power(toy: Toy) -> None:
    """Covariance power * C + noise * 1 of the sources: a ridge of noise / power, whatever the gates are made of."""
    noise, wave = 0.2, plane_wave(5, *toy.calibration.acs.shape[1:]).flatten(1, -2)
    network, equations = toy.solved(noise)
    power = float(wave.abs().square().mean())
    n_equations, unit = equations.n_equations, torch.eye(len(equations.gram)).to(equations.gram)
    signal = n_equations * (equations.source_power - noise)
    covariance = (equations.gram - n_equations * noise * unit) / signal
    values, vectors = torch.linalg.eigh(covariance)
    covariance = (vectors * values.clamp(min=0)) @ vectors.mH
    ridge = RIDGE * n_equations * equations.source_power / signal + noise / (power - noise)
    weights = torch.linalg.solve(covariance + ridge * unit, equations.cross / signal)
    expected = LinearMap(weights)(wave, toy.cells)
    torch.testing.assert_close(network(wave, toy.cells), expected, rtol=1e-4, atol=1e-4)


@both_geometries
def test_a_network_commutes_with_the_phase_of_k_space(toy: Toy) -> None:
    turn, (network, _) = torch.polar(torch.tensor(1.0), torch.tensor(0.7)), toy.solved(0.1)
    turned = network(turn * toy.lines, toy.cells)
    torch.testing.assert_close(turned, turn * network(toy.lines, toy.cells), rtol=1e-4, atol=1e-4)


@both_geometries
def test_gates_open_with_the_power_of_k_space(toy: Toy) -> None:
    network, _ = toy.solved(0.1)
    closed, opened = (network._gates(network._ridge(factor * toy.lines, toy.cells)) for factor in (0.5, 2.0))
    assert bool((opened > closed).all())


@both_geometries
def test_a_held_network_is_linear_and_equals_the_network_where_it_is_held(toy: Toy) -> None:
    network, _ = toy.solved(0.1)
    held, other = network.held(toy.lines, toy.cells), random_kspace(*toy.lines.shape, seed=3)
    torch.testing.assert_close(held(toy.lines, toy.cells), network(toy.lines, toy.cells))
    expected = 2j * held(toy.lines, toy.cells) + held(other, toy.cells)
    torch.testing.assert_close(held(2j * toy.lines + other, toy.cells), expected, rtol=1e-4, atol=1e-4)


@both_geometries
def test_power_of_a_patch_is_that_of_its_samples(toy: Toy) -> None:
    direct = toy.cells.patches(toy.lines).abs().square().mean(-1)
    torch.testing.assert_close(patch_power(toy.lines, toy.cells), direct.double(), rtol=1e-5, atol=0)


@both_geometries
def test_smoothing_is_the_mean_over_neighbouring_cells_and_samples(toy: Toy) -> None:
    """Up to the border, where there are fewer; against the definition at some cells."""
    steps, n_columns = toy.calibration.lattice.steps, len(toy.cells.neighbourhood.columns(toy.lines.shape[-1]))
    constant = torch.full((len(toy.cells), n_columns), 2.5)
    torch.testing.assert_close(smoothed(constant, toy.cells, steps), constant)
    power = patch_power(toy.lines, toy.cells)
    found, anchors = smoothed(power, toy.cells, steps), toy.cells.anchors
    moves = torch.cartesian_prod(*[torch.arange(-1, 2)] * len(steps)).view(-1, len(steps)) @ torch.tensor(steps)
    for cell, column in [(0, 0), (len(anchors) // 2, 5), (len(anchors) - 1, n_columns - 1)]:
        near = (anchors[:, None] == anchors[cell] + moves).all(-1).any(1)
        expected = power[near, max(0, column - 4) : column + 5].mean()
        assert float(found[cell, column]) == pytest.approx(float(expected), rel=1e-6)


@both_geometries
def test_overlap_of_noise_is_that_of_the_weights(toy: Toy) -> None:
    """tr(W1^H W0) at a position whose gates make the network the map W1."""
    network, equations = toy.solved(0.1)
    start = equations.solve(RIDGE)
    gates = network._gates(network._ridge(toy.lines, toy.cells))
    gated = network.analysis @ (gates[:, 2, 3, None] * network.synthesis)
    expected = 0.1 * float((gated.conj() * start.to(gated)).sum().real)
    found = network.noise_overlap(toy.lines, toy.cells, LinearMap(start), Draws(0.1, 1, seed=0))
    assert float(found[2, 3]) == pytest.approx(expected, rel=1e-4)


def test_a_network_needs_signal_above_the_noise() -> None:
    calibration = Calibration(random_kspace(5, 30, 29), Lattice.of((3,)))
    equations = calibration.normal_equations(calibration.neighbourhood(Kernel(2, 5)))
    noise = 2 * equations.source_power
    assert GatedNetwork.solved(equations, equations.n_equations, RIDGE, noise, ((3,),)) is None


@both_geometries
def test_a_blend_lies_between_its_ends(toy: Toy) -> None:
    network, equations = toy.solved(0.1)
    linear = LinearMap(equations.solve(RIDGE))
    expected = 0.7 * linear(toy.lines, toy.cells) + 0.3 * network(toy.lines, toy.cells)
    torch.testing.assert_close(Blend(linear, network, 0.3)(toy.lines, toy.cells), expected)


@pytest.mark.parametrize(
    ('noise', 'held_out', 'expected', 'trusted'),
    [
        (0.5, 1.0, 1.0, 0.5),
        (0.5, 2.0, 1.0, 0.5),
        (0.9, 0.6, 1.0, 0.54),
        (2.4, 0.015, 0.31, 0.015 / 0.31),
        (0.3, -0.1, 0.9, 0.0),
    ],
)
def test_held_out_rows_hold_back_but_do_not_drive_on(
    noise: float, held_out: float, expected: float, trusted: float
) -> None:
    assert Shares(noise, held_out, expected).trusted == pytest.approx(trusted)


def test_without_noise_gated_is_grappa_and_says_so() -> None:
    full, sampling = point_sources(4, 6, 54, 31), lattice_with_acs(54, 3, 1, range(14, 44))
    interpolator = fit(Gated(), full, sampling)
    assert float((interpolator.fill(full) - full).abs().max() / full.abs().max()) < 1e-4
    assert any('gated is GRAPPA here' in text for text in interpolator.notes)
    assert not interpolator.warnings


@pytest.mark.parametrize(
    ('matrix', 'rate', 'acs'),
    [((96, 80), (2,), (24,)), ((22, 48, 40), (2, 2), (14, 20))],
    ids=['lines', 'volume'],
)
def test_where_noise_rules_gated_is_closer_to_the_truth_than_grappa(
    matrix: tuple[int, ...], rate: tuple[int, ...], acs: tuple[int, ...]
) -> None:
    """A simulation whose noise-free k-space is known; the margin is a third of what is found."""
    scan = simulate(Simulation(matrix, 8, 1, 0.05, 3))
    assert scan.reference is not None
    full, truth = scan.kspace[0], scan.reference[0]
    sampling = undersample(scan.mask, rate, acs, shift=len(rate) - 1)
    errors = [
        float((fit(method, full, sampling).fill(full) - truth)[:, ~sampling.mask].abs().square().sum())
        for method in (Grappa(calibration='measured'), Gated(calibration='measured'))
    ]
    assert errors[1] < 0.9 * errors[0]


def noisy_scan(matrix: tuple[int, ...], rate: tuple[int, ...], acs: tuple[int, ...]) -> tuple[Tensor, Sampling]:
    scan = simulate(Simulation(matrix, 8, 1, 0.01, 3))
    return scan.kspace[0], undersample(scan.mask, rate, acs, shift=len(rate) - 1)


bounded_scans = pytest.mark.parametrize(
    ('matrix', 'rate', 'acs'),
    [((96, 80), (3,), (24,)), ((22, 48, 40), (2, 2), (14, 20))],
    ids=['lines', 'volume'],
)


@bounded_scans
def test_small_points_come_back_as_the_bound_says_others_than_those_it_was_set_by(
    matrix: tuple[int, ...], rate: tuple[int, ...], acs: tuple[int, ...]
) -> None:
    """By 1.5 %, twice what draws differ by. The bound is one that the network as far as it is trusted breaks."""
    full, sampling = noisy_scan(matrix, rate, acs)
    calibration = calibration_of(full, sampling)
    free = Gated().learn(calibration, silent)
    assert isinstance(free.patch_map, Blend)
    start, around = free.patch_map.start, free.neighbourhood
    first, last = (Points.of(calibration, around, start).retained(each) for each in (start, free.patch_map))
    faithful = 0.5 * (first + last)
    bounded = Gated(faithful=faithful).learn(calibration, silent).patch_map
    assert isinstance(bounded, Blend)
    assert last < faithful
    assert 0 < bounded.share < free.patch_map.share
    assert Points.of(calibration, around, start, seed=100).retained(bounded) == pytest.approx(faithful, abs=0.015)


@bounded_scans
def test_a_bound_that_is_kept_anyway_changes_no_bit_and_one_beyond_grappa_leaves_grappa(
    matrix: tuple[int, ...], rate: tuple[int, ...], acs: tuple[int, ...]
) -> None:
    full, sampling = noisy_scan(matrix, rate, acs)
    linear, free, unbound, most = (
        fit(method, full, sampling) for method in (Grappa(), Gated(), Gated(faithful=0.0), Gated(faithful=1.0))
    )
    assert torch.equal(free.fill(full), unbound.fill(full))
    assert torch.equal(linear.fill(full), most.fill(full))
    assert not torch.equal(linear.fill(full), free.fill(full))
    assert not free.warnings
    assert 'gated is GRAPPA here: the network gives back too little of small points' in most.warnings
    assert re.fullmatch(
        r'GRAPPA gives back \d+ % of .* points, not 100 %: use a lower bound, or gated with .*', most.warnings[-1]
    )


def test_a_bound_does_not_depend_on_the_unit_of_k_space() -> None:
    full, sampling = noisy_scan((96, 80), (3,), (24,))
    found, larger = (fit(Gated(faithful=0.6), scale * full, sampling).fill(scale * full) for scale in (1, 1000))
    torch.testing.assert_close(larger, 1000 * found, rtol=1e-3, atol=1e-3 * float(full.abs().max()))


def test_settings_are_validated() -> None:
    with pytest.raises(ValueError, match=r'faithful must be between 0 and 1, got -0\.1'):
        Gated(faithful=-0.1)
    with pytest.raises(ValueError, match='at least one draw of noise'):
        Gated(n_probes=0)
