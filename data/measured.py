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

    Parameters
    ----------
    file
        Where the mask is.
    kspace
        The slice or volume.
    mask
        Name of the dataset with the mask, axes (ky,) or (kz, ky); ZEROS; or None if everything was measured.
    name
        The slice or volume, for errors.

    Returns
    -------
    Boolean, axes (ky,) or (kz, ky).

    Raises
    ------
    ScanError
        If the mask does not fit, or a line within the measured range holds only zeros.
    """
    if mask is None:
        return measured_lines(kspace, None, name)
    if mask == ZEROS:
        return measured_lines(kspace, (kspace != 0).any(dim=0).any(dim=-1), name)
    stated = np.asarray(dataset(file, mask)[()]).squeeze()
    if stated.shape != kspace.shape[1:-1]:
        raise ScanError(
            f'{name}: the mask {mask} must have {_mask_wanted(kspace)}, got {stated.shape}{_advice(stated)}'
        )
    return measured_lines(kspace, torch.from_numpy(stated != 0), name)


def _mask_wanted(kspace: Tensor) -> str:
    if kspace.ndim == 4:
        return f'axes (kz, ky) of size {tuple(kspace.shape[1:3])}'
    return f'one entry per phase-encoding line ({kspace.shape[1]})'


def _advice(mask: np.ndarray) -> str:
    return ': if this is a volume, name its axes: --dataset NAME --axes coil,kz,ky,kx' if mask.ndim == 2 else ''


def measured_lines(kspace: Tensor, mask: Tensor | None, path: str) -> Tensor:
    """Check a mask against the samples of one slice, or of a volume, whose lines are (kz, ky) positions.

    Exactly zero lines at the outer ends are padding, whatever the mask says, for masks do not know about padding. No
    receiver delivers an exactly zero line in between: with a mask it is damage, without one the file is undersampled
    in a way that only its owner can tell.

    Parameters
    ----------
    kspace
        Axes (coil, ky, kx) or (coil, kz, ky, kx).
    mask
        The file's mask, axes (ky,) or (kz, ky), or None.
    path
        The file, for errors.

    Returns
    -------
    Boolean, axes (ky,) or (kz, ky): the measured lines.

    Raises
    ------
    ScanError
        If a line within the measured range holds only zeros.
    """
    held = (kspace != 0).any(dim=0).any(dim=-1)
    if not bool(held.any()):
        raise ScanError(f'{path}: k-space holds nothing but zeros')
    range_of_data = _bounding_box(held)
    stated = range_of_data if mask is None else mask & range_of_data
    empty: list[object] = (stated & ~held).nonzero().squeeze(-1).tolist()
    lines = 'lines' if held.ndim == 1 else 'lines (kz, ky)'
    if empty and mask is None:
        raise ScanError(
            f'{path}: {len(empty)} {lines} hold only zeros (the first is line {empty[0]}) and there is no mask: '
            'add a dataset "mask", or give --mask zeros if zero lines were not measured'
        )
    if empty:
        raise ScanError(
            f'{path}: {lines} {empty[:8]} are marked as measured, but hold only zeros: '
            'the file is damaged, or the mask belongs to another scan'
        )
    return stated


def calibration_block(lines: Tensor, n_readout: int) -> Tensor:
    """Separate calibration (..., line, readout) over the field of view of `n_readout` samples.

    Readout samples at the ends that no coil and line measured (asymmetric echo) are cut off: zeros are nothing to
    learn from.
    """
    n_samples = lines.shape[-1]
    held = _between_first_and_last((lines != 0).flatten(0, -2).any(dim=0)).nonzero().flatten()
    inside = without_oversampling(lines, n_readout)
    if len(held) == 0:
        return inside
    spacing = n_samples / inside.shape[-1]
    position = n_samples // 2 + (torch.arange(inside.shape[-1]) - inside.shape[-1] // 2) * spacing
    return inside[..., (position >= held[0]) & (position <= held[-1])]


def _bounding_box(flags: Tensor) -> Tensor:
    """Smallest block of lines, or of positions (kz, ky), that holds all that is True; boolean of the same shape."""
    lines = _between_first_and_last(flags if flags.ndim == 1 else flags.any(0))
    return lines if flags.ndim == 1 else _between_first_and_last(flags.any(1))[:, None] & lines


def _between_first_and_last(flags: Tensor) -> Tensor:
    positions = torch.arange(len(flags))
    true = positions[flags]
    return (positions >= true.min()) & (positions <= true.max()) if len(true) else flags
