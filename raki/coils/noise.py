"""Noise between coils: covariance, whitening, samples of it."""

import torch
from torch import Tensor

from raki.errors import ScanError

DUPLICATE = 1e-9
"""A coil with less power of its own than this part of it repeats other coils [1]."""

SAMPLES_PER_COIL = 10
"""Noise samples per coil that a covariance needs at least before coils are whitened by it."""


def noise_covariance(noise: Tensor) -> Tensor:
    """Sample covariance between coils, axes (coil, coil), complex128, of noise with axes (coil, sample)."""
    noise = noise.to(torch.complex128)
    centred = noise - noise.mean(dim=-1, keepdim=True)
    return centred @ centred.mH / (noise.shape[-1] - 1)


def known_covariance(noise: Tensor | None) -> Tensor | None:
    """Covariance of noise (coil, sample) where enough samples that differ tell coils apart by it, else None."""
    if noise is None or noise.shape[1] < SAMPLES_PER_COIL * len(noise):
        return None
    covariance = noise_covariance(noise)
    return covariance if bool(covariance.diagonal().any()) else None


def whitening_matrix(covariance: Tensor) -> Tensor:
    """W with W covariance W^H = 1, axes (direction, coil).

    Of all such matrices, the one that changes coils least (ZCA-cor); it treats them alike, whatever their order.
    Directions in which coils have no noise, because one is dead or repeats others, are left out; then there are fewer
    directions than coils. From directions back to coils leads covariance W^H.

    References
    ----------
    Kessy, Lewin and Strimmer 2018, Am Stat 72:309 (https://doi.org/10.1080/00031305.2016.1277159).
    """
    gain = covariance.diagonal().real.sqrt()
    inverse_gain = torch.where(gain > 0, 1 / gain, 0)
    values, vectors = torch.linalg.eigh(inverse_gain[:, None] * covariance * inverse_gain)
    held = values > DUPLICATE
    white = values[held].rsqrt()[:, None] * vectors[:, held].mH * inverse_gain
    return vectors @ white if bool(held.all()) else white


def covariance_from_periphery(kspace: Tensor, measured: Tensor) -> Tensor:
    """Estimate the noise covariance of k-space (coil, phase axes, kx) where signal is least, axes (coil, coil).

    The outer tenth of the readout on both sides, of those measured lines, boolean on the phase axes, that lie in the
    outer eighths of k-space. Biased upwards: small matrices hold signal there, too, and then many times the noise.

    Raises
    ------
    ScanError
        If fewer samples than coils are left.
    """
    outer = torch.zeros_like(measured)
    for axis, size in enumerate(measured.shape):
        along = outer.movedim(axis, 0)
        along[: size // 8], along[size - size // 8 :] = True, True
    lines = kspace[:, (outer & measured).to(kspace.device)]
    width = max(1, kspace.shape[-1] // 10)
    samples = torch.cat([lines[..., :width], lines[..., -width:]], dim=-1).flatten(1)
    held = samples[:, (samples != 0).any(dim=0)]
    if held.shape[1] <= len(kspace):
        raise ScanError(
            f'the noise of {len(kspace)} coils cannot be estimated from {held.shape[1]} samples at the corners of '
            'k-space: give noise samples, or leave noise maps out'
        )
    return noise_covariance(held)


def noise_factor(covariance: Tensor) -> Tensor:
    """F with F F^H = covariance, axes (coil, coil), complex64; dead and duplicate coils have one, too."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()).to(torch.complex64)


def coloured_noise(factor: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Complex noise with covariance F F^H between coils, axes (coil, *shape), complex64, on the device of `factor`.

    Drawn where the generator is, on the CPU, so that every device gets the same.
    """
    white = torch.randn(len(factor), *shape, dtype=torch.complex64, generator=generator)
    return torch.tensordot(factor, white.to(factor.device), dims=1)
