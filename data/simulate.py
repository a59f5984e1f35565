"""Simulated multi-coil scans with known truth, not too kind to the method.

The object has a smooth phase, and a head texture, is rendered finer than the matrix (so it rings as real ones do), and
its noise is correlated between coils of unequal noise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Generator, Tensor

from raki.data.memory import COMPLEX64_BYTES, require_memory
from raki.data.phantoms import bars, birdcage_maps, compartments, head
from raki.data.scan import Scan
from raki.fourier import centre_crop, image_from_kspace, kspace_from_image

FINER = 2
"""The object is rendered this many times finer than the matrix."""

TEXTURE = 0.06
"""Standard deviation of a head's texture relative to the signal [1]."""

STRUCTURED: Mapping[str, Callable[[tuple[int, int]], Tensor]] = {'bars': bars, 'compartments': compartments}
"""Phantoms without texture, which are the same in every slice."""

PHANTOMS = ('head', *STRUCTURED)
"""Names of all."""

N_NOISE_SAMPLES = 4096

COPIES = 8
"""How often what is simulated is in memory, at most [1]."""

MOST_NOISE = 1e6
"""Of noise [1]."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What to simulate."""

    matrix: tuple[int, ...] = (160, 128)
    """Size (ky, kx) of slices, (kz, ky, kx) of a volume."""

    n_coils: int = 8
    """Number of coils; of a volume, on two rings."""

    n_slices: int = 1
    """Number of slices, from the middle of the head upwards; 1 of a volume."""

    noise: float = 0.003
    """Root mean square over coils of the complex noise in a coil image, relative to the brightest object voxel [1]."""

    seed: int = 0
    """Seed of texture, phase and noise."""

    phantom: str = 'head'
    """What lies in the coils: one of PHANTOMS; of a volume, the head."""

    def __post_init__(self) -> None:
        if len(self.matrix) not in (2, 3):
            raise ValueError(f'the matrix must have 2 sizes (ky, kx), or 3 of a volume, got {self.matrix}')
        if min(*self.matrix, self.n_coils, self.n_slices) < 1 or not 0 <= self.noise <= MOST_NOISE:
            raise ValueError(
                f'matrix, coils and slices must be positive, and noise from 0 to {MOST_NOISE:g}, got {self}'
            )
        if len(self.matrix) == 3 and self.n_slices > 1:
            raise ValueError(f'a volume has partitions instead of slices, got {self.n_slices} slices')
        if self.phantom not in PHANTOMS:
            raise ValueError(f'no phantom {self.phantom!r}: choose from {", ".join(PHANTOMS)}')
        if len(self.matrix) == 3 and self.phantom in STRUCTURED:
            raise ValueError(f'volumes are simulated of a head only, got the phantom {self.phantom!r}')

    @property
    def n_bytes(self) -> int:
        """Of k-space, of one slab that is finer than its matrix, of noise samples and their covariance [byte]."""
        n_samples, fine = prod(self.matrix), FINER ** len(self.matrix)
        per_coil = self.n_slices * n_samples + N_NOISE_SAMPLES + self.n_coils
        return COMPLEX64_BYTES * (self.n_coils * per_coil + fine * n_samples)


def simulate(settings: Simulation = Simulation()) -> Scan:
    """Simulate a fully sampled scan with noise samples and its noise-free truth in `reference`.

    A ResourceError if memory does not suffice.
    """
    require_memory(settings.n_bytes, 'the simulation', COPIES)
    generator = Generator().manual_seed(settings.seed)
    reference = torch.stack([_noise_free(settings, index, generator) for index in range(settings.n_slices)])
    axes = tuple(range(-len(settings.matrix), 0))
    peak = image_from_kspace(reference, axes).abs().square().sum(1).sqrt().max()
    mixing = settings.noise * peak * _noise_mixing(settings.n_coils, generator)
    noise = mixing @ _complex_normal(settings.n_coils, reference[:, 0].numel(), generator)
    return Scan(
        kspace=reference + noise.unflatten(1, (settings.n_slices, *settings.matrix)).transpose(0, 1),
        mask=torch.ones(settings.matrix[:-1], dtype=torch.bool),
        noise=mixing @ _complex_normal(settings.n_coils, N_NOISE_SAMPLES, generator),
        reference=reference,
    )


