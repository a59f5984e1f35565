"""To disk, all or nothing: every file is written beside its place, flushed, and then put there in one step."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from types import TracebackType
from typing import Self

import h5py
import torch
from torch import Tensor

from raki.data.scan import Scan


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


class ReconstructionWriter:
    """Write a reconstruction image by image; the file appears when the block ends without an error.

    The layout is fastMRI's: `reconstruction` float32 (image, y, x), which fastMRI's evaluation reads unchanged, and
    on request `kspace`, the filled k-space. Images are ordered by repetition, then slice.
    """

    def __init__(self, path: str | Path, n_images: int) -> None:
        self._replacing = replacing(path)
        self._n_images = n_images

    def __enter__(self) -> Self:
        self._file = h5py.File(self._replacing.__enter__(), 'w')
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._file.close()
        return self._replacing.__exit__(kind, error, trace)

    def put(self, index: int, image: Tensor, kspace: Tensor | None, *, readout_is_rows: bool) -> None:
        """Write one image (y, x) and, on request, its k-space (coil, ky, kx), in the orientation of the input file."""
        self._put('reconstruction', index, image.float(), readout_is_rows)
        if kspace is not None:
            self._put('kspace', index, kspace, readout_is_rows)

    def _put(self, name: str, index: int, array: Tensor, readout_is_rows: bool) -> None:
        values = (array.transpose(-1, -2) if readout_is_rows else array).cpu().numpy()
        dataset = self._file.require_dataset(name, (self._n_images, *values.shape), values.dtype)
        dataset[index] = values

    def describe(self, manifest: Mapping[str, object]) -> None:
        """Store what made the file, as attributes; nested values as JSON."""
        for name, value in manifest.items():
            self._file.attrs[name] = value if isinstance(value, str | int | float) else json.dumps(value)


def write_scan(path: str | Path, scan: Scan, attributes: Mapping[str, object]) -> None:
    """Write a scan in fastMRI layout: kspace (slice, coil, readout, phase encode), mask, and what else it has."""
    with replacing(path) as temporary, h5py.File(temporary, 'w') as file:
        kspace = torch.where(scan.mask[:, None], scan.kspace, 0)
        for name, array in (('kspace', kspace), ('reference', scan.reference), ('acs', scan.calibration)):
            if array is not None:
                file[name] = array.transpose(-1, -2).contiguous().numpy()
        if scan.noise is not None:
            file['noise'] = scan.noise.numpy()
        if not bool(scan.mask.all()):
            file['mask'] = scan.mask.numpy()
        file.attrs.update(dict(attributes))
