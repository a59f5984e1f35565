"""Simulated multi-coil scans with known truth, not too kind to the method.

The object has a smooth phase and texture, is rendered finer than the matrix (so it rings as real ones do), and its
noise is correlated between coils of unequal noise.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from raki.data.phantoms import birdcage_maps, shepp_logan
from raki.data.scan import Scan
from raki.fourier import centre_crop, image_from_kspace, kspace_from_image

FINER = 2
"""The object is rendered this many times finer than the matrix."""

N_NOISE_SAMPLES = 4096


@dataclass(frozen=True, slots=True)
class Simulation:
    """What to simulate."""

    matrix: tuple[int, int] = (160, 128)
    """Size (ky, kx)."""

    n_coils: int = 8
    """Number of coils."""

    n_slices: int = 1
    """Number of slices; the phantom shrinks from slice to slice."""

    noise: float = 0.003
    """Root mean square over coils of the complex noise in a coil image, relative to the brightest object voxel [1]."""

    seed: int = 0
    """Seed of texture, phase and noise."""

    def __post_init__(self) -> None:
        if min(*self.matrix, self.n_coils, self.n_slices) < 1 or self.noise < 0:
            raise ValueError(f'matrix, coils and slices must be positive and noise not negative, got {self}')


def simulate(settings: Simulation) -> Scan:
    """Simulate a fully sampled scan with noise samples and its noise-free truth in `reference`."""
    generator = Generator().manual_seed(settings.seed)
    reference = torch.stack([_noise_free(settings, index, generator) for index in range(settings.n_slices)])
    peak = image_from_kspace(reference).abs().square().sum(1).sqrt().max()
    mixing = settings.noise * peak * noise_mixing(settings.n_coils, generator)
    noise = (mixing @ complex_normal(mixing.shape[0], reference[:, 0].numel(), generator)).unflatten(
        1, (settings.n_slices, *settings.matrix)
    )
    return Scan(
        kspace=reference + noise.transpose(0, 1),
        mask=torch.ones(settings.matrix[0], dtype=torch.bool),
        noise=mixing @ complex_normal(mixing.shape[0], N_NOISE_SAMPLES, generator),
        reference=reference,
        readout_is_rows=True,
    )


def _noise_free(settings: Simulation, index: int, generator: Generator) -> Tensor:
    fine = (FINER * settings.matrix[0], FINER * settings.matrix[1])
    magnitude = _shrunk(shepp_logan(fine), 1 - 0.5 * index / settings.n_slices)
    texture = 1 + 0.3 * smooth_field(fine, fine[0] // 8, generator)
    phase = 1.5 * smooth_field(fine, 3, generator)
    image = birdcage_maps(settings.n_coils, fine) * torch.polar(magnitude * texture.clamp(min=0), phase)
    return centre_crop(kspace_from_image(image), settings.matrix) / FINER


def _shrunk(image: Tensor, factor: float) -> Tensor:
    size = [max(1, round(length * factor)) for length in image.shape]
    small = torch.nn.functional.interpolate(image[None, None], size=size, mode='bilinear', align_corners=False)[0, 0]
    canvas = torch.zeros_like(image)
    top, left = ((whole - part) // 2 for whole, part in zip(image.shape, size, strict=True))
    canvas[top : top + size[0], left : left + size[1]] = small
    return canvas


def smooth_field(shape: tuple[int, ...], n_waves: int, generator: Generator) -> Tensor:
    """Real random field of unit standard deviation, with up to `n_waves` waves across."""
    n_waves = min(n_waves, *shape)
    spectrum = torch.zeros(shape, dtype=torch.complex64)
    size = (n_waves,) * len(shape)
    centre_crop(spectrum, size).copy_(torch.randn(size, dtype=torch.complex64, generator=generator))
    field = image_from_kspace(spectrum, tuple(range(len(shape)))).real
    return (field - field.mean()) / field.std()


def noise_mixing(n_coils: int, generator: Generator) -> Tensor:
    """Mix white noise so that its mean power over coils is 1, neighbours correlate, and some coils are noisier."""
    distance = torch.arange(n_coils)[:, None] - torch.arange(n_coils)
    gain = 0.7 + 0.6 * torch.rand(n_coils, generator=generator)
    covariance = gain[:, None] * gain * 0.3 ** distance.abs().float()
    return torch.linalg.cholesky(covariance / covariance.diagonal().mean()).to(torch.complex64)


def complex_normal(rows: int, columns: int, generator: Generator) -> Tensor:
    """Complex white noise of unit power."""
    return torch.randn(rows, columns, dtype=torch.complex64, generator=generator)
