"""The outer loop: what it trains on, and where it ends."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raki.data.lattice import Lattice
from raki.data.sampling import Sampling
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Calibration, PatchMap, silent
from raki.interpolation.fit import fit
from raki.interpolation.neighbours import Cells, Kernel
from raki.networks.iterative import IterativeRaki
from raki.networks.layers import forward, initial_weights
from raki.networks.raki import NetworkMap
from raki.networks.training import Recipe
from tests.toys import (
    IRAKI_QUICK,
    calibration_of,
    lattice_with_acs,
    measured_only,
    plane_wave,
    point_sources,
    random_kspace,
    sampled_volume,
)

LATTICES = [(2, 0), (3, 1), (4, 3)]


def around(sampling: Sampling) -> slice:
    """32 lines around the ACS, which a lattice line beside it may lengthen."""
    [acs] = sampling.acs
    start = acs.start - (32 - len(acs)) // 2
    return slice(start, start + 32)


def nothing(lines: Tensor, cells: Cells) -> Tensor:
    """Predict zeros."""
    columns = cells.neighbourhood.columns(lines.shape[-1])
    return lines.new_zeros(len(lines), len(cells.neighbourhood.targets), len(cells), len(columns))


def extended(full: Tensor, sampling: Sampling, patch_map: PatchMap, kernel: Kernel, n_lines: int) -> Tensor:
    calibration = calibration_of(full, sampling)
    return calibration.extended(patch_map, calibration.neighbourhood(kernel), n_lines).acs


@pytest.mark.parametrize(('acceleration', 'first_line'), LATTICES)
def test_the_extended_acs_of_a_plane_wave_is_the_plane_wave(acceleration: int, first_line: int) -> None:
    """GRAPPA predicts it without error, so any line in a wrong place shows."""
    full, sampling = plane_wave(4, 61, 29), lattice_with_acs(61, acceleration, first_line, range(22, 40))
    learnt = Grappa(Kernel(2, 5), 1e-6).learn(calibration_of(full, sampling), silent)
    found = extended(full, sampling, learnt.patch_map, Kernel(2, 5), 32)
    torch.testing.assert_close(found, full[:, around(sampling), 2:27], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('shift', [0, 1])
def test_the_extended_acs_of_a_plane_wave_is_the_plane_wave_on_two_axes(shift: int) -> None:
    full = plane_wave(4, 19, 26, 15)
    sampling = sampled_volume((19, 26), Lattice.of((2, 2), shift), (range(6, 14), range(9, 18)))
    learnt = Grappa(Kernel(2, 5), 1e-6).learn(calibration_of(full, sampling), silent)
    found = extended(full, sampling, learnt.patch_map, Kernel(2, 5), 13)
    z, y = (side.start - (13 - len(side)) // 2 for side in sampling.acs)
    assert found.shape == (4, 13, 13, 11)
    torch.testing.assert_close(found, full[:, z : z + 13, y : y + 13, 2:13], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('kernel', [Kernel(2, 5), Kernel(4, 11)], ids=str)
@pytest.mark.parametrize(('acceleration', 'first_line'), LATTICES)
def test_measured_samples_are_part_of_it_bit_for_bit(kernel: Kernel, acceleration: int, first_line: int) -> None:
    full, sampling = random_kspace(3, 61, 29), lattice_with_acs(61, acceleration, first_line, range(22, 40))
    found = extended(full, sampling, nothing, kernel, 32)
    columns = slice(kernel.readout // 2, kernel.readout // 2 + 29 - kernel.readout + 1)
    assert torch.equal(found, measured_only(full, sampling)[:, around(sampling), columns])


@pytest.mark.parametrize(
    ('acs', 'n_lines'), [(range(4, 22), 32), (range(44, 60), 32), (range(20, 40), 8), (range(20, 40), 500)]
)
def test_near_the_ends_it_is_as_long_as_asked_for_where_there_are_lines(acs: range, n_lines: int) -> None:
    """And never shorter than what was measured, nor longer than what can be filled in."""
    full, sampling = random_kspace(3, 61, 29), lattice_with_acs(61, 3, 0, acs)
    found = extended(full, sampling, nothing, Kernel(2, 5), n_lines)
    assert found.shape[1] == min(max(n_lines, len(sampling.acs[0])), 60)


def test_a_separate_calibration_leaves_grappa_and_says_so() -> None:
    full, sampling = point_sources(9, 4, 54, 31), lattice_with_acs(54, 3, 1, range(0))
    acs = 2 * full[:, 15:40]
    fitted = fit(IRAKI_QUICK, full, sampling, acs)
    assert torch.equal(fitted.fill(full), fit(Grappa(), full, sampling, acs).fill(full))
    assert any('iraki is GRAPPA here: its ACS is not part' in text for text in fitted.warnings)


@pytest.mark.parametrize(('n_readout', 'message'), [(14, 'iraki is GRAPPA here: a readout of 14'), (19, 'too short')])
def test_a_short_readout_ends_the_rounds_and_the_result_says_so(n_readout: int, message: str) -> None:
    """Each round loses the samples that the map before does not reach."""
    full, sampling = point_sources(9, 4, 54, n_readout), lattice_with_acs(54, 3, 1, range(15, 40))
    fitted = fit(replace(IRAKI_QUICK, n_rounds=3), full, sampling)
    assert bool(fitted.fill(full).isfinite().all())
    assert any(message in text for text in fitted.warnings)


def test_a_training_that_fails_leaves_grappa_and_says_so() -> None:
    full, sampling = point_sources(9, 4, 54, 31), lattice_with_acs(54, 3, 1, range(15, 40))
    wild = replace(IRAKI_QUICK, network=replace(IRAKI_QUICK.network, recipe=Recipe(20, 1e30)))
    fitted = fit(wild, full, sampling)
    assert torch.equal(fitted.fill(full), fit(Grappa(), full, sampling).fill(full))
    assert any('iraki is GRAPPA here: training left the finite range' in text for text in fitted.warnings)


@pytest.mark.parametrize('acceleration', [2, 3, 7])
def test_any_rate_will_do(acceleration: int) -> None:
    """The authors' code knows 4 to 6."""
    full, sampling = point_sources(3, 4, 85, 31), lattice_with_acs(85, acceleration, 1, range(28, 58))
    fitted = fit(replace(IRAKI_QUICK, n_extended=40), full, sampling)
    assert fitted.inner
    assert isinstance(fitted.inner[0].patch_map, NetworkMap)
    around = fitted.inner[0].cells.neighbourhood
    assert (len(around.sources), len(around.samples)) == (4, 11)


