"""Analytic noise maps of volumes: the explicit matrix of small reconstructions, replicas, lines as one partition."""

import pytest
import torch
from torch import Tensor

from raki.coils.combine import matched_weights, root_sum_of_squares
from raki.coils.noise import coloured_noise, noise_covariance, noise_factor
from raki.coils.transform import coil_transform
from raki.data.lattice import Lattice, VolumeSampling, undersample_volume
from raki.data.sampling import Sampling
from raki.data.simulate_volume import VolumeSimulation, simulate_volume
from raki.evaluation.metrics import object_mask
from raki.evaluation.noise_maps import analytic_noise_map, full_noise, replica_noise_map
from raki.fourier import image_from_kspace
from raki.grappa import gfactor
from raki.grappa.gfactor import coil_noise
from raki.grappa.method import Grappa
from raki.interpolation.fit import fit
from raki.interpolation.kernel import Kernel
from raki.interpolation.volume import VolumeInterpolator, fit_volume
from tests.toys import lattice_with_acs, point_sources, point_sources_volume, random_kspace, sampled_volume

N_COILS = 3
SPACE = (-3, -2, -1)
SMALL = Grappa(Kernel(2, 3, partitions=2), regularization=1e-2)
NOWHERE = (range(0), range(0))
CALIBRATION = 9, 14, 8


