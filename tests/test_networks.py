"""The paper's networks: architecture, receptive field, training all at once."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from raki.data.lattice import Lattice
from raki.errors import TrainingError
from raki.interpolation.calibration import Calibration, silent
from raki.interpolation.neighbours import Cells
from raki.networks import layers as networks
from raki.networks.layers import FIRST, LAST, Hidden, Stack
from raki.networks.raki import RAKI_2019, RAKI_COMPLEX, NetworkMap, Raki
from raki.networks.training import Recipe, mean_square_loss, norm_loss, train
from tests.toys import COMPLEX_QUICK, RAKI_QUICK, point_sources, random_kspace

ACS = point_sources(9, 4, 24, 31) + 0.1 * random_kspace(4, 24, 31)


def of(acs: Tensor, acceleration: int) -> Calibration:
    return Calibration(acs, Lattice.of((acceleration,)))


def every_cell(network: NetworkMap, lines: Tensor) -> Cells:
    """Every place of a network in lines (coil, line, readout)."""
    return Cells.inside(network.stack.receptive_field, tuple(lines.shape[1:-1]))


def inputs_of(calibration: Calibration, channels: Tensor, stack: Stack) -> tuple[Tensor, Hidden]:
    hidden = stack.hidden(calibration.cells(stack.receptive_field))
    return hidden.inputs(channels), hidden


def learnt(method: Raki, acceleration: int = 4, acs: Tensor = ACS) -> NetworkMap:
    fitted = method.learn(of(acs, acceleration), silent).patch_map
    assert isinstance(fitted, NetworkMap)
    return fitted


def as_convolutions(weights: tuple[Tensor, ...], channels: Tensor, dilation: int) -> Tensor:
    """The same networks by torch's grouped dilated convolutions; kernels are (line, readout)."""
    first, second, last = weights
    n_networks, wide, _ = first.shape
    narrow = second.shape[1]
    convolve = partial(torch.nn.functional.conv2d, dilation=(dilation, 1))
    hidden = convolve(channels[None], first.reshape(n_networks * wide, len(channels), 2, 5)).relu()
    hidden = torch.nn.functional.conv2d(hidden, second.reshape(-1, wide, 1, 1), groups=n_networks).relu()
    # a row of `last` is (output, line, sample), its columns are channels
    kernels = last.reshape(n_networks, -1, 2, 3, narrow).permute(0, 1, 4, 2, 3).reshape(-1, narrow, 2, 3)
    return convolve(hidden, kernels, groups=n_networks)[0].unflatten(0, (n_networks, -1))


