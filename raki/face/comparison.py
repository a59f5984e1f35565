"""What a comparison gives to people: the verdict, a table, pictures, rows, the report, files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from raki.commands.compare import require_folder, require_room, write_report
from raki.data.glance import picture_of, shown
from raki.evaluation.pictures import image_of
from raki.evaluation.report import Report, ShownCell, ShownSlice, render_report
from raki.evaluation.rows import merged_warnings
from raki.evaluation.sheet import sheet_of
from raki.evaluation.verdict import COLUMNS, Score, Verdict, verdict_of
from raki.extras import require_extra
from raki.face.calls import in_python, restating

if TYPE_CHECKING:
    from pandas import DataFrame

    from raki.face.plots import Drawing

AMPLIFIED = (50, 20, 10, 5, 2, 1)
"""Errors are shown so many times as bright as images: the first of these that leaves them within the grey scale."""

PICTURE_WIDTH = 1024
"""The most that the picture has across [pixel]."""

PICTURE_SIDE = 240
"""Height of the picture on the page [px]."""

REPORT_HEIGHT = 900
"""Of the report inside a page [px]."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of HTML that Jupyter shows in a frame."""

    html: str
    """All of it; it needs no other file and no network."""

    def __repr__(self) -> str:
        return f'Page({len(self.html) / 1e6:.1f} MB of HTML)'

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self.html)}" style="width:100%;height:{REPORT_HEIGHT}px;border:0"></iframe>'


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparison:
    """Methods compared on one scan at several rates; in Jupyter it shows the verdict, a table and a picture."""

    made: Report
    """All that the report shows."""

    @property
    def results(self) -> Mapping[str, Any]:
        """What `results.json` holds: scan, versions, settings, rows."""
        return self.made.results

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Figures of every method, rate, ACS, slice and seed, see `raki.evaluation.metrics.FIGURES`."""
        return [dict(row) for row in self.results['rows']]

    @property
    def verdict(self) -> Verdict:
        """One sentence, and a table of methods with marks and prices."""
        return verdict_of(self.results['rows'])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why a method may be worse than usual, one sentence each; what all cells of a slice say, once."""
        return tuple(map(in_python, merged_warnings(self.rows)))

    def to_frame(self) -> 'DataFrame':
        """Rows as a DataFrame of pandas, a column for each figure; an ExtraError where pandas is not installed."""
        require_extra('frame', 'to_frame(), which gives .rows to pandas,')
        from pandas import DataFrame

        plain = ({name: each for name, each in row.items() if not isinstance(each, list | tuple)} for row in self.rows)
        return DataFrame(list(plain))

    def plot(self) -> 'Drawing':
        """Draw the figure for papers of `raki compare --figure`, which Jupyter shows; `.savefig('x.pdf')` keeps it.

        Reference and methods at the rate of the verdict, errors, g-factors, figures of merit. An ExtraError where
        matplotlib is not installed.
        """
        require_extra('figure', 'plot()')
        from raki.face.plots import paper_drawn

        return paper_drawn(sheet_of(self.made))

    def report(self) -> Page:
        """The page that `raki compare` writes, which Jupyter shows where it is the value of a cell."""
        return Page(render_report(self.made))

    def save(self, folder: str | Path) -> Path:
        """Write `results.json` and `report.html` into a folder, as `raki compare -o` does; give the folder back.

        Raises
        ------
        ValueError
            If it is not a folder.
        OSError
            If it cannot be written, or there is too little room.
        """
        folder = Path(folder)
        with restating('compare(...).save', {'folder': str(folder)}):
            require_folder(folder)
            folder.mkdir(parents=True, exist_ok=True)
            first = next(iter(self.made.slices.values()))
            require_room(folder, len(self.made.cells), len(self.made.slices), prod(first.reference.shape))
            write_report(folder, self.made)
        return folder

    def __repr__(self) -> str:
        return f'Comparison({self.verdict.sentence})'

    def _repr_html_(self) -> str:
        verdict, warned = self.verdict, _count(self.warnings)
        montage = _montage(self.made, verdict)
        picture = shown(picture_of(montage.image, PICTURE_WIDTH), montage.about, PICTURE_SIDE)
        below = f'<small>R = {verdict.rate}, ACS {verdict.acs}: {escape(montage.about)}{warned}</small>'
        return f'<p><b>{escape(verdict.sentence)}</b></p>{_table(verdict)}{picture}<br>{below}'


def _count(warnings: Sequence[str]) -> str:
    """That there are warnings, and where."""
    return f'<br>{len(warnings)} warning{"s" * (len(warnings) > 1)}, see .warnings' if warnings else ''


def _table(verdict: Verdict) -> str:
    """Scores as a table of HTML: marked where they are best."""
    headings = ['method', 'R', 'ACS', *(f'{each.label} {"↓" if each.better == "low" else "↑"}' for each in COLUMNS)]
    rows = [headings, *map(_cells, verdict.scores)]
    lines = (''.join(f'<td>{escape(str(cell))}' for cell in row) for row in rows)
    return f'<table>{"".join(f"<tr>{line}" for line in lines)}</table><small>{escape(_legend(verdict))}</small><br>'


def _cells(score: Score) -> list[object]:
    figures = (f'{column.written(score.values[column.name])}{score.mark(column)}' for column in COLUMNS)
    return [score.method, score.rate, score.acs, *figures]


def _legend(verdict: Verdict) -> str:
    return f'★: best. {verdict.limits}' if any(score.prices for score in verdict.scores) else '★: best.'


class Montage(NamedTuple):
    """Images of one cell side by side, with their errors below."""

    image: Tensor
    """Axes (y, x)."""
    about: str
    """What it shows."""


def _montage(made: Report, verdict: Verdict) -> Montage:
    """The middle slice at the rate and ACS of the verdict."""
    slab = made.slices[sorted(made.slices)[len(made.slices) // 2]]
    cells, fills = _cells_shown(made, verdict, slab), {score.method for score in verdict.scores if score.fills}
    reference, images = image_of(slab.reference), [image_of(each.image) for each in cells.values()]
    largest = max(each.largest_error for name, each in cells.items() if name in fills or not fills & set(cells))
    factor = next((each for each in AMPLIFIED if each * largest <= slab.window), AMPLIFIED[-1])
    errors = [factor * (image - reference).abs() for image in (reference, *images)]
    both = torch.cat([torch.cat([reference, *images], 1), torch.cat(errors, 1)])
    about = f'reference, {", ".join(cells)}; below |error| x {factor}'
    return Montage(both.clamp(max=slab.window), about)


def _cells_shown(made: Report, verdict: Verdict, slab: ShownSlice) -> dict[str, ShownCell]:
    """Cells of a slice that the verdict is about, by method; of several seeds the first, as figures for papers do."""
    found = dict[str, ShownCell]()
    for row, cell in zip(made.results['rows'], made.cells, strict=True):
        is_here = (row['rate'], row['acs']) == (verdict.rate, verdict.acs)
        if is_here and any(cell is each for each in slab.cells):
            found.setdefault(row['method'], cell)
    return found
