"""Crafted attributes of scans, and crafted reconstructions to be viewed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from attacks.crafts import SCAN, Change, Craft, Scans, changed, put
from attacks.running import run

ATTRIBUTES = ('acquisition', 'source', 'notes')
"""Those of a scan that info shows."""

OF_RESULTS = ('method', 'slice', 'warnings', 'settings', 'image_axes', 'versions', 'repetition')

VALUES: dict[str, Any] = {
    'escapes': 'a\x1b[31mred\x1b]0;title\x07',
    'script': '<script>alert(1)</script>',
    'closing script': '</script><script>alert(1)</script>',
    'template': '{{ 7 * 7 }}{% for a in b %}',
    'markup': '[red]a[/red][link=file:///etc/passwd]b[/link]',
    'huge': 'x' * 60_000,
    'NUL': np.void(b'a\0b'),
    'not UTF-8': np.bytes_(b'caf\xe9\xff'),
    'number': 3,
    'NaN': np.nan,
    'complex': 1j,
    'array': np.arange(6).reshape(2, 3),
    'texts': np.array([b'a', b'b']),
    'no texts': np.zeros(0, 'S1'),
    'null': h5py.Empty('f4'),
    'compound': np.zeros((), [('a', 'i4'), ('b', 'S3')]),
    'reference': h5py.Reference(),
    'broken JSON': '[1, 2',
    'deep JSON': '[' * 20_000,
    'JSON constants': '[NaN, Infinity]',
    'JSON texts': '["a", {"b": null}]',
    'huge number': '[1' + '0' * 5000 + ']',
    'negative': '[-1]',
    'surrogate': '["\\ud800"]',
}


def _attribute(name: str, value: Any) -> Change:
    def change(file: h5py.File) -> None:
        if isinstance(value, h5py.Reference):
            file.attrs.create(name, file.ref, dtype=h5py.ref_dtype)
        else:
            file.attrs[name] = value

    return change


def attributes(scans: Scans) -> Iterator[Craft]:
    """Attributes of scans."""
    for variant, value in VALUES.items():

        def change(file: h5py.File, value: Any = value) -> None:
            for name in ATTRIBUTES:
                _attribute(name, value)(file)

        yield Craft('attributes', variant, 'any', changed(scans, change))
    for variant, value in VALUES.items():
        axes = changed(scans, lambda file, value=value: _attribute('axes', value)(file['kspace']))  # type: ignore[arg-type]
        yield Craft('attributes', f'axes {variant}', 'any', axes)


def _result(scans: Scans, change: Change) -> Callable[[Path], None]:
    """What reconstructs the clean scan, and changes what came of it."""

    def make(folder: Path) -> None:
        scan = scans['fastMRI']
        scan.copied(folder)
        run(scan.command(SCAN), folder)
        scan_file = folder / scan.files[0].name
        scan_file.unlink()
        with h5py.File(folder / SCAN, 'r+') as file:
            change(file)

    return make


def results(scans: Scans) -> Iterator[Craft]:
    """Reconstructions with hostile attributes and images."""
    for name in OF_RESULTS:
        for variant, value in VALUES.items():
            make = _result(scans, _attribute(name, value))
            yield Craft('results', f'{name} {variant}', 'any', make, is_result=True)
    images: dict[str, Any] = {
        'NaN': np.full((1, 64, 48), np.nan),
        'zero': np.zeros((1, 64, 48)),
        'huge values': np.full((1, 64, 48), 1e300),
        'negative': -np.ones((1, 64, 48)),
        'text': np.full((1, 64, 48), b'a'),
        'complex': np.ones((1, 64, 48), 'c8'),
        'compound': np.zeros((1, 64, 48), [('a', 'f4')]),
        'one pixel': np.ones((1, 1, 1)),
        'no image': np.zeros((0, 64, 48)),
        'four axes': np.zeros((1, 1, 64, 48)),
        'scalar': 1.0,
        'null': h5py.Empty('f4'),
        'bool': np.ones((1, 64, 48), bool),
        'two images': np.ones((2, 64, 48)),
    }
    for variant, value in images.items():
        make = _result(scans, lambda file, value=value: put(file, 'reconstruction', value))
        yield Craft('results', f'images {variant}', 'any', make, is_result=True)
    for variant, shape in {'images': (1 << 40, 64, 48), 'pixels': (1, 1 << 20, 1 << 20)}.items():
        make = _result(scans, lambda file, shape=shape: _declared(file, shape))
        yield Craft('results', f'huge {variant}', 'refused', make, is_result=True)
    for name in ('voxel_size', 'gfactor', 'kspace', 'position'):
        make = _result(scans, lambda file, name=name: put(file, name, h5py.Empty('f4')))
        yield Craft('results', f'{name} null', 'any', make, is_result=True)


def _declared(file: h5py.File, shape: tuple[int, ...]) -> None:
    del file['reconstruction']
    file.create_dataset('reconstruction', shape, 'f4', chunks=(1, 64, 48))


FAMILIES = (attributes, results)
