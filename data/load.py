"""From a path to a scan: recognise the format by its content, call one reader."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import NamedTuple

import h5py

from raki.data.boundary import reading, require_regular
from raki.data.cfl import is_cfl, open_cfl
from raki.data.damage.holes import known_nan, reading_nan
from raki.data.fastmri import is_fastmri, open_fastmri
from raki.data.foreign import advice_on, order_of_axes
from raki.data.generic import DatasetLayout, names_its_axes, open_generic
from raki.data.hdf5 import dataset_names, opened
from raki.data.memory import COMPLEX64_BYTES, require_memory
from raki.data.mrd.file import is_ismrmrd, open_ismrmrd
from raki.data.mrd.scan import ALL_BY_FILE, RawChoice
from raki.data.numpy_file import is_numpy
from raki.data.presets import PRESETS
from raki.data.scan import Scan, ScanFile
from raki.data.twix.file import is_twix
from raki.data.twix.translation import open_twix
from raki.errors import ScanError


class Reader(NamedTuple):
    """How one file format is recognised and opened."""

    name: str
    """The format and what gives it away, for people."""

    recognises: Callable[[Path], bool]
    """Whether a file has this format, by its content; for HDF5 see `in_hdf5`."""

    open: Callable[[str, DatasetLayout | None, str | None], ScanFile]
    """Read the headers of a path; layout and mask as in `open_scan`."""

    open_raw: Callable[[str, RawChoice], ScanFile] | None = None
    """Of raw data: the same with what may be said about them."""


def in_hdf5(recognises: Callable[[h5py.File], bool]) -> Callable[[Path], bool]:
    """Whether a path is HDF5 with such content."""

    def found(path: Path) -> bool:
        if not h5py.is_hdf5(path):
            return False
        with opened(path) as file:
            return recognises(file)

    return found


GENERIC = Reader('named axes (an attribute "axes" of a dataset "kspace")', in_hdf5(names_its_axes), open_generic)

READERS = [
    Reader('BART (.cfl with .hdr)', is_cfl, open_cfl),
    Reader('NumPy (.npy, .npz)', is_numpy, open_generic),
    GENERIC,
    *(Reader(preset.name, in_hdf5(preset.recognises), preset.open) for preset in PRESETS),
    Reader('fastMRI layout (a dataset "kspace")', in_hdf5(is_fastmri), open_fastmri),
    Reader(
        'ISMRMRD ("dataset/data" with "dataset/xml")',
        in_hdf5(is_ismrmrd),
        open_ismrmrd,
        lambda path, choice: open_ismrmrd(path, choice=choice),
    ),
    Reader('Siemens raw data (.dat)', is_twix, open_twix, lambda path, choice: open_twix(path, choice=choice)),
]
"""Every format, in the order in which they are tried."""


def open_scan(
    path: str | Path,
    layout: DatasetLayout | None = None,
    mask: str | None = None,
    choice: RawChoice = ALL_BY_FILE,
    nan: str = 'refuse',
) -> ScanFile:
    """Recognise a file and read its headers; samples are read later, slab by slab.

    Parameters
    ----------
    path
        A file of one of the formats in `READERS`; of BART also the name without its suffix.
    layout
        Which array to read, with its axes, where the file is in no format that we recognise and does not name them
        itself in an attribute `axes` of `kspace`.
    mask
        Name of the dataset that tells which lines were measured, path of another file that holds one, or `zeros` if
        lines of zeros were not; by default what the format has for it, a dataset `mask` in HDF5, and every line where
        it has nothing.
    choice
        Which measurement to read of raw data, and the centre of their k-space.
    nan
        What is done about samples that are NaN or infinite: `refuse`, or `drop`, which replaces them by what their
        neighbours predict.

    Raises
    ------
    ScanError
        If there is no such file, it is in no known format, holds no k-space that we can read, or a choice is made for
        something else than raw data.
    ResourceError
        If a single slice, or a volume with its reconstruction, does not fit into memory.
    """
    require_regular(path)
    known_nan(nan)
    with reading(path):
        file = _opened(path, layout, mask, choice)
    return replace(file, read_slab=partial(_read_slab, file, nan))


def _read_slab(file: ScanFile, nan: str, slab: int, frame: int) -> Scan:
    with reading(file.path), reading_nan(nan) as mended:
        scan = file.read_slab(slab, frame)
    folder = f'{Path(file.path).parent}/'  # who reads a manifest need not know where files were
    return replace(scan, mended=tuple(each.removeprefix(folder) for each in mended.findings))


def _opened(path: str | Path, layout: DatasetLayout | None, mask: str | None, choice: RawChoice) -> ScanFile:
    place = Path(path)
    reader = next((reader for reader in READERS if reader.recognises(place)), None)
    if layout is not None and (reader is None or reader.open not in (open_cfl, open_twix)):
        reader = GENERIC if h5py.is_hdf5(place) or is_numpy(place) else None
    if reader is None:
        raise ScanError(_refusal(place))
    if choice == ALL_BY_FILE:
        return reader.open(str(path), layout, mask)
    if reader.open_raw is None or layout or mask:
        raise ScanError(
            f'{path}: a measurement and the centre of k-space are chosen of raw data (ISMRMRD or Siemens) without a '
            f'mask or layout, but this is {reader.name}: leave --measurement and --centre out'
        )
    return reader.open_raw(str(path), choice)


def _refusal(path: Path) -> str:
    """Say why no reader takes a file."""
    known = ', '.join(reader.name for reader in READERS)
    if path.is_file() and (advice := advice_on(path)):
        return f'{path}: {advice}'
    if path.is_file() and not h5py.is_hdf5(path):
        return f'{path}: cannot be read as HDF5, nor is it another of the known formats, which are {known}'
    with opened(path) as file:
        names = ', '.join(dataset_names(file)[:12])
    return (
        f'{path}: none of the known formats, which are {known}; it holds {names or "no dataset"}: '
        f'name the k-space with --dataset NAME --axes slice,coil,ky,kx{order_of_axes(path)}'
    )


def load_scan(
    path: str | Path,
    *,
    repetition: int = 0,
    layout: DatasetLayout | None = None,
    mask: str | None = None,
    choice: RawChoice = ALL_BY_FILE,
    nan: str = 'refuse',
) -> Scan:
    """Read all slices, or the volume, of one repetition into memory; slice by slice, and every frame, by `open_scan`.

    A ScanError as there, or if slices have different sampling patterns; a ResourceError if memory does not suffice.
    """
    file = open_scan(path, layout, mask, choice, nan)
    require_memory(COMPLEX64_BYTES * prod(file.shape), str(path))
    return file.read(frame=file.frames_with(repetition=repetition)[0])
