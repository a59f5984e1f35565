"""Crafted HDF5: samples in other files, size bombs, odd types and spaces, axes in other orders."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from attacks.crafts import SCAN, Change, Craft, Scans, altering, array, changed, copied, put

BILLIONS = 1 << 40


def _moved(folder: Path, name: str) -> tuple[Path, np.ndarray]:
    """Take a dataset out of the scan into another file."""
    with h5py.File(folder / SCAN, 'r+') as file, h5py.File(folder / 'other.h5', 'w') as other:
        values = array(file, name)
        other[name] = values
        del file[name]
    return folder / SCAN, values


def _external_link(folder: Path, name: str) -> None:
    path, _ = _moved(folder, name)
    with h5py.File(path, 'r+') as file:
        file[name] = h5py.ExternalLink('other.h5', f'/{name}')


def _external_storage(folder: Path, name: str) -> None:
    path, values = _moved(folder, name)
    (folder / 'raw.bin').write_bytes(values.tobytes())
    with h5py.File(path, 'r+') as file:
        file.create_dataset(name, values.shape, values.dtype, external=[('raw.bin', 0, values.nbytes)])


def _virtual(folder: Path, name: str) -> None:
    path, values = _moved(folder, name)
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[...] = h5py.VirtualSource('other.h5', name, values.shape)
    with h5py.File(path, 'r+') as file:
        file.create_virtual_dataset(name, layout)


def _soft_out(folder: Path, name: str) -> None:
    path, _ = _moved(folder, name)
    with h5py.File(path, 'r+') as file:
        file['away'] = h5py.ExternalLink('other.h5', '/')
        file[name] = h5py.SoftLink(f'/away/{name}')


OUTSIDE = {'external link': _external_link, 'external storage': _external_storage}
OUTSIDE |= {'virtual': _virtual, 'soft link out': _soft_out}


def outside(scans: Scans) -> Iterator[Craft]:
    """Samples in other files."""
    for (kind, move), name in ((each, name) for each in OUTSIDE.items() for name in ('kspace', 'mask', 'noise')):

        def make(folder: Path, move: Callable[[Path, str], None] = move, name: str = name) -> None:
            copied(scans)(folder)
            move(folder, name)

        yield Craft('outside', f'{kind} {name}', 'refused', make)
    for name in ('data', 'xml'):

        def linked(folder: Path, name: str = name) -> None:
            copied(scans, 'MRD', 'other.h5')(folder)
            with h5py.File(copied(scans, 'MRD')(folder), 'r+') as file:
                del file[f'dataset/{name}']
                file[f'dataset/{name}'] = h5py.ExternalLink('other.h5', f'dataset/{name}')

        yield Craft('outside', f'MRD {name}', 'refused', linked)
    loops = {'loop': '/kspace', 'dangling': '/nothing', 'self': '/'}
    for kind, target in loops.items():
        yield Craft('outside', f'soft {kind}', 'refused', changed(scans, _link(target)))
    yield Craft('outside', 'soft within', 'right', changed(scans, _renamed))


def _link(target: str) -> Change:
    def change(file: h5py.File) -> None:
        del file['kspace']
        file['kspace'] = h5py.SoftLink(target)

    return change


def _renamed(file: h5py.File) -> None:
    file.move('kspace', 'real')
    file['kspace'] = h5py.SoftLink('/real')


def _declared(name: str, shape: tuple[int, ...], dtype: str = 'c8', **how: Any) -> Change:
    """A dataset that was never written."""

    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file.create_dataset(name, shape, dtype, **how)

    return change


def _gzip_bomb(name: str, n_chunks: int, rows: int = 1 << 13) -> Change:
    """Chunks of 64 MB of zeros, a few kB each in the file."""

    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        shape = (1, n_chunks, rows, 1024)
        bomb = file.create_dataset(name, shape, 'c8', chunks=(1, 1, rows, 1024), compression='gzip')
        packed = zlib.compress(bytes(rows * 8192), 9)
        for number in range(n_chunks):
            bomb.id.write_direct_chunk((0, number, 0, 0), packed)

    return change


def bombs(scans: Scans) -> Iterator[Craft]:
    """Small files that hold, or say that they hold, more than a machine has."""
    huge = {
        'kspace 537 GB': _declared('kspace', (1, 16, 65536, 65536)),
        'kspace in chunks': _declared('kspace', (1, 16, 65536, 65536), chunks=(1, 1, 64, 64)),
        'slices': _declared('kspace', (BILLIONS, 8, 48, 64), chunks=(1, 8, 48, 64)),
        'coils': _declared('kspace', (1, 1 << 30, 48, 64), chunks=(1, 8, 48, 64)),
        'lines': _declared('kspace', (1, 8, 48, 1 << 33), chunks=(1, 8, 48, 64)),
        'product over 2^63': _declared('kspace', (1 << 31, 1 << 20, 1 << 20, 64), chunks=(1, 8, 48, 64)),
        'gzip kspace 1 GB': _gzip_bomb('kspace', 16),
        'gzip kspace 8 GB': _gzip_bomb('kspace', 128),
        'gzip acs': _gzip_bomb('acs', 64),
        'gzip reference': _gzip_bomb('reference', 64),
        'mask': _declared('mask', (1 << 33,), 'u1', chunks=(1 << 20,)),
        'noise': _declared('noise', (8, 1 << 32), chunks=(8, 1 << 16)),
        'acs': _declared('acs', (1, 8, 48, 1 << 30), chunks=(1, 8, 48, 64)),
        'header text': lambda file: put(file, 'ismrmrd_header', b'<' + b' ' * (64 << 20)),
        'header array': _declared('ismrmrd_header', (1 << 33,), 'S64', chunks=(1 << 16,)),
    }
    for variant, change in huge.items():
        yield Craft('bombs', variant, 'refused', changed(scans, change))
    records: Mapping[str, Change] = {
        'records': lambda file: file['dataset/data'].resize(BILLIONS, 0),  # type: ignore[attr-defined]
        'few records more': lambda file: file['dataset/data'].resize(1 << 24, 0),  # type: ignore[attr-defined]
        'xml array': _declared('dataset/xml', (1 << 33,), 'S64', chunks=(1 << 16,)),
    }
    for variant, change in records.items():
        yield Craft('bombs', f'MRD {variant}', 'refused', changed(scans, change, 'MRD'))


def _odd_masks() -> Iterator[tuple[str, Any, str]]:
    """Name, values from the good mask, and what is expected."""
    pair = np.dtype([('a', 'f4'), ('b', 'S3')])
    yield 'compound', lambda mask: np.zeros(len(mask), pair), 'refused'
    yield 'text', lambda mask: np.array([b'yes'] * len(mask)), 'refused'
    yield 'float', lambda mask: mask.astype('f8'), 'right'
    yield 'integer', lambda mask: mask.astype('i8'), 'right'
    yield 'two axes', lambda mask: mask[None], 'any'
    yield 'square', lambda mask: np.outer(mask, mask), 'refused'
    yield 'short', lambda mask: mask[:-3], 'refused'
    yield 'long', lambda mask: np.r_[mask, mask], 'refused'
    yield 'twos', lambda mask: mask * 2, 'told'
    yield 'negative', lambda mask: -mask.astype('i4'), 'told'
    yield 'NaN', lambda mask: np.where(mask, np.nan, 0), 'refused'
    yield 'complex', lambda mask: mask.astype('c8'), 'any'
    yield 'scalar', lambda _: 1, 'refused'
    yield 'empty', lambda _: np.zeros(0), 'refused'
    yield 'null', lambda _: h5py.Empty('u1'), 'refused'
    yield 'references', lambda mask: np.array([h5py.Reference()] * len(mask), h5py.ref_dtype), 'refused'


def masks(scans: Scans) -> Iterator[Craft]:
    """Masks of other types and shapes."""
    for variant, alter, expected in _odd_masks():
        yield Craft('masks', variant, expected, changed(scans, altering('mask', alter)))


def _odd_samples() -> Iterator[tuple[str, Any, str]]:
    """Name, values from the good k-space, and what is expected."""
    yield 'scalar', lambda _: np.complex64(1), 'refused'
    yield 'null', lambda _: h5py.Empty('c8'), 'refused'
    yield 'real', lambda kspace: kspace.real, 'refused'
    yield 'integer', lambda kspace: kspace.real.astype('i4'), 'refused'
    yield 'complex128', lambda kspace: kspace.astype('c16'), 'right'
    yield 'big-endian', lambda kspace: kspace.astype('>c8'), 'right'
    yield 'names i, r', lambda kspace: _paired(kspace, 'f4', 'ir'), 'told'
    yield 'names re, im', lambda kspace: _paired(kspace, 'f4', ('re', 'im')), 'refused'
    yield 'halves', lambda kspace: _paired(kspace, 'f2', 'ri'), 'any'
    yield 'integers r, i', lambda kspace: _paired(kspace * 1000, 'i4', 'ri'), 'any'
    yield 'texts r, i', lambda kspace: _paired(kspace, 'S8', 'ri'), 'refused'
    yield 'opaque', lambda kspace: kspace.view('V8'), 'refused'
    yield 'text', lambda kspace: np.full(kspace.shape, b'1+2j'), 'refused'
    yield 'two numbers last', lambda kspace: np.stack([kspace.real, kspace.imag], -1), 'refused'
    for axis in range(4):
        yield f'no size {axis}', lambda kspace, axis=axis: kspace.take([], axis), 'refused'
        yield f'one axis less {axis}', lambda kspace, axis=axis: kspace.take(0, axis), 'refused'
    yield 'five axes', lambda kspace: kspace[None], 'refused'
    yield 'one coil', lambda kspace: kspace[:, :1], 'told'


def _paired(kspace: np.ndarray, number: str, names: Any) -> np.ndarray:
    pairs = np.zeros(kspace.shape, [(name, number) for name in names])
    for name, part in zip(names, (kspace.real, kspace.imag), strict=True):
        with np.errstate(over='ignore', invalid='ignore'):
            pairs[name] = part.astype(number)
    return pairs


def samples(scans: Scans) -> Iterator[Craft]:
    """K-space of other types and shapes."""
    for variant, alter, expected in _odd_samples():
        yield Craft('samples', variant, expected, changed(scans, altering('kspace', alter)))
    for name, number in (('noise', 'f4'), ('noise', 'S4'), ('acs', 'c8'), ('reference', 'c8'), ('acs', 'f4')):
        for shape in ((), (0,), (3,), (8, 0), (7, 100), (8, 2), (1, 8, 48, 20), (2, 8, 48, 20)):
            value = np.zeros(shape, number)
            make = changed(scans, lambda file, name=name, value=value: put(file, name, value))
            yield Craft('beside k-space', f'{name} {number} {shape}'.replace('/', ' '), 'any', make)
    for name in ('kspace', 'mask', 'noise', 'acs', 'ismrmrd_header', 'reference'):
        yield Craft('beside k-space', f'{name} is a group', 'any', changed(scans, _as_group(name)))
        yield Craft('beside k-space', f'{name} is null', 'any', changed(scans, _as_null(name)))
        yield Craft('beside k-space', f'{name} is a type', 'any', changed(scans, _as_type(name)))


def _without(file: h5py.File, name: str) -> None:
    if name in file:
        del file[name]


def _as_group(name: str) -> Change:
    def change(file: h5py.File) -> None:
        _without(file, name)
        file.create_group(name)

    return change


def _as_null(name: str) -> Change:
    return lambda file: put(file, name, h5py.Empty('c8'))


def _as_type(name: str) -> Change:
    def change(file: h5py.File) -> None:
        _without(file, name)
        file[name] = np.dtype('c8')

    return change


def orders(scans: Scans) -> Iterator[Craft]:
    """All orders of the axes, and 16 of them as pairs of real numbers without a mask."""
    for number, order in enumerate(permutations(range(4))):
        name = ''.join('schw'[axis] for axis in order)
        alter = altering('kspace', lambda kspace, order=order: np.ascontiguousarray(kspace.transpose(order)))
        yield Craft('orders', name, 'right' if number == 0 else 'told', changed(scans, alter))
        if 0 < number <= 16:
            yield Craft('orders', f'{name} without mask', 'told', changed(scans, _both(alter, _drop('mask'))))


def _drop(name: str) -> Change:
    return lambda file: file.__delitem__(name)


def _both(first: Change, second: Change) -> Change:
    def change(file: h5py.File) -> None:
        first(file)
        second(file)

    return change


FAMILIES = (outside, bombs, masks, samples, orders)
