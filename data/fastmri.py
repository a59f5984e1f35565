"""fastMRI-layout HDF5: kspace (slice, coil, readout, phase encode), optional mask, header, calibration, noise.

Zbontar et al. 2018, arXiv:1811.08839. Beyond it: `acs` (separate calibration, axes as kspace or without slice), `noise`
(coil, sample), `reference` (fully sampled truth, shaped like kspace).
"""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from torch import Tensor

from raki.data.damage.holes import finite
from raki.data.foreign import order_of_axes
from raki.data.generic import DatasetLayout
from raki.data.hdf5 import (
    complex_tensor,
    dataset,
    facts_of,
    is_complex,
    noise_of,
    opened,
    require_held,
    texts_of,
    whole,
)
from raki.data.measured import Masking, calibration_block, lines_in_file, measured_only, reached_readout
from raki.data.memory import COPIES, require_memory
from raki.data.mrd.header import header_of
from raki.data.notes import LEFT_OUT, Note, oversampling_removed
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError
from raki.fourier import without_oversampling


def is_fastmri(file: h5py.File) -> bool:
    """Whether the file has a dataset `kspace` at its root."""
    return isinstance(file.get('kspace'), h5py.Dataset)


def open_fastmri(path: str, _layout: DatasetLayout | None = None, mask: str | None = None) -> ScanFile:
    """Read the headers, `mask` as in `open_scan`; a ScanError if the dataset is not laid out as fastMRI does it."""
    with opened(path) as file:
        kspace = dataset(file, 'kspace')
        _require_layout(kspace, path)
        require_memory(kspace.nbytes // len(kspace), f'{path}: one slice', COPIES)
        require_held(kspace, kspace.nbytes // len(kspace))
        header = header_of(file, 'ismrmrd_header') if 'ismrmrd_header' in file else None
        n_slices, n_coils, n_readout, n_lines = kspace.shape
        crop = header.image_shape(2)[1] if header and header.encoded.matrix[0] == n_readout else n_readout
        image_shape = tuple(map(min, header.image_shape(2), (n_lines, crop))) if header else None
        voxel_size = header.voxel_size(2) if header else None
        facts = {**(header.facts if header else {}), **facts_of(file)}
        identity = {**(header.identity if header else {}), **texts_of(file, ['patient_id'])}
        notes = [oversampling_removed(n_readout, crop)] if crop < n_readout else []
        notes += _mask_note(file, mask or 'mask')
        if header is None and 'reconstruction_rss' in file:
            notes.append(
                Note('images have phase encoding vertical, reconstruction_rss of the file has the readout vertical')
            )
    return ScanFile(
        path=path,
        format='fastMRI-layout HDF5',
        shape=(n_slices, n_coils, n_lines, crop),
        read_slab=lambda index, _repetition: replace(
            _read_slice(path, index, crop, mask), image_shape=image_shape, voxel_size=voxel_size
        ),
        image_shape=image_shape,
        facts=facts,
        identity=identity,
        notes=notes,
        readout_is_rows=header is not None,  # others only have the layout of fastMRI, and lie as other formats do
    )


def _require_layout(kspace: h5py.Dataset, path: str) -> None:
    if kspace.ndim != 4 or not is_complex(kspace.dtype):
        raise ScanError(
            f'{path}: kspace must be complex with axes (slice, coil, readout, phase encode), '
            f'got {kspace.dtype} {kspace.shape}: for another layout give --dataset kspace --axes ...'
            f'{order_of_axes(Path(path))}'
        )
    if 0 in kspace.shape:
        raise ScanError(f'{path}: kspace is empty, its shape is {kspace.shape}')
    if kspace.shape[1] > min(kspace.shape[2:]):
        raise ScanError(
            f'{path}: kspace must have axes (slice, coil, readout, phase encode), got {kspace.shape}, '
            'more coils than lines; if the coils are the last axis, give --dataset kspace --axes slice,kx,ky,coil'
        )


def _mask_note(file: h5py.File, mask: str) -> list[Note]:
    """Say so where a mask calls lines missing that hold samples: of the first slice, the line nearest to the middle."""
    kspace = dataset(file, 'kspace')
    stated = np.squeeze(whole(dataset(file, mask))) if mask in file else np.ones(0)
    if stated.shape != kspace.shape[-1:] or bool(stated.all()):
        return []
    missing = np.flatnonzero(stated == 0)
    line = int(missing[np.abs(missing - len(stated) // 2).argmin()])
    has_samples = bool(np.any(kspace[0, :, :, line] != np.zeros((), kspace.dtype)))
    text = f'the mask calls lines missing that hold samples, such as line {line}: they are left out'
    return [Note(text, LEFT_OUT)] * has_samples


def _read_slice(path: str, index: int, n_readout: int, mask: str | None) -> Scan:
    name = f'{path}: slice {index}'
    with opened(path) as file:
        whole = _lines(dataset(file, 'kspace')[index], name)
        kspace = without_oversampling(whole, n_readout)
        measured = lines_in_file(file, kspace, Masking(mask), name)
        return Scan(
            kspace=measured_only(kspace, measured)[None],
            mask=measured,
            calibration=_calibration(file, index, n_readout, path),
            noise=noise_of(file),
            reference=_reference(file, index, n_readout, name),
            readout=reached_readout(whole, n_readout),
        )


def _lines(samples: np.ndarray, name: str) -> Tensor:
    """(coil, readout, phase encode) of the file to (coil, ky, kx)."""
    return finite(complex_tensor(samples.swapaxes(-1, -2), name), name)


def _reference(file: h5py.File, index: int, n_readout: int, name: str) -> Tensor | None:
    if 'reference' not in file:
        return None
    reference, shape = dataset(file, 'reference'), dataset(file, 'kspace').shape
    if reference.shape != shape:
        raise ScanError(f'{name}: reference must have the shape of kspace {shape}, got {reference.shape}')
    require_held(reference, reference.nbytes // len(reference))
    return without_oversampling(_lines(reference[index], f'{name} of the reference'), n_readout)[None]


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
    require_held(acs, acs.nbytes // (n_slices if acs.ndim == 4 else 1))
    lines = _lines(acs[index] if acs.ndim == 4 else acs[()], f'{path}: acs')
    return calibration_block(lines, n_readout if n_readout < n_samples else lines.shape[-1])[None]
