"""Noise between coils: covariance, whitening, samples of it."""

import torch
from torch import Tensor

from raki.data.sampling import Sampling


def noise_covariance(noise: Tensor) -> Tensor:
    """Sample covariance between coils, axes (coil, coil), complex128, of noise with axes (coil, sample)."""
    noise = noise.to(torch.complex128)
    centred = noise - noise.mean(dim=-1, keepdim=True)
    return centred @ centred.mH / (noise.shape[-1] - 1)


def whitening_matrix(covariance: Tensor) -> Tensor:
    """W with W covariance W^H = 1, axes (coil, coil): the inverse of its Cholesky factor.

    Raises
    ------
    ValueError
        If the covariance is singular: a dead or duplicate coil, or fewer noise samples than coils.
    """
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if bool(failed):
        raise ValueError(
            f'the noise covariance of {len(covariance)} coils is not positive definite: '
            'remove dead or duplicate coils, or measure more noise'
        )
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    return torch.linalg.solve_triangular(factor, identity, upper=False)


def covariance_from_periphery(kspace: Tensor, sampling: Sampling) -> Tensor:
    """Estimate the noise covariance where signal is least, axes (coil, coil).

    The outer tenth of the readout on both sides, of the measured lines in the outer half of k-space. An upper bound:
    on small matrices it holds signal, too.

    Parameters
    ----------
    kspace
        Axes (coil, ky, kx).
    sampling
        Which lines were measured.
    """
    n_lines, n_readout = kspace.shape[1:]
    lines = torch.arange(n_lines, device=kspace.device)
    outer = sampling.mask.to(kspace.device) & ((lines < n_lines // 4) | (lines >= n_lines - n_lines // 4))
    width = max(1, n_readout // 10)
    chosen = kspace[:, outer if bool(outer.any()) else sampling.mask.to(kspace.device)]
    samples = torch.cat([chosen[..., :width], chosen[..., -width:]], dim=-1).flatten(1)
    held = samples[:, (samples != 0).any(dim=0)]
    return noise_covariance(held)


def coloured_noise(covariance: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Complex noise with this covariance between coils, axes (coil, *shape), complex64, on the generator's device."""
    factor = torch.linalg.cholesky(covariance).to(torch.complex64)
    white = torch.randn(len(covariance), *shape, dtype=torch.complex64, generator=generator, device=generator.device)
    return torch.tensordot(factor.to(white.device), white, dims=1)
