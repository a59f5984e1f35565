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
    matrices = per_pixel(spanning @ spanning.mH, len(acs), sizes, shape) / prod(sizes)
    values, directions = torch.linalg.eigh(matrices)
    maps = directions[..., -1].movedim(-1, 0)
    phase = torch.polar(torch.ones_like(maps[:1].abs()), -maps[:1].angle())
    return (maps * phase * (values[..., -1] > crop)).contiguous()


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
    parts = form.view(n_coils, *sizes, n_coils, *sizes)
    lags = form.new_zeros(n_coils, n_coils, *shape)
    for place in product(*map(range, sizes)):
        apart = [
            torch.arange(-here, size - here) % length for here, size, length in zip(place, sizes, shape, strict=True)
        ]
        lags[(slice(None), slice(None), *torch.meshgrid(*apart, indexing='ij'))] += parts[(slice(None), *place)]
    axes = tuple(range(2, lags.ndim))
    return torch.fft.fftshift(torch.fft.fftn(lags.to(torch.complex64), dim=axes), dim=axes).movedim((0, 1), (-2, -1))
