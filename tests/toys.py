"""Toy k-space (coil, ky, kx) with known answers, deliberately not square, and networks that train in no time."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from raki.data.lattice import Lattice, VolumeSampling
from raki.data.sampling import Sampling
from raki.grappa.method import Grappa
from raki.interpolation.kernel import Kernel
from raki.networks.iterative import IterativeRaki
from raki.networks.raki import RAKI_2019, RAKI_COMPLEX
from raki.networks.recommended import GatedRaki
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
METHODS = {
    'grappa': Grappa(),
    'grappa-2x3': Grappa(Kernel(2, 3)),
    'raki': GatedRaki(),
    'raki-2019': RAKI_QUICK,
    'raki-complex': COMPLEX_QUICK,
    'raki-high-pass': replace(COMPLEX_QUICK, is_high_pass=True),
    'rraki': RRAKI_QUICK,
    'iraki': IRAKI_QUICK,
}


def random_kspace(*shape: int, seed: int = 0) -> Tensor:
    """Complex white noise of unit power."""
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def point_sources(n_sources: int, n_coils: int, n_lines: int, n_readout: int, seed: int = 0) -> Tensor:
    """K-space of points seen by coils of random sensitivity: a sum of plane waves, of rank n_sources."""
    generator = torch.Generator().manual_seed(seed)
    sensitivities = torch.randn(n_coils, n_sources, dtype=torch.complex64, generator=generator).to(torch.complex128)
    positions = 2 * math.pi * torch.rand(2, n_sources, dtype=torch.float64, generator=generator)
    lines = torch.arange(n_lines, dtype=torch.float64)[:, None] * positions[0]
    samples = torch.arange(n_readout, dtype=torch.float64)[:, None] * positions[1]
    one = torch.ones((), dtype=torch.float64)
    waves = torch.einsum('yp,xp->pyx', torch.polar(one, lines), torch.polar(one, samples))
    return torch.einsum('cp,pyx->cyx', sensitivities, waves).to(torch.complex64)


def plane_wave(n_coils: int, n_lines: int, n_readout: int) -> Tensor:
    """One point: k(ky + 1) = exp(i phi) k(ky) for every coil, so a linear kernel predicts it without error."""
    return point_sources(1, n_coils, n_lines, n_readout)


def lattice_with_acs(n_lines: int, acceleration: int, first_line: int, acs: range) -> Sampling:
    """Every R-th line from `first_line`, and a block of ACS lines."""
    mask = torch.zeros(n_lines, dtype=torch.bool)
    mask[first_line::acceleration] = True
    n_lattice = int(mask.sum())
    mask[acs.start : acs.stop] = True
    return Sampling(mask, acceleration, first_line, n_lattice)


def measured_only(kspace: Tensor, sampling: Sampling) -> Tensor:
    """K-space with what was not measured set to zero."""
    return torch.where(sampling.mask[:, None], kspace, 0)


def acs_of(kspace: Tensor, sampling: Sampling) -> Tensor:
    """The ACS block of k-space."""
    return kspace[:, sampling.acs.start : sampling.acs.stop]


def stored(path: Path, name: str) -> Any:
    """Read a dataset of an HDF5 file as an array."""
    with h5py.File(path) as file:
        return np.asarray(file[name])


def attributes(path: Path) -> dict[str, Any]:
    """Read the attributes of an HDF5 file."""
    with h5py.File(path) as file:
        return dict(file.attrs)


def point_sources_volume(n_sources: int, n_coils: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    """As `point_sources`, axes (coil, kz, ky, kx)."""
    generator = torch.Generator().manual_seed(seed)
    sensitivities = torch.randn(n_coils, n_sources, dtype=torch.complex64, generator=generator).to(torch.complex128)
    positions = 2 * math.pi * torch.rand(3, n_sources, dtype=torch.float64, generator=generator)
    one = torch.ones((), dtype=torch.float64)
    phases = [torch.arange(n, dtype=torch.float64)[:, None] * p for n, p in zip(shape, positions, strict=True)]
    waves = [torch.polar(one, phase) for phase in phases]
    return torch.einsum('cp,zp,yp,xp->czyx', sensitivities, *waves).to(torch.complex64)


def sampled_volume(
    shape: tuple[int, ...], lattice: Lattice, acs: tuple[range, range], filled: tuple[range, range] | None = None
) -> VolumeSampling:
    """Build a lattice over all (kz, ky) of a matrix, or over a part of it, and a block of ACS positions."""
    sides = filled or (range(shape[0]), range(shape[1]))
    mask = torch.zeros(shape[:2], dtype=torch.bool)
    box = slice(sides[0].start, sides[0].stop), slice(sides[1].start, sides[1].stop)
    mask[box] = lattice.on((shape[0], shape[1]))[box]
    mask[acs[0].start : acs[0].stop, acs[1].start : acs[1].stop] = True
    return VolumeSampling(mask, lattice, sides)
