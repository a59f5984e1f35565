"""What a comparison finds: a row of figures for each cell, and its pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

from torch import Tensor

Label = int | str
"""Of a rate or ACS in results: 4 or 24 of slices, 2x2s1 or 16x24 of volumes."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured in one cell of the comparison."""

    method: str
    rate: Label
    acs: Label
    """What was asked for [line]."""
    slice: int
    """Number of the slice; of a volume of the first one that is shown, while figures are those of all of it."""
    seed: int | None
    figures: Mapping[str, float | None]
    """By the names of `raki.evaluation.metrics.FIGURES`."""
    warnings: tuple[str, ...] = ()
    device: str = 'cpu'
    lesions: Sequence[Mapping[str, float | int | None]] = ()
    """Summaries of `raki.evaluation.lesions.LesionResponse`: of each diameter the brighter, then the darker discs."""
    tradeoff: Sequence[Mapping[str, float]] = ()
    """`nrmse_object` and `retention_mean` of the same method at each `strength` of `raki.evaluation.tradeoff`."""
    seconds_cpu: float | None = None
    """CPU time to learn and to fill in, of all threads and of programs that were run [s]."""

    def flat(self) -> dict[str, Any]:
        """All of it side by side; JSON has neither infinity (PSNR without error) nor NaN: None."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != 'figures'}
        return {
            name: None if isinstance(value, float) and not isfinite(value) else value
            for name, value in (values | dict(self.figures)).items()
        }


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One row with its pictures."""

    row: Row
    image: Tensor
    """Reconstructed magnitude image, axes (y, x) or (z, y, x)."""
    gfactor: Tensor | None
    """Its g-factor map, same axes [1]."""
    retention: Tensor | None = None
    """Part of the unmeasured signal that comes back, same axes, 0 outside the object [1]."""


def merged_warnings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Warnings, each once, with where it is found; what is wrong with a slice itself, all of its cells say."""
    found = list[str]()
    for index in dict.fromkeys(row['slice'] for row in rows):
        own = [row for row in rows if row['slice'] == index]
        common = set[str]().union(*(row['warnings'] for row in own)).intersection(*(row['warnings'] for row in own))
        for row in own:
            where = '{method}, R = {rate}, ACS {acs}'.format(**row)
            everywhere = f'every method and rate, slice {index}' if len(own) > 1 else where
            found += [f'{everywhere if text in common else where}: {text}' for text in row['warnings']]
    return list(dict.fromkeys(found))
