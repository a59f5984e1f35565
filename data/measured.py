"""Which lines a file really holds, where it says so by a mask, or not at all."""

import torch
from torch import Tensor

from raki.errors import ScanError


def measured_lines(kspace: Tensor, mask: Tensor | None, path: str) -> Tensor:
    """Check a line mask against the samples of one slice.

    Exactly zero lines at the outer ends are padding, whatever the mask says, for masks do not know about padding. No
    receiver delivers an exactly zero line in between: with a mask it is damage, without one the file is undersampled
    in a way that only its owner can tell.

    Parameters
    ----------
    kspace
        One slice, axes (coil, ky, kx).
    mask
        The file's mask, axes (ky,), or None.
    path
        The file, for errors.

    Returns
    -------
    Boolean, axes (ky,): the measured lines.

    Raises
    ------
    ScanError
        If a line within the measured range holds only zeros.
    """
    held = (kspace != 0).any(dim=0).any(dim=-1)
    if not bool(held.any()):
        raise ScanError(f'{path}: k-space holds nothing but zeros')
    range_of_data = _between_first_and_last(held)
    stated = range_of_data if mask is None else mask & range_of_data
    empty: list[int] = (stated & ~held).nonzero().flatten().tolist()
    if empty and mask is None:
        raise ScanError(
            f'{path}: {len(empty)} lines hold only zeros (the first is line {empty[0]}) and there is no mask: '
            'add a dataset "mask", or give --mask zeros if zero lines were not measured'
        )
    if empty:
        raise ScanError(
            f'{path}: the mask says that lines {empty[:8]} were measured, but they hold only zeros: '
            'the file is damaged, or the mask belongs to another scan'
        )
    return stated


def lines_that_hold_samples(kspace: Tensor) -> Tensor:
    """Take every line (coil, ky, kx) that is not exactly zero as measured; only where the user says that this is so."""
    return (kspace != 0).any(dim=0).any(dim=-1)


def without_empty_columns(lines: Tensor) -> Tensor:
    """Cut readout samples that no coil and line measured (asymmetric echo) off the ends, axes (..., readout)."""
    held = (lines != 0).flatten(0, -2).any(dim=0)
    inside = _between_first_and_last(held).nonzero().flatten()
    return lines[..., inside] if len(inside) else lines


def _between_first_and_last(flags: Tensor) -> Tensor:
    positions = torch.arange(len(flags))
    true = positions[flags]
    return (positions >= true.min()) & (positions <= true.max()) if len(true) else flags
