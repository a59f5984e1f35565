"""To disk, all or nothing: every file is written beside its place, flushed, and then put there in one step.

The formats of reconstructions are in `raki.data.images.outputs`.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from stat import S_IMODE
from time import sleep
from typing import Any, Protocol, Self, TypeVar

import h5py
import torch
from torch import Tensor

from raki.data.digests import PLACEHOLDER, is_whole, seal, sealed_json
from raki.data.place import Place
from raki.data.scan import Scan
from raki.data.temporary import remove_abandoned, temporary_name, undisturbed
from raki.errors import ScanError

Format = TypeVar('Format')

N_TRIES, PAUSE = 500, 0.02
"""How often, and after how long [s], a program looks whether another has put its files in place."""

METADATA_BYTES = 1 << 16
"""Room for what a file holds beside its arrays."""


def require_replaceable(path: Path) -> None:
    """Raise an OSError if there is something at `path` that is not an ordinary file: it must not be replaced."""
    kind = kind_of(path)
    if kind:
        raise FileExistsError(f'{path} is {kind}, which is never replaced: name a file')


def kind_of(path: Path) -> str:
    """What is at a path, in words; empty where there is nothing, or an ordinary file."""
    if path.is_symlink():
        return 'a link'
    kinds = {'a folder': path.is_dir, 'a pipe': path.is_fifo, 'a socket': path.is_socket}
    kinds |= {'a device': lambda: path.is_block_device() or path.is_char_device()}
    return next((kind for kind, is_it in kinds.items() if is_it()), '')


def _prepare(temporary: Path, path: Path) -> None:
    """Make the disk hold a file, with the permissions of that in whose place it will be put."""
    _flush(temporary, os.O_RDWR)
    require_replaceable(path)
    if path.exists():
        temporary.chmod(S_IMODE(path.stat().st_mode))


def _put(temporaries: Mapping[Path, Path], seal: Path | None) -> None:
    """Put files in place: the seal is taken away before any other, and comes last."""
    if seal is not None:
        seal.unlink(missing_ok=True)
        _flush(seal.parent, os.O_RDONLY)
    for part in ([path for path in temporaries if path != seal], [path for path in temporaries if path == seal]):
        for path in part:
            temporaries[path].replace(path)
        for folder in {path.parent for path in part}:
            _flush(folder, os.O_RDONLY)


def _flush(path: Path, flags: int) -> None:
    """Make the disk hold a file, or the names in a folder."""
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class NewFiles(dict[Path, Path]):
    """New files by the paths that they will have, in the order in which they were asked for."""

    def __call__(self, path: Path) -> Path:
        """Give a new file in the same folder, to be written in the stead of `path`."""
        if path not in self:
            require_replaceable(path)
            remove_abandoned(path)
            self[path] = temporary_name(path)
            self[path].touch(0o600 if path.exists() else 0o666, exist_ok=False)
        return self[path]

    def describe(self, path: Path, manifest: Mapping[str, object]) -> None:
        """Write at `path` what made these files, with the sums of all, as the last of them.

        Nothing is written if there is one file only, and this carries its own sum.
        """
        if len(self) > 1 or not all(map(is_whole, self.values())):
            text = sealed_json(manifest, {each.name: temporary for each, temporary in self.items()})
            self(path).write_text(text, encoding='utf-8')


@contextmanager
def replacing_all(seal: Path | None = None) -> Iterator[NewFiles]:
    """Give new files, to be written in the stead of others.

    If the block succeeds all of them are put in place, none before all are on the disk; otherwise they are removed. A
    file that is replaced leaves its permissions to the new one. An OSError if something else is there, such as a link.

    One after the other is put in place, the manifest last: if the program is killed between, the old manifest, or none,
    is there, and a set that is partly new is not what it names. Where `seal` names one of them, the old one is removed
    before any other is replaced, and the new one comes last: where it is, all files belong together. Programs that
    write in the same folder wait for each other.
    """
    new_files = NewFiles()
    try:
        yield new_files
        for path, temporary in new_files.items():
            _prepare(temporary, path)
        with ExitStack() as stack:
            stack.enter_context(undisturbed(f'{", ".join(path.name for path in new_files)} written before'))
            for folder in sorted({path.parent for path in new_files}):
                stack.enter_context(_turn_in(folder))
            _put(new_files, seal)
    finally:
        for temporary in new_files.values():
            temporary.unlink(missing_ok=True)


@contextmanager
def _turn_in(folder: Path) -> Iterator[None]:
    """Wait until no other program puts its files in a folder; not for ever, nor where a disk knows no such turns."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(N_TRIES):
            try:
                flock(handle, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                sleep(PAUSE)
            except OSError:
                break
            else:
                break
        yield
    finally:
        os.close(handle)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a new file in the same folder; put it in place of `path` if the block succeeds, remove it otherwise."""
    with replacing_all() as new_file:
        yield new_file(Path(path))


def by_suffix(path: str | Path, formats: Mapping[str, Format], kind: str) -> Format:
    """Give the first of `formats`, by suffix, that a file's name asks for; a ValueError says what `kind` lacks it."""
    name = Path(path).name.lower()
    found = next((each for suffix, each in formats.items() if name.endswith(suffix) and name != suffix), None)
    if found is None:
        raise ValueError(f'{path}: no {kind} this suffix: choose from {", ".join(formats)}')
    return found


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, all or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def reserve(path: Path, n_bytes: int) -> None:
    """Make the disk hold room for a file, or raise an OSError: HDF5 does not survive a disk that fills up under it."""
    if hasattr(os, 'posix_fallocate'):
        with path.open('rb+') as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes + METADATA_BYTES)


