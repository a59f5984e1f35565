"""Arrays of people, NumPy's or torch's, as a `Scan`: what their axes are, which lines were measured."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from raki.data.blocks import Positions
from raki.data.damage.holes import finite_noise, finite_slabs, is_finite, is_mending, reading_nan
from raki.data.measured import measured_only, stated_lines
from raki.data.scan import Scan, ScanFile
from raki.errors import SamplingError, ScanError
from raki.magnitude import largest

Array = ArrayLike | Tensor

AXES = {
    3: '(coil, ky, kx)',
    4: '(slice, coil, ky, kx), or (coil, kz, ky, kx) with a mask (kz, ky)',
    5: '(volume, coil, kz, ky, kx)',
}
"""Of k-space, by their number."""

N_PHASE = {3: (1,), 4: (1, 2), 5: (2,)}
"""Numbers of phase axes that k-space may have, by that of all its axes."""

SINGLE = torch.finfo(torch.float32)

WIDEST = {'u': np.int64, 'f': np.float64, 'c': np.complex128}
"""Of the types of NumPy, by their kind, those that torch knows, too."""


def scan_of(
    kspace: Array,
    mask: Array | Positions | None = None,
    *,
    noise: Array | None = None,
    calibration: Array | None = None,
    reference: Array | None = None,
    voxel_size: Sequence[float] | None = None,
) -> Scan:
    """A scan from arrays, which are computed with in single precision.

    Parameters
    ----------
    kspace
        Complex, axes (coil, ky, kx), (slice, coil, ky, kx), (coil, kz, ky, kx) with a mask (kz, ky), or
        (volume, coil, kz, ky, kx); DC at n//2 on all but slices and coils.
    mask
        Which lines were measured, not zero where they were: axes (ky,), or (kz, ky) of a volume; a further last axis kx
        along which it is constant is taken, too, axes of size 1, and all axes of k-space if it is constant along the
        others. Without one, lines of zeros were not measured.
    noise
        Samples of noise alone, axes (coil, sample), as large as in a sample of k-space.
    calibration
        ACS that was measured separately, axes as k-space with its own number of lines.
    reference
        The truth, where it is known, axes as k-space.
    voxel_size
        Along (y, x) or (z, y, x) [m].

    Raises
    ------
    ScanError
        If axes, types or sizes are others, or the mask is not that of these samples.
    """
    samples = complex_of(kspace, 'kspace', (3, 4, 5))
    slabs, lines = _slabs_and_lines(samples, None if mask is None else array_of(mask, 'mask'), N_PHASE[samples.ndim])
    _require_coils(slabs)

    def with_slabs(values: Array | None, name: str) -> Tensor | None:
        found = None if values is None else complex_of(values, name, (samples.ndim,))
        return None if found is None else finite_slabs(found if slabs.ndim == samples.ndim else found[None], name)

    return Scan(
        kspace=torch.stack([measured_only(slab, lines) for slab in slabs]),
        mask=lines,
        calibration=with_slabs(calibration, 'calibration'),
        noise=None if noise is None else finite_noise(complex_of(noise, 'noise', (2,)), 'noise'),
        reference=with_slabs(reference, 'reference'),
        voxel_size=None if voxel_size is None else tuple(voxel_size),
    )


def _require_coils(slabs: Tensor) -> None:
    """Refuse k-space (slab, coil, *phase, kx) of more coils than readout samples: coils are on another axis."""
    n_coils, n_readout = slabs.shape[1], slabs.shape[-1]
    if n_coils > n_readout > 1:
        raise ScanError(
            f'kspace would have {n_coils} coils and {n_readout} samples along kx, the readout: axes are '
            '(coil, ky, kx), and np.moveaxis(kspace, -1, 0) moves coils from the end; raki.Scan takes it if it is so'
        )


def array_of(values: Array | Positions, name: str) -> Tensor:
    """Values as a tensor, of torch's or of NumPy's, in either order of bytes; a ScanError if they are no numbers."""
    if isinstance(values, Positions):
        return values.mask
    if isinstance(values, Tensor):
        dense = values.detach() if values.layout == torch.strided else values.detach().to_dense()
        return dense.cpu().resolve_conj().resolve_neg()
    if isinstance(values, str | Path):
        raise ScanError(
            f'{name} must be an array, got a path: raki.load_scan(path) reads a file, raki.open_scan a part'
        )
    found = np.asarray(values)
    if found.dtype.kind not in 'biufc':
        raise ScanError(f'{name} must be an array of numbers, got {type(values).__name__} of {found.dtype}')
    native = found.astype(found.dtype.newbyteorder('='))
    widest, size = WIDEST.get(native.dtype.kind), native.dtype.itemsize
    if widest is not None and size > 1 and (native.dtype.kind == 'u' or size > np.dtype(widest).itemsize):
        native = native.astype(widest)
    return torch.from_numpy(np.ascontiguousarray(native))


def complex_of(values: Array, name: str, n_axes: Sequence[int]) -> Tensor:
    """Complex values in single precision.

    Raises
    ------
    ScanError
        If they are real, not finite, too large or too small, or have another number of axes.
    """
    found = array_of(values, name)
    if not found.is_complex():
        raise ScanError(
            f'{name} must be complex, got {str(found.dtype).removeprefix("torch.")}: real and imaginary part are one '
            f'number, such as {name}[..., 0] + 1j * {name}[..., 1]'
        )
    if found.ndim not in n_axes:
        wanted = ' or '.join(AXES.get(n, '(coil, sample)') for n in n_axes)
        raise ScanError(f'{name} must have axes {wanted}, got {found.ndim} axes')
    if not found.numel():
        raise ScanError(f'{name} is empty, its size is {tuple(found.shape)}')
    single = found.to(torch.complex64)
    whole = single if found.dtype == torch.complex32 else found
    _require_single(largest(torch.where(is_finite(whole), whole, 0) if is_mending() else whole), name)
    return single


def _require_single(most: float, name: str) -> None:
    """Refuse values, of which this is the largest, that single precision does not hold."""
    if not most < float('inf'):
        raise ScanError(f"{name} holds NaN or infinite values: raki.reconstruct(..., nan='drop') replaces them")
    if most and not SINGLE.tiny <= most <= SINGLE.max:
        raise ScanError(
            f'{name} has samples up to {most:.1e}, which leave the range of single precision (1.2e-38 to 3.4e38): '
            'multiply all by a constant'
        )


def scan_from(given: Scan | ScanFile | Array, mask: Array | Positions | None) -> Scan:
    """A scan from whatever holds one, of which a mask says what was measured; ScanErrors, see `scan_of`."""
    if isinstance(given, ScanFile):
        if given.n_frames > 1:
            raise ScanError(f'the file has {given.n_frames} frames: read one, file.read(frame=0)')
        given = given.read()
    if not isinstance(given, Scan):
        return scan_of(given, mask)
    if mask is None:
        return given
    slabs, lines = _slabs_and_lines(given.kspace, array_of(mask, 'mask'), (given.n_phase_axes,))
    return replace(given, kspace=torch.stack([measured_only(slab, lines) for slab in slabs]), mask=lines)


def mended_from(given: Scan | ScanFile | Array, mask: Array | Positions | None, nan: str) -> Scan:
    """As `scan_from`, with samples that are no finite number treated as `nan` says, see `raki.data.damage.holes`."""
    with reading_nan(nan) as mended:
        found = scan_from(given, mask)
        if isinstance(given, Scan):
            found = replace(found, kspace=finite_slabs(found.kspace, 'kspace'))
    return replace(found, mended=(*found.mended, *mended.findings)) if mended.findings else found


def in_memory(scan: Scan) -> ScanFile:
    """A scan as if it were a file, for those who read slab by slab."""
    return ScanFile(
        path='k-space in memory',
        format='arrays in memory',
        shape=tuple(scan.kspace.shape),
        read_slab=lambda index, _frame: scan.only(index),
        image_shape=scan.image_shape,
    )


def _slabs_and_lines(kspace: Tensor, mask: Tensor | None, possible: Sequence[int]) -> tuple[Tensor, Tensor]:
    """K-space with an axis of slabs, and the lines (ky,) or (kz, ky) that were measured of it."""
    n_phase, stated = (possible[0], None) if mask is None else _stated(mask, kspace, possible)
    slabs = finite_slabs(kspace if kspace.ndim == n_phase + 3 else kspace[None], 'kspace')
    try:
        return slabs, _common([stated_lines(slab, stated, _named(index, slabs)) for index, slab in enumerate(slabs)])
    except ScanError as error:
        if kspace.ndim == 4 and mask is None:
            error.args = (f'{error}; if this is a volume (coil, kz, ky, kx), give its mask (kz, ky)',)
        raise


def _named(index: int, slabs: Tensor) -> str:
    return 'kspace' if len(slabs) == 1 else f'{"slice" if slabs.ndim == 4 else "volume"} {index}'


def _common(lines: Sequence[Tensor]) -> Tensor:
    """The lines of all slabs; a SamplingError if they differ."""
    for index, each in enumerate(lines):
        if not torch.equal(each, lines[0]):
            raise SamplingError(
                f'slices must have the same lines, but slice 0 has {int(lines[0].sum())} and slice {index} '
                f'{int(each.sum())}, or others: reconstruct them one by one'
            )
    return lines[0]


def _stated(mask: Tensor, kspace: Tensor, possible: Sequence[int]) -> tuple[int, Tensor]:
    """Number of phase axes, and lines (ky,) or (kz, ky) that the mask calls measured.

    Raises
    ------
    ScanError
        If it fits neither slices nor a volume, or both.
    """
    if mask.is_floating_point() and not bool(mask.isfinite().all()):
        raise ScanError('the mask holds NaN or infinite values: wanted is 1 where lines were measured')
    every = {n: found for n in possible if (found := _lines_of(mask != 0, kspace.shape, n)) is not None}
    if len(every) == 1:
        return next(iter(every.items()))
    if every:
        raise ScanError(
            f'the mask {tuple(mask.shape)} may be that of slices or of a volume: give (ky,) for slices, of size '
            f'{kspace.shape[-2]}, or (kz, ky) for a volume'
        )
    raise ScanError(_misfit(mask, kspace))


def _lines_of(mask: Tensor, shape: Sequence[int], n_phase: int) -> Tensor | None:
    """Lines of a mask of k-space of this shape, on its phase axes; None if it misfits.

    It may have the axis kx, or all axes of k-space, if it is constant along those that are no phase axes. Otherwise
    axes of size 1 do not count.
    """
    phase, found = tuple(shape[-1 - n_phase : -1]), mask.squeeze()
    wanted = tuple(size for size in phase if size > 1)
    if tuple(found.shape) == wanted:
        return found.reshape(phase)
    if tuple(found.shape) == (*wanted, shape[-1]):
        lines = _constant(found, (-1,))
    elif tuple(mask.shape) == tuple(shape):
        lines = _constant(mask, (*range(mask.ndim - n_phase - 1), -1))
    else:
        return None
    return None if lines is None else lines.reshape(phase)


def _constant(mask: Tensor, axes: Sequence[int]) -> Tensor | None:
    """The mask without axes along which it is constant; None if it is not."""
    lines = mask.any(tuple(axes))
    return lines if torch.equal(lines, mask.all(tuple(axes))) else None


def _misfit(mask: Tensor, kspace: Tensor) -> str:
    """Why a mask fits neither slices nor a volume."""
    n_lines, n_readout, shape = kspace.shape[-2], kspace.shape[-1], tuple(mask.squeeze().shape)
    if shape == (n_lines, n_readout) or (len(shape) > 2 and shape == tuple(kspace.shape[-len(shape) :])):
        along = 'along kx, the readout' + ', or from coil to coil' * (len(shape) > 2)
        return (
            f'the mask {tuple(mask.shape)} changes {along}, but lines are measured whole: give one entry per line, '
            '(ky,), or exchange axes if the readout is not the last'
        )
    if shape == (n_readout,):
        return (
            f'the mask has {n_readout} entries for ky of {n_lines}: axes are {AXES[kspace.ndim]}, the readout last; '
            'kspace.swapaxes(-2, -1) exchanges ky and kx'
        )
    if len(shape) == 1 and shape[0] in kspace.shape:
        return (
            f'the mask has {shape[0]} entries, the size of axis {kspace.shape.index(shape[0])} of kspace, but ky, the '
            f'last axis but one, has {n_lines}: axes are {AXES[kspace.ndim]}; np.moveaxis(kspace, -1, 0) moves coils '
            'from the end'
        )
    if len(shape) == 1:
        return f'the mask has {shape[0]} entries for ky of {n_lines}: wanted is one per line, not zero where measured'
    volume = '' if kspace.ndim == 3 else f', or (kz, ky) of a volume: {tuple(kspace.shape[-3:-1])}'
    return f'the mask {tuple(mask.shape)} fits no lines: wanted are axes (ky,) of size {n_lines}{volume}'
