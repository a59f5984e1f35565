"""From a path to a scan: recognise the format by its content, call one reader."""

from pathlib import Path

import h5py

from raki.data.fastmri import is_fastmri, open_fastmri
from raki.data.generic import DatasetLayout, layout_in_file, open_generic
from raki.data.hdf5 import COMPLEX64_BYTES, dataset_names, opened, require_memory
from raki.data.ismrmrd import is_ismrmrd, open_ismrmrd
from raki.data.scan import Scan, ScanFile
from raki.data.volume import Volume
from raki.errors import ScanError


def open_scan(path: str | Path, layout: DatasetLayout | None = None, mask: str | None = None) -> ScanFile:
    """Recognise a file and read its headers; samples are read later, slice by slice.

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
        If a single slice, or a volume, does not fit into memory.
    """
    path = str(path)
    with opened(path) as file:
        layout = layout or layout_in_file(file)
        format_is_fastmri = is_fastmri(file)
        if not (layout or format_is_fastmri or is_ismrmrd(file)):
            raise _unrecognised(file, path)
    if layout:
        return open_generic(path, layout, mask)
    if format_is_fastmri:
        return open_fastmri(path, mask)
    if mask is not None:
        raise ScanError(f'{path}: an ISMRMRD file tells itself which lines were measured: leave the mask {mask!r} out')
    return open_ismrmrd(path)


def load_scan(
    path: str | Path, *, repetition: int = 0, layout: DatasetLayout | None = None, mask: str | None = None
) -> Scan:
    """Read all slices of one repetition into memory.

    Raises
    ------
    ScanError
        As `open_scan`; or if slices have different sampling patterns.
    ResourceError
        If the scan does not fit into memory: read it slice by slice with `open_scan`.
    """
    file = open_scan(path, layout, mask)
    n_slices, n_coils, n_lines, n_readout = file.shape
    require_memory(COMPLEX64_BYTES * n_slices * n_coils * n_lines * n_readout, str(path))
    return file.read(repetition=repetition)


def load_volume(
    path: str | Path, *, repetition: int = 0, layout: DatasetLayout | None = None, mask: str | None = None
) -> Volume:
    """Read one repetition of a scan with two phase-encoding axes into memory, whichever are accelerated.

    Raises
    ------
    ScanError
        As `open_scan`; or if the scan has one phase-encoding axis only.
    ResourceError
        If its reconstruction does not fit into memory.
    """
    file = open_scan(path, layout, mask)
    if file.read_volume is None:
        raise ScanError(f'{path}: {file.format} with one phase-encoding axis is no volume: use load_scan')
    file.require_known((), [repetition])
    return file.read_volume(repetition)


def _unrecognised(file: h5py.File, path: str) -> ScanError:
    names = ', '.join(dataset_names(file)[:12]) or 'no dataset'
    return ScanError(
        f'{path}: neither fastMRI layout (a dataset "kspace") nor ISMRMRD ("dataset/data" with "dataset/xml"); '
        f'it holds {names}: name the k-space with --dataset NAME --axes slice,coil,ky,kx'
    )