@pytest.mark.parametrize('acceleration', [2, 4])
def test_the_networks_are_the_papers_convolutions(acceleration: int) -> None:
    channels, calibration = torch.cat([ACS.real, ACS.imag]), of(ACS, acceleration)
    weights = networks.initial_weights(RAKI_2019.shape(calibration), 0.1, torch.float32, seed=3)
    inputs, hidden = inputs_of(calibration, channels, RAKI_2019.stack(calibration))
    found = networks.forward(weights, inputs, torch.relu, hidden)
    torch.testing.assert_close(found, as_convolutions(weights, channels, acceleration), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('acceleration', [2, 3, 4, 5, 6])
def test_there_are_two_networks_per_coil_with_the_papers_widths(acceleration: int) -> None:
    shape = RAKI_2019.shape(of(random_kspace(16, 24, 31), acceleration))
    assert (shape.n_networks, shape.n_inputs, shape.widths, shape.n_outputs) == (32, 32, (32, 8), acceleration - 1)
    assert shape.weights == ((32, 32, 320), (32, 8, 32), (32, 6 * (acceleration - 1), 8))


@pytest.mark.parametrize('method', [RAKI_QUICK, COMPLEX_QUICK], ids=['real', 'complex'])
def test_a_missing_sample_depends_on_3_acquired_lines_x_7_samples_of_all_coils(method: Raki) -> None:
    """Targets lie between the first and the second of the three lines, in the middle column of the seven."""
    network = replace(learnt(method), method=replace(method, slope=0.5))
    around = network.stack.receptive_field
    assert (around.sources, around.targets) == (((0,), (4,), (8,)), ((1,), (2,), (3,)))
    assert around.samples == range(-3, 4)
    assert method.smallest(of(ACS, 4)) == around
    lines = random_kspace(4, 40, 21, seed=1).requires_grad_()
    cells = every_cell(network, lines)
    missing = network(lines, cells)
    assert missing.shape == (4, 3, 40 - 8, 21 - 6)
    missing[:, :, 9, 5].abs().sum().backward()
    assert lines.grad is not None
    expected = torch.zeros(40, 21, dtype=torch.bool)
    expected[9:18:4, 5:12] = True
    assert all(torch.equal(coil.abs() > 0, expected) for coil in lines.grad)


@pytest.mark.parametrize('shift', [0, 1])
def test_on_two_axes_layers_see_a_cells_neighbours_along_both(shift: int) -> None:
    """The first layer sees all lattice points around a cell, the last one as many cells as it is told: by gradients."""
    acs = point_sources(9, 3, 12, 16, 15) + 0.1 * random_kspace(3, 12, 16, 15)
    lattice = Lattice.of((2, 2), shift)
    calibration = Calibration(acs, lattice)
    last = replace(LAST, partitions=2)
    stack = Stack.around(calibration, FIRST, last)
    assert stack.first == calibration.neighbourhood(FIRST)
    assert len(stack.steps) == 4
    assert bool(lattice.joins(torch.tensor(stack.steps)).all())
    method = replace(COMPLEX_QUICK, slope=0.5, last=last)
    weights = networks.initial_weights(method.shape(calibration), None, torch.complex64, seed=3)
    network = NetworkMap(method, stack, weights, None, 1.0)
    lines, cells = acs.flatten(1, 2).clone().requires_grad_(), calibration.cells(stack.receptive_field)
    network(lines, cells)[:, :, 5, 2].abs().sum().backward()
    assert lines.grad is not None
    touched = (lines.grad.abs() > 0).all(0)
    assert torch.equal(touched.any(1).nonzero().flatten(), cells.sources[5].sort().values)
    assert touched.any(0).nonzero().flatten().tolist() == list(range(2, 2 + 7))


def test_cells_of_a_block_and_cells_one_by_one_are_one_code() -> None:
    """Training stands on a block of the ACS, filling anywhere on the lattice."""
    network, full = learnt(RAKI_QUICK), random_kspace(4, 26, 21, seed=1)
    cells = every_cell(network, full)
    whole = network(full, cells)
    chosen = torch.tensor([0, 3, 4, 9, 17])
    torch.testing.assert_close(network(full, cells.at(chosen)), whole[:, :, chosen])
    for offset in range(4):
        torch.testing.assert_close(network(full, cells.at(slice(offset, None, 4))), whole[:, :, offset::4])


def test_networks_trained_together_equal_networks_trained_one_by_one() -> None:
    """Adam works weight by weight and the loss is a sum, so nothing couples them; 50 iterations, 1e-4."""
    calibration = of(ACS, 4)
    inputs, hidden = inputs_of(calibration, torch.cat([ACS.real, ACS.imag]), RAKI_2019.stack(calibration))
    targets = 0.1 * torch.randn(8, 3, 16, 25, generator=torch.Generator().manual_seed(0))
    start = networks.initial_weights(RAKI_2019.shape(calibration), 0.1, torch.float32, seed=0)
    recipe = Recipe(n_iterations=50, learning_rate=3e-3)
    predict = partial(networks.forward, inputs=inputs, activation=torch.relu, hidden=hidden)
    together = train(predict, targets, start, recipe, silent)[0]
    for index in range(8):
        own_start = tuple(weight[index : index + 1] for weight in start)
        alone = train(predict, targets[index : index + 1], own_start, recipe, silent)[0]
        for layer, own in zip(together, alone, strict=True):
            torch.testing.assert_close(layer[index : index + 1], own, rtol=1e-4, atol=1e-4)


def test_the_presets_are_the_papers_and_the_designs() -> None:
    assert Raki() == RAKI_2019
    paper = {'widths': (32, 8), 'is_complex': False, 'slope': 0.0, 'peak': 0.015, 'initial_std': 0.1}
    assert Raki(**paper, is_whitened=False, recipe=Recipe(1000, 3e-3), regularization=1e-3, seed=0) == RAKI_2019
    design = {'widths': (128, 64), 'is_complex': True, 'slope': 0.5, 'peak': None, 'initial_std': None}
    complex_one = Raki(**design, is_whitened=True, recipe=Recipe(200, 1e-3), calibration='own')
    assert complex_one == RAKI_COMPLEX


def test_the_acs_is_scaled_to_its_peak_or_its_power() -> None:
    assert learnt(RAKI_QUICK).scale * float(ACS.abs().max()) == pytest.approx(0.015)
    assert learnt(COMPLEX_QUICK).scale * float(ACS.abs().square().mean().sqrt()) == pytest.approx(1)


def test_whitening_decorrelates_the_inputs_of_the_first_layer() -> None:
    """With a vanishing ridge the whitened patches of the ACS have the unit matrix as their second moment."""
    acs = random_kspace(4, 24, 31) + 0.5 * random_kspace(1, 24, 31, seed=1)
    whitening = learnt(replace(COMPLEX_QUICK, regularization=1e-9), 3, acs).whitening
    assert whitening is not None
    calibration, scale = of(acs, 3), learnt(COMPLEX_QUICK, 3, acs).scale
    cells = calibration.cells(calibration.neighbourhood(FIRST))
    inputs = cells.patches(acs).flatten(0, 1).mT * scale
    white = whitening @ inputs
    torch.testing.assert_close(white @ white.mH / white.shape[1], torch.eye(40, dtype=white.dtype), rtol=0, atol=1e-2)


def test_equations_and_unknowns_of_a_network_are_counted() -> None:
    """Real: R - 1 outputs at 16 x 25 positions against 40 x 2 x 32 + 32 x 8 + 8 x 6 x 3 weights."""
    found = RAKI_QUICK.learn(of(ACS, 4), silent)
    assert (found.n_equations, found.n_unknowns) == (3 * 16 * 25, 80 * 32 + 32 * 8 + 8 * 18)


def test_networks_that_learn_nothing_stop_with_a_message() -> None:
    """At every rate that is tried."""
    lazy = replace(RAKI_QUICK, recipe=Recipe(n_iterations=50, learning_rate=1e4))
    with pytest.raises(TrainingError, match=r'after 50 iterations at learning rate 10000 .* no better than zero'):
        learnt(lazy)


def test_the_loss_is_the_sum_of_each_networks_norm() -> None:
    error = torch.tensor([[[3.0, 4.0]], [[0.0, 2.0]]])
    assert float(norm_loss(error, torch.zeros_like(error))) == pytest.approx(7.0)


def test_the_papers_loss_is_the_sum_of_each_networks_mean_square() -> None:
    error = torch.tensor([[[3.0, 4.0]], [[0.0, 2.0]]])
    assert float(mean_square_loss(error, torch.zeros_like(error))) == pytest.approx((9 + 16) / 2 + 4 / 2)


def test_the_loss_is_a_setting() -> None:
    """Where inputs are of the order of 1, both losses teach; they do not end in the same place."""
    square = replace(COMPLEX_QUICK, recipe=replace(COMPLEX_QUICK.recipe, loss='mean square'))
    first, second = learnt(COMPLEX_QUICK), learnt(square)
    assert not torch.equal(first.weights[2], second.weights[2])


@pytest.mark.parametrize('method', [RAKI_QUICK, COMPLEX_QUICK], ids=['real', 'complex'])
def test_another_seed_starts_elsewhere(method: Raki) -> None:
    first, second = learnt(method), learnt(replace(method, seed=1))
    assert not torch.equal(first.weights[0], second.weights[0])


@pytest.mark.parametrize('preset', [RAKI_2019, RAKI_COMPLEX], ids=['real', 'complex'])
def test_training_fits_the_acs(preset: Raki) -> None:
    """A law of learning: after 150 iterations the networks predict the ACS far better than nothing does."""
    network = learnt(replace(preset, recipe=replace(preset.recipe, n_iterations=150)), 3, point_sources(3, 4, 24, 31))
    acs = point_sources(3, 4, 24, 31)
    truth = torch.stack([acs[:, m : m + 24 - 6, 3:-3] for m in (1, 2)], dim=1)
    assert float((network(acs, every_cell(network, acs)) - truth).norm() / truth.norm()) < 0.3


@pytest.mark.parametrize('preset', [RAKI_2019, RAKI_COMPLEX], ids=['real', 'complex'])
def test_training_fits_the_acs_of_a_volume(preset: Raki) -> None:
    acs = point_sources(3, 4, 12, 16, 15)
    method, calibration = preset.with_iterations(150), Calibration(acs, Lattice.of((2, 2), 1))
    network = method.learn(calibration, silent).patch_map
    assert isinstance(network, NetworkMap)
    cells, lines = calibration.cells(network.stack.receptive_field), calibration.acs_lines
    truth = cells.values(lines)
    assert float((network(lines, cells) - truth).norm() / truth.norm()) < 0.3


def test_initial_weights_are_cut_off_at_two_standard_deviations() -> None:
    first, *_ = networks.initial_weights(RAKI_2019.shape(of(random_kspace(16, 24, 31), 4)), 0.1, torch.float32, seed=0)
    assert float(first.abs().max()) <= 0.2
    assert float(first.std()) == pytest.approx(0.088, abs=0.001)  # of a normal distribution cut off there


def test_a_diverging_training_stops_with_a_message() -> None:
    wild = replace(RAKI_QUICK, recipe=Recipe(n_iterations=60, learning_rate=1e30))
    with pytest.raises(TrainingError, match=r'within 25 of 60 iterations at learning rate 1e\+30'):
        learnt(wild)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'widths': (0, 8)}, 'must be positive'),
        ({'peak': -1.0}, 'must be positive'),
        ({'regularization': 0.0}, 'must be positive'),
        ({'slope': 1.5}, 'slope must lie between 0'),
    ],
)
def test_impossible_settings_are_refused_at_birth(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RAKI_2019, **settings)


def test_an_impossible_recipe_is_refused_at_birth() -> None:
    with pytest.raises(ValueError, match='at least one iteration'):
        Recipe(n_iterations=0, learning_rate=1e-3)
    with pytest.raises(ValueError, match="loss must be 'norm' or 'mean square', got 'median'"):
        Recipe(n_iterations=1, learning_rate=1e-3, loss='median')  # type: ignore[arg-type]


def test_progress_is_told_up_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    method = replace(RAKI_QUICK, recipe=Recipe(n_iterations=60, learning_rate=1e-3))
    method.learn(of(ACS, 4), lambda done, total: told.append((done, total)))
    assert told == [(25, 60), (50, 60), (60, 60)]
