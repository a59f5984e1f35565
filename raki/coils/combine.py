"""From the images of all coils to one."""

from collections.abc import Callable

import torch
from torch import Tensor

from raki.coils.espirit import espirit_maps
from raki.coils.noise import known_covariance, whitening_matrix
from raki.fourier import centre_crop, cropped, image_from_kspace, kspace_from_image
from raki.magnitude import in_unit, out_of_unit, unit_of

Combination = Callable[[Tensor, Tensor | None], Tensor]
"""From coil images (coil, y, x), and the covariance of their noise where it is known, to one magnitude image (y, x)."""

ROWS_AT_ONCE = 32
"""Rows of an image whose local covariances (coil, coil) are in memory together."""

ESPIRIT_BLOCK = 24
"""Side of the block in the middle of filled k-space that ESPIRiT learns sensitivities from [sample]."""


def root_sum_of_squares(images: Tensor, covariance: Tensor | None = None) -> Tensor:
    """Combine coil images, axes (coil, y, x), into a magnitude image (y, x); the plain sum, whatever the covariance."""
    del covariance
    return (images.real.square() + images.imag.square()).sum(0).sqrt()  # five times as fast as with abs


def matched_weights(images: Tensor) -> Tensor:
    """Weights p (coil, y, x) with sum |p|^2 = 1, for which sum conj(p) images is the root sum of squares of `images`.

    With these weights held fixed, noise passes through the combination linearly (Roemer et al. 1990, Magn Reson Med
    16:192).
    """
    return images / root_sum_of_squares(images).clamp(min=torch.finfo(torch.float32).tiny)


def walsh_weights(images: Tensor, *, width: int = 7, n_iterations: int = 8) -> Tensor:
    """Adaptive combination weights: the dominant eigenvector of the local coil covariance, by power iteration.

    Of coil images (coil, y, x) with white noise between coils, averaged over squares of this width [pixel]. Weights p
    have the same axes and sum |p|^2 = 1; their phase varies as the strongest coil's does.

    References
    ----------
    Walsh et al. 2000, Magn Reson Med 43:682.
    """
    strongest = int(images.abs().square().sum((1, 2)).argmax())
    scaled = images / images.abs().max()  # powers of powers leave the range of float32 otherwise
    rows = range(0, images.shape[1], ROWS_AT_ONCE)
    blocks = [_dominant_vectors(_local_covariance(scaled, row, width), strongest, n_iterations) for row in rows]
    return torch.cat(blocks).movedim(-1, 0)


def _local_covariance(images: Tensor, row: int, width: int) -> Tensor:
    """Covariance between coils averaged over a square, for a block of rows, axes (y, x, coil, coil)."""
    half = width // 2
    above, below = max(0, row - half), min(images.shape[1], row + ROWS_AT_ONCE + half)
    block = images[:, above:below]
    products = torch.view_as_real(block[:, None] * block.conj()).movedim(-1, 0).flatten(0, 2)[None]
    averaged = torch.nn.functional.avg_pool2d(products, width, stride=1, padding=half, count_include_pad=False)
    kept = averaged[0, :, row - above :][:, :ROWS_AT_ONCE].unflatten(0, (2, len(images), len(images)))
    return torch.complex(*kept).movedim((0, 1), (-2, -1))


def _dominant_vectors(covariance: Tensor, start: int, n_iterations: int) -> Tensor:
    """Unit eigenvectors (y, x, coil) of the largest eigenvalues by power iteration from column `start`."""
    tiny = torch.finfo(torch.float32).tiny
    vector = torch.nn.functional.normalize(covariance[..., start], dim=-1, eps=tiny)
    for _ in range(n_iterations):
        vector = torch.nn.functional.normalize((covariance @ vector[..., None])[..., 0], dim=-1, eps=tiny)
    return vector


def rss_combination(images: Tensor, covariance: Tensor | None = None) -> Tensor:
    """Weights w (coil, ...) for which |sum w images| is `root_sum_of_squares(images)`, whatever the covariance."""
    del covariance
    return matched_weights(images).conj()


def espirit_weights(images: Tensor) -> Tensor:
    """Sensitivities by ESPIRiT from the central block of the k-space of coil images (coil, y, x), same axes.

    They have unit root sum of squares everywhere, in air as well, where they point anywhere: nothing is cut off that
    might be signal.
    """
    kspace = kspace_from_image(images)
    block = tuple(min(ESPIRIT_BLOCK, size) for size in images.shape[1:])
    return espirit_maps(centre_crop(kspace, block), tuple(images.shape[1:]), crop=-1)


def walsh_combination(images: Tensor, covariance: Tensor | None = None) -> Tensor:
    """Weights w (coil, y, x) for which |sum w images| is `walsh(images, covariance)`."""
    return _whitened(walsh_weights, images, covariance)


def walsh(images: Tensor, covariance: Tensor | None = None) -> Tensor:
    """Adaptively combined magnitude image, axes (y, x), of coil images (coil, y, x); lower noise in air than RSS.

    Coils are whitened first where the `covariance` (coil, coil) of their noise is known.
    """
    return (walsh_combination(images, covariance) * images).sum(0).abs()


def espirit_combination(images: Tensor, covariance: Tensor | None = None) -> Tensor:
    """Weights w (coil, y, x) for which |sum w images| is `espirit(images, covariance)`."""
    return _whitened(espirit_weights, images, covariance)


def espirit(images: Tensor, covariance: Tensor | None = None) -> Tensor:
    """Magnitude image, axes (y, x), of coil images (coil, y, x) as they are combined by ESPIRiT's sensitivities.

    As bright as RSS where all coils see one object, and less noisy in air, which holds the noise of one channel. Coils
    are whitened first where the `covariance` (coil, coil) of their noise is known.
    """
    return (espirit_combination(images, covariance) * images).sum(0).abs()


def _whitened(weights: Callable[[Tensor], Tensor], images: Tensor, covariance: Tensor | None) -> Tensor:
    """Conjugate weights of coil images for those that are found for white noise between coils.

    White noise is as strong as that of the median coil, so that images keep the unit of the file, whatever that of its
    noise samples.
    """
    if covariance is None:
        return weights(images).conj()
    gain = covariance.diagonal().real.sqrt()
    whitening = (gain[gain > 0].median() * whitening_matrix(covariance)).to(images)
    return torch.tensordot(whitening.mT, weights(torch.tensordot(whitening, images, dims=1)).conj(), dims=1)


def combined_image(
    kspace: Tensor, combine: Combination, noise: Tensor | None = None, shape: tuple[int, ...] | None = None
) -> Tensor:
    """Image (y, x) of filled k-space (coil, ky, kx) and noise samples (coil, sample), cropped to a shape."""
    unit = unit_of(kspace)
    image = combine(image_from_kspace(in_unit(kspace, unit)), known_covariance(noise))
    return cropped(out_of_unit(image, unit), shape)
