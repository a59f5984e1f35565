"""Where in a file its parts lie: samples, headers, heaps, indices."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import h5py

Places: TypeAlias = Mapping[str, list[tuple[int, int]]]
"""Ranges from the first byte to after the last, by what lies there."""

SIGNATURES = {
    'heap': rb'GCOL|HEAP|FRHP|FHDB|FHIB',
    'index': rb'TREE|SNOD|BTHD|BTLF|BTIN|FAHD|FADB|EAHD|EAIB|EASB|EADB',
    'headers': rb'OHDR|OCHK',
}
"""What the parts of an HDF5 file begin with (HDF5 File Format Specification 3.0, section III)."""

EXTENT = {'heap': 64, 'index': 544, 'headers': 256}
"""How far such a part reaches, where its size is not read off [byte]."""

SUPERBLOCK = 96


def places_of(path: Path) -> Places:
    """Parts of a file by name, `anywhere` for all of it."""
    content = path.read_bytes()
    found = {'anywhere': [(0, len(content))]}
    if path.suffix == '.npz':
        end = content.rindex(b'PK\x01\x02')
        return found | {'data': [(256, end)], 'headers': [(0, 256), (end, len(content))]}
    if not h5py.is_hdf5(path):
        return found | {'headers' if path.suffix == '.hdr' else 'data': [(0, len(content))]}
    for name, signature in SIGNATURES.items():
        found[name] = [_part(name, content, each.start()) for each in re.finditer(signature, content)]
    found['headers'] += [(0, SUPERBLOCK), *_object_headers(path)]
    found['data'] = _samples(path)
    return {name: ranges for name, ranges in found.items() if ranges}


def _part(name: str, content: bytes, start: int) -> tuple[int, int]:
    """A collection of the global heap tells its size."""
    is_collection = content[start : start + 4] == b'GCOL'
    size = int.from_bytes(content[start + 8 : start + 16], 'little') if is_collection else EXTENT[name]
    return start, min(start + size, len(content))


def _items(file: h5py.File) -> list[h5py.Dataset | h5py.Group]:
    found: list[h5py.Dataset | h5py.Group] = [file]
    file.visititems(lambda _, item: found.append(item))
    return found


def _object_headers(path: Path) -> list[tuple[int, int]]:
    """Headers of datasets and groups, as far as they lie in one piece."""
    with h5py.File(path) as file:
        infos = [h5py.h5o.get_info(item.id) for item in _items(file)]
        return [(info.addr, info.addr + max(64, min(info.hdr.space.total, 1024))) for info in infos]


def _samples(path: Path) -> list[tuple[int, int]]:
    """What datasets hold, in one piece or in chunks."""
    ranges = []
    with h5py.File(path) as file:
        for item in _items(file):
            if isinstance(item, h5py.Dataset):
                ranges += _stored(item)
    return ranges


def _stored(array: h5py.Dataset) -> list[tuple[int, int]]:
    if array.chunks is None:
        start = array.id.get_offset()
        return [] if start is None else [(start, start + array.id.get_storage_size())]
    chunks = (array.id.get_chunk_info(number) for number in range(array.id.get_num_chunks()))
    return [(chunk.byte_offset, chunk.byte_offset + chunk.size) for chunk in chunks]
