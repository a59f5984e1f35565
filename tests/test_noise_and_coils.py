"""Covariance, whitening, coil combination, Fourier convention."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from raki.coils.combine import (
    espirit,
    espirit_weights,
    matched_weights,
    root_sum_of_squares,
    walsh,
    walsh_weights,
)
from raki.coils.noise import (
    coloured_noise,
    covariance_from_periphery,
    known_covariance,
    noise_covariance,
    noise_factor,
    whitening_matrix,
)
from raki.data.phantoms import birdcage_maps
from raki.errors import ScanError
from raki.fourier import centre_crop, image_from_kspace, kspace_from_image, without_oversampling
from tests.toys import random_kspace


def covariance_of(n_coils: int) -> Tensor:
    mixing = torch.randn(n_coils, n_coils, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    return mixing @ mixing.mH + 0.1 * torch.eye(n_coils)


def test_whitened_noise_has_unit_covariance() -> None:
    noise = random_kspace(4, 500).to(torch.complex128)
    white = whitening_matrix(noise_covariance(noise)) @ noise
    torch.testing.assert_close(noise_covariance(white), torch.eye(4, dtype=torch.complex128))


def test_coloured_noise_has_the_covariance_that_was_asked_for() -> None:
    """200 000 samples: each entry within 5 standard errors."""
    covariance = covariance_of(3)
    noise = coloured_noise(noise_factor(covariance), (400, 500), torch.Generator().manual_seed(1)).flatten(1)
    largest = float(covariance.diagonal().real.max())
    torch.testing.assert_close(noise_covariance(noise), covariance, rtol=0, atol=5 * largest / 200_000**0.5)


def test_noise_covariance_leaves_its_input_alone() -> None:
    noise = random_kspace(4, 50)
    copy = noise.clone()
    noise_covariance(noise)
    assert torch.equal(noise, copy)


@pytest.mark.parametrize('fault', ['dead', 'duplicate', 'sum'])
def test_only_directions_that_have_noise_are_whitened(fault: str) -> None:
    """W Psi W^H = 1 with a direction less, and Psi W^H leads back to every coil."""
    noise = random_kspace(4, 300).to(torch.complex128)
    noise[3] = {'dead': 0 * noise[1], 'duplicate': -2j * noise[1], 'sum': noise[0] + noise[1]}[fault]
    covariance = noise_covariance(noise)
    whitening = whitening_matrix(covariance)
    assert whitening.shape == (3, 4)
    torch.testing.assert_close(noise_covariance(whitening @ noise), torch.eye(3, dtype=torch.complex128))
    torch.testing.assert_close(covariance @ whitening.mH @ whitening @ noise, noise)


def test_whitening_treats_coils_alike() -> None:
    """Another order of the coils is another order of rows and columns, and nothing else."""
    order, covariance = torch.tensor([2, 0, 3, 1]), covariance_of(4)
    expected = whitening_matrix(covariance)[order][:, order]
    torch.testing.assert_close(whitening_matrix(covariance[order][:, order]), expected)


def test_uncorrelated_coils_are_whitened_by_their_own_noise_alone() -> None:
    covariance = torch.diag(torch.tensor([4.0, 1.0, 0.25])).to(torch.complex128)
    torch.testing.assert_close(whitening_matrix(covariance), torch.diag(torch.tensor([0.5, 1, 2])).to(torch.complex128))


@pytest.mark.parametrize(('n_samples', 'is_known'), [(39, False), (40, True)])
def test_a_covariance_needs_ten_samples_per_coil(n_samples: int, is_known: bool) -> None:
    noise = random_kspace(4, n_samples)
    found = known_covariance(noise)
    assert (found is not None) == is_known
    assert found is None or torch.equal(found, noise_covariance(noise))
    assert known_covariance(None) is None
    assert known_covariance(torch.zeros_like(noise)) is None


@pytest.mark.parametrize('n_readout', [200, 161])
def test_removing_oversampling_changes_neither_variance_nor_whiteness_of_noise(n_readout: int) -> None:
    """An orthonormal transform, some of its rows, and back: the covariance of samples stays the identity."""
    noise = without_oversampling(random_kspace(3, 400, n_readout), 100)
    flat = noise.permute(0, 2, 1)
    covariance = torch.einsum('cxn,dyn->cxdy', flat, flat.conj()).reshape(300, 300) / 400
    torch.testing.assert_close(
        covariance.diagonal().real.mean(), torch.tensor(1.0), rtol=5 / (300 * 400) ** 0.5, atol=0
    )
    others = covariance[~torch.eye(300, dtype=torch.bool)].abs().square().mean().sqrt()
    assert float(others) == pytest.approx(400**-0.5, rel=0.02)


@pytest.mark.parametrize('coil', ['dead', 'duplicate'])
def test_noise_of_dead_and_duplicate_coils_can_be_drawn(coil: str) -> None:
    noise = random_kspace(3, 300)
    noise[2] = 0 if coil == 'dead' else noise[1]
    covariance = noise_covariance(noise)
    factor = noise_factor(covariance).to(torch.complex128)
    torch.testing.assert_close(factor @ factor.mH, covariance, rtol=0, atol=1e-6)


def test_noise_is_found_where_signal_is_least() -> None:
    """A bright centre, noise everywhere: within 5 standard errors of the covariance that was put in."""
    covariance = covariance_of(3)
    noise = coloured_noise(noise_factor(covariance), (128, 100), torch.Generator().manual_seed(1))
    kspace = noise.clone()
    kspace[:, 32:96, 20:80] += 1000
    found = covariance_from_periphery(kspace, torch.ones(128, dtype=torch.bool))
    largest, n_samples = float(covariance.diagonal().real.max()), 32 * 20
    torch.testing.assert_close(found, covariance, rtol=0, atol=5 * largest / n_samples**0.5)


def test_noise_that_cannot_be_estimated_is_refused() -> None:
    kspace = random_kspace(3, 64, 40)
    kspace[..., :6] = 0
    kspace[..., -6:] = 0
    with pytest.raises(ScanError, match='noise of 3 coils cannot be estimated from 0 samples'):
        covariance_from_periphery(kspace, torch.ones(64, dtype=torch.bool))


@pytest.mark.parametrize('combine', [walsh, espirit])
@pytest.mark.parametrize('factor', [2.0**-40, 2.0**-24, 2.0**24, 2.0**40])
def test_the_unit_of_an_image_does_not_matter_to_combination(factor: float, combine: Callable[..., Tensor]) -> None:
    images = birdcage_maps(4, (40, 24)) + 0.05 * random_kspace(4, 40, 24)
    torch.testing.assert_close(combine(factor * images) / factor, combine(images), rtol=1e-3, atol=1e-5)


def test_adaptive_combination_does_not_see_its_blocks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    images = random_kspace(4, 41, 24)
    whole = walsh_weights(images)
    monkeypatch.setattr('raki.coils.combine.ROWS_AT_ONCE', 7)
    torch.testing.assert_close(walsh_weights(images), whole, rtol=1e-3, atol=1e-4)


def test_the_fourier_convention_is_centred_and_orthonormal() -> None:
    kspace = random_kspace(3, 7, 8)
    expected = np.fft.fftshift(
        np.fft.ifftn(np.fft.ifftshift(kspace.numpy(), axes=(1, 2)), axes=(1, 2), norm='ortho'), axes=(1, 2)
    )
    np.testing.assert_allclose(image_from_kspace(kspace).numpy(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(kspace_from_image(image_from_kspace(kspace)), kspace)


def test_the_centre_of_k_space_is_the_mean_of_the_image() -> None:
    kspace = torch.zeros(7, 8, dtype=torch.complex64)
    kspace[7 // 2, 8 // 2] = 1
    torch.testing.assert_close(image_from_kspace(kspace), torch.full((7, 8), (7 * 8) ** -0.5, dtype=torch.complex64))


@pytest.mark.parametrize('n_readout', [32, 31])
def test_removing_oversampling_crops_the_image(n_readout: int) -> None:
    kspace = random_kspace(2, 6, n_readout)
    expected = centre_crop(image_from_kspace(kspace), (6, 15))
    torch.testing.assert_close(image_from_kspace(without_oversampling(kspace, 15)), expected, rtol=1e-4, atol=1e-5)


def test_cropping_to_more_than_there_is_is_refused() -> None:
    with pytest.raises(ValueError, match='axis 0 of length 4 to 5'):
        centre_crop(torch.zeros(4, 6), (5, 6))


def test_matched_weights_turn_their_own_images_into_the_root_sum_of_squares() -> None:
    images = random_kspace(4, 9, 11)
    combined = (matched_weights(images).conj() * images).sum(0)
    torch.testing.assert_close(combined.real, root_sum_of_squares(images))
    torch.testing.assert_close(combined.imag, torch.zeros(9, 11), rtol=0, atol=1e-5)


def test_adaptive_combination_recovers_the_object_that_the_coils_saw() -> None:
    """Without noise, sum conj(p) c m = |m| for unit-norm sensitivities c that vary slowly."""
    maps = birdcage_maps(6, (48, 40))
    magnitude = torch.rand(48, 40, generator=torch.Generator().manual_seed(0)) + 0.5
    torch.testing.assert_close(walsh(maps * magnitude), magnitude, rtol=0.02, atol=0)


def test_espirit_recovers_the_object_that_smooth_coils_saw_as_bright_as_root_sum_of_squares() -> None:
    """Sensitivities of a few waves across, as it can know them; without noise both are sum |c|^2 |m| over the norm."""
    smooth = torch.zeros(4, 40, 48, dtype=torch.complex64)
    centre_crop(smooth, (3, 3)).copy_(random_kspace(4, 3, 3))
    images = image_from_kspace(smooth) * random_kspace(40, 48, seed=2)
    torch.testing.assert_close(espirit(images), root_sum_of_squares(images), rtol=0.02, atol=0)


@pytest.mark.parametrize('combine', [walsh, espirit])
def test_weighted_combination_has_less_noise_in_air_than_root_sum_of_squares(combine: Callable[..., Tensor]) -> None:
    """Where there is no signal, RSS of n coils averages sqrt(n) times what one combined coil has."""
    images = birdcage_maps(8, (48, 40)) * (torch.arange(48) < 24)[:, None] + 0.05 * random_kspace(8, 48, 40)
    air = (slice(36, 48), slice(None))
    assert float(combine(images)[air].mean()) < 0.7 * float(root_sum_of_squares(images)[air].mean())


@pytest.mark.parametrize('weigh', [walsh_weights, espirit_weights])
def test_weights_have_unit_norm(weigh: Callable[[Tensor], Tensor]) -> None:
    """Everywhere, so that no combination is brighter than root sum of squares."""
    weights = weigh(random_kspace(4, 12, 10))
    torch.testing.assert_close(weights.abs().square().sum(0), torch.ones(12, 10))


@pytest.mark.parametrize('combine', [walsh, espirit])
@pytest.mark.parametrize('power', [1e-30, 0.25, 1e20])
def test_equal_and_independent_noise_changes_no_combination(combine: Callable[..., Tensor], power: float) -> None:
    """To the unit of the image: what is white already stays as it is."""
    images = birdcage_maps(4, (24, 20)) + 0.05 * random_kspace(4, 24, 20)
    covariance = power * torch.eye(4, dtype=torch.complex128)
    torch.testing.assert_close(combine(images, covariance), combine(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('combine', [walsh, espirit])
def test_combination_does_not_depend_on_the_coils_gains_once_they_are_whitened(combine: Callable[..., Tensor]) -> None:
    gain = torch.tensor([1.0, 3.0, 0.2, 1.0], dtype=torch.complex64)
    images = birdcage_maps(4, (24, 20)) + 0.05 * random_kspace(4, 24, 20)
    amplified = gain[:, None, None] * images
    covariance = torch.diag(gain.abs() ** 2).to(torch.complex128)
    torch.testing.assert_close(combine(amplified, covariance), combine(images), rtol=1e-3, atol=1e-4)
