"""One self-contained HTML file per comparison: tables, curves, images, error and g-factor maps on common scales."""

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from statistics import mean
from typing import Any

import matplotlib as mpl
import matplotlib.image
import numpy as np
from jinja2 import Environment, Template
from matplotlib.figure import Figure
from torch import Tensor

from raki.evaluation.compare import Cell, Row

ERROR_QUANTILE = 0.995
"""Error maps end at the largest error's quantile over all methods that fill something in."""

WINDOW = 0.999
"""Images end at this quantile of the reference."""

CURVES = {
    'nrmse_object': 'NRMSE in the object',
    'kspace_nrmse': 'k-space NRMSE (missing lines)',
    'ssim': 'SSIM',
    'gfactor_mean': 'mean g-factor in the object',
}


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """All that a report shows."""

    results: Mapping[str, Any]
    """The content of `results.json`."""

    reference: Tensor
    """Reference image of the slice that is shown, axes (y, x)."""

    cells: Sequence[Cell]
    """Cells of that slice."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A common scale of maps."""

    label: str
    low: float
    high: float
    colours: str
    """Name of a matplotlib colour map."""

    @property
    def bar(self) -> str:
        """The colour bar as an image."""
        return _png(np.linspace(self.high, self.low, 128)[:, None].repeat(8, axis=1), self)

    def ticks(self) -> list[str]:
        """Labels from top to bottom."""
        return [f'{value:.3g}' for value in np.linspace(self.high, self.low, 5)]


def render(report: Report) -> str:
    """HTML of a report; it needs no other file and no network."""
    reference, rows = _relative(report.reference, report), report.results['rows']
    image = Scale('magnitude', 0.0, float(np.quantile(reference, WINDOW)), 'gray')
    error = Scale('|error|', 0.0, _largest_error(report), 'inferno')
    gfactor = Scale('g-factor', 0.0, _largest_gfactor(report), 'viridis')
    return _template().render(
        results=report.results,
        rows=[cell.row for cell in report.cells],
        all_rows=rows,
        least=_least_errors(rows),
        warnings=_warnings(rows),
        curves=[_curve(report, name, label) for name, label in CURVES.items()],
        scales={'image': image, 'error': error, 'gfactor': gfactor},
        reference=_png(reference, image),
        panels=[
            _panel(rate_and_acs, list(cells), report, (image, error, gfactor))
            for rate_and_acs, cells in _by_rate(report)
        ],
        shown_slice=report.cells[0].row.slice,
    )


def _least_errors(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int, int], float]:
    """Least NRMSE in the object of any method, by (rate, ACS, slice)."""
    least: dict[tuple[int, int, int], float] = {}
    for row in rows:
        cell = (row['rate'], row['acs'], row['slice'])
        least[cell] = min(row['nrmse_object'], least.get(cell, math.inf))
    return least


def _warnings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    every = (f'{row["method"]}, R = {row["rate"]}: {text}' for row in rows for text in row['warnings'])
    return list(dict.fromkeys(every))


def _by_rate(report: Report) -> Iterator[tuple[tuple[int, int], Iterator[Cell]]]:
    """Cells of the first seed, grouped by (rate, ACS), methods in the order they were asked for."""
    first_seeds: dict[tuple[int, int, str], Cell] = {}
    for cell in report.cells:
        first_seeds.setdefault((cell.row.acs, cell.row.rate, cell.row.method), cell)
    cells = sorted(first_seeds.values(), key=lambda cell: (cell.row.acs, cell.row.rate))
    return groupby(cells, key=lambda cell: (cell.row.rate, cell.row.acs))


def _relative(image: Tensor, report: Report) -> np.ndarray:
    """Image in units of the reference's maximum."""
    return (image / report.reference.max()).numpy()


def _error(cell: Cell, report: Report) -> np.ndarray:
    return _relative((cell.image - report.reference).abs(), report)


def _largest_error(report: Report) -> float:
    filled = [cell for cell in report.cells if cell.row.energy_ratio > 0] or report.cells
    return max(float(np.quantile(_error(cell, report), ERROR_QUANTILE)) for cell in filled) or 1.0


def _panel(
    rate_and_acs: tuple[int, int], cells: list[Cell], report: Report, scales: tuple[Scale, Scale, Scale]
) -> dict[str, object]:
    image, error, gfactor = scales
    return {
        'rate': rate_and_acs[0],
        'acs': rate_and_acs[1],
        'net_acceleration': cells[0].row.net_acceleration,
        'columns': [
            {
                'row': cell.row,
                'image': _png(_relative(cell.image, report), image),
                'error': _png(_error(cell, report), error),
                'gfactor': None if cell.gfactor is None else _png(cell.gfactor.numpy(), gfactor),
            }
            for cell in cells
        ],
    }


def _largest_gfactor(report: Report) -> float:
    largest = [cell.row.gfactor_p95 for cell in report.cells if cell.row.gfactor_p95 is not None]
    return max(1.5, *largest) if largest else 1.5


def _png(values: np.ndarray, scale: Scale) -> str:
    """Image of an array on a scale, as a data URL."""
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, values, vmin=scale.low, vmax=scale.high, cmap=scale.colours, format='png')
    return 'data:image/png;base64,' + base64.b64encode(buffer.getvalue()).decode()


def _curve(report: Report, name: str, label: str) -> str | None:
    """SVG of a metric over the rate, one line per method and ACS, mean over seeds."""
    rows = [cell.row for cell in report.cells if getattr(cell.row, name) is not None]
    if not rows:
        return None
    figure = Figure(figsize=(4.2, 3), layout='constrained')
    axes = figure.subplots()
    for method, acs in dict.fromkeys((row.method, row.acs) for row in rows):
        points = _means([row for row in rows if (row.method, row.acs) == (method, acs)], name)
        axes.plot(list(points), list(points.values()), 'o-', label=f'{method}, ACS {acs}')
    axes.set(xlabel='acceleration R', ylabel=label, xticks=sorted({row.rate for row in rows}))
    axes.grid(alpha=0.3)
    axes.legend(fontsize='x-small')
    buffer = io.StringIO()
    with mpl.rc_context({'svg.hashsalt': name}):
        figure.savefig(buffer, format='svg', metadata={'Date': None})
    return '<svg' + buffer.getvalue().partition('<svg')[2]


def _means(rows: Sequence[Row], name: str) -> dict[int, float]:
    return {
        rate: mean(getattr(row, name) for row in rows if row.rate == rate)
        for rate in sorted({row.rate for row in rows})
    }


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files('raki.evaluation').joinpath('report.html').read_text(encoding='utf-8'))
