"""The outer loop: what it trains on, and where it ends."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raki.data.sampling import Sampling
from raki.grappa.method import Grappa
from raki.interpolation.fit import Calibration, fit, silent
from raki.interpolation.kernel import Kernel
from raki.interpolation.linear import LinearMap
from raki.interpolation.place import Place
from raki.networks.iterative import IterativeRaki
from raki.networks.layers import first_patches, forward, initial_weights
from raki.networks.raki import NetworkMap
from raki.networks.training import Recipe
from tests.toys import (
    IRAKI_QUICK,
    acs_of,
    lattice_with_acs,
    measured_only,
    plane_wave,
    point_sources,
    random_kspace,
)

LATTICES = [(2, 0), (3, 1), (4, 3)]


def calibration_of(full: Tensor, sampling: Sampling) -> Calibration:
    return Calibration(acs_of(full, sampling), sampling.acceleration, sampling.lattice_lines(full), sampling.missing)


def place_of(full: Tensor, sampling: Sampling) -> Place:
    place = Place.of(calibration_of(full, sampling))
    assert place is not None
    return place


def around(sampling: Sampling) -> slice:
    """32 lines around the ACS, which a lattice line beside it may lengthen."""
    start = sampling.acs.start - (32 - len(sampling.acs)) // 2
    return slice(start, start + 32)


def nothing(kernel: Kernel, n_coils: int, acceleration: int) -> LinearMap:
    """A map that predicts zeros."""
    n_sources, n_targets = n_coils * kernel.lines * kernel.readout, n_coils * (acceleration - 1)
    return LinearMap(torch.zeros(n_sources, n_targets, dtype=torch.complex64), kernel)


@pytest.mark.parametrize(('acceleration', 'first_line'), LATTICES)
def test_the_extended_acs_of_a_plane_wave_is_the_plane_wave(acceleration: int, first_line: int) -> None:
    """GRAPPA predicts it without error, so any line in a wrong place shows."""
    full, sampling = plane_wave(4, 61, 29), lattice_with_acs(61, acceleration, first_line, range(22, 40))
    learnt = Grappa(Kernel(2, 5), 1e-6).learn(calibration_of(full, sampling), silent)
    extended = place_of(full, sampling).extended(learnt.patch_map, learnt.kernel, 32)
    torch.testing.assert_close(extended, full[:, around(sampling), 2:27], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('kernel', [Kernel(2, 5), Kernel(4, 11)], ids=str)
@pytest.mark.parametrize(('acceleration', 'first_line'), LATTICES)
def test_measured_samples_are_part_of_it_bit_for_bit(kernel: Kernel, acceleration: int, first_line: int) -> None:
    full, sampling = random_kspace(3, 61, 29), lattice_with_acs(61, acceleration, first_line, range(22, 40))
    extended = place_of(full, sampling).extended(nothing(kernel, 3, acceleration), kernel, 32)
    columns = slice(kernel.readout // 2, kernel.readout // 2 + 29 - kernel.readout + 1)
    assert torch.equal(extended, measured_only(full, sampling)[:, around(sampling), columns])


@pytest.mark.parametrize(
    ('acs', 'n_lines'), [(range(4, 22), 32), (range(44, 60), 32), (range(20, 40), 8), (range(20, 40), 500)]
)
def test_near_the_ends_it_is_as_long_as_asked_for_where_there_are_lines(acs: range, n_lines: int) -> None:
    """And never shorter than what was measured, nor longer than what can be filled in."""
    full, sampling = random_kspace(3, 61, 29), lattice_with_acs(61, 3, 0, acs)
    extended = place_of(full, sampling).extended(nothing(Kernel(2, 5), 3, 3), Kernel(2, 5), n_lines)
    assert extended.shape[1] == min(max(n_lines, len(sampling.acs)), 60)


def test_a_separate_calibration_leaves_grappa_and_says_so() -> None:
    full, sampling = point_sources(9, 4, 54, 31), lattice_with_acs(54, 3, 1, range(0))
    acs = 2 * full[:, 15:40]
    fitted = fit(IRAKI_QUICK, acs, sampling, full)
    assert torch.equal(fitted.fill(full), fit(Grappa(), acs, sampling, full).fill(full))
    assert any('iraki is GRAPPA here: its ACS is not part' in text for text in fitted.warnings)


def test_a_block_of_other_samples_is_not_taken_for_the_acs() -> None:
    """Same length, another gain."""
    full, sampling = random_kspace(3, 61, 29), lattice_with_acs(61, 3, 1, range(22, 40))
    known = calibration_of(full, sampling)
    assert Place.of(known) is not None
    assert Place.of(Calibration(2 * known.acs, 3, known.lines, known.missing)) is None


def test_a_training_that_fails_leaves_grappa_and_says_so() -> None:
    full, sampling = point_sources(9, 4, 54, 31), lattice_with_acs(54, 3, 1, range(15, 40))
    wild = replace(IRAKI_QUICK, network=replace(IRAKI_QUICK.network, recipe=Recipe(20, 1e30)))
    acs = acs_of(full, sampling)
    fitted = fit(wild, acs, sampling, full)
    assert torch.equal(fitted.fill(full), fit(Grappa(), acs, sampling, full).fill(full))
    assert any('iraki is GRAPPA here: training left the finite range' in text for text in fitted.warnings)


@pytest.mark.parametrize('acceleration', [2, 3, 7])
def test_any_rate_will_do(acceleration: int) -> None:
    """The authors' code knows 4 to 6."""
    full, sampling = point_sources(3, 4, 85, 31), lattice_with_acs(85, acceleration, 1, range(28, 58))
    fitted = fit(replace(IRAKI_QUICK, n_extended=40), acs_of(full, sampling), sampling, full)
    assert isinstance(fitted.patch_map, NetworkMap)
    assert fitted.kernel == Kernel(4, 11)


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


def test_its_layers_are_4x7_1x1_and_1x5() -> None:
    """Lines x samples, against torch's convolutions; weights of the last layer are (output, sample, channel)."""
    network = replace(IterativeRaki().network, widths=(6, 5))
    shape, acs = network.shape(n_coils=3, acceleration=3), random_kspace(3, 26, 23)
    first, second, last = weights = initial_weights(shape, None, torch.complex64, seed=3)
    convolve = torch.nn.functional.conv2d
    hidden = network.activation(convolve(acs[None], first.view(6, 3, 4, 7), dilation=(3, 1)))
    narrow = network.activation(convolve(hidden, second.view(5, 6, 1, 1)))
    expected = convolve(narrow, last.view(6, 1, 5, 5).permute(0, 3, 1, 2).contiguous())
    found = forward(weights, first_patches(acs, 3, network.first), network.activation, 3, network.last)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert IterativeRaki().network.widths == (256, 128)


def test_a_missing_sample_depends_on_4_lines_x_11_samples_and_lies_in_their_middle() -> None:
    method = replace(IterativeRaki().network, widths=(6, 5))
    weights = initial_weights(method.shape(3, 3), None, torch.complex64, seed=3)
    lattice = random_kspace(3, 9, 21).requires_grad_()
    NetworkMap(method, weights, None, 1.0)(lattice, 1)[:, :, 2, 5].abs().sum().backward()
    assert lattice.grad is not None
    expected = torch.zeros(9, 21, dtype=torch.bool)
    expected[2:6, 5:16] = True
    assert all(torch.equal(coil.abs() > 0, expected) for coil in lattice.grad)
    assert (method.smallest_kernel.before, method.smallest_kernel.readout // 2) == (2, 5)


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