def test_the_rate_falls_and_later_rounds_are_shorter() -> None:
    method = IterativeRaki(n_rounds=4)
    recipes = [method._recipe(index) for index in range(4)]
    assert [recipe.n_iterations for recipe in recipes] == [500, 250, 250, 250]
    assert [recipe.learning_rate for recipe in recipes] == pytest.approx([5e-4, 3.75e-4, 2.5e-4, 1.25e-4])


def test_another_round_goes_on_from_the_weights_before() -> None:
    """With a vanishing rate, ten rounds end where one does; the scale of the inputs changes nothing."""
    full, sampling = point_sources(9, 4, 54, 31), lattice_with_acs(54, 3, 1, range(15, 40))
    known = calibration_of(full, sampling)
    method = replace(IRAKI_QUICK, n_rounds=1)
    once = method.learn(known, silent).patch_map
    assert isinstance(once, NetworkMap)
    frozen = replace(IRAKI_QUICK.network, recipe=Recipe(1, 1e-30))
    again, _ = frozen.trained(known, silent, once.weights)
    assert all(torch.equal(first, second) for first, second in zip(once.weights, again.weights, strict=True))


def small_network(acs: Tensor) -> tuple[NetworkMap, Calibration]:
    """Random weights, R=3."""
    method, calibration = replace(IterativeRaki().network, widths=(6, 5)), Calibration(acs, Lattice.of((3,)))
    weights = initial_weights(method.shape(calibration), None, torch.complex64, seed=3)
    return NetworkMap(method, method.stack(calibration), weights, None, 1.0), calibration


def test_its_layers_are_4x7_1x1_and_1x5() -> None:
    """Lines x samples, against torch's convolutions; weights of the last layer are (output, sample, channel)."""
    acs = random_kspace(3, 26, 23)
    network, calibration = small_network(acs)
    (first, second, last), activation = network.weights, network.method.activation
    convolve = torch.nn.functional.conv2d
    hidden = activation(convolve(acs[None], first.view(6, 3, 4, 7), dilation=(3, 1)))
    narrow = activation(convolve(hidden, second.view(5, 6, 1, 1)))
    expected = convolve(narrow, last.view(6, 1, 5, 5).permute(0, 3, 1, 2).contiguous())
    stands = network.method.hidden(calibration)
    found = forward(network.weights, stands.inputs(acs), activation, stands)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert IterativeRaki().network.widths == (256, 128)


def test_a_missing_sample_depends_on_4_lines_x_11_samples_and_lies_in_their_middle() -> None:
    lines = random_kspace(3, 26, 21).requires_grad_()
    network, calibration = small_network(lines.detach())
    around = network.stack.receptive_field
    assert (around.sources, around.targets, around.samples) == (((-3,), (0,), (3,), (6,)), ((1,), (2,)), range(-5, 6))
    network(lines, calibration.cells(around))[:, :, 4, 5].abs().sum().backward()
    assert lines.grad is not None
    expected = torch.zeros(26, 21, dtype=torch.bool)
    expected[4:14:3, 5:16] = True
    assert all(torch.equal(coil.abs() > 0, expected) for coil in lines.grad)


@pytest.mark.parametrize('settings', [{'n_extended': 0}, {'n_rounds': 0}, {'n_iterations': 0}])
def test_impossible_settings_are_refused_at_birth(settings: dict) -> None:
    with pytest.raises(ValueError, match='at least one line, round and iteration'):
        replace(IRAKI_QUICK, **settings)


def test_a_high_pass_network_is_refused() -> None:
    with pytest.raises(ValueError, match='set is_high_pass=False'):
        IterativeRaki(replace(IRAKI_QUICK.network, is_high_pass=True))


def test_progress_is_told_up_to_the_end() -> None:
    full, sampling = point_sources(9, 4, 54, 31), lattice_with_acs(54, 3, 1, range(15, 40))
    told: list[tuple[int, int]] = []
    IRAKI_QUICK.learn(calibration_of(full, sampling), lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    shares = [done / total for done, total in told]
    assert shares == sorted(shares)
