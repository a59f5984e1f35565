"""What patterns a method can be fitted to, and each of them as what there is to learn: one map, or several.

On a lattice all cells are alike, and one map fills all of them. Where gaps differ, cells are alike that have the same
gaps around them, as far as a kernel sees: for each kind a method learns as if it were a lattice, and what it learns is
used for the cells of that kind.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from raki.data.equispaced import Equispaced
from raki.data.masks import Irregular, Pattern
from raki.data.sampling import Sampling
from raki.errors import CalibrationError, SamplingError
from raki.interpolation.calibration import Calibration, Learnt, Method, Progress, Refining, not_regular
from raki.interpolation.neighbours import Kernel


@runtime_checkable
class Gapwise(Protocol):
    """A method that sees no more than one kernel around a cell, and so can learn for each kind of cells apart."""

    def choices(self, calibration: Calibration) -> tuple[Kernel, ...]:
        """Kernels to choose from, smallest first."""
        ...


def require_pattern(method: Method, sampling: Pattern) -> None:
    """Raise a SamplingError, which says why there is none, if a method needs a lattice."""
    if isinstance(sampling, Sampling) or isinstance(method, Refining):
        return
    if isinstance(sampling, Irregular):
        Sampling.from_mask(sampling.mask)
        raise SamplingError(not_regular(sampling))
    if not isinstance(method, Gapwise):
        named = ', '.join(f'{size} ({count}x)' for size, count in sampling.gaps.items())
        raise SamplingError(
            f'{type(method).__name__} needs measured lines evenly spaced outside the ACS, got gaps of {named}: '
            'the methods grappa and gated take gaps that differ by one line, spirit and sparse any'
        )


def as_seen_by(method: Method, sampling: Pattern) -> Pattern:
    """What a method can use of the order of lines: those that can do without any use none."""
    return Irregular(sampling.mask) if isinstance(sampling, Equispaced) and isinstance(method, Refining) else sampling


def kinds_for(method: Method, known: Calibration) -> tuple[Calibration, ...]:
    """What a method learns from for each kind of cells that it has to tell apart.

    Raises
    ------
    CalibrationError
        If the ACS does not hold the smallest neighbourhood of each.
    """
    if not isinstance(known.sampling, Equispaced):
        _require_fits(method, known)
        return (known,)
    assert isinstance(method, Gapwise)
    counts = [kernel.lines for kernel in method.choices(known)]
    before, after = max(n // 2 for n in counts) - 1, max(n - n // 2 for n in counts) - 1
    every = [replace(known, lattice=each.lattice, sampling=each) for each in known.sampling.alike(before, after)]
    for kind in sorted(every, key=lambda kind: kind.lattice.rate, reverse=True):  # the widest tells what is needed
        try:
            _require_fits(method, kind)
        except CalibrationError as error:
            raise CalibrationError(f'{kind.lattice}: {error}; the methods spirit and sparse take any mask') from error
    return tuple(every)


def _require_fits(method: Method, kind: Calibration) -> None:
    smallest = method.smallest(kind)
    if smallest is not None:
        smallest.require_fits(kind.acs.shape[1:])


def learn(method: Method, kinds: Sequence[Calibration], progress: Progress) -> list[Learnt]:
    """Learn for each kind of cells."""

    def part(index: int) -> Progress:
        return lambda done, total: progress(index * total + done, len(kinds) * total)

    return [method.learn(kind, part(index)) for index, kind in enumerate(kinds)]


def several(kinds: Sequence[Calibration]) -> tuple[str, ...]:
    """A sentence on what cells are told apart by, where they are."""
    named = ', '.join(str(kind.lattice) for kind in kinds)
    return (f'a map for each kind of cells: {named}',) if len(kinds) > 1 else ()


def told(kinds: Sequence[Calibration], texts: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Sentences of all kinds of cells: once where all say the same, else with the gaps that they are about."""
    if not any(texts):
        return ()
    common = [text for text in texts[0] if all(text in own for own in texts)]
    others = (
        f'{kind.lattice}: {text}' for kind, own in zip(kinds, texts, strict=True) for text in own if text not in common
    )
    return (*common, *others)
