"""Arrays of .npy and .npz files, mapped into memory where they are stored plainly; nothing in them is ever executed."""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import IO
from zlib import crc32

import numpy as np

from raki.data.memory import require_memory, require_stored
from raki.errors import ScanError

NPY, ZIP = b'\x93NUMPY', b'PK\x03\x04'
"""First bytes of a .npy file, and of an archive such as .npz."""

BLOCK = 1 << 20
"""What is summed at once [byte]."""

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
def opened_numpy(path: str) -> Iterator[Mapping[str, np.ndarray]]:
    """Give the arrays of a file by name; the one of a .npy file is `kspace`. A ScanError if they cannot be read."""
    try:
        yield {'kspace': _mapped(Path(path), 0)} if starts_with(Path(path), NPY) else Archive(Path(path))
    except (OSError, zipfile.BadZipFile) as error:
        raise ScanError(f'{path}: cannot be read, it may be truncated or damaged ({error})') from error


class Archive(Mapping[str, np.ndarray]):
    """The arrays of a .npz file by name, each read when it is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith('.npy')]
        self._members = {member.filename.removesuffix('.npy'): member for member in members}

    def __getitem__(self, name: str) -> np.ndarray:
        member = self._members[name]
        with zipfile.ZipFile(self._path) as archive:
            return _member(self._path, archive, member)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type == zipfile.ZIP_STORED:
        with path.open('rb') as file:
            file.seek(member.header_offset)
            header = file.read(LOCAL_HEADER)
        lengths = np.frombuffer(header[-4:], '<u2').astype(int).sum()
        start = member.header_offset + LOCAL_HEADER + int(lengths)
        _require_intact(path, path.stat().st_mtime_ns, start, member.file_size, member.CRC)
        return _mapped(path, start)
    name = f'{path}: {member.filename}, which is compressed,'
    require_memory(member.file_size, name)
    require_stored(member.file_size, member.compress_size, name)
    with archive.open(member) as file:
        shape, is_fortran, dtype = _header(file, path)
        n_bytes = _require_room(shape, dtype, member.file_size - file.tell(), path)
        return np.frombuffer(file.read(n_bytes), dtype).reshape(shape, order='F' if is_fortran else 'C')


@lru_cache(maxsize=64)
def _require_intact(path: Path, _changed: int, start: int, size: int, expected: int) -> None:
    """Refuse a member of `size` bytes from `start` on with another sum (CRC-32) than the archive has; looked at once.

    Whatever is read through zipfile is checked there.
    """
    found, rest = 0, size
    with path.open('rb') as file:
        file.seek(start)
        while block := file.read(min(BLOCK, rest)):
            found, rest = crc32(block, found), rest - len(block)
    if rest or found != expected:
        raise ScanError(f'{path}: is damaged, the bytes of an array have another sum (CRC-32) than the archive says')


def _mapped(path: Path, offset: int) -> np.ndarray:
    """Map the .npy file that begins at `offset` [byte] of a file, for reading."""
    with path.open('rb') as file:
        file.seek(offset)
        shape, is_fortran, dtype = _header(file, path)
        start = file.tell()
    if not _require_room(shape, dtype, path.stat().st_size - start, path) or not shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, 'r', start, shape, order='F' if is_fortran else 'C')


def _header(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the first axis is the fastest, and type; the file then stands at the samples."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return read(file)
    except ValueError as error:
        raise ScanError(f'{path}: cannot be read as .npy ({" ".join(str(error).split())})') from error


def _require_room(shape: tuple[int, ...], dtype: np.dtype, room: int, path: Path) -> int:
    """Size of an array [byte]; a ScanError if it is none of numbers, or there are fewer bytes."""
    if dtype.hasobject:
        raise ScanError(f'{path}: holds Python objects, which are never loaded: save a complex array')
    n_bytes = prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or n_bytes > room:
        raise ScanError(f'{path}: truncated, an array {dtype} {shape} needs {n_bytes} bytes, and {room} are there')
    return n_bytes
