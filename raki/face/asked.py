"""What is asked for in Python, by names, numbers or objects, as the rest of the package takes it."""

from collections.abc import Mapping, Sequence
from operator import index
from typing import Any, SupportsIndex, TypeVar

import numpy as np
import torch

from raki.commands import inputs
from raki.commands.catalogue import known, method_named, methods_named, name_of
from raki.data.masks import MASKS, Drawn
from raki.device import choose_device
from raki.evaluation.outside import Baseline
from raki.evaluation.plan import Rate
from raki.interpolation.calibration import Method

T = TypeVar('T')
AnyMethod = str | Method | Baseline
"""A method, or a reference from outside, or the name of one."""
Size = int | str | Rate | np.integer
"""Such as 4, '2x2s1', or a `Rate`; of an ACS 24 or '16x24'."""


def named(every: Mapping[str, T], value: T | str, kind: str) -> T:
    """Look a value up by its name; others are given back, but numbers and None, which are a ValueError."""
    if isinstance(value, str):
        return known(every, value, kind)
    if value is None or isinstance(value, int | float):
        raise ValueError(f'no {kind} {value}: choose from {", ".join(every)}')
    return value


def several(values: Any) -> list[Any]:
    """One value or several as a list."""
    return list(values) if np.ndim(values) else [values]


def words(values: Sequence[Size] | Size | None) -> list[str] | None:
    """One or several sizes as the command line writes them; None where nobody says any; never an empty list."""
    found = None if values is None else list(map(str, several(values)))
    if found == []:
        raise ValueError('an empty list of rates or ACS: leave it out for the usual ones')
    return found


def numbers(values: Sequence[SupportsIndex] | SupportsIndex) -> list[int]:
    """One or several whole numbers, of Python; a TypeError if they are something else."""
    return list(map(index, several(values)))


def method_of(method: Method | str) -> Method:
    """A method by its name, or itself; a ValueError if it is none."""
    return _object(method_named(method))


def _object(method: T) -> T:
    """Give a method back; a ValueError if it is a class, or neither learns nor reconstructs."""
    if isinstance(method, type):
        raise ValueError(f'{method.__name__} is a class: wanted is a method, such as raki.{method.__name__}()')
    if not hasattr(method, 'learn') and not isinstance(method, Baseline):
        raise ValueError(f'a method is its name, or an object such as raki.Grappa(), got {type(method).__name__}')
    return method


def methods_by_name(
    methods: Sequence[AnyMethod] | Mapping[str, AnyMethod] | AnyMethod,
) -> dict[str, Method | Baseline]:
    """Methods by the names under which they are compared; a ValueError if two have the same, or one is none."""
    if isinstance(methods, Mapping):
        return {name: _with_name(each)[1] for name, each in methods.items()}
    found = list(map(_with_name, several(methods)))
    names = [name for name, _ in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f'two methods are called {twice[0]}: give a dictionary with names of your own')
    return dict(found)


def _with_name(method: AnyMethod) -> tuple[str, Method | Baseline]:
    if isinstance(method, str):
        return next(iter(methods_named([method]).items()))
    return name_of(_object(method)), method


def drawn_by(mask: str | None, acs: Sequence[str] | None) -> Drawn | None:
    """How lines are drawn, by a name, or name:seed; None for lattices."""
    if not isinstance(mask, str | None):
        raise ValueError(f'mask is the name of a way to draw lines: choose from {", ".join(MASKS)}')
    found = inputs.drawn_mask(mask, acs)
    if mask is not None and found is None:
        known(MASKS, mask, 'way to draw lines')
    return found


def where(device: torch.device | str | None) -> torch.device:
    """A device, or the GPU where there is one; a ValueError if it is absent."""
    return choose_device(None if device is None else str(device))


def told(options: Mapping[str, object]) -> dict[str, object]:
    """Options as a manifest tells them: functions and objects by their names."""
    plain = (str, int, float, type(None))
    return {name: each if isinstance(each, plain) else _name(each) for name, each in options.items()}


def _name(value: object) -> str:
    return str(value) if isinstance(value, torch.device) else getattr(value, '__name__', type(value).__name__)
