"""What was fitted before: on which device it is, and whether it is for the lines of a scan."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from raki.coils.transform import CoilTransform
from raki.data.blocks import Positions
from raki.errors import SamplingError
from raki.interpolation.fit import Interpolator
from raki.interpolation.neighbours import Cells


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
