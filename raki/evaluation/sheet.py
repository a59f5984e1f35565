"""What a figure of a comparison shows: one slice at one rate, a column for the reference and one for every method.

`raki.evaluation.figure` draws it. All that is chosen is chosen here, by rules that the figure's own note states.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from raki.evaluation.pictures import image_of
from raki.evaluation.report import Report, ShownCell
from raki.evaluation.verdict import COLUMNS, STAR, Score, verdict_of

ROUND = (1, 1.5, 2, 3, 4, 5, 6, 8)
"""Errors are amplified by one of these times a power of ten [1]."""

PARTS = 3
"""A zoomed region is so many times smaller than the image, along both axes [1]."""

GFACTOR_END = 1.5
"""Where the scale of g-factors ends at least [1]."""

ARROWS = {'low': '↓', 'high': '↑'}


class Region(NamedTuple):
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: Tensor) -> Tensor:
        """Cut it out of an image (y, x)."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


class Written(NamedTuple):
    """A figure of merit as it is written."""

    text: str
    mark: str = ''
    """STAR, PRICED or PRICE of the verdict, or nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """What is shown of one method, or of the reference: a column of the figure."""

    title: str
    image: Tensor
    """Magnitude, axes (y, x)."""
    error: Tensor | None = None
    """Magnitude of its difference to the reference, same axes and unit; None where there is no reference."""
    gfactor: Tensor | None = None
    """Same axes, NaN where it is not to be shown [1]; None where there is none."""
    figures: Sequence[Written] = ()
    """One for each heading of the sheet, or none."""


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """All that a figure shows."""

    strips: Sequence[Strip]
    """From left to right, the reference first if there is one; at least one."""
    window: float
    """Where the grey scale of all images ends, in their unit; it starts at 0."""
    amplification: float = 1
    """The scale of errors ends at the window over this [1]."""
    gfactor_end: float = GFACTOR_END
    """Where the scale of g-factors ends; it starts at 0 [1]."""
    zoom: Region | None = None
    """What is shown larger, of all images."""
    headings: Sequence[str] = ()
    """Of the figures of merit."""
    pixel_size: tuple[float, float] | None = None
    """Along (y, x) [m], where it is known."""
    note: Sequence[str] = ()
    """What is seen, and by which rules: sentences."""


class _Shown(NamedTuple):
    """One method of a figure."""

    row: Mapping[str, Any]
    cell: ShownCell
    score: Score
    strip: Strip


def sheet_of(report: Report) -> Sheet:
    """Choose what a figure of a comparison shows: the rate and the ACS that its verdict is about, in the middle slice.

    Of a method with several seeds the first is shown. Figures of merit and their marks are those of what is shown.
    """
    index = sorted(report.slices)[len(report.slices) // 2]
    reference, inside = (image_of(each) for each in (report.slices[index].reference, report.slices[index].object))
    every = _methods(report, index, reference, inside > 0)
    filling = [each for each in every if each.score.fills] or every
    window, largest = report.slices[index].window, max(each.cell.largest_error for each in filling)
    amplification = _round(window / largest) if largest else 1
    zoom = _worst([each.strip.error for each in filling if each.strip.error is not None], inside > 0)
    return Sheet(
        strips=[Strip('reference', reference), *(each.strip for each in every)],
        window=window,
        amplification=amplification,
        gfactor_end=max(GFACTOR_END, *(each.row['gfactor_p95'] or 0 for each in every)),
        zoom=zoom,
        headings=[f'{each.label} {ARROWS[each.better]}' for each in COLUMNS],
        pixel_size=report.pixel_size,
        note=_note(report, [each.row for each in every], window, amplification),
    )


def _methods(report: Report, index: int, reference: Tensor, inside: Tensor) -> list[_Shown]:
    """What is shown of every method in a slice: its first row in the cell that the verdict is about."""
    rows = report.results['rows']
    verdict, chosen = verdict_of(rows), dict[str, tuple[Mapping[str, Any], ShownCell]]()
    for row, cell in zip(rows, report.cells, strict=True):
        if (row['rate'], row['acs'], row['slice']) == (verdict.rate, verdict.acs, index):
            chosen.setdefault(row['method'], (row, cell))
    scores = verdict_of([row for row, _ in chosen.values()]).scores
    return [
        _Shown(row, cell, score, _strip(score, cell, reference, inside))
        for score, (row, cell) in zip(scores, chosen.values(), strict=True)
    ]


def _strip(score: Score, cell: ShownCell, reference: Tensor, inside: Tensor) -> Strip:
    image, gfactor = image_of(cell.image), None
    if cell.gfactor is not None:
        gfactor = torch.where(inside, image_of(cell.gfactor), torch.nan)
    figures = [Written(column.written(score.values[column.name]), score.mark(column)) for column in COLUMNS]
    return Strip(score.method, image, (image - reference).abs(), gfactor, figures)


def _round(factor: float) -> float:
    """Round a factor down to few digits; errors are never made less than they are."""
    power = 10.0 ** floor(log10(max(1.0, factor)))
    return max((each * power for each in ROUND if each * power <= factor), default=1)


def _worst(errors: Sequence[Tensor], inside: Tensor) -> Region:
    """Find where the squared errors of all methods, summed over the object, are largest."""
    height, width = (-(-size // PARTS) for size in inside.shape)
    weight = torch.stack(list(errors)).square().sum(0)
    within = (weight if bool(weight[inside].any()) else torch.ones_like(weight)).where(inside, 0)
    sums = avg_pool2d(within[None].double(), (height, width), stride=1)[0]
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return Region(top, left, height, width)


def _note(report: Report, rows: Sequence[Mapping[str, Any]], window: float, amplification: float) -> list[str]:
    """What is seen, and by which rules."""
    scan, settings, row, own = report.results['scan'], report.results['settings'], rows[0], verdict_of(rows)
    sentences = [
        f'{_drawable(scan["file"])}, {_place(report, row["slice"])}, R = {row["rate"]} with an ACS of {row["acs"]} '
        f'(net {row["net_acceleration"]:.2f}), judged against {scan["reference"]}.',
        f'Images: 0 to {window:.2f} of the maximum of the reference; error: |image − reference|, {amplification:g} '
        'times amplified; each scale is the same for all methods.',
        f'Frame: 1/{PARTS} of the field of view along both axes, where the errors of all methods together are largest '
        'in the object; below it, enlarged.',
    ]
    if any(each['gfactor_mean'] is not None for each in rows):
        sentences.append(f'g-factors: in the object, from {settings["n_replicas"]} replicas.')
    if any(score.best for score in own.scores):
        sentences.append(f'{STAR}: best.' + f' {own.limits}.' * any(score.prices for score in own.scores))
    return sentences


def _place(report: Report, index: int) -> str:
    if 'kz' in report.results['scan']['shape']:
        return f'slice {index} of a volume that is judged as a whole'
    return f'slice {index}' + (f', one of {len(report.slices)} compared' if len(report.slices) > 1 else '')


def _drawable(name: str) -> str:
    """A name without letters that fonts may lack."""
    return name.encode('latin-1', 'replace').decode('latin-1')
