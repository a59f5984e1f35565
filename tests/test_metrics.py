"""Metrics against their definitions, computed another way."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from raki.evaluation import metrics
from tests.toys import random_kspace


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(23, 31, generator=generator)
    return reference + 0.1 * torch.randn(23, 31, generator=generator), reference


def test_nrmse_is_the_relative_norm_of_the_error() -> None:
    image, reference = (array.double().numpy() for array in pair())
    expected = np.sqrt(((image - reference) ** 2).sum()) / np.sqrt((reference**2).sum())
    assert metrics.nrmse(*pair()) == pytest.approx(expected, rel=1e-6)


def test_an_intensity_error_counts_because_nothing_is_normalised() -> None:
    reference = pair()[1]
    assert metrics.nrmse(1.1 * reference, reference) == pytest.approx(0.1, rel=1e-5)


def test_nrmse_object_looks_inside_the_object() -> None:
    reference = torch.tensor([[10.0, 1.1, 0.9], [0.0, 5.0, 1.0]])
    image = reference + torch.tensor([[0.0, 1.0, 7.0], [9.0, 2.0, 4.0]])
    inside = torch.tensor([[True, True, False], [False, True, False]])
    assert metrics.nrmse_object(image, reference, inside) == pytest.approx((5 / (100 + 1.21 + 25)) ** 0.5)
    full, far = head(96)[0], torch.zeros(96, 96)
    far[:5] = 1
    assert metrics.nrmse_object(full + far, full) == 0


def head(*shape: int, noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A bright rim, a gap of bone, and an inside of a twentieth of the rim with dark holes; and where all that is."""
    axes = [torch.linspace(-1, 1, size) for size in (shape if len(shape) > 1 else (*shape, *shape))]
    radius = sum(axis**2 for axis in torch.meshgrid(*axes, indexing='ij')) ** 0.5  # type: ignore[operator]
    image = torch.where(radius < 0.8, 1.0, 0.0) * torch.where(radius < 0.7, 0.0, 1.0)
    image += 0.05 * ((radius < 0.65) & ~((radius > 0.2) & (radius < 0.4)))
    generator = torch.Generator().manual_seed(0)
    channels = (torch.randn(2, *image.shape, generator=generator) for _ in range(8))
    coils = [(image / 8**0.5 + noise * real) ** 2 + (noise * imaginary) ** 2 for real, imaginary in channels]
    return torch.stack(coils).sum(0).sqrt(), radius < 0.8


@pytest.mark.parametrize('noise', [0.0, 0.001, 0.003])
@pytest.mark.parametrize('shape', [(96, 120), (256, 200), (40, 56, 48)])
def test_the_object_is_all_that_is_not_air(shape: tuple[int, ...], noise: float) -> None:
    """Within a resolved width, 1/64 of the field of view, of its true border."""
    image, truth = head(*shape, noise=noise)
    found = metrics.object_mask(image)
    assert not bool((truth & ~found).any())
    assert float((found & ~truth).sum()) < 0.12 * float(truth.sum())
    assert torch.equal(metrics.object_mask(1e-6 * image), found)
    assert torch.equal(metrics.object_mask(image.flip(0)), found.flip(0))


def test_coil_profiles_and_a_second_part_leave_the_object_whole() -> None:
    """A surface coil that falls by 20 over the object, and a smaller object beside."""
    image, truth = head(96, noise=0.0002)
    falling = torch.logspace(0, -1.3, 96)[:, None]
    assert not bool((truth & ~metrics.object_mask(image * falling)).any())
    both, speck = torch.cat([image, image[::2, ::2].repeat(2, 1)], dim=1), torch.cat([image, 0 * image], dim=1)
    assert not bool((both > 0.04).logical_and(~metrics.object_mask(both)).any())
    speck[40:44, 140:144] = 1
    assert not bool(metrics.object_mask(speck)[:, 120:].any())


@pytest.mark.parametrize('value', [0.0, 3.0])
def test_an_image_without_contrast_is_all_object(value: float) -> None:
    assert bool(metrics.object_mask(torch.full((20, 30), value)).all())


def test_kspace_nrmse_looks_at_missing_lines_only() -> None:
    reference = random_kspace(3, 10, 7)
    kspace, missing = reference.clone(), torch.arange(10) % 3 != 0
    kspace[:, ~missing] += 5
    assert metrics.kspace_nrmse(kspace, reference, missing) == 0
    assert metrics.kspace_nrmse(torch.zeros_like(reference), reference, missing) == pytest.approx(1)
    assert metrics.kspace_nrmse(kspace, reference, torch.zeros(10, dtype=torch.bool)) == 0


