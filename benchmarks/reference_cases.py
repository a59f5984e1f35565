"""What reconstructions are compared with their references, and the few numbers that each is remembered by.

Nothing here knows the package: the references of version 0.1 were computed by another script from these very cases.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

N_PRODUCTS = 12
CHUNK = 2**18
LATTICES = ((2, 0), (3, 1), (4, 3))
"""Rates R and first lines of the toys."""
BRIEF = ('raki-brief', 'raki-complex-brief', 'rraki-brief')
"""Ten iterations, which amplify rounding less than more of them."""
TOY_METHODS = ('grappa', 'grappa-2x3', 'gated', 'raki', 'raki-complex', 'raki-high-pass', 'rraki', 'iraki')
KERNELS = ((4, 5), (3, 7), (5, 4), (2, 7))
"""Lines and samples of GRAPPA with a ridge of 1e-3."""
SCANS = {'pulseq_brain16': ((4, 32), (5, 32)), 'iraki_prescan16': ((3, 24), (4, 24))}
"""Rates and ACS lines of real scans."""
SCAN_METHODS = ('grappa', 'gated', 'raki', 'raki-complex', 'rraki', 'iraki')
VOLUMES = (((2, 2), 1, (0, 0)), ((1, 4), 3, (0, 2)), ((3, 2), 0, (1, 1)), ((2, 3), 2, (1, 0)))
"""Rates (Rz, Ry), CAIPI shifts and first points of the volumes."""
VOLUME_METHODS = ('grappa', 'grappa-2x2x3', 'grappa-2x2x3-ridge')


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One slab to fill."""

    name: str
    method: str
    """Its name, and that of its settings: `toy raki` trains shorter than `scan raki`."""
    kspace: Tensor
    """Axes (coil, *phase, kx); zero where not measured."""
    mask: Tensor
    """Boolean, axes (*phase,)."""
    calibration: Tensor | None = None
    """Axes (coil, *phase, kx); None where the ACS is that of the k-space."""
    coils: int | None = None
    """Virtual coils to learn in; None leaves the coils as they are."""


def digest(values: Tensor) -> dict[str, Any]:
    """Norm, peak and scaled inner products of an array.

    A product is sqrt(n) <r, values> with a random r of unit norm, the same for every array of n elements; so the mean
    |difference|^2 of the products of two arrays estimates, without bias, the squared norm of their difference.
    """
    flat = values.detach().cpu().resolve_conj().numpy().astype(np.complex128).ravel()
    products = [_product(flat, index) for index in range(N_PRODUCTS)]
    return {
        'shape': list(values.shape),
        'norm': _rounded(float(np.linalg.norm(flat))),
        'peak': _rounded(float(np.abs(flat).max())),
        'products': [[_rounded(each.real), _rounded(each.imag)] for each in products],
    }


def _product(flat: np.ndarray, seed: int) -> complex:
    generator, total, energy = np.random.default_rng(seed), 0j, 0.0
    for start in range(0, len(flat), CHUNK):
        part = flat[start : start + CHUNK]
        real, imaginary = generator.standard_normal((2, len(part)))
        total += complex((real - 1j * imaginary) @ part)
        energy += float(real @ real + imaginary @ imaginary)
    return total * math.sqrt(len(flat) / energy)


def _rounded(value: float) -> float:
    return float(f'{value:.9g}')


def deviation(found: Mapping[str, Any], reference: Mapping[str, Any]) -> float:
    """Estimate of ||found - reference|| / ||reference|| from their digests; never less than norm and peak prove."""
    if math.prod(found['shape']) != math.prod(reference['shape']):
        return math.inf
    differences = np.subtract(found['products'], reference['products'])
    estimate = math.sqrt(float(np.square(differences).sum()) / N_PRODUCTS)
    proven = [abs(found[name] - reference[name]) for name in ('norm', 'peak')]
    return float(np.max([estimate, *proven])) / reference['norm']


def random_kspace(*shape: int, seed: int = 0) -> Tensor:
    """Complex white noise of unit power."""
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def toy(n_coils: int, *shape: int) -> Tensor:
    """Nine points seen by coils of random sensitivity, and noise: axes (coil, *phase, kx)."""
    generator = torch.Generator().manual_seed(0)
    waves = torch.randn(n_coils, 9, dtype=torch.complex64, generator=generator).to(torch.complex128)
    positions = 2 * math.pi * torch.rand(len(shape), 9, dtype=torch.float64, generator=generator)
    for size, position in zip(shape, positions, strict=True):
        phases = torch.arange(size, dtype=torch.float64)[:, None] * position
        waves = waves[..., None, :] * torch.polar(torch.ones_like(phases), phases)
    return waves.sum(-1).to(torch.complex64) + 0.1 * random_kspace(n_coils, *shape)


