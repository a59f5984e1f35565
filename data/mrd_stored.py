"""Acquisitions in an HDF5 file: headers without a detour through chunks, samples as they are needed."""

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from raki.data.hdf5 import dataset, opened
from raki.errors import ScanError

NEEDED = {'flags', 'idx', 'active_channels', 'number_of_samples'}
"""Fields of an acquisition header that no file may lack; others count as zero."""

AT_ONCE = 64
"""Acquisitions that are read at once: few enough for a processor's cache, so that their memory is used again."""

DENSE = 2
"""Every how manieth acquisition must be wanted, for all in between to be read with them at once."""


@dataclass(frozen=True, slots=True)
class StoredSamples:
    """Samples in an HDF5 file, which is opened for each read."""

    path: str
    """The file."""

    name: str
    """The dataset of acquisitions in it."""

    def read(self, positions: np.ndarray) -> Iterator[np.ndarray]:
        """As `raki.data.acquisitions.SampleSource.read`; the file is open until the last is taken."""
        with opened(self.path) as file:
            data = dataset(file, self.name)
            for start in range(0, len(positions), AT_ONCE):
                some = positions[start : start + AT_ONCE]
                first, stop = int(some[0]), int(some[-1]) + 1
                is_dense = DENSE * len(some) >= stop - first
                values = data[first:stop, 'data'][some - first] if is_dense else data[some, 'data']
                yield from map(self._complex, values, some.tolist())

    def _complex(self, value: np.ndarray, position: int) -> np.ndarray:
        if value.size % 2:
            raise ScanError(f'{self.path}: acquisition {position} holds {value.size} numbers, which are not pairs')
        return np.asarray(value, np.float32).view(np.complex64)


def stored_headers(data: h5py.Dataset, path: str) -> np.ndarray:
    """All headers, axes (acquisition,); a ScanError if the dataset does not hold acquisitions."""
    if data.ndim != 1 or not _holds_acquisitions(data.dtype):
        raise ScanError(f'{path}: {data.name} must hold acquisitions with head and data, got {data.dtype}')
    if data.chunks and not data.id.get_create_plist().get_nfilters():
        return _unconverted_headers(data, data.chunks[0])
    return np.asarray(data['head'])


def _unconverted_headers(data: h5py.Dataset, n_chunk: int) -> np.ndarray:
    """Headers from the bytes of chunks: files have one chunk per acquisition, and to convert each takes long."""
    kind = data.id.get_type()
    place = kind.get_member_index(b'head')
    record = np.dtype(
        {
            'names': ['head'],
            'formats': [kind.get_member_type(place).dtype],
            'offsets': [kind.get_member_offset(place)],
            'itemsize': kind.get_size(),
        }
    )
    chunks = [data.id.read_direct_chunk((first,))[1] for first in range(0, len(data), n_chunk)]
    return np.frombuffer(b''.join(chunks), record)['head'][: len(data)]


def _holds_acquisitions(dtype: np.dtype) -> bool:
    if dtype.names is None or not {'head', 'data'} <= set(dtype.names):
        return False
    return set(dtype['head'].names or ()) >= NEEDED and bool(dtype['head']['idx'].names)
