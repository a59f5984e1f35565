"""Which lines, or (kz, ky) positions, a file really holds, where it says so by a mask, or not at all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from raki.data.convention import CENTRED, Convention
from raki.data.damage.holes import n_lost
from raki.data.hdf5 import dataset, opened, whole
from raki.data.numpy_file import is_numpy, opened_numpy
from raki.errors import ScanError
from raki.fourier import without_oversampling

ZEROS = 'zeros'
"""In place of a mask's name: lines of zeros were not measured."""

DAMAGED_PART = 0.25
"""Part of a coil's lines or readout samples that is exactly zero although other coils measured there [1]: no receiver
delivers that."""


@dataclass(frozen=True, slots=True)
class Masking:
    """Where a mask is, and how it lies in its file."""

    name: str | None = None
    """Name of the dataset, path of a file that holds it, ZEROS, or None for a dataset `mask` where there is one."""

    convention: Convention = CENTRED
    """Convention of the file, for the order of its lines."""

    frame: int = 0
    """Which frame is read, where the mask has a first axis of frames."""


def lines_in_file(file: h5py.File | Mapping[str, np.ndarray], kspace: Tensor, masking: Masking, name: str) -> Tensor:
    """Which lines of one slice (coil, ky, kx), or positions of a volume (coil, kz, ky, kx), were measured.

    A mask has axes (ky,) or (kz, ky), or with the readout as a further axis along which it is constant, or with a first
    axis of frames. `name` stands in errors. A ScanError as `measured_lines`, or if the mask does not fit, or what it
    says contradicts the samples.
    """
    if masking.name is None and 'mask' not in file:
        held = (kspace != 0).any(dim=-1)
        _require_phase_axes(kspace, held, name)
        stated = measured_lines(kspace, None, name)
        _require_whole_coils(kspace, held, stated, name)
        return stated
    mask = None if masking.name == ZEROS else torch.from_numpy(_stated(file, kspace, masking, name))
    return stated_lines(kspace, mask, name)


def stated_lines(kspace: Tensor, mask: Tensor | None, name: str) -> Tensor:
    """Which lines of one slab a mask (ky,) or (kz, ky) says were measured; without one, those that are not zero.

    Raises as `lines_in_file` does.
    """
    held = (kspace != 0).any(dim=-1)
    if mask is None or bool((held.any(dim=0) & ~mask).any()):  # else axes that are swapped contradict the mask
        _require_phase_axes(kspace, held, name)
    stated = measured_lines(kspace, held.any(dim=0) if mask is None else mask, name)
    if mask is not None:
        _require_no_more(held.any(dim=0), mask, name)
    _require_whole_coils(kspace, held, stated, name)
    return stated


def measured_only(kspace: Tensor, mask: Tensor) -> Tensor:
    """K-space (coil, phase axes, kx) with zeros where not measured, itself if that is so already."""
    more = (kspace != 0).any(dim=-1).any(dim=0) & ~mask
    return torch.where(mask[..., None], kspace, 0) if bool(more.any()) else kspace


def _stated(file: h5py.File | Mapping[str, np.ndarray], kspace: Tensor, masking: Masking, name: str) -> np.ndarray:
    """Read the mask, axes (ky,) or (kz, ky) in our convention."""
    mask, shape = masking.name or 'mask', tuple(kspace.shape[1:-1])
    with _holder(file, mask) as (holder, key):
        if not isinstance(holder, h5py.File) and key not in holder:
            raise ScanError(f'{name}: no array {mask!r} for the mask')
        values = dataset(holder, key) if isinstance(holder, h5py.File) else holder[key]
        array = np.asarray(whole(values) if isinstance(values, h5py.Dataset) else values[()])
        if array.dtype.kind in 'fc' and not np.isfinite(array).all():
            raise ScanError(f'{name}: the mask {mask} holds NaN or infinite values, wanted 1 where lines were measured')
        found = _of_lines(array.squeeze() != 0, kspace, masking.frame)
        if found is None:
            size = f'axes (kz, ky) of size {shape}'
            wanted = f'one entry per phase-encoding line ({shape[0]})' if len(shape) == 1 else size
            advice = ': if this is a volume, name its axes: --dataset NAME --axes coil,kz,ky,kx' * (values.ndim == 2)
            raise ScanError(f'{name}: the mask {mask} must have {wanted}, got {np.squeeze(values).shape}{advice}')
    for axis, size in enumerate(shape):
        found = found.take(masking.convention.positions(size), axis)
    return found


@contextmanager
def _holder(
    file: h5py.File | Mapping[str, np.ndarray], mask: str
) -> Iterator[tuple[h5py.File | Mapping[str, np.ndarray], str]]:
    """Give the file that holds a mask, which may be one of its own, and the mask's name in it."""
    if mask in file or not Path(mask).is_file():
        with nullcontext(file) as holder:
            yield holder, mask
        return
    with (opened_numpy if is_numpy(Path(mask)) else opened)(mask) as other:
        names = sorted(map(str, other), key=lambda name: not name.startswith('mask'))
        if not names:
            raise ScanError(f'{mask}: holds no mask')
        yield other, names[0]


