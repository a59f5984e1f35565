"""To disk, all or nothing: every file is written beside its place, flushed, and then put there in one step."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkstemp
from types import TracebackType
from typing import Self

import h5py
import torch
from torch import Tensor

from raki.data.scan import Scan
from raki.data.volume import Volume

METADATA_BYTES = 1 << 16
"""Room for what a file holds beside its arrays."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; put it in place of `path` if the block succeeds, remove it otherwise.

    Raises
    ------
    OSError
        If the folder cannot be written to, or is full.
    """
    path = Path(path)
    handle, name = mkstemp(prefix=f'.{path.name}.', suffix='.part', dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open('rb+') as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, all or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def reserve(path: Path, n_bytes: int) -> None:
    """Make the disk hold room for a file before it is written: HDF5 does not survive a disk that fills up under it.

    Raises
    ------
    OSError
        If the disk is too full.
    """
    if not hasattr(os, 'posix_fallocate'):
        return
    with path.open('rb+') as file:
        os.posix_fallocate(file.fileno(), 0, n_bytes + METADATA_BYTES)


@contextmanager
def new_hdf5(path: str | Path, n_bytes: int = 0) -> Iterator[h5py.File]:
    """Give an HDF5 file for writing that appears at `path`, all or nothing, with room for `n_bytes` of samples."""
    with replacing(path) as temporary:
        reserve(temporary, n_bytes)
        with h5py.File(temporary, 'w') as file:
            reserve(temporary, n_bytes)
            yield file


class ReconstructionWriter:
    """Write a reconstruction image by image; the file appears when the block ends without an error.

    The layout is fastMRI's: `reconstruction` float32 (image, y, x), which fastMRI's evaluation reads unchanged, and
    on request `gfactor`, laid out alike, and `kspace` (image, coil, readout, phase encode), the filled k-space. Images
    are ordered by repetition, then slice.
    """

    def __init__(self, path: str | Path, n_images: int) -> None:
        self._path, self._n_images = path, n_images

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._file = stack.enter_context(new_hdf5(self._path))
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._open.__exit__(kind, error, trace)

    def put(
        self, index: int, image: Tensor, kspace: Tensor | None, gfactor: Tensor | None = None, *, readout_is_rows: bool
    ) -> None:
        """Write one image (y, x), in the orientation of the input file, and on request what belongs to it.

        That is k-space (coil, ky, kx) and g-factors (y, x).
        """
        maps = {'reconstruction': image} | ({} if gfactor is None else {'gfactor': gfactor})
        arrays = {name: each.float().mT if readout_is_rows else each.float() for name, each in maps.items()}
        if kspace is not None:
            arrays['kspace'] = kspace.transpose(-1, -2)
        if not len(self._file):
            reserve(Path(self._file.filename), self._n_images * sum(array.nbytes for array in arrays.values()))
            self._file.attrs['image_axes'] = 'image, ' + (
                'readout, phase encode' if readout_is_rows else 'phase encode, readout'
            )
        for name, array in arrays.items():
            values = array.cpu().numpy()
            self._file.require_dataset(name, (self._n_images, *values.shape), values.dtype)[index] = values

    def describe(self, manifest: Mapping[str, object]) -> None:
        """Store what made the file, as attributes; nested values as JSON."""
        for name, value in manifest.items():
            self._file.attrs[name] = value if isinstance(value, str | int | float) else json.dumps(value)


def write_scan(path: str | Path, scan: Scan, attributes: Mapping[str, object]) -> None:
    """Write a scan in fastMRI layout: kspace (slice, coil, readout, phase encode), mask, and what else it has."""
    arrays = {
        'kspace': torch.where(scan.mask[:, None], scan.kspace, 0),
        'reference': scan.reference,
        'acs': scan.calibration,
    }
    present = {name: array for name, array in arrays.items() if array is not None}
    with new_hdf5(path, sum(array.nbytes for array in present.values())) as file:
        for name, array in present.items():
            file[name] = array.transpose(-1, -2).contiguous().numpy()
        if scan.noise is not None:
            file['noise'] = scan.noise.numpy()
        if not bool(scan.mask.all()):
            file['mask'] = scan.mask.numpy()
        file.attrs.update(dict(attributes))


def write_volume(path: str | Path, volume: Volume, attributes: Mapping[str, object]) -> None:
    """Write a volume: kspace, its axes (coil, kz, ky, kx) in an attribute, mask (kz, ky), and what else it has."""
    arrays = {
        'kspace': torch.where(volume.mask[..., None], volume.kspace, 0),
        'reference': volume.reference,
        'noise': volume.noise,
        'mask': volume.mask,
    }
    present = {name: array for name, array in arrays.items() if array is not None}
    with new_hdf5(path, sum(array.nbytes for array in present.values())) as file:
        for name, array in present.items():
            file[name] = array.numpy()
        file['kspace'].attrs['axes'] = 'coil,kz,ky,kx'
        file.attrs.update(dict(attributes))
