"""Noise between coils: covariance, whitening, samples of it."""

import torch
from torch import Tensor

from raki.errors import ScanError

DUPLICATE = 1e-9
"""A coil with less noise power of its own than this part of it repeats other coils [1]."""


def noise_covariance(noise: Tensor) -> Tensor:
    """Sample covariance between coils, axes (coil, coil), complex128, of noise with axes (coil, sample)."""
    noise = noise.to(torch.complex128)
    centred = noise - noise.mean(dim=-1, keepdim=True)
    return centred @ centred.mH / (noise.shape[-1] - 1)


def whitening_matrix(covariance: Tensor) -> Tensor:
    """W with W covariance W^H = 1, axes (coil, coil): the inverse of its Cholesky factor.

    Raises
    ------
    ScanError
        If the covariance is singular: a dead or duplicate coil, or fewer noise samples than coils.
    """
    factor, failed = torch.linalg.cholesky_ex(covariance)
    own = factor.diagonal().abs().square() / covariance.diagonal().real
    if bool(failed) or bool((own < DUPLICATE).any()):
        raise ScanError(
            f'the noise covariance of {len(covariance)} coils is not positive definite: '
            'remove dead or duplicate coils, or measure more noise'
        )
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    return torch.linalg.solve_triangular(factor, identity, upper=False)


def covariance_from_periphery(kspace: Tensor, measured: Tensor) -> Tensor:
    """Estimate the noise covariance where signal is least, axes (coil, coil).

    The outer tenth of the readout on both sides, of those measured lines that lie in the outer eighths of k-space.
    Biased upwards: small matrices hold signal there, too, and then many times the noise.

    Parameters
    ----------
    kspace
        Axes (coil, ky, kx).
    measured
        Boolean, axes (ky,): which lines were measured.

    Raises
    ------
    ScanError
        If fewer samples than coils are left.
    """
    n_lines, n_readout = kspace.shape[1:]
    lines = torch.arange(n_lines, device=kspace.device)
    outer = measured.to(kspace.device) & ((lines < n_lines // 8) | (lines >= n_lines - n_lines // 8))
    width = max(1, n_readout // 10)
    samples = torch.cat([kspace[:, outer, :width], kspace[:, outer, -width:]], dim=-1).flatten(1)
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
    """Complex noise with covariance F F^H between coils, axes (coil, *shape), complex64, on the device of `factor`."""
    white = torch.randn(len(factor), *shape, dtype=torch.complex64, generator=generator, device=factor.device)
    return torch.tensordot(factor, white, dims=1)
