"""The noise of a linear reconstruction from its weights alone: no replicas, and nothing neglected.

A measured sample reaches the image by itself and through all missing samples that it helps to fill. But for a phase,
its response is a trigonometric polynomial in the position (z, y, x), of no higher degree than the kernel's reach, and
the same for all samples in the same situation: which of its neighbours are filled, and by which weights. There are few
situations: one far from everything, the others near the ACS block and near the edges of k-space. So the covariance
between coils is such a polynomial, too: summed over situations on a grid just fine enough to hold it, then evaluated
at every pixel. With neither ACS block nor edges it is W(r) Psi W(r)^H of Breuer et al.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raki.coils.noise import noise_factor
from raki.grappa.situations import Situations, Taps, fillings
from raki.interpolation.fit import Interpolator

BLOCK_ELEMENTS = 2**22
"""Elements of the covariances between coils, of pixels or situations, that are in memory together; 32 MiB."""


@dataclass(frozen=True, slots=True, eq=False)
class CoilNoise:
    """Noise of the coil images of a reconstruction, and how it correlates between coils, at every pixel."""

    coefficients: Tensor
    """Fourier coefficients of the covariance, complex64, axes (lags as the matrix, coil, coil); lags in the order of
    an FFT [unit of a coil image squared]."""

    matrix: tuple[int, ...]
    """Size of the images, (y, x) or (z, y, x)."""

    def std(self, weights: Tensor) -> Tensor:
        """Standard deviation of one component, as that in phase with the signal, of the image sum weights * images.

        Weights of any combination are complex, axes (coil, y, x) or (coil, z, y, x); the result has axes (y, x) or
        (z, y, x), float32 [unit of the image]. Linear maps leave noise circular: every phase has the same.

        Raises
        ------
        ValueError
            If weights and coil images differ in size.
        """
        wanted = (self.coefficients.shape[-1], *self.matrix)
        if tuple(weights.shape) != wanted:
            names = 'coil, z, y, x' if len(wanted) > 3 else 'coil, y, x'
            raise ValueError(f'weights must have axes ({names}) of {wanted}, got {tuple(weights.shape)}')
        if weights.ndim > 3:
            return torch.stack([self._slice(z).std(weights[:, z]) for z in range(self.matrix[0])])
        pixels = weights.to(self.coefficients).permute(1, 2, 0)[:, :, None]
        n_rows = max(1, BLOCK_ELEMENTS // (self.matrix[1] * wanted[0] ** 2))
        blocks = [range(row, min(row + n_rows, self.matrix[0])) for row in range(0, self.matrix[0], n_rows)]
        variance = torch.cat([self._variance(pixels[rows.start : rows.stop], rows) for rows in blocks])
        return (variance.clamp(min=0) / 2).sqrt()

    def _slice(self, z: int) -> 'CoilNoise':
        """Noise of one slice (y, x) of a volume."""
        return CoilNoise(torch.tensordot(self._waves(0)[z], self.coefficients, dims=1), self.matrix[1:])

    def _variance(self, pixels: Tensor, rows: range) -> Tensor:
        """Variance of some rows of one slice combined with weights (y, x, 1, coil), axes (y, x)."""
        lagged = torch.tensordot(self._waves(0)[rows.start : rows.stop], self.coefficients.flatten(2), dims=1)
        covariance = (self._waves(1) @ lagged).unflatten(-1, self.coefficients.shape[2:])
        return ((pixels @ covariance) * pixels.conj()).sum((-2, -1)).real

    def _waves(self, axis: int) -> Tensor:
        """exp(2 pi i position lag / size) along an axis, axes (position, lag)."""
        size, n_lags = self.matrix[axis], self.coefficients.shape[axis]
        positions, lags = torch.arange(size) - size // 2, torch.fft.fftfreq(n_lags, 1 / n_lags)
        turns = torch.outer(positions.double(), lags.double()) / size
        return torch.polar(torch.ones_like(turns), 2 * torch.pi * turns).to(self.coefficients)


def coil_noise(interpolator: Interpolator, covariance: Tensor) -> CoilNoise:
    """Follow the noise of every measured sample through a fitted linear reconstruction into the coil images.

    Embedded ACS lines stay as they were measured, lattice lines fill only what was not, and the kernels at the edges
    are the ones that fill there: the second moment of `interpolator.fill` itself, not of a convolution. Its map must be
    a `raki.interpolation.least_squares.LinearMap`, or fill nothing in. The noise covariance is that of k-space samples,
    axes (coil, coil); the result is on its device.

    Raises
    ------
    ValueError
        If the map is another, or fitted for another number of coils.

    References
    ----------
    Breuer et al. 2009, Magn Reson Med 62:739 (https://doi.org/10.1002/mrm.22066).
    """
    if interpolator.n_coils not in {None, len(covariance)}:
        raise ValueError(f'fitted for {interpolator.n_coils} coils, got a noise covariance of {len(covariance)}')
    mask, n_readout, transform = interpolator.sampling.mask.cpu(), interpolator.n_readout, interpolator.transform
    maps = fillings(interpolator)
    taps = Taps.of(maps, len(covariance) if transform is None else transform.n_virtual)
    if transform is not None:
        taps = replace(taps, weights=transform.between_coils(taps.weights))
    situations = Situations.of(taps, maps, mask if mask.ndim == 2 else mask[None], n_readout)
    total = _of_samples(situations, noise_factor(covariance)) / (mask.numel() * n_readout)
    return CoilNoise(total if mask.ndim == 2 else total[0], (*mask.shape, n_readout))


def _of_samples(situations: Situations, factor: Tensor) -> Tensor:
    """Coefficients of the covariance as in `CoilNoise`, axes (kz, ky, kx lag, coil, coil), summed over all samples."""
    sides = situations.taps.sides
    noise, own = situations.taps.weights.to(factor) @ factor, [side.index(0) for side in sides]
    grid = [2 * len(side) - 1 for side in sides]
    total = factor.new_zeros(torch.Size(grid).numel(), *factor.shape)
    n_at_once = max(1, BLOCK_ELEMENTS // total.numel())
    for taps, counts in situations:
        for some, n_samples in zip(taps.split(n_at_once), counts.split(n_at_once), strict=True):
            seen = noise[some.to(noise.device)]
            seen[:, own[0], own[1], own[2]] += factor
            response = torch.fft.ifftn(seen, s=grid, dim=(1, 2, 3), norm='forward')
            response *= n_samples.sqrt().to(response)[:, None, None, None, None, None]
            response = response.permute(1, 2, 3, 4, 0, 5).reshape(len(total), len(factor), -1)
            total += response @ response.mH
    return torch.fft.fftn(total.unflatten(0, grid), dim=(0, 1, 2), norm='forward')
