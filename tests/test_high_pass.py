"""High-pass weighting: what the weights are, where they apply, and that they are divided back."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from raki.data.lattice import Lattice
from raki.data.sampling import Sampling
from raki.interpolation.calibration import Calibration
from raki.interpolation.fit import fit
from raki.interpolation.least_squares import LinearMap
from raki.interpolation.neighbours import Cells, Kernel
from raki.networks.high_pass import HighPass, HighPassMap
from raki.networks.raki import RAKI_2019
from tests.toys import COMPLEX_QUICK, calibration_of, lattice_with_acs, point_sources, random_kspace, sampled_volume

LINES = lattice_with_acs(64, 3, 1, range(20, 42))
VOLUME = sampled_volume((16, 26), Lattice.of((2, 2), 1), (range(4, 13), range(8, 20)))
GEOMETRIES = [
    pytest.param(LINES, (64, 29), (31, 14), id='lines'),
    pytest.param(VOLUME, (16, 26, 15), (8, 13, 7), id='volume'),
]
both_geometries = pytest.mark.parametrize(('sampling', 'shape', 'centre'), GEOMETRIES)


def falling(power: float, shape: tuple[int, ...], centre: tuple[int, ...]) -> Tensor:
    """K-space of random phase whose power falls with one plus the distance from the centre, axes (coil, ...)."""
    axes = torch.meshgrid(*(torch.arange(n).double() - c for n, c in zip(shape, centre, strict=True)), indexing='ij')
    distance = torch.stack(axes).square().sum(0).sqrt().round() + 1
    phases = random_kspace(3, *shape)
    return phases / phases.abs() * distance.float() ** (-power / 2)


def high_pass_of(full: Tensor, sampling: Sampling) -> HighPass:
    return HighPass.of(calibration_of(full, sampling))


@both_geometries
def test_weighted_k_space_is_as_bright_everywhere(
    sampling: Sampling, shape: tuple[int, ...], centre: tuple[int, ...]
) -> None:
    """Power 1 / (1 + distance)^2 wants the weight 1 + distance, as far as the ACS tells."""
    full = falling(2.0, shape, centre)
    weights = high_pass_of(full, sampling)
    weighted = sampling.acs_block(full * weights.lines.view(shape))
    torch.testing.assert_close(weighted.abs(), torch.ones_like(weighted.abs()), rtol=1e-4, atol=0)
    torch.testing.assert_close(weights.of_acs, sampling.acs_block(weights.lines.view(shape)))


@both_geometries
def test_weights_never_fall_with_the_distance_and_are_1_at_the_centre(
    sampling: Sampling, shape: tuple[int, ...], centre: tuple[int, ...]
) -> None:
    noisy = falling(2.0, shape, centre) + 0.03 * random_kspace(3, *shape)
    weights = high_pass_of(noisy, sampling).lines.view(shape)
    assert float(weights[centre]) == 1.0
    for axis, middle in enumerate(centre):
        along = weights[tuple(slice(None) if other == axis else centre[other] for other in range(len(shape)))]
        assert bool((along[middle:].diff() >= 0).all())
        assert bool((along[: middle + 1].diff() <= 0).all())


@both_geometries
@pytest.mark.parametrize('kernel', [Kernel(2, 5), Kernel(3, 7)], ids=str)
def test_what_is_filled_in_is_divided_by_the_weights_of_its_own_place(
    kernel: Kernel, sampling: Sampling, shape: tuple[int, ...], centre: tuple[int, ...]
) -> None:
    """K-space of one over the weights is 1 when weighted; a mean of neighbours then is 1, and one over the weights."""
    weights = high_pass_of(falling(2.0, shape, centre), sampling).lines
    full = torch.ones(3, 1, 1) / weights.to(torch.complex64)
    calibration = calibration_of(full.view(3, *shape), sampling)
    cells = calibration.lattice_cells(calibration.neighbourhood(kernel))
    cells = cells.at((cells.targets >= 0).all(1))
    around = cells.neighbourhood
    n_sources = 3 * len(around.sources) * len(around.samples)
    mean = LinearMap(torch.full((n_sources, 3 * len(around.targets)), 1 / n_sources, dtype=torch.complex64))
    missing = HighPassMap(mean, weights)(full, cells)
    torch.testing.assert_close(missing, cells.values(full), rtol=1e-4, atol=1e-5)


def test_other_lines_than_the_weights_are_for_are_refused() -> None:
    shape, centre = (64, 29), (31, 14)
    patch_map = HighPassMap(LinearMap(torch.zeros(30, 6)), high_pass_of(falling(2.0, shape, centre), LINES).lines)
    cells = Cells.inside(Calibration(random_kspace(3, 63, 29), LINES.lattice).neighbourhood(Kernel(2, 5)), (63,))
    with pytest.raises(ValueError, match=r'for \(64, 29\) samples \(line, readout\), got \(63, 29\)'):
        patch_map(random_kspace(3, 63, 29), cells)


def test_it_is_off_by_default_and_changes_what_is_learnt() -> None:
    assert not RAKI_2019.is_high_pass
    full, sampling = point_sources(9, 4, 54, 31), lattice_with_acs(54, 3, 1, range(15, 40))
    methods = (COMPLEX_QUICK, replace(COMPLEX_QUICK, is_high_pass=True))
    plain, weighted = (fit(method, full, sampling).fill(full) for method in methods)
    assert float((plain - weighted).norm() / plain.norm()) > 1e-3


def test_separate_calibration_is_not_weighted_and_the_result_says_so() -> None:
    full, sampling = point_sources(9, 4, 54, 31), lattice_with_acs(54, 3, 1, range(0))
    methods = (COMPLEX_QUICK, replace(COMPLEX_QUICK, is_high_pass=True))
    plain, weighted = (fit(method, full, sampling, full[:, 15:40]) for method in methods)
    assert torch.equal(plain.fill(full), weighted.fill(full))
    assert any('k-space was not weighted' in text for text in weighted.warnings)
