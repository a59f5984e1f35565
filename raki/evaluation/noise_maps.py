"""Noise maps: of any method by pseudo replicas or derivatives, of GRAPPA from its weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.fft import fftshift, ifftshift

from raki.coils.combine import ROWS_AT_ONCE, matched_weights
from raki.coils.noise import coloured_noise, covariance_from_periphery, noise_factor
from raki.data.masks import Pattern
from raki.errors import CalibrationError
from raki.fourier import image_from_kspace, spatial_axes
from raki.grappa.gfactor import coil_noise
from raki.interpolation.calibration import Method, Progress, silent
from raki.interpolation.fit import Interpolator, fit
from raki.interpolation.noise_power import noise_power

Fill = Callable[[Tensor], Tensor]
"""From k-space (coil, ky, kx) or (coil, kz, ky, kx), where only measured lines are looked at, to filled k-space."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseMap:
    """Noise of a combined image, how much more it is than undersampling alone explains, and what it costs in bias."""

    std: Tensor
    """Standard deviation of the component in phase with the signal, axes (y, x) or (z, y, x) [unit of the image]."""
    gfactor: Tensor
    """std / (sqrt(net_acceleration) std of the fully sampled scan), axes as those of `std` [1]."""
    net_acceleration: float
    """R_net: lines of the filled range over measured lines, ACS included [1]."""
    n_replicas: int | None = None
    """Number K of replicas or probes; None for a map that needs none."""
    relative_standard_error: float = 0.0
    """Of each value of `std` and `gfactor` [1]: 1 / sqrt(2 (K - 1)) of replicas, 1 / sqrt(2 K) of probes, else 0."""
    bias: Tensor | None = None
    """Mean of the replicas minus the image without added noise, in phase with it, axes as those of `std` [unit of the
    image]; its standard error is std / sqrt(K). None where noise is propagated linearly, which leaves no bias."""


def replica_noise_map(
    fill: Fill,
    kspace: Tensor,
    sampling: Pattern,
    covariance: Tensor,
    *,
    n_replicas: int,
    seed: int = 0,
    progress: Progress = silent,
) -> NoiseMap:
    """Add noise to the measured lines again and again, fill in, and look at the spread.

    The noise-free image matters: unlike GRAPPA, a network is not linear, and is run anew on every replica. Coils are
    combined with the weights of the image without added noise, held fixed; in the object the result is the noise of
    the root sum of squares, in air it is free of that combination's bias. Replicas come and go one by one.

    Parameters
    ----------
    fill
        Of a fitted method for the noise of a reconstruction with fixed weights; `refitting` for that of the whole.
    kspace
        Axes (coil, ky, kx), or of a volume (coil, kz, ky, kx).
    sampling
        The measured lines; noise is added on these only.
    covariance
        Noise covariance between coils of a k-space sample, axes (coil, coil).
    n_replicas
        Number of replicas K, at least 2; `seed` is that of their noise, and `progress` is told how many are done.

    References
    ----------
    Robson et al. 2008, Magn Reson Med 60:895 (https://doi.org/10.1002/mrm.21728).
    """
    if n_replicas < 2:
        raise ValueError(f'a spread needs at least 2 replicas, got {n_replicas}')
    noise = _noise_on(kspace, sampling, covariance, seed)
    filled = fill(kspace)
    weights, in_phase = _combination(filled)
    mean = torch.zeros(kspace.shape[1:], dtype=torch.float64, device=kspace.device)
    squares = torch.zeros_like(mean)
    for done in range(1, n_replicas + 1):
        image = in_phase(fill(kspace + next(noise)))
        step = image - mean
        mean += step / done
        squares += step * (image - mean)
        progress(done, n_replicas)
    bias = fftshift(mean - in_phase(filled)).float()
    std, error = fftshift((squares / (n_replicas - 1)).sqrt()), (2 * (n_replicas - 1)) ** -0.5
    found = _noise_map(std, sampling, covariance, weights)
    return replace(found, n_replicas=n_replicas, relative_standard_error=error, bias=bias)


def refitting(method: Method, sampling: Pattern) -> Fill:
    """Fit a method to the embedded ACS of whatever k-space comes, and fill it: replicas then vary the weights, too."""
    return lambda kspace: fit(method, kspace, sampling).fill(kspace)


def jvp_noise_map(
    interpolator: Interpolator,
    kspace: Tensor,
    covariance: Tensor,
    *,
    n_probes: int = 64,
    seed: int = 0,
    progress: Progress = silent,
) -> NoiseMap:
    """Noise map in the limit of small noise: the derivative J of filling at this k-space, applied to probes of noise.

    Activations of a network are those of this scan, and a probe costs about one filling. Networks split complex
    numbers, so J is linear over the reals only: probes are complex noise with the covariance of the measured, and the
    mean square of that part of the image of J xi that is in phase with the signal is the variance, as
    `replica_noise_map`, whose arguments it shares, defines it. The number of probes is K.
    """
    if n_probes < 1:
        raise ValueError(f'a noise map needs at least 1 probe, got {n_probes}')
    sampling, push = interpolator.sampling, interpolator.derivative(kspace).fill
    noise = _noise_on(kspace, sampling, covariance, seed)
    weights, in_phase = _combination(interpolator.fill(kspace))
    squares = torch.zeros(kspace.shape[1:], dtype=torch.float64, device=kspace.device)
    for done in range(1, n_probes + 1):
        squares += in_phase(push(next(noise))).square()
        progress(done, n_probes)
    std, error = fftshift((squares / n_probes).sqrt()), (2 * n_probes) ** -0.5
    found = _noise_map(std, sampling, covariance, weights)
    return replace(found, n_replicas=n_probes, relative_standard_error=error)


