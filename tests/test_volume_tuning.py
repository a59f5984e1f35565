"""What GRAPPA chooses where two axes are accelerated: as for lines, and near the best in hindsight."""

import pytest
import torch

from raki.data.lattice import Lattice, undersample_volume
from raki.data.simulate_volume import VolumeSimulation, simulate_volume
from raki.errors import CalibrationError
from raki.evaluation.metrics import nrmse_object
from raki.fourier import image_from_kspace
from raki.grappa.method import VOLUME_KERNELS, Grappa
from raki.interpolation.fit import Calibration
from raki.interpolation.kernel import Kernel
from raki.interpolation.neighbourhood import Neighbourhood
from raki.interpolation.tuning import tune
from raki.interpolation.tuning_volume import tune_position
from raki.interpolation.volume import PositionCalibration, fit_volume
from raki.interpolation.volume_power import VolumePower
from tests.toys import point_sources_volume, random_kspace, sampled_volume

SHAPE = (11, 28, 19)
ACS = (range(2, 9), range(6, 22))
SAMPLING = sampled_volume(SHAPE, Lattice((2, 2), 1), ACS)
FULL = point_sources_volume(9, 3, SHAPE) + 0.1 * random_kspace(3, *SHAPE)
CALIBRATION = PositionCalibration(SAMPLING.acs_block(FULL), SAMPLING, (0, 1), 1.0)


def test_one_partition_is_tuned_as_lines_are() -> None:
    """One missing position between two lines is what lines at R=2 are: the same ridge, misfit and weights."""
    full = point_sources_volume(9, 4, (1, 54, 31)) + 0.3 * random_kspace(4, 1, 54, 31)
    sampling = sampled_volume((1, 54), Lattice((1, 2)), (range(1), range(15, 40)))
    lines = Calibration(full[:, 0, 15:40], 2, full[:, 0, ::2])
    power = VolumePower.of(full, sampling, 5).missing(25)
    assert power == pytest.approx(lines.missing_power, rel=1e-5)
    position = PositionCalibration(full[:, :, 15:40], sampling, (0, 1), power)
    expected = tune(lines, [Kernel(2, 5)])
    _, found = tune_position(position, [Kernel(2, 5)])
    assert found.regularization == expected.regularization
    assert found.misfit.noise == pytest.approx(expected.misfit.noise, rel=1e-4)
    assert found.expected_error == pytest.approx(expected.expected_error, rel=1e-4)
    torch.testing.assert_close(found.weights, expected.weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('acs', [ACS, (range(11), range(10, 17))])
def test_blocks_of_the_acs_hold_every_equation_once(acs: tuple[range, range]) -> None:
    block = FULL[:, acs[0].start : acs[0].stop, acs[1].start : acs[1].stop]
    calibration = PositionCalibration(block, SAMPLING, (0, 1), 1.0)
    around = calibration.neighbourhood(Kernel(2, 3, partitions=2))
    parts = [calibration.normal_equations(around, region) for region in around.blocks(block, 4)]
    total, whole = sum(parts[1:], parts[0]), calibration.normal_equations(around)
    assert len(parts) == 4
    assert total.n_equations == whole.n_equations
    torch.testing.assert_close(total.gram, whole.gram)
    torch.testing.assert_close(total.cross, whole.cross)


def test_equations_are_weighted_by_the_power_of_their_sources() -> None:
    """Against explicit weighted sums."""
    around = CALIBRATION.neighbourhood(Kernel(2, 3, partitions=2))
    found = CALIBRATION.normal_equations(around, weighting=lambda power: 1 / (0.5 + power))
    pairs = [(sources.to(torch.complex128), targets) for sources, targets in around.pairs(CALIBRATION.acs)]
    weights = [1 / (0.5 + sources.abs().square().mean(1)) for sources, _ in pairs]
    expected = sum((s.mH * w) @ s for (s, _), w in zip(pairs, weights, strict=True))
    torch.testing.assert_close(found.gram, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('gain', [2.0**-30, 2.0**17])
def test_the_unit_of_a_volume_does_not_matter(gain: float) -> None:
    expected, found = (
        fit_volume(Grappa(), SAMPLING.acs_block(factor * FULL), SAMPLING, factor * FULL).fill(factor * FULL)
        for factor in (1.0, gain)
    )
    torch.testing.assert_close(found, gain * expected, rtol=1e-4, atol=1e-4 * gain)


def test_only_kernels_that_the_acs_holds_are_tried() -> None:
    """The first one must fit; of an ACS of three partitions the others do not."""
    full = FULL[:, 3:6, 6:22]
    around, _ = tune_position(PositionCalibration(full, SAMPLING, (1, 0), 1.0), VOLUME_KERNELS)
    assert around == Neighbourhood.around((1, 0), SAMPLING, VOLUME_KERNELS[0])
    with pytest.raises(CalibrationError, match='needs an ACS of at least that size, got 2 x 16 x 19'):
        tune_position(PositionCalibration(full[:, :2], SAMPLING, (1, 0), 1.0), VOLUME_KERNELS)


@pytest.mark.parametrize(
    ('noise', 'seed', 'rate', 'shift'), [(0.03, 1, (2, 2), 1), (0.003, 2, (1, 4), 0), (0.003, 2, (3, 2), 0)]
)
def test_what_is_chosen_for_a_volume_is_near_the_best_in_hindsight_or_beats_it(
    noise: float, seed: int, rate: tuple[int, int], shift: int
) -> None:
    """Against ridges and kernels that no user could have known, all equations alike."""
    volume = simulate_volume(VolumeSimulation((22, 44, 36), 6, noise, seed))
    sampling = undersample_volume(volume.mask, rate, shift, (12, 18))
    assert volume.reference is not None
    truth = image_from_kspace(volume.reference, (-3, -2, -1)).abs().square().sum(0).sqrt()

    def error(method: Grappa) -> float:
        filled = fit_volume(method, sampling.acs_block(volume.kspace), sampling, volume.kspace).fill(volume.kspace)
        return nrmse_object(image_from_kspace(filled, (-3, -2, -1)).abs().square().sum(0).sqrt(), truth)

    sweep = [Grappa(kernel, 10.0**power) for kernel in VOLUME_KERNELS[1:] for power in range(-4, 1)]
    assert error(Grappa()) < 1.12 * min(map(error, sweep))
