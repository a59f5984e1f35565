"""Simulated three-dimensional multi-coil scans with known truth, as little kind as those of `raki.data.simulate`."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from raki.data.phantoms import ring_maps, shepp_logan
from raki.data.simulate import FINER, N_NOISE_SAMPLES, complex_normal, noise_mixing, smooth_field
from raki.data.volume import Volume
from raki.fourier import centre_crop, image_from_kspace, kspace_from_image

SPACE = (-3, -2, -1)

N_RINGS = 2
"""Rings of coils along y. Coils differ least along it, as they do along the bore of a scanner."""


@dataclass(frozen=True, slots=True)
class VolumeSimulation:
    """What to simulate."""

    matrix: tuple[int, int, int] = (32, 64, 48)
    """Size (kz, ky, kx)."""

    n_coils: int = 8
    """Number of coils, on two rings."""

    noise: float = 0.003
    """Root mean square over coils of the complex noise in a coil image, relative to the brightest object voxel [1]."""

    seed: int = 0
    """Seed of texture, phase and noise."""

    def __post_init__(self) -> None:
        if min(*self.matrix, self.n_coils) < 1 or self.noise < 0:
            raise ValueError(f'matrix and coils must be positive and noise not negative, got {self}')


def simulate_volume(settings: VolumeSimulation) -> Volume:
    """Simulate a fully sampled volume with noise samples and its noise-free truth in `reference`."""
    generator = Generator().manual_seed(settings.seed)
    reference = _noise_free(settings, generator)
    peak = image_from_kspace(reference, SPACE).abs().square().sum(0).sqrt().max()
    mixing = settings.noise * peak * noise_mixing(settings.n_coils, generator)
    noise = mixing @ complex_normal(settings.n_coils, reference[0].numel(), generator)
    return Volume(
        kspace=reference + noise.view_as(reference),
        mask=torch.ones(settings.matrix[:2], dtype=torch.bool),
        noise=mixing @ complex_normal(settings.n_coils, N_NOISE_SAMPLES, generator),
        reference=reference,
    )


def _noise_free(settings: VolumeSimulation, generator: Generator) -> Tensor:
    """An ellipsoid phantom seen by every coil in turn: all at once would not fit into memory."""
    fine = tuple(FINER * length for length in settings.matrix)
    texture = 1 + 0.3 * smooth_field(fine, min(fine) // 8, generator)
    phase = 1.5 * smooth_field(fine, 3, generator)
    magnetisation = torch.polar(shepp_logan(fine) * texture.clamp(min=0), phase)
    maps = ring_maps(settings.n_coils, N_RINGS, settings.matrix)
    seen = [kspace_from_image(_finer(each) * magnetisation, SPACE) for each in maps]
    return torch.stack([centre_crop(kspace, settings.matrix) for kspace in seen]) / FINER**1.5


def _finer(sensitivity: Tensor) -> Tensor:
    """Interpolate a smooth sensitivity, axes (z, y, x), to the resolution that the object is rendered in."""
    parts = torch.view_as_real(sensitivity).movedim(-1, 0)[None]
    finer = torch.nn.functional.interpolate(parts, scale_factor=FINER, mode='trilinear', align_corners=False)
    return torch.complex(*finer[0])