@contextmanager
def hdf5_in(temporary: Path, n_bytes: int = 0) -> Iterator[h5py.File]:
    """Give an HDF5 file for writing in an empty file, with room for `n_bytes` of samples; it will carry its sum."""
    reserve(temporary, n_bytes)
    with h5py.File(temporary, 'w') as file:
        reserve(temporary, n_bytes)
        yield file
        file.attrs['sha256'] = PLACEHOLDER
    seal(temporary)


@contextmanager
def new_hdf5(path: str | Path, n_bytes: int = 0) -> Iterator[h5py.File]:
    """Give an HDF5 file for writing that appears at `path`, all or nothing, with room for `n_bytes` of samples."""
    with replacing(path) as temporary, hdf5_in(temporary, n_bytes) as file:
        yield file


@dataclass(frozen=True, slots=True, eq=False)
class OutputImage:
    """One image of a reconstruction with what came with it, on its way to a file."""

    image: Tensor
    """Magnitude, axes (y, x), that are phase encode and readout."""

    place: Place
    """Where it belongs."""

    kspace: Tensor | None = None
    """Filled k-space, axes (coil, ky, kx), where it is wanted."""

    gfactor: Tensor | None = None
    """g-factor map, axes as the image, where it is wanted [1]."""

    readout_is_rows: bool = False
    """Whether images of the input file have the readout along their rows."""

    voxel_size: tuple[float, ...] | None = None
    """Size of a pixel along (y, x) [m], for images of which only this is known."""

    @property
    def maps(self) -> dict[str, Tensor]:
        """Image and g-factors by the names they have in files, oriented as in the input file."""
        maps = {'reconstruction': self.image} | ({} if self.gfactor is None else {'gfactor': self.gfactor})
        return {name: each.float().mT if self.readout_is_rows else each.float() for name, each in maps.items()}


class Writer(Protocol):
    """Writes a reconstruction image by image, as a context; files appear when it ends without an error."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> bool | None: ...

    def put(self, index: int, image: OutputImage) -> None:
        """Write one image; images are ordered by frame, then slice."""
        ...

    def describe(self, manifest: Mapping[str, object]) -> None:
        """Store what made the file."""
        ...


def describe_in(file: h5py.File, manifest: Mapping[str, object]) -> None:
    """Store what made a file, as its attributes; nested values as JSON."""
    for name, value in manifest.items():
        file.attrs[name] = value if isinstance(value, str | int | float) else json.dumps(value)


def write_scan(path: str | Path, scan: Scan, attributes: Mapping[str, object]) -> None:
    """Write kspace and, where there are, mask, noise (coil, sample) and reference, all or nothing.

    Slices are in fastMRI layout: kspace (slice, coil, readout, phase encode), and separate calibration in `acs`. A
    volume names its axes (coil, kz, ky, kx) in an attribute. A ScanError if there are several volumes, or a volume with
    separate calibration: no reader would find them.
    """
    is_volume = scan.n_phase_axes == 2
    if is_volume and (scan.n_slabs > 1 or scan.calibration is not None):
        raise ScanError(
            f'a file holds one volume without separate calibration, got {scan.n_slabs} volumes'
            f'{"" if scan.calibration is None else " with calibration"}: write them one by one'
        )
    kspace = torch.where(scan.mask[..., None], scan.kspace, 0)
    arrays = {'kspace': kspace, 'reference': scan.reference, 'acs': scan.calibration}
    present = {name: array for name, array in arrays.items() if array is not None}
    with new_hdf5(path, sum(array.nbytes for array in present.values())) as file:
        for name, array in present.items():
            file[name] = (array[0] if is_volume else array.transpose(-1, -2).contiguous()).numpy()
        if is_volume:
            file['kspace'].attrs['axes'] = 'coil,kz,ky,kx'
        if scan.noise is not None:
            file['noise'] = scan.noise.numpy()
        if not bool(scan.mask.all()):
            file['mask'] = scan.mask.numpy()
        describe_in(file, attributes)
