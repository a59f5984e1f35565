"""Frozen dataclasses as plain text and arrays, and back, without anything that could run code.

What leaves a process, for a file or for another process, is JSON and a list of arrays; only classes that the reader
knows by name come back, and they check themselves as they are made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

Plain = Any
"""What JSON can hold."""

TAGS = ('array', 'class', 'tuple', 'range', 'map', 'dtype')
"""What an object of JSON stands for, by its only key."""


def packed(value: object, arrays: list[Tensor]) -> Plain:  # noqa: PLR0911 - one for each kind
    """Give a value as what JSON can hold; arrays are appended to `arrays` and stand there as their number.

    Takes None, truth values, numbers, texts, tensors, types of tensors, tuples, lists, ranges, mappings with any such
    keys, and dataclasses of such fields. A text of a class of its own, such as a note, is a record with its slots.

    Raises
    ------
    TypeError
        If there is anything else, such as a function.
    """
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return value if type(value) is str else _packed_text(value, arrays)
        case Tensor():
            arrays.append(value)
            return {'array': len(arrays) - 1}
        case torch.dtype():
            return {'dtype': str(value).removeprefix('torch.')}
        case range():
            return {'range': [value.start, value.stop, value.step]}
        case tuple():
            return {'tuple': [packed(each, arrays) for each in value]}
        case list():
            return [packed(each, arrays) for each in value]
        case Mapping():
            return {'map': [[packed(key, arrays), packed(each, arrays)] for key, each in value.items()]}
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f'only data can be stored, got {type(value).__module__}.{type(value).__qualname__}')
    values = {each.name: packed(getattr(value, each.name), arrays) for each in fields(value) if each.init}
    return {'class': name_of(type(value)), 'fields': values}


def _packed_text(value: str, arrays: list[Tensor]) -> Plain:
    slots = {name: packed(getattr(value, name), arrays) for name in type(value).__slots__}  # type: ignore[attr-defined]
    return {'class': name_of(type(value)), 'text': str(value), 'fields': slots}


def name_of(kind: type) -> str:
    """Name of a class in records."""
    return f'{kind.__module__}.{kind.__qualname__}'


def unpacked(plain: Plain, arrays: Sequence[Tensor], known: Mapping[str, Callable[..., object]]) -> Any:  # noqa: PLR0911 - as above
    """Give the value that was `packed`.

    Parameters
    ----------
    plain, arrays
        As `packed` gave them.
    known
        Classes that may be made, by `name_of`, or what makes them of their fields.

    Raises
    ------
    ValueError
        If something stands for nothing known: an unknown class, field, type or array.
    """
    if isinstance(plain, list):
        return [unpacked(each, arrays, known) for each in plain]
    if not isinstance(plain, dict):
        return plain
    match plain:
        case {'array': int(number)} if 0 <= number < len(arrays):
            return arrays[number]
        case {'dtype': str(name)} if isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        case {'range': [int(start), int(stop), int(step)]} if step:
            return range(start, stop, step)
        case {'tuple': list(values)}:
            return tuple(unpacked(each, arrays, known) for each in values)
        case {'map': list(pairs)}:
            return {unpacked(key, arrays, known): unpacked(each, arrays, known) for key, each in pairs}
        case {'class': str(name), 'fields': dict(values)} if name in known:
            return _made(known[name], plain, {key: unpacked(each, arrays, known) for key, each in values.items()})
    raise ValueError(f'a record of {", ".join(TAGS)} of a known class is wanted, got {str(plain)[:80]}')


def _made(kind: Callable[..., object], plain: Plain, values: Mapping[str, object]) -> object:
    try:
        return kind(plain['text'], **values) if 'text' in plain else kind(**values)
    except TypeError as error:
        raise ValueError(f'{plain["class"]} has other fields than {", ".join(values)}') from error