def _noise_on(kspace: Tensor, sampling: Pattern, covariance: Tensor, seed: int) -> Iterator[Tensor]:
    """Noise on measured lines, draw by draw without end, axes of k-space; zero where nothing is measured."""
    generator = torch.Generator().manual_seed(seed)
    factor, mask = noise_factor(covariance).to(kspace.device), sampling.mask.to(kspace.device)
    while True:
        noise = factor.new_zeros(kspace.shape)
        noise[:, mask] = coloured_noise(factor, (int(mask.sum()), kspace.shape[-1]), generator)
        yield noise


def _combination(filled: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Fixed weights that combine the images of this k-space, coils first, into their root sum of squares.

    And a function from k-space to the real part of the combined image before `fftshift`: with weights for coil images
    as a plain FFT gives them, to spare shifts.
    """
    axes = spatial_axes(filled)
    weights = matched_weights(image_from_kspace(filled, axes)).conj().resolve_conj()
    centre = torch.zeros(filled.shape[1:], dtype=filled.dtype, device=filled.device)
    centre[tuple(size // 2 for size in centre.shape)] = 1
    turn = torch.fft.fftn(centre)  # of the k-space centre, which a plain FFT takes to be the first sample
    turned = ifftshift(weights, dim=axes) * turn
    return weights, lambda kspace: (turned * torch.fft.ifftn(kspace, dim=axes, norm='ortho')).sum(0).real


def analytic_noise_map(interpolator: Interpolator, covariance: Tensor, weights: Tensor) -> NoiseMap:
    """Noise map of a linear reconstruction without replicas: what `replica_noise_map` tends to with their number.

    Parameters
    ----------
    interpolator
        A fitted method whose map is a `raki.interpolation.least_squares.LinearMap`, or one that fills nothing in.
    covariance
        Noise covariance between coils of a k-space sample, axes (coil, coil).
    weights
        Any weights of the combination sum weights * images, axes (coil, y, x) or (coil, z, y, x). The root sum of
        squares of `images` has `raki.coils.combine.matched_weights(images).conj()`, an adaptive combination the
        conjugate of its own.

    Raises
    ------
    ValueError
        If the map is another, or the number of coils or the matrix is not the one that was fitted for.

    References
    ----------
    Breuer et al. 2009, Magn Reson Med 62:739 (https://doi.org/10.1002/mrm.22066).
    """
    std = coil_noise(interpolator, covariance.to(weights.device)).std(weights)
    return _noise_map(std, interpolator.sampling, covariance, weights)


def _noise_map(std: Tensor, sampling: Pattern, covariance: Tensor, weights: Tensor) -> NoiseMap:
    """Map as if it were exact."""
    measured = float(sampling.mask.double().mean())
    gfactor = std / (sampling.net_acceleration * measured**0.5 * full_noise(weights, covariance))
    return NoiseMap(std.float(), gfactor.float(), sampling.net_acceleration)


def full_noise(weights: Tensor, covariance: Tensor) -> Tensor:
    """Standard deviation in phase of a fully sampled image combined as sum weights * images, axes without coils."""
    mixing = covariance.to(weights.device)
    every = (rows.to(torch.complex128) for rows in weights.flatten(1, -2).split(ROWS_AT_ONCE, dim=1))
    variance = torch.cat([(rows * torch.tensordot(mixing, rows.conj(), dims=1)).sum(0).real for rows in every])
    return (variance.clamp(min=0) / 2).sqrt().view(weights.shape[1:])


def covariance_without_noise_scan(kspace: Tensor, measured: Tensor, acs: Tensor) -> Tensor:
    """Noise covariance between coils (coil, coil) of a scan without noise samples.

    The mean power s2 over coils is what the ACS leaves unexplained (`raki.interpolation.noise_power.noise_power`). How
    coils differ and correlate is known from the periphery of k-space as far as it holds nothing but noise: of its
    covariance P with mean power p, a share a = s2 / p is noise, so s2 (a P / p + (1 - a) 1) is returned. On small
    matrices, whose periphery holds mostly signal, coils are thus taken to be alike. With an ACS too small to tell, P
    itself is, an upper bound.

    Parameters
    ----------
    kspace, measured
        Axes (coil, phase axes, kx); and which lines of it were measured, boolean, axes as the phase axes.
    acs
        Fully sampled lines of the same receiver gain, axes as k-space.

    Raises
    ------
    ScanError
        If the periphery holds fewer samples than there are coils.
    """
    covariance = covariance_from_periphery(kspace, measured)
    mean = float(covariance.diagonal().real.mean())
    try:
        power = min(noise_power(acs), mean)
    except CalibrationError:
        return covariance
    share = power / mean if mean > 0 else 1.0
    alike = mean * torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    return share * (share * covariance + (1 - share) * alike)
