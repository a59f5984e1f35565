"""Toy k-space (coil, *phase, kx) with known answers, deliberately not square, and networks that train in no time."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from raki.commands.catalogue import METHODS as CATALOGUE
from raki.data.blocks import Box, slices
from raki.data.lattice import Lattice
from raki.data.masks import Pattern
from raki.data.sampling import Sampling
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Calibration, Method
from raki.interpolation.neighbours import Kernel
from raki.networks.gated import Gated
from raki.networks.iterative import IterativeRaki
from raki.networks.raki import RAKI_2019, RAKI_COMPLEX
from raki.networks.residual import ResidualRaki
from raki.networks.training import Recipe

QUICK = Recipe(n_iterations=60, learning_rate=3e-3)
RAKI_QUICK = replace(RAKI_2019, recipe=QUICK)
COMPLEX_QUICK = replace(RAKI_COMPLEX, widths=(16, 8), recipe=QUICK)
RRAKI_QUICK = ResidualRaki(replace(COMPLEX_QUICK, recipe=Recipe(n_iterations=20, learning_rate=1e-3)))
IRAKI = IterativeRaki()
IRAKI_QUICK = replace(
    IRAKI,
    network=replace(IRAKI.network, widths=(16, 8), recipe=replace(QUICK, loss='mean square')),
    n_rounds=2,
    n_iterations=20,
)
METHODS: dict[str, Method] = {
    'grappa': Grappa(),
    'grappa-2x3': Grappa(Kernel(2, 3)),
    'gated': Gated(),
    'raki': RAKI_QUICK,
    'raki-complex': COMPLEX_QUICK,
    'raki-high-pass': replace(COMPLEX_QUICK, is_high_pass=True),
    'rraki': RRAKI_QUICK,
    'iraki': IRAKI_QUICK,
}
METHODS |= {name: method for name, method in CATALOGUE.items() if name not in {*METHODS, 'zero-filled'}}
"""Those that fill something in, quick to train; what else the catalogue has comes as it is."""


def random_kspace(*shape: int, seed: int = 0) -> Tensor:
    """Complex white noise of unit power."""
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def point_sources(n_sources: int, n_coils: int, *shape: int, seed: int = 0) -> Tensor:
    """K-space (coil, *shape) of points seen by coils of random sensitivity: a sum of plane waves, of rank n_sources."""
    generator = torch.Generator().manual_seed(seed)
    waves = torch.randn(n_coils, n_sources, dtype=torch.complex64, generator=generator).to(torch.complex128)
    positions = 2 * math.pi * torch.rand(len(shape), n_sources, dtype=torch.float64, generator=generator)
    for size, turns in zip(shape, positions, strict=True):
        phase = torch.outer(torch.arange(size, dtype=torch.float64), turns)
        waves = waves[..., None, :] * torch.polar(torch.ones_like(phase), phase)
    return waves.sum(-1).to(torch.complex64)


def plane_wave(n_coils: int, *shape: int) -> Tensor:
    """One point: k(ky + 1) = exp(i phi) k(ky) for every coil, so a linear kernel predicts it without error."""
    return point_sources(1, n_coils, *shape)


def lines_at(n_lines: int, *measured: int) -> Tensor:
    """A mask (ky,) with these lines."""
    mask = torch.zeros(n_lines, dtype=torch.bool)
    mask[list(measured)] = True
    return mask


def lattice_with_acs(n_lines: int, acceleration: int, first_line: int, acs: range) -> Sampling:
    """Every R-th line from `first_line`, and a block of ACS lines."""
    return sampled_volume((n_lines,), Lattice.of((acceleration,), first=(first_line,)), (acs,))


def sampled_volume(shape: tuple[int, ...], lattice: Lattice, acs: Box, filled: Box | None = None) -> Sampling:
    """Build a lattice over all phase axes of a matrix, or over a part of it, and a block of ACS positions."""
    sides = filled or tuple(map(range, shape))
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[slices(sides)] = lattice.on(shape)[slices(sides)]
    mask[slices(acs)] = True
    return Sampling(mask, lattice, sides)


def measured_only(kspace: Tensor, sampling: Pattern) -> Tensor:
    """K-space with what was not measured set to zero."""
    return torch.where(sampling.mask[..., None], kspace, 0)


def acs_of(kspace: Tensor, sampling: Sampling) -> Tensor:
    """The ACS block of k-space."""
    return sampling.acs_block(kspace)


def calibration_of(kspace: Tensor, sampling: Sampling) -> Calibration:
    """What `fit` gives a method to learn from."""
    lines = measured_only(kspace, sampling).flatten(1, -2)
    return Calibration(sampling.acs_block(kspace), sampling.lattice, sampling, lines)


def largest_error(found: Tensor, full: Tensor) -> float:
    """Largest deviation of any sample, relative to the largest sample."""
    return float((found - full).abs().max() / full.abs().max())


def relative_error(found: Tensor, expected: Tensor) -> float:
    """In the norm."""
    return float((found - expected).norm() / expected.norm())


def stored(path: Path, name: str) -> Any:
    """Read a dataset of an HDF5 file as an array."""
    with h5py.File(path) as file:
        return np.asarray(file[name])


def attributes(path: Path) -> dict[str, Any]:
    """Read the attributes of an HDF5 file."""
    with h5py.File(path) as file:
        return dict(file.attrs)
