"""High-pass weighting: what the weights are, where they apply, and that they are divided back."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raki.interpolation.fit import Calibration, fit
from raki.interpolation.kernel import Kernel
from raki.interpolation.linear import LinearMap
from raki.interpolation.place import Place
from raki.networks.high_pass import HighPass, HighPassMap
from raki.networks.raki import RAKI_2019
from tests.toys import COMPLEX_QUICK, acs_of, lattice_with_acs, point_sources, random_kspace

RATE, CENTRE = 3, (31, 14)
SAMPLING = lattice_with_acs(64, RATE, 1, range(20, 42))


def falling(power: float) -> Tensor:
    """K-space of random phase whose power falls with one plus the distance from the centre, axes (coil, ky, kx)."""
    lines, samples = torch.arange(64) - CENTRE[0], torch.arange(29) - CENTRE[1]
    distance = torch.hypot(lines[:, None].float(), samples.float()).round() + 1
    phases = random_kspace(3, 64, 29)
    return phases / phases.abs() * distance ** (-power / 2)


def high_pass_of(full: Tensor) -> HighPass:
    lines = SAMPLING.lattice_lines(full)
    place = Place.of(Calibration(acs_of(full, SAMPLING), RATE, lines, SAMPLING.missing))
    assert place is not None
    return HighPass.of(place)


def test_weighted_k_space_is_as_bright_everywhere() -> None:
    """Power 1 / (1 + distance)^2 wants the weight 1 + distance; weights are from line 1 on."""
    full = falling(2.0)
    weighted = full[:, 1:62] * high_pass_of(full).weights
    known = slice(19, 41)
    torch.testing.assert_close(weighted[:, known].abs(), torch.ones(3, 22, 29), rtol=1e-4, atol=0)


def test_weights_never_fall_with_the_distance_and_are_1_at_the_centre() -> None:
    weights = high_pass_of(falling(2.0) + 0.03 * random_kspace(3, 64, 29)).weights
    row = weights[CENTRE[0] - 1]
    assert float(row[CENTRE[1]]) == 1.0
    assert bool((row[CENTRE[1] :].diff() >= 0).all())
    assert bool((row[: CENTRE[1] + 1].diff() <= 0).all())


@pytest.mark.parametrize('kernel', [Kernel(2, 5), Kernel(3, 7), Kernel(4, 11)], ids=str)
def test_what_is_filled_in_is_divided_by_the_weights_of_its_own_place(kernel: Kernel) -> None:
    """K-space of one over the weights is 1 when weighted; a mean of neighbours then is 1, and one over the weights."""
    weights = high_pass_of(falling(2.0))
    full = torch.ones(3, 1, 1) / weights.weights.to(torch.complex64)
    n_sources = 3 * kernel.lines * kernel.readout
    mean = LinearMap(torch.full((n_sources, 3 * (RATE - 1)), 1 / n_sources, dtype=torch.complex64), kernel)
    missing = HighPassMap(mean, weights, kernel)(full[:, ::RATE])
    first, column = (kernel.before - 1) * RATE, kernel.readout // 2
    for gap in range(missing.shape[2]):
        for line in range(RATE - 1):
            expected = full[:, first + gap * RATE + line + 1, column : column + missing.shape[3]]
            torch.testing.assert_close(missing[:, line, gap], expected, rtol=1e-4, atol=1e-5)


def test_other_lines_than_the_lattices_are_refused() -> None:
    weights = high_pass_of(falling(2.0))
    patch_map = HighPassMap(LinearMap(torch.zeros(30, 6, dtype=torch.complex64), Kernel(2, 5)), weights, Kernel(2, 5))
    with pytest.raises(ValueError, match=r'for the \(21, 29\) samples .* got \(20, 29\) at a distance of 1'):
        patch_map(random_kspace(3, 20, 29))


def test_it_is_off_by_default_and_changes_what_is_learnt() -> None:
    assert not RAKI_2019.is_high_pass
    full, sampling = point_sources(9, 4, 54, 31), lattice_with_acs(54, 3, 1, range(15, 40))
    methods = (COMPLEX_QUICK, replace(COMPLEX_QUICK, is_high_pass=True))
    plain, weighted = (fit(method, acs_of(full, sampling), sampling, full).fill(full) for method in methods)
    assert float((plain - weighted).norm() / plain.norm()) > 1e-3


def test_separate_calibration_is_not_weighted_and_the_result_says_so() -> None:
    full, sampling = point_sources(9, 4, 54, 31), lattice_with_acs(54, 3, 1, range(0))
    methods = (COMPLEX_QUICK, replace(COMPLEX_QUICK, is_high_pass=True))
    plain, weighted = (fit(method, full[:, 15:40], sampling, full) for method in methods)
    assert torch.equal(plain.fill(full), weighted.fill(full))
    assert any('k-space was not weighted' in text for text in weighted.warnings)
