"""Whether what a command wrote is whole: old, new, or neither."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

VOLATILE = re.compile(r'second|time|date|host|uid|sha256|digest|^bytes$', re.IGNORECASE)
"""What two runs of the same command may tell otherwise; a page that tells times may have another size."""


def digest(path: Path) -> str:
    """What a file holds, without what two runs of the same command may tell otherwise; raises what its reader does."""
    if path.name.endswith('.h5'):
        return _of_hdf5(path)
    if path.suffix == '.json':
        return json.dumps(_lasting(json.loads(path.read_text())), sort_keys=True)
    if path.suffix == '.html':
        return 'whole page' if path.read_text().rstrip().endswith('</html>') else 'half a page'
    if path.suffix == '.dcm':
        import pydicom

        return hashlib.sha256(pydicom.dcmread(path).pixel_array.tobytes()).hexdigest()
    if path.name.endswith(('.nii', '.nii.gz')):
        import nibabel

        return hashlib.sha256(np.asarray(nibabel.load(path).dataobj).tobytes()).hexdigest()  # type: ignore[attr-defined]
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _of_hdf5(path: Path) -> str:
    """Every dataset, and the names of attributes."""
    found = hashlib.sha256()
    with h5py.File(path, 'r') as file:
        names: list[str] = []
        file.visit(names.append)
        for name in sorted(names):
            item = file[name]
            values = item[()] if isinstance(item, h5py.Dataset) else None
            is_text = isinstance(values, bytes | str) or (values is not None and values.dtype.hasobject)
            content = b'' if values is None or is_text else np.ascontiguousarray(values).tobytes()
            found.update(name.encode() + content + ' '.join(sorted(item.attrs)).encode())
        found.update(' '.join(sorted(file.attrs)).encode())
    return found.hexdigest()


def _lasting(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _lasting(each) for name, each in value.items() if not VOLATILE.search(name)}
    return [_lasting(each) for each in value] if isinstance(value, list) else value


def sums(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder."""
    files = (path for path in folder.rglob('*') if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def state_among(folder: Path, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Which of two sets of files is there: `old` by sums, `new` by digests; or nothing, torn or mixed."""
    kinds = {_kind(folder / name, old.get(name), new.get(name)) for name in {*old, *new}}
    if kinds == {'nothing'} and old:
        return 'torn'
    if 'torn' in kinds or len(kinds) > 1:
        return 'torn' if 'torn' in kinds else 'mixed'
    return kinds.pop()


def _kind(path: Path, old: str | None, new: str | None) -> str:
    if not path.exists():
        return 'nothing'
    if hashlib.sha256(path.read_bytes()).hexdigest() == old:
        return 'old'
    try:
        return 'new' if digest(path) == new else 'torn'
    except Exception:  # noqa: BLE001 - readers of damaged files raise anything
        return 'torn'


def everything(path: Path) -> Any:
    """All that a file holds, attributes and times included, as its reader gives it; its bytes where it has none."""
    if not h5py.is_hdf5(path):
        return path.read_bytes()
    found: dict[str, Any] = {}
    with h5py.File(path, 'r') as file:

        def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
            found[name] = _values(item[()]) if isinstance(item, h5py.Dataset) else None
            found.update({f'{name}@{each}': _values(value) for each, value in item.attrs.items()})

        file.visititems(add)
        add('/', file)
    return found


def _values(values: Any) -> Any:
    """Comparable values: bytes of numbers, texts as they are."""
    array = np.asarray(values)
    return (str(array.dtype), array.shape, repr(array.tolist()) if array.dtype.hasobject else array.tobytes())
