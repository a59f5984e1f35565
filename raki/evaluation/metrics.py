"""Figures of merit: always against one reference, never normalised image by image."""

import math

import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

OBJECT_THRESHOLD = 0.1
"""The object is where the reference exceeds this part of its maximum."""


def object_mask(reference: Tensor) -> Tensor:
    """Where the reference image (y, x) shows the object: boolean (y, x)."""
    return reference > OBJECT_THRESHOLD * reference.max()


def nrmse(image: Tensor, reference: Tensor) -> float:
    """||image - reference|| / ||reference||, over all samples."""
    return float((image - reference).norm() / reference.norm())


def nrmse_object(image: Tensor, reference: Tensor) -> float:
    """Measure nrmse inside the object only, where no noise floor can be reproduced."""
    inside = object_mask(reference)
    return nrmse(image[inside], reference[inside])


def kspace_nrmse(kspace: Tensor, reference: Tensor, missing: Tensor) -> float:
    """Complex nrmse over the missing lines only.

    Parameters
    ----------
    kspace, reference
        Axes (coil, ky, kx).
    missing
        Boolean, axes (ky,): lines that were filled in. Without any, the error is 0.
    """
    return nrmse(kspace[:, missing], reference[:, missing]) if bool(missing.any()) else 0.0


def energy_ratio(kspace: Tensor, reference: Tensor, filled: Tensor) -> float:
    """Energy of the filled lines over that of the same lines of the reference; below 1 they are too dark.

    Arguments as for `kspace_nrmse`; without any filled line, the ratio is 1.
    """
    if not bool(filled.any()):
        return 1.0
    return float(kspace[:, filled].norm() / reference[:, filled].norm()) ** 2


def ssim(image: Tensor, reference: Tensor) -> float:
    """Structural similarity, 7 x 7 window, data range the maximum of the reference (scikit-image)."""
    a, b = (array.cpu().double().numpy() for array in (image, reference))
    return float(structural_similarity(b, a, win_size=7, data_range=b.max()))  # type: ignore[arg-type]


def psnr(image: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio [dB], data range the maximum of the reference (scikit-image); inf without error."""
    if torch.equal(image, reference):
        return math.inf
    a, b = (array.cpu().double().numpy() for array in (image, reference))
    return float(peak_signal_noise_ratio(b, a, data_range=b.max()))


def image_metrics(image: Tensor, reference: Tensor) -> dict[str, float]:
    """All image metrics by name, of images (y, x)."""
    measures = (nrmse, nrmse_object, ssim, psnr)
    return {measure.__name__: measure(image, reference) for measure in measures}