def _of_lines(stated: np.ndarray, kspace: Tensor, frame: int) -> np.ndarray | None:
    """Bring a mask without axes of size 1 to (ky,) or (kz, ky); None if it does not fit."""
    shape = tuple(kspace.shape[1:-1])
    wanted = tuple(size for size in shape if size > 1)
    if stated.shape == wanted:
        return np.reshape(stated, shape)
    if stated.ndim == len(wanted) + 1:
        for axis in (-1, 0):
            lines = np.asarray(stated.any(axis))
            is_constant = stated.shape[axis] == kspace.shape[-1] and bool((stated.all(axis) == lines).all())
            if is_constant and lines.shape == wanted:
                return np.reshape(lines, shape)
    if stated.ndim > len(wanted) and frame < len(stated) > 1:
        return _of_lines(stated[frame].squeeze(), kspace, 0)
    return None


def _require_no_more(held: Tensor, mask: Tensor, name: str) -> None:
    """Refuse samples in some of the lines that the mask calls missing; in all of them, it undersamples a full scan."""
    more = held & ~mask
    if bool(more.any()) and not bool(held[~mask].all()):
        positions: list[object] = more.nonzero().squeeze(-1).tolist()
        raise ScanError(
            f'{name}: {len(positions)} lines hold samples although the mask calls them missing, the first is line '
            f'{positions[0]}: the mask belongs to another scan; give another, or --mask zeros'
        )


def _require_phase_axes(kspace: Tensor, held: Tensor, name: str) -> None:
    """Refuse gaps along the readout where all lines are there: the axes are swapped."""
    if kspace.shape[-1] < 2 or not bool(_has_gaps((kspace != 0).flatten(0, -2).any(dim=0))):
        return
    if not _has_gaps(held.flatten(1).any(dim=0)):
        raise ScanError(
            f'{name}: all lines hold samples, but samples of the readout are zero in between: readout and phase '
            'encoding seem swapped; name the axes in their order with --dataset NAME --axes, ky and kx the other way'
        )


def _has_gaps(held: Tensor) -> bool:
    """Whether there is nothing between positions, axes (position,), where there is something."""
    positions = held.nonzero().flatten()
    return len(positions) > 0 and int(positions[-1] - positions[0]) + 1 > len(positions)


def _require_whole_coils(kspace: Tensor, held: Tensor, stated: Tensor, name: str) -> None:
    """Refuse a coil that is zero in a good part of what other coils measured; one without any samples is just dead."""
    along_lines = held[:, stated]
    along_readout = (kspace != 0).flatten(1, -2).any(dim=1)
    along_readout = along_readout[:, along_readout.any(dim=0)]
    for parts, unit in ((along_lines, 'measured lines'), (along_readout, 'readout samples')):
        missing = (~parts).sum(dim=1)
        damaged = (missing > DAMAGED_PART * parts.shape[1]) & (missing < parts.shape[1])
        if bool(damaged.any()):
            coil = int(damaged.nonzero()[0])
            raise ScanError(
                f'{name}: coil {coil} holds only zeros in {int(missing[coil])} of {parts.shape[1]} {unit} in which '
                'other coils have samples: the file is damaged, or was written incompletely'
            )


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
    if not bool(stated.any()):
        raise ScanError(f'{path}: the mask calls no line measured that holds samples: it belongs to another scan')
    if int((stated & ~held).sum()) <= n_lost():
        return stated
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


def reached_readout(kspace: Tensor, n_readout: int) -> range | None:
    """Which samples along the readout of k-space (..., line, readout) were measured, once cropped to `n_readout`.

    Samples at the ends that no coil and line measured (asymmetric echo) get a little of their neighbours when readout
    oversampling is removed, and would count as measured. None where zeros tell, or all were measured.
    """
    if n_readout == kspace.shape[-1]:
        return None
    reached = _reached(kspace, n_readout)
    inside = reached.nonzero().flatten()
    return None if bool(reached.all()) or not len(inside) else range(int(inside[0]), int(inside[-1]) + 1)


def calibration_block(lines: Tensor, n_readout: int) -> Tensor:
    """Separate calibration (..., line, readout) over the field of view of `n_readout` samples.

    Readout samples at the ends that no coil and line measured (asymmetric echo) are cut off: zeros are nothing to
    learn from.
    """
    inside = without_oversampling(lines, n_readout)
    return inside[..., _reached(lines, inside.shape[-1])]


def _reached(kspace: Tensor, n_readout: int) -> Tensor:
    """Which of `n_readout` samples over the same width lie between the first and the last that hold anything.

    Boolean, axes (readout,); all of them where nothing does.
    """
    ends = (kspace[..., (0, -1)] != 0).flatten(0, -2).any(dim=0).tolist()
    if all(ends):
        return torch.ones(n_readout, dtype=torch.bool, device=kspace.device)
    n_samples, held = kspace.shape[-1], (kspace != 0).flatten(0, -2).any(dim=0).nonzero().flatten()
    first, last = (held[0], held[-1]) if len(held) else (0, n_samples)
    steps = torch.arange(n_readout, device=kspace.device) - n_readout // 2
    position = n_samples // 2 + steps * n_samples / n_readout
    return ((position >= first) | ends[0]) & ((position <= last) | ends[1])