def _noise_free(settings: Simulation, index: int, generator: Generator) -> Tensor:
    """K-space of a slab, axes (coil, *phase, kx), coil by coil: a volume of all at once would not fit into memory."""
    matrix = settings.matrix
    fine, axes = tuple(FINER * length for length in matrix), tuple(range(-len(matrix), 0))
    n_waves = (fine[0] if len(matrix) == 2 else min(fine)) // 8
    texture = 1 + (TEXTURE if settings.phantom == 'head' else 0) * _smooth_field(fine, n_waves, generator)
    phase = 1.5 * _smooth_field(fine, 3, generator)
    magnetisation = torch.polar(_drawn(settings, fine, index) * texture.clamp(min=0), phase)
    maps = birdcage_maps(settings.n_coils, matrix)
    seen = [centre_crop(kspace_from_image(_finer(each) * magnetisation, axes), matrix) for each in maps]
    return torch.stack(seen) / FINER ** (len(matrix) / 2)


def _drawn(settings: Simulation, shape: tuple[int, ...], index: int) -> Tensor:
    """The phantom in a slice, axes (y, x), or (z, y, x) of a volume."""
    if settings.phantom in STRUCTURED:
        return STRUCTURED[settings.phantom]((shape[0], shape[1]))
    return _upright(shape, index / settings.n_slices)


def _upright(shape: tuple[int, ...], height: float) -> Tensor:
    """The head as it is written and shown upright: axes (y, x) of an axial slice, or (z, y, x) of coronal ones."""
    if len(shape) == 2:
        return head(shape, 0.6 * height)
    n_partitions, n_lines, n_columns = shape
    return head((n_lines, n_partitions, n_columns)).transpose(0, 1)


def _finer(sensitivity: Tensor) -> Tensor:
    """Interpolate a smooth sensitivity, axes (y, x) or (z, y, x), to the resolution that the object is rendered in."""
    parts = torch.view_as_real(sensitivity).movedim(-1, 0)[None]
    mode = 'bilinear' if sensitivity.ndim == 2 else 'trilinear'
    return torch.complex(*torch.nn.functional.interpolate(parts, scale_factor=FINER, mode=mode, align_corners=False)[0])


def _smooth_field(shape: tuple[int, ...], n_waves: int, generator: Generator) -> Tensor:
    """Real random field of unit standard deviation, with up to `n_waves` waves (2 at least) across."""
    size = (min(max(2, n_waves), *shape),) * len(shape)
    spectrum = torch.zeros(shape, dtype=torch.complex64)
    centre_crop(spectrum, size).copy_(torch.randn(size, dtype=torch.complex64, generator=generator))
    field = image_from_kspace(spectrum, tuple(range(len(shape)))).real
    return (field - field.mean()) / field.std()


def _noise_mixing(n_coils: int, generator: Generator) -> Tensor:
    """Mix white noise so that its mean power over coils is 1, neighbours correlate, and some coils are noisier."""
    distance = torch.arange(n_coils)[:, None] - torch.arange(n_coils)
    gain = 0.7 + 0.6 * torch.rand(n_coils, generator=generator)
    covariance = gain[:, None] * gain * 0.3 ** distance.abs().float()
    return torch.linalg.cholesky(covariance / covariance.diagonal().mean()).to(torch.complex64)


def _complex_normal(rows: int, columns: int, generator: Generator) -> Tensor:
    """Complex white noise of unit power."""
    return torch.randn(rows, columns, dtype=torch.complex64, generator=generator)
