"""What the pages of the gallery share: the scan they start from, and how they draw."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

import raki
from raki.coils.combine import root_sum_of_squares
from raki.evaluation.metrics import nrmse_object
from raki.fourier import image_from_kspace

THUMBNAILS = Path(__file__).parent / 'thumbnails'
"""Where the index finds a picture of each symptom; made by the pages."""

BRIGHTEST = 0.9
"""Part of the largest value that is shown white [1]."""


class Simulated(NamedTuple):
    """A fully sampled scan of a head, and the truth behind it."""

    full: raki.Scan
    """With noise, axes of its k-space (slice, coil, ky, kx)."""
    reference: Tensor
    """K-space without noise, axes (coil, ky, kx)."""
    truth: np.ndarray
    """Its image, axes (y, x)."""


def simulated(noise: float = 0.003) -> Simulated:
    """Simulate 8 coils and 160 lines of 128 samples; `noise` as of `raki.Simulation`."""
    full = raki.simulate(raki.Simulation(matrix=(160, 128), noise=noise, seed=1))
    assert full.reference is not None
    reference = full.reference[0]
    return Simulated(full, reference, image_of(reference))


def image_of(kspace: Tensor) -> np.ndarray:
    """Root sum of squares (y, x) of the coils of k-space (coil, ky, kx), as it is."""
    return root_sum_of_squares(image_from_kspace(kspace)).numpy()


def error_in_object(image: np.ndarray, truth: np.ndarray) -> float:
    """Error of an image (y, x), see `raki.evaluation.metrics.nrmse_object`."""
    return nrmse_object(torch.from_numpy(image), torch.from_numpy(truth))


def panels(
    images: Mapping[str, np.ndarray | Tensor],
    peak: float | None = None,
    *,
    colours: str = 'gray',
    n_columns: int = 4,
) -> None:
    """Show images (y, x) from 0 to `peak`, by default BRIGHTEST of the first's maximum."""
    first = next(iter(images.values()))
    peak = BRIGHTEST * float(abs(first).max()) if peak is None else peak
    n_columns = min(n_columns, len(images))
    n_rows = -(-len(images) // n_columns)
    height = n_rows * (2.6 * first.shape[0] / first.shape[1] + 0.3)
    _, places = plt.subplots(
        n_rows,
        n_columns,
        figsize=(2.6 * n_columns, height),
        squeeze=False,
        layout='constrained',
    )
    for place in places.flat:
        place.axis('off')
    for place, (title, image) in zip(places.flat, images.items(), strict=False):
        place.imshow(np.abs(np.asarray(image)), cmap=colours, vmin=0, vmax=peak)
        place.set_title(title, fontsize=10)
    plt.show()


def thumbnail(name: str, image: np.ndarray, peak: float | None = None) -> None:
    """Write the picture of a symptom for the index; `peak` as of `panels`."""
    THUMBNAILS.mkdir(exist_ok=True)
    peak = BRIGHTEST * float(image.max()) if peak is None else peak
    plt.imsave(
        THUMBNAILS / f'{name}.png',
        image,
        cmap='gray',
        vmin=0,
        vmax=peak,
    )
