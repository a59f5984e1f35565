"""From a path to a scan: recognise the format by its content, call one reader."""

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import NamedTuple

import h5py

from raki.data.fastmri import is_fastmri, open_fastmri
from raki.data.generic import DatasetLayout, names_its_axes, open_generic
from raki.data.hdf5 import COMPLEX64_BYTES, dataset_names, opened, require_memory
from raki.data.ismrmrd import is_ismrmrd, open_ismrmrd
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError


class Reader(NamedTuple):
    """How one file format is recognised and opened."""

    name: str
    """The format and what gives it away, for people."""

    recognises: Callable[[h5py.File], bool]
    """Whether a file has this format, by its content."""

    open: Callable[[str, DatasetLayout | None, str | None], ScanFile]
    """Read the headers of a path; layout and mask as in `open_scan`."""


GENERIC = Reader('named axes (an attribute "axes" of a dataset "kspace")', names_its_axes, open_generic)

READERS = [
    GENERIC,
    Reader('fastMRI layout (a dataset "kspace")', is_fastmri, open_fastmri),
    Reader('ISMRMRD ("dataset/data" with "dataset/xml")', is_ismrmrd, open_ismrmrd),
]
"""Every format, in the order in which they are tried."""


def open_scan(path: str | Path, layout: DatasetLayout | None = None, mask: str | None = None) -> ScanFile:
    """Recognise a file and read its headers; samples are read later, slab by slab.

    Parameters
    ----------
    path
        An HDF5 file.
    layout
        Which dataset to read, with its axes, where the file is in no format that we recognise and does not name them
        itself in an attribute `axes` of `kspace`.
    mask
        Name of the dataset that tells which lines were measured, or `zeros` if lines of zeros were not; by default
        what the format has for it, a dataset `mask` in HDF5, and every line where it has nothing.

    Raises
    ------
    ScanError
        If there is no such file, it is not HDF5, or holds no k-space that we can read.
    ResourceError
        If a single slice, or a volume with its reconstruction, does not fit into memory.
    """
    path = str(path)
    with opened(path) as file:
        reader = GENERIC if layout else next((reader for reader in READERS if reader.recognises(file)), None)
        if reader is None:
            known, names = (', '.join(each) for each in ([reader.name for reader in READERS], dataset_names(file)[:12]))
            raise ScanError(
                f'{path}: none of the known formats, which are {known}; it holds {names or "no dataset"}: '
                'name the k-space with --dataset NAME --axes slice,coil,ky,kx'
            )
    return reader.open(path, layout, mask)


def load_scan(
    path: str | Path, *, repetition: int = 0, layout: DatasetLayout | None = None, mask: str | None = None
) -> Scan:
    """Read all slices, or the volume, of one repetition into memory; slice by slice, and every frame, by `open_scan`.

    A ScanError as there, or if slices have different sampling patterns; a ResourceError if memory does not suffice.
    """
    file = open_scan(path, layout, mask)
    require_memory(COMPLEX64_BYTES * prod(file.shape), str(path))
    return file.read(frame=file.frames_with(repetition=repetition)[0])
