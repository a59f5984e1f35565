"""fastMRI-layout HDF5: kspace (slice, coil, readout, phase encode), optional mask, header, calibration, noise.

Zbontar et al. 2018, arXiv:1811.08839. Beyond it: `acs` (separate calibration, axes as kspace or without slice), `noise`
(coil, sample), `reference` (fully sampled truth, shaped like kspace).
"""

import h5py
import numpy as np
import torch
from torch import Tensor

from raki.data.hdf5 import complex_tensor, dataset, is_complex, opened, require_finite, require_memory
from raki.data.header import Header, parse_header
from raki.data.measured import measured_lines, without_empty_columns
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError
from raki.fourier import without_oversampling


def is_fastmri(file: h5py.File) -> bool:
    """Whether the file has a dataset `kspace` at its root."""
    return isinstance(file.get('kspace'), h5py.Dataset)


def open_fastmri(path: str) -> ScanFile:
    """Read the headers.

    Raises
    ------
    ScanError
        If the dataset is not laid out as fastMRI does it.
    """
    with opened(path) as file:
        kspace = dataset(file, 'kspace')
        _require_layout(kspace, path)
        require_memory(kspace.nbytes // len(kspace), f'{path}: one slice')
        header = _header(file, path)
        n_slices, n_coils, n_readout, n_lines = kspace.shape
        crop = _readout_crop(header, n_readout)
        facts = dict(header.facts) if header else {}
        facts |= {name: str(file.attrs[name]) for name in ('acquisition', 'source', 'notes') if name in file.attrs}
    notes = [f'readout oversampling removed: {n_readout} to {crop} samples'] if crop < n_readout else []
    return ScanFile(
        path=path,
        format='fastMRI-layout HDF5',
        shape=(n_slices, n_coils, n_lines, crop),
        read_slice=lambda index, _repetition: _read_slice(path, index, header, crop),
        facts=facts,
        notes=notes,
    )


def _require_layout(kspace: h5py.Dataset, path: str) -> None:
    if kspace.ndim != 4 or not is_complex(kspace.dtype):
        raise ScanError(
            f'{path}: kspace must be complex with axes (slice, coil, readout, phase encode), '
            f'got {kspace.dtype} {kspace.shape}: for another layout give --dataset kspace --axes ...'
        )
    if 0 in kspace.shape:
        raise ScanError(f'{path}: kspace is empty, its shape is {kspace.shape}')
    if kspace.shape[1] > min(kspace.shape[2:]):
        raise ScanError(
            f'{path}: kspace must have axes (slice, coil, readout, phase encode), got {kspace.shape}, '
            'more coils than lines; '
            'if the coils are the last axis, give --dataset kspace --axes slice,kx,ky,coil'
        )


def _header(file: h5py.File, path: str) -> Header | None:
    if 'ismrmrd_header' not in file:
        return None
    xml = dataset(file, 'ismrmrd_header')[()]
    return parse_header(xml if isinstance(xml, bytes) else str(xml).encode(), path)


def _readout_crop(header: Header | None, n_readout: int) -> int:
    oversampled = header is not None and header.has_oversampled_readout and header.encoded.matrix[0] == n_readout
    return header.reconstructed.matrix[0] if header is not None and oversampled else n_readout


def _read_slice(path: str, index: int, header: Header | None, n_readout: int) -> Scan:
    with opened(path) as file:
        shape = dataset(file, 'kspace').shape
        kspace = _lines(dataset(file, 'kspace')[index], f'{path}: kspace, slice {index}', n_readout)
        reference = None
        if 'reference' in file:
            reference = _lines(dataset(file, 'reference')[index], f'{path}: reference, slice {index}', n_readout)[None]
        measured = _measured(kspace, _mask(file, shape[3], path), header, path)
        calibration = _calibration(file, index, shape, path)
        noise = complex_tensor(dataset(file, 'noise')[()], f'{path}: noise') if 'noise' in file else None
    return Scan(
        kspace=kspace[None],
        mask=measured,
        calibration=calibration,
        noise=noise,
        reference=reference,
        image_shape=_image_shape(header, (shape[3], n_readout)),
        voxel_size=header.voxel_size if header else None,
        readout_is_rows=True,
    )


def _lines(samples: np.ndarray, name: str, n_readout: int) -> Tensor:
    """(coil, readout, phase encode) of the file to (coil, ky, kx)."""
    kspace = complex_tensor(samples, name).transpose(-1, -2).contiguous()
    require_finite(kspace, name)
    return without_oversampling(kspace, n_readout) if n_readout < kspace.shape[-1] else kspace


def _mask(file: h5py.File, n_lines: int, path: str) -> Tensor | None:
    if 'mask' not in file:
        return None
    mask = np.asarray(dataset(file, 'mask')[()]).squeeze()
    if mask.shape != (n_lines,):
        raise ScanError(f'{path}: mask must have one entry per phase-encoding line ({n_lines}), got {mask.shape}')
    return torch.from_numpy(mask != 0)


def _measured(kspace: Tensor, mask: Tensor | None, header: Header | None, path: str) -> Tensor:
    """Lines that were measured; the header's limits say where padding is."""
    if header is None:
        return measured_lines(kspace, mask, path)
    lines = torch.arange(kspace.shape[1])
    first = header.encoded.matrix[1] // 2 - header.ky_centre
    acquired = (lines >= first) & (lines <= first + header.ky_maximum)
    return measured_lines(kspace, acquired if mask is None else mask & acquired, path)


def _calibration(file: h5py.File, index: int, shape: tuple[int, ...], path: str) -> Tensor | None:
    if 'acs' not in file:
        return None
    acs = dataset(file, 'acs')
    if acs.ndim not in (3, 4) or acs.shape[-3] != shape[1] or (acs.ndim == 4 and acs.shape[0] != shape[0]):
        raise ScanError(
            f'{path}: acs must have axes (slice, coil, readout, phase encode) with {shape[0]} slices and '
            f'{shape[1]} coils, '
            f'got {acs.shape}'
        )
    if acs.ndim == 3 and shape[0] > 1:
        raise ScanError(f'{path}: acs {acs.shape} has no slice axis, but kspace has {shape[0]} slices')
    lines = complex_tensor(acs[index] if acs.ndim == 4 else acs[()], f'{path}: acs').transpose(-1, -2)
    require_finite(lines, f'{path}: acs')
    return without_empty_columns(lines)[None]


def _image_shape(header: Header | None, matrix: tuple[int, int]) -> tuple[int, int] | None:
    if header is None:
        return None
    y, x = header.image_shape
    return min(y, matrix[0]), min(x, matrix[1])
