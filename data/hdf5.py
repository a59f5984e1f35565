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

from raki.data.notes import Note
from raki.errors import ResourceError, ScanError

COMPLEX64_BYTES = 8

MEMORY_SHARE = 0.5
"""Part of the machine's memory that one read may take."""

WORKING_BYTES, COPIES = 1_200_000_000, 8
"""What a reconstruction takes whatever the size of a slab, the libraries included [byte], and how many of the slab are
in memory with the default method [1], as `benchmarks/volume_memory.py` measures."""


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
        reason = ' '.join(str(error).split())
        raise ScanError(f'{path}: cannot be read as HDF5, it may be truncated or damaged ({reason})') from error


def dataset(file: h5py.File | h5py.Group, name: str) -> h5py.Dataset:
    """Get the dataset of that name; a ScanError if there is none, or its samples lie in another file."""
    found, path = file.get(name), file.file.filename
    if not isinstance(found, h5py.Dataset):
        raise ScanError(f'{path}: no dataset {name!r}; the file has {", ".join(dataset_names(file)) or "none"}')
    if found.external or found.is_virtual or found.file.filename != path:
        raise ScanError(f'{path}: {name} points to samples in another file, which is not followed: copy them into one')
    return found


def text_of(value: object) -> str:
    """Text as HDF5 stores it: str or bytes, alone or first in an array (not empty); others as Python writes them."""
    if isinstance(value, np.ndarray):
        if value.size == 0:
            raise ScanError('a text is wanted, got an empty array')
        value = value.flat[0]
    return value.decode(errors='replace') if isinstance(value, bytes) else str(value)


def facts_of(file: h5py.File) -> dict[str, str]:
    """Attributes of a file that people want to see."""
    return texts_of(file, ('acquisition', 'source', 'notes'))


def texts_of(file: h5py.File, names: Sequence[str]) -> dict[str, str]:
    """Attributes of a file by these names, as text, where they are."""
    return {name: text_of(file.attrs[name]) for name in names if name in file.attrs}


def dataset_names(file: h5py.File | h5py.Group) -> list[str]:
    """Names of all datasets with their shapes, such as `kspace (1, 16, 128, 128)`."""
    items: list[tuple[str, object]] = []
    file.visititems(lambda *named: items.append(named))
    return [f'{name} {item.shape}' for name, item in items if isinstance(item, h5py.Dataset)]


def is_complex(dtype: np.dtype) -> bool:
    """Whether samples are complex, as numbers or as pairs named (r, i) or (real, imag)."""
    return dtype.kind == 'c' or dtype.names in (('r', 'i'), ('real', 'imag'))


def complex_tensor(array: np.ndarray, name: str) -> Tensor:
    """Samples as complex64; `name` says in an error where they come from."""
    if array.dtype.names is not None and is_complex(array.dtype):
        real, imaginary = (array[part] for part in array.dtype.names)
        array = real + np.complex64(1j) * imaginary
    if array.dtype.kind != 'c':
        raise ScanError(f'{name} must hold complex samples, got {array.dtype}')
    with np.errstate(over='ignore', under='ignore'):
        samples = np.require(array, np.complex64, ['C', 'W'])
    _require_kept(array, samples, name)
    return torch.from_numpy(samples)


def _require_kept(array: np.ndarray, samples: np.ndarray, name: str) -> None:
    """Refuse numbers of double precision that are not of single precision."""
    if array.dtype.itemsize <= samples.dtype.itemsize:
        return
    most = float(np.abs(array[np.isfinite(array)]).max(initial=0))
    if most > float(np.finfo(np.float32).max) or 0 < most < float(np.finfo(np.float32).tiny):
        change = 'divide' if most > 1 else 'multiply'
        raise ScanError(
            f'{name}: samples go up to {most:.1e}, beyond single precision (1.2e-38 to 3.4e38): '
            f'{change} all samples by a constant'
        )


def noise_of(file: h5py.File) -> Tensor | None:
    """Noise samples of the dataset `noise`, axes (coil, sample), where there is one."""
    if 'noise' not in file:
        return None
    name = f'{file.filename}: noise'
    return finite(complex_tensor(dataset(file, 'noise')[()], name)[:, None], name)[:, 0]


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


def reconstruction_bytes(shape: Sequence[int]) -> int:
    """Memory from reading a slab of k-space, axes (slab, coil, phase axes, kx), to its images [byte]."""
    return WORKING_BYTES + COPIES * COMPLEX64_BYTES * prod(shape[1:])


def require_memory_of_slab(shape: Sequence[int], n_bytes: int, path: str) -> list[Note]:
    """Note what a volume, `shape` (slab, coil, kz, ky, kx), takes; a ResourceError if the machine has less.

    Of slices, axes (slab, coil, ky, kx), nothing is noted; one takes `n_bytes` to read.
    """
    if len(shape) == 4:
        require_memory(n_bytes, f'{path}: one slice')
        return []
    gigabytes, memory = reconstruction_bytes(shape) / 1e9, memory_bytes() / 1e9
    if gigabytes > memory:
        raise ResourceError(
            f'{path}: a volume of {" x ".join(map(str, shape[1:]))} (coil, kz, ky, kx) is read whole and needs '
            f'{gigabytes:.1f} GB, of {memory:.1f} GB of memory: use a larger machine'
        )
    return [Note(f'a volume is read whole and needs {gigabytes:.2g} GB of memory')]


def finite(kspace: Tensor, name: str) -> Tensor:
    """Give samples (..., coil, line, readout) back; a ScanError names the first that is NaN or infinite."""
    bad = ~torch.isfinite(torch.view_as_real(kspace)).all(-1)
    if bool(bad.any()):
        *_, coil, line, sample = (int(index) for index in bad.nonzero()[0])
        raise ScanError(
            f'{name}: {int(bad.sum())} samples are NaN or infinite, the first in coil {coil}, line {line}, '
            f'sample {sample}: repair the file or leave out that line'
        )
    return kspace


def read_mask(path: Path) -> Tensor:
    """Boolean mask of a .npy file, or of the dataset `object` or `mask` of an HDF5; a ScanError if there is none."""
    if path.suffix == '.npy':
        try:
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ScanError(f'{path}: cannot be read as .npy ({error})') from error
    else:
        with opened(path) as file:
            values = dataset(file, 'object' if 'object' in file else 'mask')[()]
    if values.ndim not in (2, 3, 4) or not np.isin(values, (0, 1)).all():
        raise ScanError(f'{path}: a mask needs values 0 and 1 on 2 to 4 axes, got {values.dtype} {values.shape}')
    return torch.from_numpy(values.astype(bool))
