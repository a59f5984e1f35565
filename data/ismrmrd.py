"""ISMRMRD (MRD version 1) HDF5: acquisitions with headers whose flags decide what they are.

Inati et al. 2017, Magn Reson Med 77:411. The headers are read once and in bulk, samples as they are needed.
"""

from dataclasses import dataclass

import h5py
import numpy as np

from raki.data.acquisitions import Acquisitions
from raki.data.generic import DatasetLayout
from raki.data.hdf5 import dataset, opened
from raki.data.header import header_of
from raki.data.mrd_scan import scan_file_of
from raki.data.scan import ScanFile
from raki.errors import ScanError

NEEDED = {'flags', 'idx', 'active_channels', 'number_of_samples'}
"""Fields of an acquisition header that no file may lack; others count as zero."""

DENSE = 2
"""Every how manieth acquisition must be wanted, for all in between to be read with them at once."""


def is_ismrmrd(file: h5py.File) -> bool:
    """Whether the file has a group with acquisitions and a header."""
    return bool(_measurements(file))


def open_ismrmrd(path: str, _layout: DatasetLayout | None = None, mask: str | None = None) -> ScanFile:
    """Read the headers of the last measurement in the file.

    A ScanError if they are not those of one Cartesian scan that we can read, or a mask is given.
    """
    if mask is not None:
        raise ScanError(f'{path}: an ISMRMRD file tells itself which lines were measured: leave the mask {mask!r} out')
    with opened(path) as file:
        groups = _measurements(file)
        name = f'{groups[-1]}/data'
        header = header_of(file, f'{groups[-1]}/xml')
        lines = Acquisitions(_heads(dataset(file, name), path), StoredSamples(path, name), path)
    several = [f'{len(groups)} measurements in the file, the last ({groups[-1]}) is read'] if len(groups) > 1 else []
    return scan_file_of(header, lines, path, 'ISMRMRD HDF5', notes=several)


@dataclass(frozen=True, slots=True)
class StoredSamples:
    """Samples in an HDF5 file, which is opened for each read."""

    path: str
    """The file."""

    name: str
    """The dataset of acquisitions in it."""

    def read(self, positions: np.ndarray) -> list[np.ndarray]:
        """As `raki.data.acquisitions.SampleSource.read`."""
        first, stop = int(positions[0]), int(positions[-1]) + 1
        is_dense = DENSE * len(positions) >= stop - first
        with opened(self.path) as file:
            data = dataset(file, self.name)
            values = data[first:stop, 'data'][positions - first] if is_dense else data[positions, 'data']
        return [self._complex(value, int(position)) for value, position in zip(values, positions, strict=True)]

    def _complex(self, value: np.ndarray, position: int) -> np.ndarray:
        if value.size % 2:
            raise ScanError(f'{self.path}: acquisition {position} holds {value.size} numbers, which are not pairs')
        return np.asarray(value, np.float32).view(np.complex64)


def _measurements(file: h5py.File) -> list[str]:
    """Names of the groups that hold acquisitions, in order of measurement."""
    groups = [name for name, item in file.items() if isinstance(item, h5py.Group) and {'data', 'xml'} <= set(item)]
    return sorted(groups, key=lambda name: (len(name), name))


def _heads(data: h5py.Dataset, path: str) -> np.ndarray:
    """All headers, axes (acquisition,)."""
    if data.ndim != 1 or not _holds_acquisitions(data.dtype):
        raise ScanError(f'{path}: {data.name} must hold acquisitions with head and data, got {data.dtype}')
    return np.asarray(data['head'])


def _holds_acquisitions(dtype: np.dtype) -> bool:
    if dtype.names is None or not {'head', 'data'} <= set(dtype.names):
        return False
    return set(dtype['head'].names or ()) >= NEEDED and bool(dtype['head']['idx'].names)
