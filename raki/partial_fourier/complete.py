"""Complete k-space as far as the scan itself says that this can be trusted.

Whether the phase varies slowly enough is seen where both sides are known: the outer half of one side of the symmetric
part is hidden and completed from the rest, then the other one. What comes back, against what was hidden, tells the
weight that completed samples deserve: that of least squares, which is 1 where they are right, and 0 where they have
nothing in common with the truth, as noise has. It leans towards zero filling, for it saw the phase with half the
resolution only.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from raki.data.blocks import slices
from raki.magnitude import in_unit, out_of_unit, unit_of
from raki.partial_fourier.acquired import AXES, Acquired
from raki.partial_fourier.methods import PartialFourier

LEAST_WEIGHT = 0.5
"""With less, completing without a weight is worse than zero filling where it was tried: |k - c| > |k| for hidden
samples k and completed ones c where the weight, Re(c* k) / |c|^2, is below one half [1]."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What was done about a missing end of k-space."""

    weight: float | None = None
    """Of what was completed, 0 to 1; None where nothing was to be [1]."""

    notes: tuple[str, ...] = ()
    """What was done, one sentence each."""

    warnings: tuple[str, ...] = ()
    """Why it may be worse than usual, one sentence each."""


def complete(method: PartialFourier, kspace: Tensor, acquired: Acquired) -> tuple[Tensor, Completion]:
    """Complete filled k-space, axes (coil, [kz,] ky, kx), along its partial axes.

    A method of fewer axes completes those of which most is missing; others stay zero. With a full k-space, or nothing
    to do, k-space itself comes back.
    """
    every = sorted(acquired.partial, key=acquired.missing_part, reverse=True)
    chosen = every[: method.n_axes]
    short = [axis for axis in acquired.axes if acquired.is_one_sided(axis) and axis not in every]
    left = [_stays_zero(acquired, axis) for axis in every[method.n_axes :]] + [_too_short(axis) for axis in short]
    coarse = tuple(_coarse(acquired, axis) for axis in acquired.axes if acquired.is_coarse(axis))
    coarse += tuple(_without_centre(axis) for axis in acquired.axes if acquired.reach(axis) < 0)
    if not chosen:
        return kspace, Completion(notes=tuple(left), warnings=coarse)
    if len(chosen) < len(every):
        acquired = acquired.only(chosen[0])
    unit = unit_of(kspace)
    kspace = in_unit(kspace, unit)
    weight = trust(method, kspace, acquired)
    completed = torch.empty_like(kspace)
    for index, coil in enumerate(kspace):
        completed[index] = coil + weight * (method(coil, acquired) - coil)
    notes, cautions = _said(method, acquired, chosen, weight, left)
    return out_of_unit(completed, unit), Completion(weight, notes, (*cautions, *coarse))


def trust(method: PartialFourier, kspace: Tensor, acquired: Acquired) -> float:
    """Weight, 0 to 1, of what a method completes, from hidden samples of the symmetric part of (coil, ..., kx).

    That part is a smaller k-space of its own, so that what is hidden reaches to its end as what is missing does.
    """
    inner, agreement, energy = kspace[(slice(None), *slices(acquired.symmetric))], 0.0, 0.0
    for half in acquired.halves:
        held = half.held(half.axes).to(kspace.device)
        for coil in inner:
            known = torch.where(held, coil, 0)
            change = method(known, half) - known
            agreement += float(torch.sum(change.conj() * (coil - known)).real)
            energy += float(change.abs().square().sum())
    return min(1.0, max(0.0, agreement / energy)) if energy > 0 else 0.0


def _said(
    method: PartialFourier, acquired: Acquired, chosen: list[int], weight: float, left: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Notes and warnings."""
    axes = ' and '.join(AXES[axis] for axis in sorted(chosen))
    part = 1 - prod(1 - acquired.missing_part(axis) for axis in chosen)
    done = f'partial Fourier along {axes}: {part:.0%} of k-space is missing and was completed by {method.name}'
    note = f'{done}, weighted by {weight:.2f} as hidden samples of the symmetric part deserve'
    if weight >= LEAST_WEIGHT:
        return (note, *left), ()
    reason = f'on hidden samples of the symmetric part, {method.name} along {axes} is no better than zero filling'
    caution = f'{reason} (the phase varies too fast, or there is little but noise): it was weighted by {weight:.2f}'
    return (note, *left), (caution,)


def _stays_zero(acquired: Acquired, axis: int) -> str:
    return (
        f'partial Fourier along {AXES[axis]}: {acquired.missing_part(axis):.0%} of k-space is missing beyond one end '
        'and stays zero: pocs or homodyne may complete it'
    )


def _coarse(acquired: Acquired, axis: int) -> str:
    return (
        f'only {len(acquired.sides[axis])} of {acquired.shape[axis]} positions along {AXES[axis]} were acquired or can '
        'be filled in, the rest stays zero: the image is blurred along it'
    )


def _without_centre(axis: int) -> str:
    return (
        f'the centre of k-space along {AXES[axis]} was not acquired: what is bright and large is missing in the image'
    )


def _too_short(axis: int) -> str:
    return f'partial Fourier along {AXES[axis]}: less than half of k-space was acquired, the rest stays zero'
