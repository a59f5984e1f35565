"""Acquisitions in an HDF5 file: headers without a detour through chunks, samples as they are needed."""

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from raki.data.hdf5 import dataset, opened
from raki.data.memory import COMPRESSION, require_memory, require_stored
from raki.data.mrd.acquisitions import Acquisitions
from raki.data.mrd.heap import REFERENCE, numbers_in_heap, refers_as_described
from raki.errors import ScanError

NEEDED = {'flags', 'idx', 'active_channels', 'number_of_samples'}
"""Fields of an acquisition header that no file may lack; others count as zero."""

AT_ONCE = 64
"""Acquisitions that are read at once: few enough for a processor's cache, so that their memory is used again."""

DENSE = 2
"""Every how manieth acquisition must be wanted, for all in between to be read with them at once."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredSamples:
    """Samples in an HDF5 file, which is opened for each read."""

    path: str
    """The file."""

    name: str
    """The dataset of acquisitions in it."""

    references: np.ndarray | None = None
    """Where they are, of the type `raki.data.mrd.heap.REFERENCE`, axes (acquisition,); None where it is not known."""

    def read(self, positions: np.ndarray) -> Iterator[np.ndarray]:
        """As `raki.data.mrd.acquisitions.SampleSource.read`; the file is open until the last is taken."""
        with opened(self.path) as file:
            if self.references is None:
                yield from self._through_the_library(file, positions)
                return
            descriptor = file.id.get_vfd_handle()
            for position, reference in zip(positions, self.references[positions].tolist(), strict=True):
                found = numbers_in_heap(descriptor, *reference)
                if found is None:
                    yield from self._through_the_library(file, np.array([position]))
                else:
                    yield self._complex(np.frombuffer(found, '<f4'), int(position))

    def _through_the_library(self, file: h5py.File, positions: np.ndarray) -> Iterator[np.ndarray]:
        samples = dataset(file, self.name).fields('data')  # once: the type of a record takes long to understand
        for start in range(0, len(positions), AT_ONCE):
            some = positions[start : start + AT_ONCE]
            first, stop = int(some[0]), int(some[-1]) + 1
            is_dense = DENSE * len(some) >= stop - first
            values = samples[first:stop][some - first] if is_dense else samples[some]
            yield from map(self._complex, values, some.tolist())

    def _complex(self, value: np.ndarray, position: int) -> np.ndarray:
        if value.size % 2:
            raise ScanError(f'{self.path}: acquisition {position} holds {value.size} numbers, which are not pairs')
        return np.asarray(value, np.float32).view(np.complex64)


def stored(data: h5py.Dataset, path: str) -> Acquisitions:
    """All acquisitions; a ScanError if the dataset does not hold any. Headers are read, samples are not."""
    if data.ndim != 1 or not _holds_acquisitions(data.dtype):
        raise ScanError(f'{path}: {data.name} must hold acquisitions with head and data, got {data.dtype}')
    name = str(data.name)
    require_memory(data.nbytes, f'{path}: {name}')
    require_stored(data.nbytes, data.id.get_storage_size(), f'{path}: {name}', COMPRESSION)
    if not data.chunks or data.id.get_create_plist().get_nfilters():
        return Acquisitions(np.asarray(data['head']), StoredSamples(path, name), path)
    records = _records(data, data.chunks[0])
    references = records['data'] if refers_as_described(data) else None
    return Acquisitions(records['head'], StoredSamples(path, name, references), path)


def _records(data: h5py.Dataset, n_chunk: int) -> np.ndarray:
    """Headers and references to samples, from the bytes of chunks.

    Files have one chunk per acquisition, and to convert each takes the library as long as to read its samples.
    """
    kind = data.id.get_type()
    places = [kind.get_member_index(name) for name in (b'head', b'data')]
    record = np.dtype(
        {
            'names': ['head', 'data'],
            'formats': [kind.get_member_type(places[0]).dtype, REFERENCE],
            'offsets': [kind.get_member_offset(place) for place in places],
            'itemsize': kind.get_size(),
        }
    )
    chunks = [data.id.read_direct_chunk((first,))[1] for first in range(0, len(data), n_chunk)]
    return np.frombuffer(b''.join(chunks), record)[: len(data)]


def _holds_acquisitions(dtype: np.dtype) -> bool:
    if dtype.names is None or not {'head', 'data'} <= set(dtype.names):
        return False
    return set(dtype['head'].names or ()) >= NEEDED and bool(dtype['head']['idx'].names)
