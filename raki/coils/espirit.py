"""Coil sensitivities from the ACS: ESPIRiT, for an ACS of any sides.

Uecker et al. 2014, Magn Reson Med 71:990 (https://doi.org/10.1002/mrm.24751).
"""

from collections.abc import Sequence
from itertools import product
from math import prod

import torch
from torch import Tensor

KERNEL = 6
"""Side of a patch [sample], as sigpy and BART have it by default."""

ELEMENTS_AT_ONCE = 2**22
"""Entries of matrices at pixels that are in memory together."""

LEAST_SINGULAR_VALUE = 0.02
"""Relative to the largest of the ACS's matrix of patches; what is smaller is noise (sigpy's default) [1]."""


def espirit_maps(acs: Tensor, shape: tuple[int, ...], crop: float) -> Tensor:
    """Sensitivities with unit root sum of squares, complex64, axes (coil, *shape).

    1. The patches of the ACS span a space: the singular vectors V of their matrix beyond LEAST_SINGULAR_VALUE.
    2. Projecting every patch of k-space onto it and averaging is a small Hermitian matrix at every pixel (`per_pixel`).
    3. Coil images come out of that as they were, so the sensitivities are its eigenvectors of eigenvalue 1. Where the
       largest is below `crop` there is no object, and they are zero. The first coil is real.

    Parameters
    ----------
    acs
        Autocalibration block, axes (coil, phase axes, readout).
    shape
        Size of the images.
    crop
        Least eigenvalue [1].
    """
    sizes = tuple(min(KERNEL, side) for side in acs.shape[1:])
    every = patches(acs, sizes)
    energies, vectors = torch.linalg.eigh(every @ every.mH)
    spanning = vectors[:, energies > LEAST_SINGULAR_VALUE**2 * energies.max()]
    lags = lags_of(spanning @ spanning.mH / prod(sizes), len(acs), sizes)
    n_rows = max(1, ELEMENTS_AT_ONCE // (len(acs) ** 2 * prod(shape[1:])))
    blocks = [range(start, min(start + n_rows, shape[0])) for start in range(0, shape[0], n_rows)]
    return torch.cat([_directions(at_pixels(lags, shape, rows), crop) for rows in blocks]).movedim(-1, 0).contiguous()


def _directions(matrices: Tensor, crop: float) -> Tensor:
    """Eigenvectors (..., coil) of the largest eigenvalue of matrices (..., coil, coil), zero where it is below `crop`.

    The first coil is real.
    """
    values, vectors = torch.linalg.eigh(matrices)
    maps = vectors[..., -1]
    phase = torch.polar(torch.ones_like(maps[..., :1].abs()), -maps[..., :1].angle())
    return maps * phase * (values[..., -1:] > crop)


def patches(kspace: Tensor, sizes: Sequence[int]) -> Tensor:
    """Every patch of k-space (coil, *axes), axes (sample of a patch, patch), complex128; coils vary slowest."""
    windows = kspace.to(torch.complex128)
    for axis, size in enumerate(sizes, start=1):
        windows = windows.unfold(axis, size, 1)
    n_axes = len(sizes)
    order = (0, *range(n_axes + 1, 2 * n_axes + 1), *range(1, n_axes + 1))
    return windows.permute(order).reshape(len(kspace) * prod(sizes), -1)


def per_pixel(form: Tensor, n_coils: int, sizes: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """The sum over all patches p of p^H Q p as matrices between coil images, axes (*shape, coil, coil), complex64.

    With x[m] of one coil and x[m + d] of another, it is the sum over m and d of x[m]* q(d) x[m + d], where q(d) adds up
    the entries of Q whose samples lie d apart; a shift by d multiplies the image by exp(-2 pi i d r / n). Patches wrap
    around the edges of k-space.

    Parameters
    ----------
    form
        Q, Hermitian, axes (sample of a patch, sample of a patch), in the order of `patches`.
    n_coils, sizes
        Coils and sides of a patch.
    shape
        Size of the images.
    """
    return at_pixels(lags_of(form, n_coils, sizes), shape, range(shape[0]))


def lags_of(form: Tensor, n_coils: int, sizes: Sequence[int]) -> Tensor:
    """The q(d) of `per_pixel`, axes (coil, coil, *d), complex64; d from 1 - size to size - 1 along every axis."""
    parts = form.view(n_coils, *sizes, n_coils, *sizes)
    lags = form.new_zeros(n_coils, n_coils, *(2 * size - 1 for size in sizes))
    for place in product(*map(range, sizes)):
        apart = tuple(slice(size - 1 - here, 2 * size - 1 - here) for here, size in zip(place, sizes, strict=True))
        lags[(slice(None), slice(None), *apart)] += parts[(slice(None), *place)]
    return lags.to(torch.complex64)


def at_pixels(lags: Tensor, shape: tuple[int, ...], rows: range) -> Tensor:
    """The matrices of `per_pixel` for some rows of the first axis, axes (row, *shape[1:], coil, coil)."""
    for axis, length in enumerate(shape):
        pixels = torch.arange(length, device=lags.device) - length // 2
        reach = lags.shape[2] // 2
        turns = torch.outer(torch.arange(-reach, reach + 1, device=lags.device), pixels) % length / length
        waves = torch.polar(torch.ones_like(turns), -2 * torch.pi * turns)
        waves = waves[:, rows.start : rows.stop] if axis == 0 else waves
        lags = lags.movedim(2, -1) @ waves
    return lags.movedim((0, 1), (-2, -1))
