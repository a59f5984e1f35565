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


def test_nrmse_object_looks_where_the_reference_exceeds_a_tenth_of_its_maximum() -> None:
    reference = torch.tensor([[10.0, 1.1, 0.9], [0.0, 5.0, 1.0]])
    image = reference + torch.tensor([[0.0, 1.0, 7.0], [9.0, 2.0, 4.0]])
    assert metrics.nrmse_object(image, reference) == pytest.approx((5 / (100 + 1.21 + 25)) ** 0.5)


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
