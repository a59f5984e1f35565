"""Samples of acquisitions where HDF5 keeps them: its global heap, mapped into memory.

Numbers of varying length lie outside the dataset, which holds references to them. The library follows one after the
other with copies on the way, and for a thousand readouts that takes as long as everything else together. The layout is
that of the HDF5 File Format Specification, section III.E: a collection is `GCOL`, a version, its size, and objects,
each with its number, a count, its size and its bytes, filled up to 8. Nothing is taken on trust: what is not found as
described is left to the library.
"""

import struct
from pathlib import Path

import h5py
import numpy as np

REFERENCE = np.dtype([('length', '<u4'), ('address', '<u8'), ('number', '<u4')])
"""How a record of the dataset refers to numbers in the heap."""

COLLECTION, OBJECT = struct.Struct('<4sB3xQ'), struct.Struct('<HH4xQ')
SIGNATURE, VERSION = b'GCOL', 1
COMPLEX = np.dtype('<c8')


def refers_as_described(data: h5py.Dataset) -> bool:
    """Whether references of a dataset's `data` are 8-byte addresses from the start of the file to float32."""
    kind = data.id.get_type()
    member = kind.get_member_type(kind.get_member_index(b'data'))
    is_plain = data.file.driver == 'sec2' and data.file.userblock_size == 0
    is_float = h5py.check_vlen_dtype(data.dtype['data']) == np.dtype('<f4')
    return is_plain and is_float and member.get_size() == REFERENCE.itemsize


def mapped_samples(path: str, references: np.ndarray) -> list[np.ndarray] | None:
    """Samples that these references point to, complex64, coil after coil; None if one is not found as described.

    They are views of the file, which is read when they are.
    """
    with Path(path).open('rb') as file:
        content = np.memmap(file, np.uint8, 'r')
    places = [_place(content.data, *reference) for reference in references.tolist()]
    found = [place for place in places if place is not None]
    if len(found) < len(places):
        return None
    ends = [(place, place + 4 * int(length)) for place, length in zip(found, references['length'], strict=True)]
    return [np.asarray(content[start:stop]).view(COMPLEX) for start, stop in ends]


def _place(content: memoryview, length: int, address: int, number: int) -> int | None:
    """Where the numbers of a reference start in a file; None if they are not found as described."""
    if length == 0:
        return 0
    if length % 2 or number == 0 or address + COLLECTION.size > len(content):
        return None
    signature, version, size = COLLECTION.unpack_from(content, address)
    end = address + size
    if (signature, version) != (SIGNATURE, VERSION) or end > len(content):
        return None
    place = address + COLLECTION.size
    while place + OBJECT.size <= end:
        own, _, n_bytes = OBJECT.unpack_from(content, place)
        if own == number:
            is_whole = n_bytes >= 4 * length and place + OBJECT.size + n_bytes <= end
            return place + OBJECT.size if is_whole else None
        if own == 0:
            return None
        place += OBJECT.size + -(-n_bytes // 8) * 8
    return None
