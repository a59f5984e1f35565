"""What a file of fits may be made of: these classes and no others, and in every field only what it is declared to hold.

A file is a list of names, numbers and arrays that anybody may have written. Nothing in it is run, and no class is made
before its fields are known to have the right types and finite numbers.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from raki.coils.transform import CoilTransform
from raki.consistency.evidence import Evidence
from raki.consistency.grid import Grid
from raki.consistency.sparse import SparseImage
from raki.consistency.spirit import Consistent
from raki.data.equispaced import Equispaced
from raki.data.lattice import Lattice
from raki.data.masks import Irregular
from raki.data.records import name_of
from raki.data.sampling import Sampling
from raki.interpolation.calibration import Refinement
from raki.interpolation.edges import EdgeMap
from raki.interpolation.fit import InnerMap, Interpolator
from raki.interpolation.least_squares import LinearMap
from raki.interpolation.neighbours import Cells, Kernel, Neighbourhood
from raki.networks.gated import Blend, GatedNetwork
from raki.networks.high_pass import HighPassMap
from raki.networks.layers import Extent, Stack
from raki.networks.raki import NetworkMap, Raki
from raki.networks.residual import ResidualMap
from raki.networks.training import Recipe

PATCH_MAPS = (LinearMap, Blend, GatedNetwork, ResidualMap, NetworkMap, HighPassMap)
"""All that a method may have learnt."""

REFINEMENTS = (Consistent, SparseImage)
"""All that may be done to what is filled in."""

PARTS = (Interpolator, InnerMap, EdgeMap, Cells, Neighbourhood, CoilTransform)
PATTERNS = (Sampling, Equispaced, Irregular, Lattice)
OF_MAPS = (Raki, Recipe, Kernel, Stack, Extent, Evidence, Grid)

LARGEST = 2**63
"""Whole numbers are smaller than this; it is what an array can hold."""

LONGEST = 2**31
"""Ranges of lines and samples stay within this."""


def made(kind: type, /, **values: object) -> object:
    """Make a class of fields whose types and numbers are checked first.

    Raises
    ------
    ValueError
        If a field is missing, unknown, or holds something else than it is declared to, or they do not fit together.
    """
    hints = _hints(kind)
    for name, value in values.items():
        if name not in hints or not is_of(value, hints[name]):
            raise ValueError(f'{kind.__name__} has no field {name} that holds {_told(value)}')
    try:
        return kind(**values)
    except (TypeError, IndexError, OverflowError, RuntimeError) as error:
        raise ValueError(f'the fields of a {kind.__name__} do not fit together: {error}') from error


def makers(*more: type) -> dict[str, Callable[..., object]]:
    """All classes by the names that records have for them, each as a function that checks its fields first."""
    return {
        name_of(kind): partial(made, kind) for kind in (*PATCH_MAPS, *REFINEMENTS, *PARTS, *PATTERNS, *OF_MAPS, *more)
    }


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def is_of(value: object, hint: Any) -> bool:  # noqa: PLR0911 - one for each kind
    """Whether a value is what a field of a dataclass is declared to hold, and all its numbers are finite."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(is_of(value, each) for each in inner)
    if origin is Literal:
        return any(value is each or (isinstance(value, str) and value == each) for each in inner)
    if origin is tuple:
        return isinstance(value, tuple) and _are_of(value, inner)
    if hint is Refinement:
        return isinstance(value, REFINEMENTS)
    match origin or hint:
        case origin_ if origin_ is Callable:
            return isinstance(value, PATCH_MAPS)
        case origin_ if origin_ is Mapping:
            return isinstance(value, dict) and all(isinstance(key, str) for key in value)
        case kind if kind is int:
            return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST
        case kind if kind is float:
            return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        case kind if kind is range:
            return isinstance(value, range) and max(map(abs, (value.start, value.stop, value.step))) < LONGEST
        case kind if kind is Tensor:
            return isinstance(value, Tensor) and is_finite(value)
        case kind if kind in (None, NoneType):
            return value is None
        case kind:
            return isinstance(kind, type) and isinstance(value, kind)


def _are_of(values: tuple[object, ...], hints: tuple[Any, ...]) -> bool:
    if len(hints) == 2 and hints[1] is Ellipsis:
        return all(is_of(value, hints[0]) for value in values)
    return len(values) == len(hints) and all(is_of(value, hint) for value, hint in zip(values, hints, strict=True))


def is_finite(values: Tensor) -> bool:
    """Whether an array holds neither NaN nor infinity."""
    return bool((torch.view_as_real(values) if values.is_complex() else values).isfinite().all())


def _told(value: object) -> str:
    if isinstance(value, Tensor):
        return f'{"" if is_finite(value) else "NaN or infinite "}{value.dtype} of {tuple(value.shape)}'
    return repr(value)[:60]
