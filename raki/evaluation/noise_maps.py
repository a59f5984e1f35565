"""Noise maps: of any method by pseudo multiple replicas, of GRAPPA from its weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from raki.coils import matched_weights
from raki.data.sampling import Sampling
from raki.fourier import image_from_kspace
from raki.grappa.gfactor import coil_noise
from raki.interpolation import Interpolator, Progress, silent
from raki.noise import coloured_noise, noise_factor


@dataclass(frozen=True, slots=True, eq=False)
class NoiseMap:
    """Noise of a combined image, and how much more it is than undersampling alone explains."""

    std: Tensor
    """Standard deviation of the component in phase with the signal, axes (y, x) [unit of the image]."""

    gfactor: Tensor
    """std / (sqrt(net_acceleration) std of the fully sampled scan), axes (y, x) [1]."""

    net_acceleration: float
    """R_net: lines of the filled range over measured lines, ACS included."""

    n_replicas: int | None
    """Number of replicas; None for a map that needs none."""

    @property
    def relative_standard_error(self) -> float:
        """Relative standard error of each value of the maps, 1 / sqrt(2 (K - 1)); 0 without replicas."""
        return 0.0 if self.n_replicas is None else (2 * (self.n_replicas - 1)) ** -0.5


def replica_noise_map(
    fill: Callable[[Tensor], Tensor],
    kspace: Tensor,
    sampling: Sampling,
    covariance: Tensor,
    *,
    n_replicas: int,
    seed: int = 0,
    progress: Progress = silent,
) -> NoiseMap:
    """Add noise to the measured lines again and again, fill with fixed weights, and look at the spread.

    The noise-free image matters: unlike GRAPPA, a network is not linear, and is run anew on every replica. Coils are
    combined with the weights of the image without added noise, held fixed; in the object the result is the noise of
    the root sum of squares, in air it is free of that combination's bias.

    Parameters
    ----------
    fill
        From k-space (coil, ky, kx) to filled k-space.
    kspace
        Axes (coil, ky, kx).
    sampling
        The measured lines; noise is added on these only.
    covariance
        Noise covariance between coils of a k-space sample, axes (coil, coil).
    n_replicas
        Number of replicas K, at least 2.
    seed
        Seed of the noise.
    progress
        Told how many replicas are done.

    References
    ----------
    Robson et al. 2008, Magn Reson Med 60:895 (https://doi.org/10.1002/mrm.21728).
    """
    if n_replicas < 2:
        raise ValueError(f'a spread needs at least 2 replicas, got {n_replicas}')
    generator = torch.Generator(kspace.device).manual_seed(seed)
    measured = sampling.mask.to(kspace.device)[:, None]
    factor = noise_factor(covariance).to(kspace.device)
    weights = matched_weights(image_from_kspace(fill(kspace))).conj()
    mean = torch.zeros(kspace.shape[1:], dtype=torch.float64, device=kspace.device)
    squares = torch.zeros_like(mean)
    for done in range(1, n_replicas + 1):
        noise = coloured_noise(factor, tuple(kspace.shape[1:]), generator)
        image = (weights * image_from_kspace(fill(kspace + noise * measured))).sum(0).real
        step = image - mean
        mean += step / done
        squares += step * (image - mean)
        progress(done, n_replicas)
    return _noise_map((squares / (n_replicas - 1)).sqrt(), sampling, covariance, weights, n_replicas)


def analytic_noise_map(interpolator: Interpolator, covariance: Tensor, weights: Tensor) -> NoiseMap:
    """Noise map of a linear reconstruction without replicas: what `replica_noise_map` tends to with their number.

    Parameters
    ----------
    interpolator
        A fitted method whose map is a `raki.linear.LinearMap`, or one that fills nothing in.
    covariance
        Noise covariance between coils of a k-space sample, axes (coil, coil).
    weights
        Any weights of the combination sum weights * images, axes (coil, y, x). The root sum of squares of `images` has
        `raki.coils.matched_weights(images).conj()`, an adaptive combination the conjugate of its own.

    Raises
    ------
    ValueError
        If the map is another, or the number of coils or the matrix is not the one that was fitted for.

    References
    ----------
    Breuer et al. 2009, Magn Reson Med 62:739 (https://doi.org/10.1002/mrm.22066).
    """
    std = coil_noise(interpolator, covariance.to(weights.device)).std(weights)
    return _noise_map(std, interpolator.sampling, covariance, weights, None)


def _noise_map(
    std: Tensor, sampling: Sampling, covariance: Tensor, weights: Tensor, n_replicas: int | None
) -> NoiseMap:
    full = full_noise(weights, covariance) * (len(sampling.filled_range) / len(sampling.mask)) ** 0.5
    gfactor = std / (sampling.net_acceleration**0.5 * full)
    return NoiseMap(std.float(), gfactor.float(), sampling.net_acceleration, n_replicas)


def full_noise(weights: Tensor, covariance: Tensor) -> Tensor:
    """Standard deviation in phase of a fully sampled image combined as sum weights * images, axes (y, x)."""
    weights = weights.to(torch.complex128)
    mixed = torch.tensordot(covariance.to(weights.device), weights.conj(), dims=1)
    return ((weights * mixed).sum(0).real.clamp(min=0) / 2).sqrt()
