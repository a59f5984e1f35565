"""The g-factor maps that `raki reconstruct` writes beside images: analytic ones, of reconstructions with weights."""

import torch
from torch import Tensor

from raki.coils.combine import Combination
from raki.coils.noise import known_covariance
from raki.data.scan import Scan
from raki.data.volume import Volume
from raki.evaluation.noise_maps import analytic_noise_map
from raki.fourier import centre_crop, cropped, image_from_kspace
from raki.pipeline import Reconstruction

ALIKE = 'g-factor: without enough noise samples, coils are taken to have equal and independent noise'


def gfactor_maps(part: Scan | Volume, result: Reconstruction, combine: Combination) -> Tensor:
    """g-factor of every image of a linear reconstruction.

    Parameters
    ----------
    part
        What was reconstructed.
    result
        Its reconstruction.
    combine
        From coil images and the covariance of their noise to the weights (coil, y, x) of their combination.

    Returns
    -------
    Axes (slice, y, x), cropped as the images are [1].

    Raises
    ------
    ValueError
        If the method is not linear.
    """
    known = known_covariance(part.noise)
    covariance = torch.eye(result.kspace.shape[1], dtype=torch.complex128) if known is None else known
    weights = [combine(image_from_kspace(kspace), known) for kspace in result.kspace]
    if isinstance(part, Volume):
        return _of_volume(part, result, covariance, torch.stack(weights, dim=1))
    pairs = zip(result.interpolators, weights, strict=True)
    return torch.stack(
        [cropped(analytic_noise_map(fitted, covariance, own).gfactor, part.image_shape) for fitted, own in pairs]
    )


def _of_volume(volume: Volume, result: Reconstruction, covariance: Tensor, weights: Tensor) -> Tensor:
    """Weights are (coil, slice, y, x) of those slices that images are cropped to; the map is of all, then cropped."""
    every_weight = weights.new_zeros(volume.kspace.shape)
    kept = centre_crop(every_weight, tuple(weights.shape[1:]))
    kept.copy_(weights)
    found = analytic_noise_map(result.interpolators[0], covariance, every_weight).gfactor
    return centre_crop(found, volume.image_shape or tuple(found.shape))


def cautions(part: Scan | Volume) -> tuple[str, ...]:
    """What a user must know of the maps, one sentence each."""
    return (ALIKE,) if known_covariance(part.noise) is None else ()
