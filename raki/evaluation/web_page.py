"""The page that shows images: one HTML file that needs no other and no network, from what there is to show."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, Template

from raki.evaluation.metrics import Figure
from raki.evaluation.pictures import Picture
from raki.evaluation.verdict import COLUMNS, Score, Verdict
from raki.extras import has_extra

SCRIPTS = (
    'pictures.js',
    'viewer.js',
    'panels.js',
    'summary.js',
    'curves.js',
    'table.js',
    'link.js',
    'gestures.js',
    'main.js',
)
"""In this order they are one program."""

COLOURS = {
    'image': '#000000 #ffffff',
    'error': '#000004 #1b0c41 #4a0c6b #781c6d #a52c60 #cf4446 #ed6925 #fb9b06 #f7d13d #fcffa4',
    'gfactor': '#440154 #482878 #3e4989 #31688e #26828e #1f9e89 #35b779 #6ece58 #b5de2b #fde725',
    'retention': '#00224e #123570 #3b496c #575d6d #707173 #8a8678 #a59c74 #c3b369 #e1cc55 #fee838',
}
"""Colour map of each layer, evenly spaced: grey, inferno, viridis and cividis of matplotlib."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Pictures of one method in one place."""

    method: str
    place: Mapping[str, int | str | None]
    """Where on each axis of the page; None for everywhere."""
    image: Picture
    gfactor: Picture | None = None
    retention: Picture | None = None
    row: Mapping[str, Any] = field(default_factory=dict)
    """Figures of merit, if there are any."""


@dataclass(frozen=True, slots=True)
class Table:
    """Figures of every panel beyond those of its row."""

    title: str
    note: str
    """What is in it."""
    headings: Sequence[str]
    lines: Sequence[Sequence[str]]
    """One for each panel."""


@dataclass(frozen=True, slots=True)
class Page:
    """All that a page shows."""

    title: str
    axes: Mapping[str, Sequence[int | str]]
    """What can be chosen, such as slice and rate, with all values."""
    panels: Sequence[Panel]
    scales: Mapping[str, float]
    """Where the scale of each layer (image, error, gfactor, retention) ends at first; they start at 0."""
    facts: Sequence[str]
    """Sentences above the pictures."""
    caption: Sequence[str]
    """Sentences below the pictures: what is shown on which scale."""
    footer: Mapping[str, object]
    """What made this: settings, versions, seeds."""
    references: Mapping[int, Picture] = field(default_factory=dict)
    """Reference of every slice, where there are any."""
    objects: Mapping[int, Picture] = field(default_factory=dict)
    """Where the object of every slice is: 1 inside, 0 outside."""
    columns: Sequence[Figure] = ()
    """Of the table of figures, if there is one."""
    tables: Sequence[Table] = ()
    """Beside it."""
    verdict: Verdict | None = None
    """What it all comes to, if it comes to anything: the page then opens with it, and at its rate and ACS."""
    warnings: Sequence[str] = ()
    pixel_size: tuple[float, float] | None = None
    """Along (y, x) [m], where it is known: pixels are shown in this shape, with a scale bar."""


def render(page: Page) -> str:
    """HTML of a page."""
    pictures: dict[str, Picture] = {}

    def stored(picture: Picture | None) -> str | None:
        if picture is None:
            return None
        name = f'picture-{len(pictures)}'
        pictures[name] = picture
        return name

    references, objects = (
        {index: stored(picture) for index, picture in every.items()} for every in (page.references, page.objects)
    )
    panels = [
        {name: getattr(panel, name) for name in ('method', 'place', 'row')}
        | {name: stored(getattr(panel, name)) for name in ('image', 'gfactor', 'retention')}
        for panel in page.panels
    ]
    height, width = page.pixel_size or (1.0, 1.0)
    data = {
        'title': page.title,
        'axes': {name: list(values) for name, values in page.axes.items()},
        'methods': list(dict.fromkeys(panel.method for panel in page.panels)),
        'panels': panels,
        'references': references,
        'objects': objects,
        'pictures': {name: {'shape': each.shape, 'step': each.step} for name, each in pictures.items()},
        'scales': dict(page.scales),
        'columns': {figure.name: _described(figure) for figure in page.columns},
        'colours': {layer: COLOURS[layer].split() for layer in page.scales},
        'pixelAspect': height / width,
        'pixelSize': page.pixel_size,
        'summary': page.verdict and _summed_up(page.verdict),
    }
    return _template().render(
        page=page,
        summary=page.verdict.columns if page.verdict else [],
        data=data,
        pictures=pictures,
        rows=[panel.row for panel in page.panels] if page.columns else [],
        style=_text('report.css'),
        script='\n'.join(map(_text, SCRIPTS)),
        plotly=_plotly() if page.columns else None,
    )


def _described(figure: Figure) -> dict[str, Any]:
    described = {name: getattr(figure, name) for name in ('label', 'about', 'digits', 'best', 'under')}
    return described | {'is_metric': figure.is_drawn and figure.measure is not None}


def _summed_up(verdict: Verdict) -> dict[str, Any]:
    """What scripts show of a verdict: where the page opens, and what every method costs."""
    return {
        'opens': {'rate': verdict.rate, 'acs': verdict.acs},
        'winner': verdict.winner,
        'baseline': verdict.baseline,
        'columns': [
            {name: getattr(column, name) for name in ('name', 'label', 'about', 'better')} for column in verdict.columns
        ],
        'scores': [_written(score) for score in verdict.scores],
    }


def _written(score: Score) -> dict[str, Any]:
    return {name: getattr(score, name) for name in ('method', 'rate', 'acs', 'fills')} | {
        'values': {column.name: column.written(score.values[column.name]) for column in COLUMNS},
        'prices': {price.column.name: price.column.written(price.baseline) for price in score.prices},
    }


def _plotly() -> str | None:
    """The library that draws curves, compressed: it is unpacked after the images are on the screen; None without it."""
    return _compressed_plotly() if has_extra('curves') else None


@cache
def _compressed_plotly() -> str:
    from plotly.offline import get_plotlyjs

    return base64.b64encode(zlib.compress(get_plotlyjs().encode(), 9)).decode()


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.policies['json.dumps_kwargs'] = {'sort_keys': False}  # the page shows things in the order given here
    return environment.from_string(_text('report.html'))


def _text(name: str) -> str:
    return files('raki.evaluation').joinpath('page', name).read_text(encoding='utf-8')
