"""Arrays of .npy and .npz files, mapped into memory where they are stored plainly; nothing in them is ever executed."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np

from raki.data.hdf5 import require_memory
from raki.errors import ScanError

NPY, ZIP = b'\x93NUMPY', b'PK\x03\x04'
"""First bytes of a .npy file, and of an archive such as .npz."""

LOCAL_HEADER = 30
"""Size of what stands before the name of an archived file; the lengths of name and extra field are its end [byte]."""


def starts_with(path: Path, magic: bytes, offset: int = 0) -> bool:
    """Whether a file has these bytes at this place."""
    if not path.is_file():
        return False
    with path.open('rb') as file:
        file.seek(offset)
        return file.read(len(magic)) == magic


def is_numpy(path: Path) -> bool:
    """Whether it is a .npy file, or an archive of them, by its first bytes."""
    return starts_with(path, NPY) or (path.suffix == '.npz' and starts_with(path, ZIP))


@contextmanager
def opened_numpy(path: str) -> Iterator[dict[str, np.ndarray]]:
    """Give the arrays of a file by name; the one of a .npy file is `kspace`. A ScanError if they cannot be read."""
    try:
        yield {'kspace': _mapped(Path(path), 0)} if starts_with(Path(path), NPY) else _archived(Path(path))
    except (OSError, zipfile.BadZipFile) as error:
        raise ScanError(f'{path}: cannot be read, it may be truncated or damaged ({error})') from error


def _archived(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith('.npy')]
        return {member.filename.removesuffix('.npy'): _member(path, archive, member) for member in members}


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type == zipfile.ZIP_STORED:
        with path.open('rb') as file:
            file.seek(member.header_offset)
            header = file.read(LOCAL_HEADER)
        lengths = np.frombuffer(header[-4:], '<u2').astype(int).sum()
        return _mapped(path, member.header_offset + LOCAL_HEADER + int(lengths))
    require_memory(member.file_size, f'{path}: {member.filename}, which is compressed,')
    with archive.open(member) as file:
        try:
            return np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ScanError(f'{path}: {member.filename} cannot be read as .npy ({error})') from error


def _mapped(path: Path, offset: int) -> np.ndarray:
    """Map the .npy file that begins at `offset` [byte] of a file, for reading."""
    with path.open('rb') as file:
        file.seek(offset)
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, is_fortran, dtype = read(file)
        except ValueError as error:
            raise ScanError(f'{path}: cannot be read as .npy ({" ".join(str(error).split())})') from error
        start = file.tell()
    n_bytes, room = prod(shape) * dtype.itemsize, path.stat().st_size - start
    if dtype.hasobject:
        raise ScanError(f'{path}: holds Python objects, which are never loaded: save a complex array')
    if n_bytes > room:
        raise ScanError(f'{path}: truncated, an array {dtype} {shape} needs {n_bytes} bytes, and {room} are there')
    if n_bytes == 0 or not shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, 'r', start, shape, order='F' if is_fortran else 'C')
