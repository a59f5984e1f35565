"""Samples that are no finite number: refused, or replaced by what those around them predict, as they are read.

Removing readout oversampling, or a transform that a layout asks for, spreads one such sample over its whole line. So
this is done to every plane (coil, line, readout) before anything else, within `reading_nan`, where that is asked for.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor

from raki.data.damage.lines import MeasuredLines
from raki.data.damage.repair import repaired
from raki.errors import ScanError

NAN = ('refuse', 'drop')
"""What may be done about samples that are no finite number, by the names of the command line."""

REMEDY = 'repair the file or leave out that line; --nan drop replaces them by what their neighbours predict'


@dataclass(slots=True)
class Mended:
    """What was replaced so far."""

    findings: list[str] = field(default_factory=list)
    """One sentence each."""
    n_lost: int = 0
    """Lines that all coils lost, and that nothing predicts: they stay zero."""


_MENDED: ContextVar[Mended | None] = ContextVar('_MENDED', default=None)


def known_nan(how: str) -> str:
    """Give the name of what may be done back; a ValueError if it is none of NAN."""
    if how not in NAN:
        raise ValueError(f'no way to treat NaN and infinite samples {how!r}: choose from {", ".join(NAN)}')
    return how


@contextmanager
def reading_nan(how: str) -> Iterator[Mended]:
    """Refuse samples that are no finite number, or replace them, within the block; if a block around it does, both do.

    Raises
    ------
    ValueError
        If `how` is none of NAN.
    """
    mended = Mended()
    if known_nan(how) == 'refuse':
        yield mended
        return
    token = _MENDED.set(mended)
    try:
        yield mended
    finally:
        _MENDED.reset(token)


def is_mending() -> bool:
    """Whether samples are replaced here that are no finite number."""
    return _MENDED.get() is not None


def is_finite(samples: Tensor) -> Tensor:
    """Which complex samples have two finite parts, boolean."""
    return torch.isfinite(torch.view_as_real(samples)).all(-1)


def n_lost() -> int:
    """How many lines of zeros are lost ones, of those that were read within the block."""
    mended = _MENDED.get()
    return 0 if mended is None else mended.n_lost


def finite(kspace: Tensor, name: str) -> Tensor:
    """Samples (coil, line, readout) of which all are finite numbers: themselves, or mended where that is asked for.

    Raises
    ------
    ScanError
        If some are not, with the first; where it is asked to mend them, if none is.
    """
    bad = ~is_finite(kspace)
    if not bool(bad.any()):
        return kspace
    told = f'{name}: {int(bad.sum())} samples are NaN or infinite, the first in {_first(bad)}'
    mended = _MENDED.get()
    if mended is None or bool(bad.all()):
        raise ScanError(f'{told}: {REMEDY if mended is None else "nothing is left to predict them from"}')
    held = (kspace != 0).any(-1).any(0)
    result = _predicted(kspace, bad, held)
    lost = (held & (result == 0).all(-1).all(0)).nonzero().flatten().tolist()
    n_zero = int((bad & (result == 0)).sum())
    mended.findings.append(f'{told}: {_done(bad, n_zero, lost)}')
    mended.n_lost += len(lost)
    return result


def finite_noise(noise: Tensor, name: str) -> Tensor:
    """Noise samples (coil, sample) as `finite` has them; mended, without those at the time of any that is not finite.

    A coil that has no other is zero. ScanError as `finite`.
    """
    bad = ~is_finite(noise)
    mended = _MENDED.get()
    if mended is None or not bool(bad.any()):
        return finite(noise[:, None], name)[:, 0]
    is_lost = bad.all(1)
    kept = ~bad[~is_lost].any(0)
    mended.findings.append(
        f'{name}: {int(bad.sum())} samples are NaN or infinite, the first in {_first(bad[:, None])}: '
        f'{int(kept.sum())} of {len(kept)} samples of noise are used'
    )
    return torch.where(is_lost[:, None], 0, noise)[:, kept]


def finite_slabs(kspace: Tensor, name: str) -> Tensor:
    """K-space (slab, coil, phase axes, kx), mended plane by plane where that is asked for, else as it is."""
    if not is_mending() or bool(is_finite(kspace).all()):
        return kspace
    planes = kspace.movedim(2, 1) if kspace.ndim == 5 else kspace[:, None]
    unit = 'partition' if kspace.ndim == 5 else 'slice'
    every = planes.flatten(0, 1)
    mended = [finite(plane, f'{name}, {unit} {number % planes.shape[1]}') for number, plane in enumerate(every)]
    return torch.stack(mended).reshape(planes.shape).movedim(1, 2).reshape(kspace.shape)


def _predicted(kspace: Tensor, bad: Tensor, held: Tensor) -> Tensor:
    """K-space with bad samples predicted, from coils that hold more than such; zero where nothing tells them."""
    live = ~(bad | (kspace == 0)).flatten(1).all(1)
    result, lines = torch.where(bad, 0, kspace), MeasuredLines.of(kspace[live], held)
    result[live.nonzero().flatten()[:, None], held.nonzero().flatten()] = repaired(lines, bad[live][:, held])
    return result


def _first(bad: Tensor) -> str:
    coil, line, sample = bad.nonzero()[0].tolist()
    return f'coil {coil}, line {line}, sample {sample}'


def _done(bad: Tensor, n_zero: int, lost: Sequence[int]) -> str:
    """What became of them."""
    told = ['replaced by what their neighbours predict'] if n_zero < int(bad.sum()) else []
    if n_zero:
        told.append(f'{n_zero} are zero, because no line next to them tells them')
    if lost:
        told.append(f'all coils lost {len(lost)} line(s), the first is line {lost[0]}')
    return '; '.join(told)
