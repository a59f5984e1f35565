"""What is asked for in Python, by names, numbers or objects, as the rest of the package takes it."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch

from raki.commands import inputs
from raki.commands.catalogue import known, methods_named, name_of
from raki.data.masks import MASKS, Drawn
from raki.device import choose_device
from raki.evaluation.outside import Baseline
from raki.evaluation.plan import Rate
from raki.interpolation.calibration import Method

T = TypeVar('T')
Size = int | str | Rate
"""Such as 4, '2x2s1', or a `Rate`; of an ACS 24 or '16x24'."""


def named(every: Mapping[str, T], value: T | str, kind: str) -> T:
    """Look a value up by its name; others are given back."""
    return known(every, value, kind) if isinstance(value, str) else value


def words(values: Sequence[Size] | Size | None) -> list[str] | None:
    """One or several sizes as the command line writes them; None where nobody says any."""
    if values is None:
        return None
    return [str(each) for each in ([values] if isinstance(values, int | str | Rate) else values)]


def methods_by_name(
    methods: Sequence[str | Method | Baseline] | Mapping[str, Method | Baseline] | str | Method | Baseline,
) -> dict[str, Method | Baseline]:
    """Methods by the names under which they are compared; a ValueError if two have the same."""
    if isinstance(methods, Mapping):
        return dict(methods)
    every = list(methods) if isinstance(methods, Sequence) and not isinstance(methods, str) else [methods]
    found = [(each, methods_named([each])[each]) if isinstance(each, str) else (name_of(each), each) for each in every]
    names = [name for name, _ in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f'two methods are called {twice[0]}: give a dictionary with names of your own')
    return dict(found)


def drawn_by(mask: str | None, acs: Sequence[str] | None) -> Drawn | None:
    """How lines are drawn, by a name, or name:seed; None for lattices."""
    found = inputs.drawn_mask(mask, acs)
    if mask is not None and found is None:
        known(MASKS, mask, 'way to draw lines')
    return found


def where(device: torch.device | str | None) -> torch.device:
    """A device, by its name, or the GPU where there is one."""
    return device if isinstance(device, torch.device) else choose_device(device)


def told(options: Mapping[str, object]) -> dict[str, object]:
    """Options as a manifest tells them: functions and objects by their names."""
    plain = (str, int, float, type(None))
    return {name: each if isinstance(each, plain) else _name(each) for name, each in options.items()}


def _name(value: object) -> str:
    return str(value) if isinstance(value, torch.device) else getattr(value, '__name__', type(value).__name__)
