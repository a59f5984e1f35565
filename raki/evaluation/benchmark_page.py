"""The page of a benchmark: one HTML file, without any script, that says how every figure came about."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from math import log2
from typing import Any

from jinja2 import Environment, Template

from raki.evaluation.standings import BASELINE, Place, Standings
from raki.evaluation.verdict import COLUMNS, LOST_POINTS, MORE_BIAS, MORE_GHOSTS

FULL_SHADE = 1.0
"""A ratio of two, or of a half, has the full colour [octave]."""

LARGEST_SHADE = 45
"""How much of that colour there is at most, so that text stays readable [%]."""

LIMITS = {'points': LOST_POINTS, 'ghosts': MORE_GHOSTS, 'bias': MORE_BIAS}


def benchmark_page(results: Mapping[str, Any], standings: Standings) -> str:
    """HTML of `benchmark.json`; whatever names of scans and methods say, it is text."""
    return _template().render(
        results=results,
        standings=standings,
        columns=COLUMNS,
        means=COLUMNS[1:],
        baseline=BASELINE,
        limits=LIMITS,
        cells=sorted(standings.ratios, key=lambda place: place.scan),
        best=best_of(standings),
        shade=shade,
        missing=_missing(results, standings),
        style=_text('report.css'),
    )


def shade(ratio: float | None) -> str:
    """Style of a ratio of errors: green below 1, red above."""
    if not ratio:
        return ''
    octaves = max(-FULL_SHADE, min(FULL_SHADE, log2(ratio) / FULL_SHADE))
    colour = 'best' if octaves < 0 else 'alarm'
    return f'background: color-mix(in srgb, var(--{colour}) {abs(octaves) * LARGEST_SHADE:.0f}%, transparent)'


def best_of(standings: Standings) -> Mapping[Place, set[str]]:
    """Methods with the least error in each cell, as it is written, of those that fill anything in there."""
    found = {}
    for place, ratios in standings.ratios.items():
        known = {name: f'{ratio:.2f}' for name, ratio in ratios.items() if name in standings.filled[place]}
        least = min(map(float, known.values()), default=None)
        found[place] = {name for name, written in known.items() if float(written) == least}
    return found


def _missing(results: Mapping[str, Any], standings: Standings) -> list[str]:
    """Methods of which not a single cell was measured."""
    there = {each.method for each in standings.methods}
    return [name for name in results['settings']['methods'] if name not in there]


@cache
def _template() -> Template:
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_text('benchmark.html'))


def _text(name: str) -> str:
    return files('raki.evaluation').joinpath('page', name).read_text(encoding='utf-8')
