"""Volumes: the domain type, and simulated ones."""

import pytest
import torch

from raki.coils.noise import noise_covariance
from raki.data.lattice import undersample_volume
from raki.data.phantoms import ring_maps
from raki.data.simulate_volume import VolumeSimulation, simulate_volume
from raki.data.volume import Volume
from raki.errors import SamplingError, ScanError
from raki.fourier import image_from_kspace
from raki.pipeline import reconstruct
from tests.toys import random_kspace

SMALL = VolumeSimulation((10, 24, 18), n_coils=4, noise=0.01, seed=3)


def test_the_same_seed_gives_the_same_volume() -> None:
    first, second = simulate_volume(SMALL), simulate_volume(SMALL)
    assert torch.equal(first.kspace, second.kspace)
    assert first.kspace.shape == (4, 10, 24, 18)
    assert bool(first.mask.all())


def test_noise_samples_have_the_covariance_of_the_noise_in_k_space() -> None:
    volume = simulate_volume(VolumeSimulation((20, 24, 18), n_coils=4, noise=0.01, seed=3))
    assert volume.reference is not None
    assert volume.noise is not None
    seen = noise_covariance((volume.kspace - volume.reference).flatten(1))
    told = noise_covariance(volume.noise)
    assert float((seen - told).norm() / told.norm()) < 0.05
    peak = image_from_kspace(volume.reference, (-3, -2, -1)).abs().square().sum(0).sqrt().max()
    assert float(told.diagonal().real.mean().sqrt() / peak) == pytest.approx(0.01, rel=0.05)


def test_coils_differ_along_every_axis() -> None:
    maps = ring_maps(8, 2, (10, 24, 18))
    torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(10, 24, 18))
    for axis in (1, 2, 3):
        assert float((maps.narrow(axis, 0, 1) - maps.narrow(axis, -1, 1)).abs().max()) > 0.1


@pytest.mark.parametrize('wrong', [{'matrix': (0, 4, 4)}, {'n_coils': 0}, {'noise': -1.0}])
def test_settings_without_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match='must be positive and noise not negative'):
        VolumeSimulation(**wrong)  # type: ignore[arg-type]


def test_fully_sampled_kz_is_transformed_away() -> None:
    """Slices then are those of the three-dimensional image, and take the way of all slices."""
    volume = simulate_volume(SMALL)
    slices = volume.as_slices()
    assert slices.reference is not None
    torch.testing.assert_close(
        image_from_kspace(slices.kspace).transpose(0, 1), image_from_kspace(volume.kspace, (-3, -2, -1))
    )
    sampling = undersample_volume(volume.mask, (1, 3), 0, (10, 9))
    undersampled = Volume(volume.kspace * sampling.mask[..., None], sampling.mask, volume.noise).as_slices()
    assert torch.equal(undersampled.mask, sampling.mask[0])
    assert reconstruct(undersampled, None).image.shape == (10, 24, 18)


def test_kz_that_was_not_fully_sampled_stays() -> None:
    volume = simulate_volume(SMALL)
    sampling = undersample_volume(volume.mask, (2, 2), 1, (6, 8))
    with pytest.raises(SamplingError, match='all 10 partitions have the same lines'):
        Volume(volume.kspace, sampling.mask).as_slices()


def test_a_volume_whose_parts_do_not_match_is_refused() -> None:
    kspace, mask = random_kspace(2, 3, 4, 5), torch.ones(3, 4, dtype=torch.bool)
    for wrong, message in [
        ((kspace[0], mask), r'axes \(coil, kz, ky, kx\)'),
        ((kspace, mask[:2]), r'axes \(kz, ky\) of size \(3, 4\), got torch.bool \(2, 4\)'),
        ((kspace, mask, random_kspace(3, 9)), 'with 2 coils'),
        ((kspace, mask, None, kspace[:1]), 'reference must have the shape'),
    ]:
        with pytest.raises(ScanError, match=message):
            Volume(*wrong)
