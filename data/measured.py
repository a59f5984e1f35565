"""Which lines, or (kz, ky) positions, a file really holds, where it says so by a mask, or not at all."""

import h5py
import numpy as np
import torch
from torch import Tensor

from raki.data.hdf5 import dataset
from raki.errors import ScanError
from raki.fourier import without_oversampling

ZEROS = 'zeros'
"""In place of a mask's name: lines of zeros were not measured."""


def lines_in_file(file: h5py.File, kspace: Tensor, mask: str | None, name: str) -> Tensor:
    """Which lines of one slice (coil, ky, kx), or positions of a volume (coil, kz, ky, kx), were measured.

    `mask` names the dataset with the mask, axes (ky,) or (kz, ky), or is ZEROS; without it, a dataset `mask` is taken
    where there is one. `name` stands in errors. A ScanError as `measured_lines`, or if the mask does not fit.
    """
    if mask is None and 'mask' not in file:
        return measured_lines(kspace, None, name)
    if mask == ZEROS:
        return measured_lines(kspace, (kspace != 0).any(dim=0).any(dim=-1), name)
    mask = mask or 'mask'
    stated, shape = np.asarray(dataset(file, mask)[()]).squeeze(), kspace.shape[1:-1]
    if list(stated.shape) != [size for size in shape if size > 1]:
        size = tuple(shape)
        wanted = f'one entry per phase-encoding line ({size[0]})' if len(size) == 1 else f'axes (kz, ky) of size {size}'
        advice = ': if this is a volume, name its axes: --dataset NAME --axes coil,kz,ky,kx' * (stated.ndim == 2)
        raise ScanError(f'{name}: the mask {mask} must have {wanted}, got {stated.shape}{advice}')
    return measured_lines(kspace, torch.from_numpy(stated.reshape(shape) != 0), name)


def measured_lines(kspace: Tensor, mask: Tensor | None, path: str) -> Tensor:
    """Check a mask (ky,) or (kz, ky) against k-space (coil, ky, kx) or (coil, kz, ky, kx); without one, read it off.

    Exactly zero lines at the outer ends are padding, whatever the mask says, for masks do not know about padding. No
    receiver delivers an exactly zero line in between: with a mask it is damage, without one the file is undersampled
    in a way that only its owner can tell. Both are a ScanError, in which `path` stands.
    """
    return lines_with_samples((kspace != 0).any(dim=0).any(dim=-1), mask, path)


def lines_with_samples(held: Tensor, mask: Tensor | None, path: str) -> Tensor:
    """As `measured_lines`, where it is known which lines (ky,) or (kz, ky) hold anything but zeros."""
    if not bool(held.any()):
        raise ScanError(f'{path}: k-space holds nothing but zeros')
    positions, within = held.nonzero(), torch.zeros_like(held)
    within[tuple(map(slice, positions.amin(0).tolist(), (positions.amax(0) + 1).tolist()))] = True
    stated = within if mask is None else mask & within
    empty: list[object] = (stated & ~held).nonzero().squeeze(-1).tolist()
    lines = 'lines' if held.ndim == 1 else 'lines (kz, ky)'
    if empty:
        raise ScanError(
            f'{path}: {len(empty)} {lines} hold only zeros (the first is line {empty[0]}) and there is no mask: '
            'add a dataset "mask", or give --mask zeros if zero lines were not measured'
            if mask is None
            else f'{path}: {lines} {empty[:8]} are marked as measured, but hold only zeros: '
            'the file is damaged, or the mask belongs to another scan'
        )
    return stated


def calibration_block(lines: Tensor, n_readout: int) -> Tensor:
    """Separate calibration (..., line, readout) over the field of view of `n_readout` samples.

    Readout samples at the ends that no coil and line measured (asymmetric echo) are cut off: zeros are nothing to
    learn from.
    """
    n_samples = lines.shape[-1]
    held = (lines != 0).flatten(0, -2).any(dim=0).nonzero().flatten()
    inside = without_oversampling(lines, n_readout)
    if len(held) == 0:
        return inside
    spacing = n_samples / inside.shape[-1]
    position = n_samples // 2 + (torch.arange(inside.shape[-1]) - inside.shape[-1] // 2) * spacing
    return inside[..., (position >= held[0]) & (position <= held[-1])]