def covariance(n_coils: int) -> Tensor:
    """Some noise covariance between coils, axes (coil, coil)."""
    mixing = torch.randn(n_coils, n_coils, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    return mixing @ mixing.mH + torch.eye(n_coils)


def lines(n_lines: int, rate: int, first: int, acs: Sequence[int] = (), stop: int | None = None) -> Tensor:
    """Mask of every R-th line and the ACS, axes (ky,); nothing from line `stop` on."""
    mask = torch.zeros(n_lines, dtype=torch.bool)
    mask[first::rate] = True
    mask[list(acs)] = True
    mask[stop or n_lines :] = False
    return mask


def positions(shape: tuple[int, int], rate: tuple[int, int], shift: int, first: tuple[int, int]) -> Tensor:
    """Mask of a CAIPI lattice, axes (kz, ky)."""
    partition, line = torch.arange(shape[0])[:, None] - first[0], torch.arange(shape[1]) - first[1]
    row = partition.div(rate[0], rounding_mode='floor')
    return (partition % rate[0] == 0) & ((line - row * shift) % rate[1] == 0)


def _case(name: str, method: str, full: Tensor, mask: Tensor, **more: Any) -> Case:
    return Case(name, method, torch.where(mask[..., None], full, 0), mask, **more)


def toys() -> Iterator[Case]:
    """Every method on every lattice of lines, its ACS among them or measured separately with a shorter readout."""
    full = toy(4, 54, 31)
    for method, (rate, first) in product((*TOY_METHODS, *BRIEF, 'raki-high-pass-brief'), LATTICES):
        mask = lines(54, rate, first, range(15, 40))
        yield _case(f'toy {method} R={rate} first {first}', f'toy {method}', full, mask)
    noisy = full + random_kspace(*full.shape, seed=1)
    for rate, first in LATTICES:  # the network has a share where there is noise to save
        mask = lines(54, rate, first, range(15, 40))
        yield _case(f'toy gated R={rate} first {first} noisy', 'toy gated', noisy, mask)
    for method in TOY_METHODS:
        if method != 'rraki':  # needs lines to be judged by
            acs = full[:, 10:40, 3:27]
            yield _case(f'toy {method} separate', f'toy {method}', full, lines(54, 3, 1), calibration=acs)


def kernels() -> Iterator[Case]:
    """GRAPPA with a fixed ridge: whole k-space, partial Fourier, fewer lattice lines than the kernel (or two)."""
    full = toy(4, 54, 31)
    for kernel, rate in product(KERNELS, range(2, 7)):
        method, label = f'kernel {kernel[0]}x{kernel[1]}', f'kernel {kernel[0]}x{kernel[1]} R={rate}'
        for first in range(rate):
            yield _case(f'{label} first {first}', method, full, lines(54, rate, first, range(15, 40)))
            partial = lines(54, rate, first, range(11, 36), stop=36)
            yield _case(f'{label} first {first} partial', method, full, partial)
        short = full[:, : rate * max(kernel[0] - 2, 1) + 2]
        yield _case(f'{label} short', method, short, lines(short.shape[1], rate, 1), calibration=full[:, 10:50])


def scans(read: Callable[[str], Tensor]) -> Iterator[Case]:
    """Every method on the central slice of real scans, some in 8 virtual coils; `read` gives it (coil, ky, kx)."""
    for name, patterns in SCANS.items():
        full = read(name)
        for rate, n_acs in patterns:
            n_lines = full.shape[1]
            start = (n_lines - n_acs + 1) // 2
            mask = lines(n_lines, rate, 0, range(start, start + n_acs))
            for method in (*SCAN_METHODS, *BRIEF):
                yield _case(f'{name} {method} R={rate}', f'scan {method}', full, mask)
            for method in ('grappa', 'gated'):
                yield _case(f'{name} {method} R={rate} 8 coils', f'scan {method}', full, mask, coils=8)


def volumes() -> Iterator[Case]:
    """GRAPPA on every lattice of (kz, ky)."""
    full = toy(3, 13, 30, 19)
    for method, (rate, shift, first) in product(VOLUME_METHODS, VOLUMES):
        mask = positions((13, 30), rate, shift, first)
        mask[2:11, 7:23] = True
        name = f'volume {method} R={rate[0]}x{rate[1]} shift {shift}'
        yield _case(name, f'volume {method}', full, mask)


def noise_case(method: str) -> Case:
    """Where noise maps are computed."""
    return _case(f'noise {method}', f'toy {method}', toy(4, 54, 31), lines(54, 3, 1, range(15, 40)))