def toy_covariance() -> Tensor:
    mixing = torch.randn(N_COILS, N_COILS, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    return mixing @ mixing.mH + torch.eye(N_COILS)


def toy_kspace(shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    return 20 * (point_sources_volume(40, N_COILS, shape, seed) + random_kspace(N_COILS, *shape, seed=99 + seed))


def explicit_std(interpolator: VolumeInterpolator, weights: Tensor) -> Tensor:
    """Push every unit of noise through `fill`, and sum the squares: nothing is neglected."""
    shape, factor = tuple(weights.shape[1:]), noise_factor(toy_covariance())
    variance = torch.zeros(shape)
    for partition, line in interpolator.sampling.mask.nonzero().tolist():
        for sample in range(shape[2]):
            for coil in range(N_COILS):
                unit = torch.zeros(N_COILS, *shape, dtype=torch.complex64)
                unit[:, partition, line, sample] = factor[:, coil]
                variance += (weights * image_from_kspace(interpolator.fill(unit), SPACE)).sum(0).abs().square() / 2
    return variance.sqrt()


PATTERNS = [
    pytest.param((8, 12, 5), Lattice((2, 2), 0), (range(2, 6), range(4, 9)), None, id='2x2'),
    pytest.param((8, 12, 5), Lattice((2, 2), 1), (range(2, 6), range(4, 9)), None, id='2x2-shift-1'),
    pytest.param((7, 11, 4), Lattice((2, 2), 1, (1, 1)), (range(1, 5), range(3, 8)), None, id='margins'),
    pytest.param((9, 10, 4), Lattice((3, 2), 1), (range(3, 6), range(4, 7)), None, id='3x2-shift-1'),
    pytest.param((4, 17, 5), Lattice((1, 4), 2, (0, 3)), (range(1, 3), range(6, 11)), None, id='1x4-shift-2'),
    pytest.param((8, 12, 4), Lattice((2, 2), 1), NOWHERE, None, id='separate-calibration'),
    pytest.param((9, 14, 3), Lattice((2, 2), 0), (range(3, 6), range(5, 9)), (range(7), range(14)), id='kz-padded'),
    pytest.param((8, 15, 2), Lattice((2, 3), 2), (range(2, 5), range(4, 9)), (range(8), range(3, 15)), id='ky-partial'),
]


@pytest.mark.parametrize(('shape', 'lattice', 'acs', 'filled'), PATTERNS)
def test_the_map_is_the_diagonal_of_the_reconstructions_matrix(
    shape: tuple[int, int, int], lattice: Lattice, acs: tuple[range, range], filled: tuple[range, range] | None
) -> None:
    sampling = sampled_volume(shape, lattice, acs, filled)
    interpolator = fit_volume(SMALL, toy_kspace(CALIBRATION, seed=3), sampling, toy_kspace(shape))
    assert interpolator.maps
    weights = random_kspace(N_COILS, *shape, seed=5)
    found = coil_noise(interpolator, toy_covariance()).std(weights)
    torch.testing.assert_close(found, explicit_std(interpolator, weights), rtol=2e-5, atol=0)


@pytest.mark.parametrize('n_virtual', [None, 2])
def test_a_reconstruction_in_virtual_coils_has_the_noise_of_its_matrix(n_virtual: int | None) -> None:
    """Measured samples keep the noise of their coils; filled ones have that of whitened or compressed ones."""
    kspace, sampling = toy_kspace((8, 12, 4)), sampled_volume((8, 12, 4), Lattice((2, 2), 1), (range(1, 7), range(9)))
    noise = coloured_noise(noise_factor(toy_covariance()), (100,), torch.Generator().manual_seed(1))
    acs = sampling.acs_block(kspace)
    transform = coil_transform(acs, noise, n_virtual)
    assert not transform.is_identity
    interpolator = fit_volume(SMALL, acs, sampling, kspace, transform=transform)
    weights = random_kspace(N_COILS, 8, 12, 4, seed=5)
    found = coil_noise(interpolator, toy_covariance()).std(weights)
    torch.testing.assert_close(found, explicit_std(interpolator, weights), rtol=2e-5, atol=0)


def test_at_rate_one_g_is_one() -> None:
    sampling = VolumeSampling.from_mask(torch.ones(9, 14, dtype=torch.bool))
    kspace = toy_kspace(CALIBRATION)
    interpolator = fit_volume(Grappa(), kspace, sampling, kspace)
    found = analytic_noise_map(interpolator, toy_covariance(), random_kspace(N_COILS, *CALIBRATION, seed=5))
    assert found.net_acceleration == 1
    torch.testing.assert_close(found.gfactor, torch.ones(CALIBRATION), rtol=2e-6, atol=0)


def test_zero_filling_has_the_noise_of_the_lines_it_has() -> None:
    """Fewer lines, less noise: std goes down by sqrt(R_net), so g = 1 / R_net, beyond the filled block, too."""
    sampling = sampled_volume((9, 14), Lattice((2, 2), 1), (range(3, 6), range(5, 9)), (range(7), range(14)))
    weights = random_kspace(N_COILS, *CALIBRATION, seed=5)
    found = analytic_noise_map(VolumeInterpolator(sampling, 8), toy_covariance(), weights)
    assert found.net_acceleration == pytest.approx(7 * 14 / int(sampling.mask.sum()))
    torch.testing.assert_close(found.gfactor * found.net_acceleration, torch.ones(CALIBRATION), rtol=2e-6, atol=0)
    measured = int(sampling.mask.sum()) / sampling.mask.numel()
    expected = measured**0.5 * full_noise(weights, toy_covariance()).float()
    torch.testing.assert_close(found.std, expected, rtol=2e-6, atol=0)


def test_one_partition_has_the_noise_of_lines() -> None:
    """One accelerated axis is a lattice with one partition: the same map as of `raki.fit`."""
    acs, kspace = range(14, 38), 20 * point_sources(40, N_COILS, 54, 13) + random_kspace(N_COILS, 54, 13)
    lines = lattice_with_acs(54, 4, 3, acs)
    mask = Sampling.from_mask(lines.mask).mask[None]
    method, weights = Grappa(regularization=1e-3), random_kspace(N_COILS, 54, 13, seed=5)
    flat = fit(method, kspace[:, acs.start : acs.stop], lines)
    volume = fit_volume(method, kspace[:, None, acs.start : acs.stop], VolumeSampling.from_mask(mask))
    expected = analytic_noise_map(flat, toy_covariance(), weights)
    found = analytic_noise_map(volume, toy_covariance(), weights[:, None])
    torch.testing.assert_close(found.std[0], expected.std, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.gfactor[0], expected.gfactor, rtol=1e-4, atol=0)


@pytest.mark.parametrize('shift', [0, 1])
def test_it_agrees_with_pseudo_replicas(shift: int) -> None:
    """Automatic settings; same definitions of std, R_net and g as replicas."""
    scan, n_replicas = simulate_volume(VolumeSimulation((16, 34, 24), n_coils=6, noise=0.01)), 300
    assert scan.noise is not None
    sampling, covariance = undersample_volume(scan.mask, (2, 2), shift, (8, 14)), noise_covariance(scan.noise)
    interpolator = fit_volume(Grappa(), sampling.acs_block(scan.kspace), sampling, scan.kspace)
    images = image_from_kspace(interpolator.fill(scan.kspace), SPACE)
    analytic = analytic_noise_map(interpolator, covariance, matched_weights(images).conj())
    replicas = replica_noise_map(interpolator.fill, scan.kspace, sampling, covariance, n_replicas=n_replicas)
    assert analytic.net_acceleration == replicas.net_acceleration
    ratio = (analytic.gfactor / replicas.gfactor)[object_mask(root_sum_of_squares(images))]
    assert float((ratio - 1).abs().median()) < 0.03
    assert float(ratio.median()) == pytest.approx(1, abs=0.005)
    assert float((ratio - 1).square().mean().sqrt()) == pytest.approx(replicas.relative_standard_error, rel=0.1)


def test_blocks_of_pixels_and_situations_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    sampling = sampled_volume((8, 12, 5), Lattice((2, 2), 1), (range(2, 6), range(4, 9)))
    interpolator = fit_volume(SMALL, toy_kspace(CALIBRATION, seed=3), sampling, toy_kspace((8, 12, 5)))
    weights = random_kspace(N_COILS, 8, 12, 5, seed=5)
    whole = coil_noise(interpolator, toy_covariance()).std(weights)
    monkeypatch.setattr(gfactor, 'BLOCK_ELEMENTS', 1)
    torch.testing.assert_close(coil_noise(interpolator, toy_covariance()).std(weights), whole, rtol=1e-5, atol=0)


def test_weights_of_another_matrix_are_refused() -> None:
    noise = coil_noise(
        VolumeInterpolator(VolumeSampling.from_mask(torch.ones(9, 14, dtype=torch.bool)), 8), toy_covariance()
    )
    with pytest.raises(ValueError, match=r'axes \(coil, z, y, x\) of \(3, 9, 14, 8\), got \(3, 9, 8, 14\)'):
        noise.std(random_kspace(N_COILS, 9, 8, 14))