def test_energy_ratio_notices_dark_lines() -> None:
    reference, filled = random_kspace(3, 10, 7), torch.arange(10) % 2 == 0
    assert metrics.energy_ratio(0.5 * reference, reference, filled) == pytest.approx(0.25)


def test_ssim_and_psnr_are_scikit_images_with_the_maximum_of_the_reference() -> None:
    image, reference = (array.double().numpy() for array in pair())
    largest = reference.max()
    expected = structural_similarity(reference, image, data_range=largest)
    assert metrics.ssim(*pair()) == pytest.approx(expected, abs=1e-6)
    assert metrics.psnr(*pair()) == pytest.approx(
        peak_signal_noise_ratio(reference, image, data_range=largest), abs=1e-6
    )


def test_ssim_of_a_volume_is_the_mean_over_its_slices_with_the_range_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(3, 23, 31, generator=generator)
    image = reference + 0.1 * torch.randn(3, 23, 31, generator=generator)
    assert metrics.ssim(reference, reference) == 1
    own, true, largest = image.double().numpy(), reference.double().numpy(), float(reference.max())
    slices = [structural_similarity(true[z], own[z], data_range=largest) for z in range(3)]
    assert metrics.ssim(image, reference) == pytest.approx(np.mean(slices), abs=1e-6)
    assert metrics.ssim(image[:1], reference[:1]) == pytest.approx(metrics.ssim(image[0], reference[0]))
    assert metrics.ssim(image[:, :4], reference[:, :4]) < 1


def test_image_metrics_name_themselves() -> None:
    assert set(metrics.image_metrics(*pair())) == {'nrmse', 'nrmse_object', 'ssim', 'psnr'}


def test_metrics_are_those_of_fastmri_on_one_slice() -> None:
    """fastMRI: nmse = |gt - x|^2 / |gt|^2, psnr = 10 log10(max^2 / mse), ssim with uniform 7 x 7 windows of its own."""
    image, reference = (array.double().numpy() for array in pair())
    mean_square = ((image - reference) ** 2).mean()
    assert metrics.nrmse(*pair()) ** 2 == pytest.approx(mean_square / (reference**2).mean(), rel=1e-6)
    assert metrics.psnr(*pair()) == pytest.approx(10 * np.log10(reference.max() ** 2 / mean_square), abs=1e-6)
    assert metrics.ssim(*pair()) == pytest.approx(windowed_ssim(reference, image, reference.max()), abs=1e-6)


def windowed_ssim(a: np.ndarray, b: np.ndarray, largest: float) -> float:
    """Wang et al. 2004, from its formula: every whole 7 x 7 window alike, unbiased variances."""

    def windows(array: np.ndarray) -> np.ndarray:
        return np.lib.stride_tricks.sliding_window_view(array, (7, 7)).reshape(-1, 49)

    x, y = windows(a), windows(b)
    c1, c2 = (0.01 * largest) ** 2, (0.03 * largest) ** 2
    mx, my = x.mean(1), y.mean(1)
    vx, vy = x.var(1, ddof=1), y.var(1, ddof=1)
    covariance = ((x - mx[:, None]) * (y - my[:, None])).sum(1) / 48
    values = (2 * mx * my + c1) * (2 * covariance + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(values.mean())


def test_rates_and_acs_are_sorted_by_their_numbers() -> None:
    assert sorted(['3x2', '2x2s1', '2x2', '10x1'], key=metrics.sizes) == ['2x2', '2x2s1', '3x2', '10x1']
    assert sorted([12, 3], key=metrics.sizes) == [3, 12]


def test_figures_have_names_of_their_own_and_are_written_with_their_digits() -> None:
    every = [figure.name for figure in (*metrics.CELL, *metrics.FIGURES)]
    assert len(set(every)) == len(every)
    assert {figure.best for figure in metrics.FIGURES} == {'low', 'high', None}
    written = metrics.Figure('x', 'x').written
    assert [written(value) for value in (0.0123456, None, '2x2')] == ['0.01235', '–', '2x2']
    assert metrics.Figure('x', 'x', digits=2).written(1.2345) == '1.23'
