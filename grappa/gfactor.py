"""The noise of a linear reconstruction from its weights alone: no replicas, and nothing neglected.

A measured sample reaches the image by itself and through all missing samples that it helps to fill. But for a phase,
its response is a trigonometric polynomial in the position (y, x), of no higher degree than the kernel's reach, and the
same for all samples in the same situation: which of its neighbours are filled, and by which weights. There are few
situations: one far from everything, the others near the ACS block and near the edges of k-space. So the covariance
between coils is such a polynomial, too: summed over situations on a grid just fine enough to hold it, then evaluated
at every pixel. With neither ACS block nor edges it is W(r) Psi W(r)^H of Breuer et al.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from raki.interpolation import Interpolator
from raki.kernel import Kernel
from raki.linear import KernelPart, LinearMap
from raki.noise import noise_factor

BLOCK_ELEMENTS = 2**22
"""Elements of the covariances between coils of those pixels that are in memory together; 32 MiB."""


@dataclass(frozen=True, slots=True, eq=False)
class CoilNoise:
    """Noise of the coil images of a reconstruction, and how it correlates between coils, at every pixel."""

    coefficients: Tensor
    """Fourier coefficients of the covariance, complex64, axes (line lag, readout lag, coil, coil); lags in the order of
    an FFT [unit of a coil image squared]."""

    matrix: tuple[int, int]
    """Size of the images (y, x)."""

    def covariance(self, rows: range) -> Tensor:
        """Covariance between coils in some rows of the images, axes (y, x, coil, coil)."""
        lines, columns = map(self._waves, (0, 1))
        lagged = torch.tensordot(lines[rows.start : rows.stop], self.coefficients.flatten(2), dims=1)
        return (columns @ lagged).unflatten(-1, self.coefficients.shape[2:])

    def std(self, weights: Tensor) -> Tensor:
        """Standard deviation of one component, as that in phase with the signal, of the image sum weights * images.

        Parameters
        ----------
        weights
            Any combination weights, complex, axes (coil, y, x).

        Returns
        -------
        Axes (y, x), float32 [unit of the image]. Linear maps leave noise circular: every phase has the same.

        Raises
        ------
        ValueError
            If weights and coil images differ in size.
        """
        wanted = (self.coefficients.shape[-1], *self.matrix)
        if tuple(weights.shape) != wanted:
            raise ValueError(f'weights must have axes (coil, y, x) of {wanted}, got {tuple(weights.shape)}')
        pixels = weights.to(self.coefficients).permute(1, 2, 0)[:, :, None]
        n_rows = max(1, BLOCK_ELEMENTS // (self.matrix[1] * wanted[0] ** 2))
        blocks = [range(row, min(row + n_rows, self.matrix[0])) for row in range(0, self.matrix[0], n_rows)]
        variance = torch.cat([self._variance(pixels[rows.start : rows.stop], rows) for rows in blocks])
        return (variance.clamp(min=0) / 2).sqrt()

    def _variance(self, pixels: Tensor, rows: range) -> Tensor:
        return ((pixels @ self.covariance(rows)) * pixels.conj()).sum((-2, -1)).real

    def _waves(self, axis: int) -> Tensor:
        size, n_lags = self.matrix[axis], self.coefficients.shape[axis]
        return _waves(torch.arange(size) - size // 2, torch.fft.fftfreq(n_lags, 1 / n_lags), size).to(self.coefficients)


def coil_noise(interpolator: Interpolator, covariance: Tensor) -> CoilNoise:
    """Follow the noise of every measured sample through a fitted linear reconstruction into the coil images.

    Embedded ACS lines stay as they were measured, lattice lines fill only what was not, and the kernels at the edges
    are the ones that fill there: the second moment of `interpolator.fill` itself, not of a convolution.

    Parameters
    ----------
    interpolator
        A fitted method whose map is a `raki.linear.LinearMap`, or one that fills nothing in.
    covariance
        Noise covariance between coils of a k-space sample, axes (coil, coil); the result is on its device.

    Raises
    ------
    ValueError
        If the map is another, or fitted for another number of coils.

    References
    ----------
    Breuer et al. 2009, Magn Reson Med 62:739 (https://doi.org/10.1002/mrm.22066).
    """
    sampling, n_readout, n_coils = interpolator.sampling, interpolator.n_readout, len(covariance)
    if interpolator.n_coils not in {None, n_coils}:
        raise ValueError(f'fitted for {interpolator.n_coils} coils, got a noise covariance of {n_coils}')
    factor = noise_factor(covariance)
    power, n_measured = factor @ factor.mH, int(sampling.mask.sum())
    if interpolator.kernel is None or interpolator.patch_map is None:
        total = n_measured * n_readout * power[None, None]
    else:
        total = _of_lattice_samples(interpolator, interpolator.kernel, factor)
        total[0, 0] += (n_measured - sampling.n_lattice_lines) * n_readout * power
    return CoilNoise(total / (len(sampling.mask) * n_readout), (len(sampling.mask), n_readout))


def _of_lattice_samples(interpolator: Interpolator, kernel: Kernel, factor: Tensor) -> Tensor:
    """Coefficients of the covariance as in `CoilNoise`, summed over all lattice samples."""
    lines, columns = _offsets(kernel, interpolator.sampling.acceleration)
    n_lines, n_columns = (2 * int(offsets.max() - offsets.min()) + 1 for offsets in (lines, columns))
    line_waves = _waves(torch.arange(n_lines), lines.flatten(), n_lines).to(factor)
    column_waves = _waves(torch.arange(n_columns), columns, n_columns).to(factor)
    total = factor.new_zeros(n_lines, n_columns, *factor.shape)
    for taps, count in _situations(interpolator, kernel):
        noise = (taps.to(factor) @ factor).flatten(0, 1).flatten(2)
        response = torch.tensordot(line_waves, column_waves @ noise, dims=1).unflatten(-1, factor.shape) + factor
        total += count * (response @ response.mH)
    return torch.fft.fftn(total, dim=(0, 1), norm='forward')


def _situations(interpolator: Interpolator, kernel: Kernel) -> Iterator[tuple[Tensor, int]]:
    """Every situation that a lattice sample is in, and how many samples share it.

    A situation is the weights by which the sample serves the missing ones around it, axes as those of one map in the
    `_bank`; they are zero towards what is measured or outside.
    """
    bank, maps = _bank(interpolator, kernel), _map_of_missing(interpolator, kernel)
    half = kernel.readout // 2
    around = pad(maps, (0, 0, kernel.readout - 1 - half, half, kernel.after - 1, kernel.before - 1))
    served = around.unfold(0, kernel.lines, 1).unfold(1, kernel.readout, 1).flip(-2, -1).flatten(0, 1)
    places = torch.meshgrid(*map(torch.arange, served.shape[1:]), indexing='ij')
    distinct, counts = served.unique(dim=0, return_counts=True)
    return ((bank[(situation, *places)], count) for situation, count in zip(distinct, counts.tolist(), strict=True))


def _map_of_missing(interpolator: Interpolator, kernel: Kernel) -> Tensor:
    """Which map of the `_bank` fills a missing sample, axes (gap, column, missing line); gap -1 comes first."""
    sampling, n_readout = interpolator.sampling, interpolator.n_readout
    n_lattice, rate = sampling.n_lattice_lines, sampling.acceleration
    maps = torch.zeros(n_lattice + 1, n_readout, dtype=torch.int64)
    if n_lattice >= kernel.lines and n_readout >= kernel.readout:
        half = kernel.readout // 2
        maps[kernel.before : n_lattice + 1 - kernel.after + 1, half : half + n_readout - kernel.readout + 1] = 1
    for number, edge in enumerate(interpolator.edges, start=2):
        maps[edge.gaps.start + 1 : edge.gaps.stop + 1, edge.columns.start : edge.columns.stop] = number
    missing = torch.zeros_like(sampling.mask)
    missing[sampling.filled_range.start : sampling.filled_range.stop] = True
    missing = pad(missing & ~sampling.mask, (rate, rate))[sampling.first_line + 1 :]
    return maps[:, :, None] * missing.unfold(0, rate - 1, rate)[: n_lattice + 1, None].to(maps)


def _bank(interpolator: Interpolator, kernel: Kernel) -> Tensor:
    """Weights of no map, of the inner one and of every edge's, zero for sources that an edge lacks.

    Axes (map, missing line, kernel line, kernel sample, target coil, source coil).
    """
    inner = interpolator.patch_map
    if not isinstance(inner, LinearMap):
        raise ValueError(
            f'an analytic noise map needs weights, a raki.linear.LinearMap, got a {type(inner).__name__}: '
            'use replica_noise_map, which takes any method'
        )
    whole = KernelPart(range(kernel.lines), range(kernel.readout))
    maps = [(whole, inner.weights), *((edge.part, edge.weights) for edge in interpolator.edges)]
    n_coils = len(inner.weights) // (kernel.lines * kernel.readout)
    bank = inner.weights.new_zeros(1 + len(maps), inner.weights.shape[1], n_coils, kernel.lines, kernel.readout)
    for padded, (part, weights) in zip(bank[1:], maps, strict=True):
        existing = part.of(padded)
        existing.copy_(weights.mT.reshape(existing.shape))
    bank = bank.unflatten(1, (n_coils, -1)).permute(0, 2, 4, 5, 1, 3)
    return bank if interpolator.transform is None else interpolator.transform.between_coils(bank)


def _offsets(kernel: Kernel, acceleration: int) -> tuple[Tensor, Tensor]:
    """From a source to a missing sample that it serves: lines (missing line, kernel line), columns (kernel sample)."""
    line, sample = torch.arange(kernel.lines), torch.arange(kernel.readout)
    first = (kernel.before - 1 - line) * acceleration + 1
    return first + torch.arange(acceleration - 1)[:, None], kernel.readout // 2 - sample


def _waves(positions: Tensor, frequencies: Tensor, size: int) -> Tensor:
    """exp(2 pi i position frequency / size), complex128, axes (position, frequency)."""
    turns = torch.outer(positions.double(), frequencies.double()) / size
    return torch.polar(torch.ones_like(turns), 2 * torch.pi * turns)
