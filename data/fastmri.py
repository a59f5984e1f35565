"""fastMRI-layout HDF5: kspace (slice, coil, readout, phase encode), optional mask, header, calibration, noise.

Zbontar et al. 2018, arXiv:1811.08839. Beyond it: `acs` (separate calibration, axes as kspace or without slice), `noise`
(coil, sample), `reference` (fully sampled truth, shaped like kspace).
"""

import h5py
import numpy as np
from torch import Tensor

from raki.data.hdf5 import complex_tensor, dataset, is_complex, opened, require_finite, require_memory, text_of
from raki.data.header import Header, parse_header
from raki.data.measured import calibration_block, lines_in_file
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError
from raki.fourier import without_oversampling

ATTRIBUTES = ('acquisition', 'source', 'notes')
"""Attributes that people want to see."""


def is_fastmri(file: h5py.File) -> bool:
    """Whether the file has a dataset `kspace` at its root."""
    return isinstance(file.get('kspace'), h5py.Dataset)


def open_fastmri(path: str, mask: str | None = None) -> ScanFile:
    """Read the headers; `mask` as in `open_scan`, by default the dataset of that name where there is one.

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
        facts |= {name: text_of(file.attrs[name]) for name in ATTRIBUTES if name in file.attrs}
        mask = mask or ('mask' if 'mask' in file else None)
    notes = [f'readout oversampling removed: {n_readout} to {crop} samples'] if crop < n_readout else []
    return ScanFile(
        path=path,
        format='fastMRI-layout HDF5',
        shape=(n_slices, n_coils, n_lines, crop),
        read_slice=lambda index, _repetition: _read_slice(path, index, header, crop, mask),
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
    return parse_header(text_of(dataset(file, 'ismrmrd_header')[()]), path)


def _readout_crop(header: Header | None, n_readout: int) -> int:
    return header.image_shape[1] if header is not None and header.encoded.matrix[0] == n_readout else n_readout


def _read_slice(path: str, index: int, header: Header | None, n_readout: int, mask: str | None) -> Scan:
    name = f'{path}: slice {index}'
    with opened(path) as file:
        shape = dataset(file, 'kspace').shape
        kspace = without_oversampling(_lines(dataset(file, 'kspace')[index], name), n_readout)
        reference = _reference(file, index, shape, name)
        measured = lines_in_file(file, kspace, mask, name)
        calibration = _calibration(file, index, n_readout, path)
        noise = _noise(file, path)
    return Scan(
        kspace=kspace[None],
        mask=measured,
        calibration=calibration,
        noise=noise,
        reference=None if reference is None else without_oversampling(reference, n_readout)[None],
        image_shape=_image_shape(header, (shape[3], n_readout)),
        voxel_size=header.voxel_size if header else None,
        readout_is_rows=True,
    )


def _lines(samples: np.ndarray, name: str) -> Tensor:
    """(coil, readout, phase encode) of the file to (coil, ky, kx)."""
    kspace = complex_tensor(samples, name).transpose(-1, -2).contiguous()
    require_finite(kspace, name)
    return kspace


def _reference(file: h5py.File, index: int, shape: tuple[int, ...], name: str) -> Tensor | None:
    if 'reference' not in file:
        return None
    reference = dataset(file, 'reference')
    if reference.shape != shape:
        raise ScanError(f'{name}: reference must have the shape of kspace {shape}, got {reference.shape}')
    return _lines(reference[index], f'{name} of the reference')


def _noise(file: h5py.File, path: str) -> Tensor | None:
    if 'noise' not in file:
        return None
    noise = complex_tensor(dataset(file, 'noise')[()], f'{path}: noise')
    require_finite(noise[:, None], f'{path}: noise')
    return noise


def _calibration(file: h5py.File, index: int, n_readout: int, path: str) -> Tensor | None:
    if 'acs' not in file:
        return None
    (n_slices, n_coils, n_samples, _), acs = dataset(file, 'kspace').shape, dataset(file, 'acs')
    if acs.ndim not in (3, 4) or acs.shape[-3] != n_coils or (acs.ndim == 4 and acs.shape[0] != n_slices):
        raise ScanError(
            f'{path}: acs must have axes (slice, coil, readout, phase encode) with {n_slices} slices and '
            f'{n_coils} coils, got {acs.shape}'
        )
    if acs.ndim == 3 and n_slices > 1:
        raise ScanError(f'{path}: acs {acs.shape} has no slice axis, but kspace has {n_slices} slices')
    if n_readout < n_samples != acs.shape[-2]:
        raise ScanError(
            f'{path}: acs must have the {n_samples} readout samples of kspace, got {acs.shape[-2]}: '
            'the header says that both are oversampled'
        )
    lines = _lines(acs[index] if acs.ndim == 4 else acs[()], f'{path}: acs')
    return calibration_block(lines, n_readout if n_readout < n_samples else lines.shape[-1])[None]


def _image_shape(header: Header | None, matrix: tuple[int, int]) -> tuple[int, int] | None:
    if header is None:
        return None
    y, x = header.image_shape
    return min(y, matrix[0]), min(x, matrix[1])
