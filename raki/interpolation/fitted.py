"""What was fitted before: for which lines, on which device, and how well its equations determined it."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from raki.coils.transform import CoilTransform
from raki.data.blocks import Positions
from raki.errors import SamplingError
from raki.interpolation.fit import Interpolator
from raki.interpolation.least_squares import LinearMap
from raki.interpolation.neighbours import Cells

DETERMINED = ('fit_residual', 'fit_condition')
"""What manifests tell of the equations of every slice or volume."""


def require_same_lines(fitted: Sequence[Interpolator], mask: Tensor, n_slabs: int) -> None:
    """Raise where it is not for so many slices or volumes (ValueError), or for other lines (SamplingError)."""
    if fitted and len(fitted) != n_slabs:
        raise ValueError(f'need what was fitted of each of {n_slabs} slices or volumes, got {len(fitted)}')
    for each in fitted:
        own = each.sampling.mask
        if not torch.equal(own, mask):
            raise SamplingError(
                f'fitted for {int(own.sum())} of {own.numel()} measured lines, but of the scan other lines were '
                f'measured, {int(mask.sum())} of {mask.numel()}: fit it anew'
            )


def how_determined(fitted: Interpolator) -> dict[str, float | None]:
    """DETERMINED of the linear map, or of that which a network starts from.

    The largest of those of all kinds of cells, see `raki.interpolation.least_squares.LinearMap`; None where there is no
    such map, or nobody asked.
    """
    maps = [found for each in fitted.inner if (found := _linear(each.patch_map)) is not None]
    every = [[each.residual for each in maps], [each.condition for each in maps]]
    largest = (max((value for value in values if value is not None), default=None) for values in every)
    return dict(zip(DETERMINED, largest, strict=True))


def _linear(patch_map: object) -> LinearMap | None:
    """The map itself, or where it starts."""
    while not isinstance(patch_map, LinearMap | None):
        patch_map = getattr(patch_map, 'start', None)
    return patch_map


def on_device(interpolator: Interpolator, device: torch.device) -> Interpolator:
    """The same with weights on a device; masks, places and transforms of coils are used from the CPU."""
    return _moved(interpolator, device)


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(_moved(each, device) for each in value)
    if not is_dataclass(value) or isinstance(value, type | Positions | Cells | CoilTransform):
        return value
    found = {each.name: _moved(getattr(value, each.name), device) for each in fields(value) if each.init}
    return replace(value, **found)
