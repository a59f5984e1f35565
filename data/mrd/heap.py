"""Samples of acquisitions where HDF5 keeps them: its global heap.

Numbers of varying length lie outside the dataset, which holds references to them. The library follows one after the
other with copies on the way, and for a thousand readouts that takes as long as everything else together. The layout is
that of the HDF5 File Format Specification, section III.E: a collection is `GCOL`, a version, its size, and objects,
each with its number, a count, its size and its bytes, filled up to 8. Nothing is taken on trust: what is not found as
described is left to the library.
"""

import os
import struct

import h5py
import numpy as np

REFERENCE = np.dtype([('length', '<u4'), ('address', '<u8'), ('number', '<u4')])
"""How a record of the dataset refers to numbers in the heap."""

COLLECTION, OBJECT = struct.Struct('<4sB3xQ'), struct.Struct('<HH4xQ')
SIGNATURE, VERSION = b'GCOL', 1
FLOAT = 4
SMALL, LARGE = 4096, 1 << 20
"""Size of the smallest collection, and of the largest that is read for one of its objects [byte]."""


def refers_as_described(data: h5py.Dataset) -> bool:
    """Whether references of a dataset's `data` are 8-byte addresses from the start of the file to float32."""
    kind = data.id.get_type()
    member = kind.get_member_type(kind.get_member_index(b'data'))
    is_plain = data.file.driver == 'sec2' and data.file.userblock_size == 0
    is_float = h5py.check_vlen_dtype(data.dtype['data']) == np.dtype('<f4')
    return is_plain and is_float and member.get_size() == REFERENCE.itemsize


def numbers_in_heap(file: int, length: int, address: int, number: int) -> bytes | None:
    """Bytes of the float32 that a reference points to in a file descriptor; None if not found as described.

    Long readouts are the first object of a collection of their own, which is why one read mostly suffices.
    """
    n_bytes = FLOAT * length
    content = os.pread(file, max(SMALL, COLLECTION.size + OBJECT.size + n_bytes), address) if number else b''
    if len(content) < COLLECTION.size:
        return None
    signature, version, size = COLLECTION.unpack_from(content)
    if (signature, version) != (SIGNATURE, VERSION):
        return None
    place = _place(content, number, n_bytes)
    if place is None and len(content) < size <= LARGE:
        content = os.pread(file, size, address)
        place = _place(content, number, n_bytes)
    return None if place is None else content[place : place + n_bytes]


def _place(content: bytes, number: int, n_bytes: int) -> int | None:
    """Where the numbers of an object start in a collection; None if they are not wholly in what was read of it."""
    place = COLLECTION.size
    while place + OBJECT.size <= len(content):
        own, _, size = OBJECT.unpack_from(content, place)
        place += OBJECT.size
        if own == number:
            return place if n_bytes <= size and place + n_bytes <= len(content) else None
        if own == 0:
            return None
        place += -(-size // 8) * 8
    return None
