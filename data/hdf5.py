"""Reading HDF5 without surprises: one way to open, one way to get complex numbers, clear refusals."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from raki.errors import ResourceError, ScanError

COMPLEX64_BYTES = 8

MEMORY_SHARE = 0.5
"""Part of the machine's memory that one read may take."""

VOLUME_COPIES = 7
"""A volume is read whole, and this many of it are in memory while its images are computed [1]."""


@contextmanager
def opened(path: str | Path) -> Iterator[h5py.File]:
    """Open for reading; whatever the library finds wrong with the file becomes a ScanError that names it."""
    if not Path(path).is_file():
        raise ScanError(f'{path}: is a folder, name a file in it' if Path(path).is_dir() else f'{path}: no such file')
    try:
        with h5py.File(path, 'r') as file:
            yield file
    except BlockingIOError as error:
        raise ScanError(f'{path}: another program is writing it: try again when it is complete') from error
    except (OSError, RuntimeError) as error:
        raise ScanError(
            f'{path}: cannot be read as HDF5, it may be truncated or damaged ({" ".join(str(error).split())})'
        ) from error


def dataset(file: h5py.File | h5py.Group, name: str) -> h5py.Dataset:
    """Get the dataset of that name.

    Raises
    ------
    ScanError
        If there is none (the names there are are told), or its samples lie in another file.
    """
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise ScanError(
            f'{file.file.filename}: no dataset {name!r}; the file has {", ".join(dataset_names(file)) or "none"}'
        )
    if found.external or found.is_virtual or found.file.filename != file.file.filename:
        raise ScanError(
            f'{file.file.filename}: {name} points to samples in another file, which is not followed: '
            'copy them into one file'
        )
    return found


def text_of(value: object) -> str:
    """Text as HDF5 stores it: str or bytes, alone or as the only entry of an array; other values as Python writes them.

    Raises
    ------
    ScanError
        If it is an empty array.
    """
    if isinstance(value, np.ndarray):
        if value.size == 0:
            raise ScanError('a text is wanted, got an empty array')
        value = value.ravel()[0]
    return value.decode(errors='replace') if isinstance(value, bytes) else str(value)


def dataset_names(file: h5py.File | h5py.Group) -> list[str]:
    """Names of all datasets with their shapes, such as `kspace (1, 16, 128, 128)`."""
    names: list[str] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            names.append(f'{name} {item.shape}')

    file.visititems(visit)
    return names


def is_complex(dtype: np.dtype) -> bool:
    """Whether samples are complex, as numbers or as pairs named (r, i) or (real, imag)."""
    return dtype.kind == 'c' or dtype.names in (('r', 'i'), ('real', 'imag'))


def complex_tensor(array: np.ndarray, name: str) -> Tensor:
    """Samples as complex64; `name` says in an error where they come from."""
    if array.dtype.names is not None and is_complex(array.dtype):
        real, imaginary = (array[part] for part in array.dtype.names)
        array = real.astype(np.float32) + 1j * imaginary.astype(np.float32)
    if array.dtype.kind != 'c':
        raise ScanError(f'{name} must hold complex samples, got {array.dtype}')
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.complex64))


def memory_bytes() -> int:
    """Memory of this machine [byte]."""
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def require_memory(n_bytes: int, name: str) -> None:
    """Refuse to read more at once than the machine can hold."""
    memory = memory_bytes()
    if n_bytes > MEMORY_SHARE * memory:
        raise ResourceError(
            f'{name} needs {n_bytes / 1e9:.1f} GB at once, of {memory / 1e9:.1f} GB of memory: '
            'read fewer slices, or use a larger machine'
        )


def volume_bytes(shape: Sequence[int], name: str) -> int:
    """Memory that a volume of this shape, axes (coil, kz, ky, kx), takes from reading to images [byte].

    Raises
    ------
    ResourceError
        If the machine has less.
    """
    n_bytes = VOLUME_COPIES * COMPLEX64_BYTES * prod(shape)
    if n_bytes > memory_bytes():
        raise ResourceError(
            f'{name}: a volume of {" x ".join(map(str, shape))} (coil, kz, ky, kx) is read whole and needs '
            f'{n_bytes / 1e9:.1f} GB, of {memory_bytes() / 1e9:.1f} GB of memory: use a larger machine'
        )
    return n_bytes


def require_finite(kspace: Tensor, name: str) -> None:
    """Raise a ScanError that names the first coil and line with NaN or infinity, axes (..., coil, line, readout)."""
    bad = ~torch.isfinite(torch.view_as_real(kspace)).all(-1)
    if bool(bad.any()):
        *_, coil, line, sample = (int(index) for index in bad.nonzero()[0])
        raise ScanError(
            f'{name}: {int(bad.sum())} samples are NaN or infinite, the first in coil {coil}, line {line}, '
            f'sample {sample}: '
            'repair the file or leave out that line'
        )
