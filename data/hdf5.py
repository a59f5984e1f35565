"""Reading HDF5 without surprises: one way to open, one way to get complex numbers, clear refusals."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from raki.data.boundary import reading, require_file
from raki.data.damage.holes import finite_noise
from raki.data.memory import require_memory, require_stored
from raki.errors import ScanError


@contextmanager
def opened(path: str | Path) -> Iterator[h5py.File]:
    """Open for reading; whatever goes wrong meanwhile becomes a ScanError that names the file."""
    require_file(path)
    with reading(path, ' as HDF5'), h5py.File(path, 'r') as file:
        yield file


def dataset(file: h5py.File | h5py.Group, name: str) -> h5py.Dataset:
    """Get the dataset of that name; a ScanError if there is none, or its samples lie in another file."""
    found, path = file.get(name), file.file.filename
    if not isinstance(found, h5py.Dataset):
        raise ScanError(f'{path}: no dataset {name!r}; the file has {", ".join(dataset_names(file)) or "none"}')
    if found.external or found.is_virtual or found.file.filename != path:
        raise ScanError(f'{path}: {name} points to samples in another file, which is not followed: copy them into one')
    return found


def whole(found: h5py.Dataset) -> np.ndarray:
    """Read all of a dataset; a ResourceError if memory does not suffice, a ScanError if the file does not hold it."""
    require_held(found, found.nbytes)
    return found[()]


def require_held(found: h5py.Dataset, n_bytes: int) -> None:
    """Raise unless so many bytes of a dataset can be read at once, and the file may hold what it declares."""
    name = f'{found.file.filename}: {str(found.name).strip("/")}'
    require_memory(n_bytes, name)
    require_stored(n_bytes, found.id.get_storage_size(), name)


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
    return finite_noise(complex_tensor(whole(dataset(file, 'noise')), name), name)


def read_mask(path: Path) -> Tensor:
    """Boolean mask of a .npy file, or of the dataset `object` or `mask` of an HDF5; a ScanError if there is none."""
    require_file(path)
    if path.suffix == '.npy':
        with reading(path, ' as .npy'):
            values = np.load(path, allow_pickle=False)
    else:
        with opened(path) as file:
            values = whole(dataset(file, 'object' if 'object' in file else 'mask'))
    if values.ndim not in (2, 3, 4) or not np.isin(values, (0, 1)).all():
        raise ScanError(f'{path}: a mask needs values 0 and 1 on 2 to 4 axes, got {values.dtype} {values.shape}')
    return torch.from_numpy(values.astype(bool))
