"""Crafted MRD (ISMRMRD): XML headers and acquisitions."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import h5py
import numpy as np

from attacks.crafts import Change, Craft, Scans, array, changed, put

PAIRS = tuple(pairwise('abcdefghi'))
DOCTYPE = '<?xml version="1.0"?>\n<!DOCTYPE ismrmrdHeader [{}]>'
DTDS = {
    'DTD': '<!ELEMENT a ANY>',
    'entity': '<!ENTITY a "64">',
    'external entity': '<!ENTITY a SYSTEM "file:///etc/hostname">',
    'parameter entity': '<!ENTITY % a SYSTEM "file:///etc/hostname"> %a;',
    'billion laughs': '<!ENTITY a "lol">' + ''.join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in PAIRS),
}

FIELDS = ('encoding', 'encodedSpace', 'matrixSize', 'x', 'y', 'z', 'reconSpace', 'fieldOfView_mm', 'encodingLimits')
FIELDS += ('kspace_encoding_step_1', 'center', 'maximum', 'trajectory', 'parallelImaging', 'accelerationFactor')
FIELDS += ('calibrationMode', 'experimentalConditions', 'acquisitionSystemInformation')

NUMBERS = ('0', '-1', '1', '7', '1.5', '1e400', '99999999999999999999', '65536', 'nan', 'inf', 'abc', '', '0x40', '٦٤')
NUMBERS += ('64 64', '1_0', '-0', '+64', '64,0', '\u2160')

PLACES = {
    'encoded x': r'(<encodedSpace><matrixSize><x>)[^<]*',
    'encoded y': r'(<encodedSpace><matrixSize><x>48</x><y>)[^<]*',
    'field of view': r'(<fieldOfView_mm><x>)[^<]*',
    'acceleration': r'(<accelerationFactor><kspace_encoding_step_1>)[^<]*',
    'centre': r'(<center>)[^<]*',
}


def _with_xml(alter: Callable[[str], str | bytes], name: str = 'dataset/xml') -> Change:
    """A change of the header."""

    def change(file: h5py.File) -> None:
        text = array(file, 'dataset/xml')[0]
        result = alter(text.decode() if isinstance(text, bytes) else str(text))
        value = result.encode() if isinstance(result, str) else result
        if b'\0' in value:
            put(file, name, np.array([np.void(value)]))
            return
        del file[name]
        file.create_dataset(name, data=[value], dtype=h5py.string_dtype())

    return change


def _body(text: str) -> str:
    """The header without its declaration."""
    return text.split('?>', 1)[1]


def _texts() -> Iterator[tuple[str, Callable[[str], str | bytes], str]]:
    """Name, change of the whole text, and what is expected."""
    for name, content in DTDS.items():
        dtd = DOCTYPE.format(content)
        yield name, lambda text, dtd=dtd: dtd + _body(text), 'refused'
        used = lambda text, dtd=dtd: dtd + _body(text).replace('<x>48', '<x>&a;', 1)  # noqa: E731
        yield f'{name}, used', used, 'refused'
    yield '10 MB', lambda text: text + f'<!-- {"x" * 10_000_000} -->', 'any'
    yield '10 MB of elements', lambda text: text.replace('<encoding>', '<a/>' * 2_500_000 + '<encoding>'), 'any'
    yield 'unknown elements', lambda text: text.replace('<encoding>', '<new a="1"><b>2</b></new><encoding>'), 'right'
    prefixed = lambda text: re.sub(r'<(/?)(\w)', r'<\1m:\2', _body(text)).replace('xmlns=', 'xmlns:m=')  # noqa: E731
    yield 'prefix', prefixed, 'right'
    yield 'no namespace', lambda text: re.sub(r' xmlns="[^"]*"', '', text), 'right'
    yield 'comments', lambda text: text.replace('<x>', '<!-- a --><x>'), 'right'
    yield 'spaces', lambda text: re.sub(r'>(\d+)<', r'> \1\n<', text), 'right'
    yield 'CDATA', lambda text: re.sub(r'<y>(\d+)<', r'<y><![CDATA[\1]]><', text), 'right'
    yield 'empty', lambda _: '', 'refused'
    yield 'half', lambda text: text[: len(text) // 2], 'refused'
    yield 'JSON', lambda _: '{"a": 1}', 'refused'
    yield 'other root', lambda _: '<a/>', 'refused'
    yield 'only the root', lambda _: '<ismrmrdHeader/>', 'refused'
    yield 'Latin-1', lambda text: text.replace('<encoding>', '<a>é</a><encoding>').encode('latin-1'), 'any'
    yield 'UTF-16', lambda text: text.encode('utf-16'), 'any'
    yield 'NUL', lambda text: text.replace('<encoding>', '\0<encoding>'), 'any'
    yield 'control characters', lambda text: text.replace('cartesian', '\x1b[31mcartesian'), 'refused'
    yield 'two encodings', lambda text: re.sub(r'(<encoding>.*</encoding>)', r'\1\1', text), 'any'
    yield 'deep', lambda text: text.replace('<encoding>', '<a>' * 100_000 + '</a>' * 100_000 + '<encoding>'), 'any'
    yield 'processing instruction', lambda text: text.replace('<encoding>', '<?php evil ?><encoding>'), 'any'
    for trajectory in ('radial', 'spiral', 'epi', 'other', ''):
        yield f'trajectory {trajectory}', lambda text, to=trajectory: text.replace('cartesian', to), 'any'
    for mode in ('separate', 'interleaved', 'other', 'nonsense', ''):
        yield f'calibration {mode}', lambda text, to=mode: text.replace('embedded', to), 'any'


def headers(scans: Scans) -> Iterator[Craft]:
    """XML of other forms, without fields, and with other numbers."""
    for variant, alter, expected in _texts():
        yield Craft('XML', variant, expected, changed(scans, _with_xml(alter), 'MRD'))
    for field in FIELDS:
        without = lambda text, field=field: re.sub(rf'<{field}>.*?</{field}>', '', text)  # noqa: E731
        yield Craft('XML without', field, 'any', changed(scans, _with_xml(without), 'MRD'))
        empty = lambda text, field=field: re.sub(rf'<{field}>.*?</{field}>', f'<{field}/>', text)  # noqa: E731
        yield Craft('XML without', f'{field}, empty', 'any', changed(scans, _with_xml(empty), 'MRD'))
    for place, pattern in PLACES.items():
        for number in NUMBERS:
            to = lambda text, pattern=pattern, number=number: re.sub(pattern, rf'\g<1>{number}', text, count=1)  # noqa: E731
            variant = f'{place} {number.encode("ascii", "backslashreplace").decode()}'
            yield Craft('XML numbers', variant, 'any', changed(scans, _with_xml(to), 'MRD'))


def _records(alter: Callable[[np.ndarray], np.ndarray | None]) -> Change:
    """A change of the acquisitions."""

    def change(file: h5py.File) -> None:
        data = file['dataset/data']
        assert isinstance(data, h5py.Dataset)
        values, kind = data[()], data.dtype
        result = alter(values)
        result = values if result is None else result
        del file['dataset/data']
        own = kind if result.dtype == kind or result.dtype.hasobject is False else result.dtype
        file.create_dataset('dataset/data', data=result, dtype=own if result.dtype == kind else result.dtype)

    return change


def _heads(field: str, value: Any, at: Any = slice(None)) -> Change:
    def alter(records: np.ndarray) -> None:
        heads = records['head']
        target = heads['idx'] if field in (heads['idx'].dtype.names or ()) else heads
        values = target[field]
        values[at] = value
        target[field] = values
        if target is not heads:
            heads['idx'] = target
        records['head'] = heads

    return _records(alter)


HOSTILE: dict[str, tuple[Any, ...]] = {
    'number_of_samples': (0, 1, 47, 49, 65535),
    'active_channels': (0, 1, 7, 9, 65535),
    'available_channels': (0, 1, 65535),
    'center_sample': (0, 47, 48, 65535),
    'discard_pre': (1, 24, 65535),
    'discard_post': (1, 24, 65535),
    'encoding_space_ref': (1, 65535),
    'trajectory_dimensions': (1, 3, 65535),
    'kspace_encode_step_1': (0, 63, 64, 65535),
    'kspace_encode_step_2': (1, 65535),
    'slice': (1, 65535),
    'repetition': (1, 65535),
    'contrast': (65535,),
    'average': (1, 65535),
    'set': (65535,),
    'segment': (65535,),
    'flags': (0, 1 << 18, 1 << 19, 1 << 21, 1 << 22, 1 << 26, (1 << 64) - 1),
    'version': (0, 65535),
    'channel_mask': (0, (1 << 64) - 1),
    'sample_time_us': (0, -1, np.nan, np.inf, 1e30),
    'position': (np.nan, np.inf, 1e30),
    'read_dir': (0, np.nan, np.inf),
}
"""Fields of acquisition headers, and what they are set to."""

RANDOM = 'random'


def acquisitions(scans: Scans) -> Iterator[Craft]:
    """Headers of acquisitions with other numbers: all of them, one, or each another."""
    for field, values in HOSTILE.items():
        for value in values:
            yield Craft('MRD heads', f'{field} {value} in all', 'any', changed(scans, _heads(field, value), 'MRD'))
        one = changed(scans, _heads(field, values[-1], 20), 'MRD')
        yield Craft('MRD heads', f'{field} {values[-1]} in one', 'any', one)


def _lengths(alter: Callable[[np.ndarray], np.ndarray]) -> Change:
    """A change of the samples of one acquisition."""

    def change(records: np.ndarray) -> None:
        records['data'][20] = alter(records['data'][20]).astype('f4')

    return _records(change)


def _typed(records: np.ndarray, field: str, number: str) -> np.ndarray:
    """The same records with another type of a field of the head."""
    head = records.dtype['head']
    kinds = [(name, number if name == field else head[name]) for name in head.names or ()]
    vlen = h5py.vlen_dtype(np.dtype('f4'))
    found = np.zeros(len(records), [('head', kinds), ('traj', vlen), ('data', vlen)])
    for name in head.names or ():
        found['head'][name] = records['head'][name]
    found['traj'], found['data'] = records['traj'], records['data']
    return found


def structures(scans: Scans) -> Iterator[Craft]:
    """Acquisitions of other types, with more or fewer samples, in other orders."""
    makes: dict[str, tuple[Change, str]] = {
        'one sample less': (_lengths(lambda values: values[:-2]), 'told'),
        'half a sample less': (_lengths(lambda values: values[:-1]), 'told'),
        'one sample more': (_lengths(lambda values: np.r_[values, 0, 0]), 'told'),
        'no samples': (_lengths(lambda values: values[:0]), 'told'),
        'a million samples': (_lengths(lambda _: np.zeros(1_000_000)), 'told'),
        'NaN': (_lengths(lambda values: values * np.nan), 'refused'),
        'infinite': (_lengths(lambda values: values * np.inf), 'refused'),
        'no acquisitions': (_records(lambda records: records[:0]), 'refused'),
        'one acquisition': (_records(lambda records: records[-1:]), 'refused'),
        'only noise': (_records(lambda records: records[:1]), 'refused'),
        'reversed order': (_records(lambda records: records[::-1].copy()), 'any'),
        'twice': (_records(lambda records: np.r_[records, records]), 'any'),
        'last line twice': (_records(lambda records: np.r_[records, records[-1:]]), 'any'),
        'without every fifth': (_records(lambda records: records[np.arange(len(records)) % 5 > 0]), 'told'),
        'flags as float': (_records(lambda records: _typed(records, 'flags', 'f8')), 'any'),
        'samples as float': (_records(lambda records: _typed(records, 'number_of_samples', 'f8')), 'any'),
        'samples as text': (_records(lambda records: _typed(records, 'number_of_samples', 'S8')), 'refused'),
        'channels signed': (_records(lambda records: _typed(records, 'active_channels', 'i2')), 'any'),
        'data a matrix': (lambda file: put(file, 'dataset/data', np.zeros((4, 4))), 'refused'),
        'data a number': (lambda file: put(file, 'dataset/data', 3), 'refused'),
        'data null': (lambda file: put(file, 'dataset/data', h5py.Empty('f4')), 'refused'),
        'data a group': (_group('dataset/data'), 'refused'),
        'xml a number': (lambda file: put(file, 'dataset/xml', 3), 'refused'),
        'xml null': (lambda file: put(file, 'dataset/xml', h5py.Empty('S1')), 'refused'),
        'xml empty': (lambda file: put(file, 'dataset/xml', np.zeros(0, 'S1')), 'refused'),
        'xml a group': (_group('dataset/xml'), 'refused'),
        'xml missing': (lambda file: file.__delitem__('dataset/xml'), 'refused'),
        'head only': (_records(lambda records: np.zeros(len(records), [('head', records.dtype['head'])])), 'refused'),
        'head a number': (
            _records(lambda records: np.zeros(len(records), [('head', 'i4'), ('data', 'f4')])),
            'refused',
        ),
    }
    for variant, (change, expected) in makes.items():
        yield Craft('MRD records', variant, expected, changed(scans, change, 'MRD'))


def _group(name: str) -> Change:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_group(name)

    return change


FAMILIES = (headers, acquisitions, structures)
