"""Samples of ISMRMRD files where HDF5 keeps them, against what the library reads."""

from pathlib import Path
from typing import Any

import h5py
import ismrmrd.hdf5
import numpy as np
import pytest

from raki.data.mrd.heap import numbers_in_heap
from raki.data.mrd.layout import ACQUISITION
from raki.data.mrd.stored import StoredSamples, stored
from raki.errors import ScanError

SIZES = [(1, 1), (2, 5), (3, 700), (2, 0), (4, 2000), (1, 3), (2, 5)]
"""Coils and samples: many in one collection of the heap, and some with one of their own."""


def written(
    path: Path, dtype: Any = ismrmrd.hdf5.acquisition_dtype, userblock: int = 0, **layout: Any
) -> list[np.ndarray]:
    generator, expected = np.random.default_rng(0), []
    records: Any = np.zeros(len(SIZES), dtype)
    for record, (n_coils, n_samples) in zip(records, SIZES, strict=True):
        record['head']['active_channels'], record['head']['number_of_samples'] = n_coils, n_samples
        record['data'] = generator.standard_normal(2 * n_coils * n_samples).astype(np.float32)
        record['traj'] = np.zeros(0, np.float32)
        expected.append(record['data'].view(np.complex64).reshape(n_coils, n_samples))
    with h5py.File(path, 'w', userblock_size=userblock) as file:
        file.create_dataset('dataset/data', data=records, **layout)
    return expected


def read(path: Path, positions: list[int] | None = None) -> tuple[StoredSamples, list[np.ndarray]]:
    with h5py.File(path) as file:
        data: Any = file['dataset/data']
        lines = stored(data, str(path))
    assert lines.head.dtype == ACQUISITION
    assert lines.head['active_channels'].tolist() == [n_coils for n_coils, _ in SIZES]
    assert isinstance(lines.source, StoredSamples)
    with lines.samples(np.arange(len(SIZES)) if positions is None else np.array(positions)) as readouts:
        return lines.source, [samples.copy() for _, samples in readouts]


@pytest.mark.parametrize(
    ('layout', 'is_direct'),
    [
        ({'chunks': (1,), 'maxshape': (None,)}, True),
        ({'chunks': (3,)}, True),
        ({}, False),
        ({'chunks': (1,), 'compression': 'gzip'}, False),
        ({'chunks': (1,), 'userblock': 512}, False),
    ],
)
def test_samples_are_those_that_the_library_reads(tmp_path: Path, layout: dict[str, Any], is_direct: bool) -> None:
    expected = written(tmp_path / 'a.h5', **layout)
    source, found = read(tmp_path / 'a.h5')
    assert (source.references is not None) == is_direct
    if source.references is not None:
        with (tmp_path / 'a.h5').open('rb') as file:
            contents = [numbers_in_heap(file.fileno(), *each) for each in source.references.tolist() if each[0]]
        assert contents == [samples.tobytes() for samples in expected if samples.size]
    assert [samples.tolist() for samples in found] == [samples.tolist() for samples in expected]
    _, some = read(tmp_path / 'a.h5', [1, 4, 6])
    assert [samples.tolist() for samples in some] == [expected[number].tolist() for number in (1, 4, 6)]


def test_references_that_lead_nowhere_are_left_to_the_library(tmp_path: Path) -> None:
    """It finds the samples, for only our copy of the references is damaged."""
    expected = written(tmp_path / 'a.h5', chunks=(1,))
    source, _ = read(tmp_path / 'a.h5')
    assert source.references is not None
    for field, value in (('address', 1), ('address', 1 << 60), ('number', 0), ('number', 999), ('length', 1 << 30)):
        references = source.references.copy()
        references[field][4] = value
        found = list(StoredSamples(source.path, source.name, references).read(np.arange(len(SIZES))))
        assert [values.tolist() for values in found] == [samples.ravel().tolist() for samples in expected]


def test_heap_that_is_damaged_in_the_file_is_an_error_of_the_library(tmp_path: Path) -> None:
    written(tmp_path / 'a.h5', chunks=(1,))
    content = (tmp_path / 'a.h5').read_bytes()
    (tmp_path / 'a.h5').write_bytes(content.replace(b'GCOL', b'LOCG'))
    with pytest.raises(ScanError, match='cannot be read as HDF5'):
        read(tmp_path / 'a.h5')
