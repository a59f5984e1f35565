"""The page that shows what came of many scans: one HTML file with a small image of each, without any script."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, Template


class Entry(NamedTuple):
    """One scan."""

    scan: str
    """Its name."""
    output: str | None
    """Name of the file that came of it, beside the page; None if none did."""
    facts: str
    """What is to be said of it in one line."""
    warnings: Sequence[str]
    error: str
    """Why nothing came of it; empty if something did."""
    thumbnail: str
    """PNG in base64; empty if there is none."""


def contact_page(title: str, entries: Sequence[Entry], settings: Mapping[str, object]) -> str:
    """HTML of a page; whatever names say, it is text."""
    failed = [entry for entry in entries if entry.error]
    warned = [entry for entry in entries if entry.warnings]
    chosen = {name: value for name, value in settings.items() if value is not None}
    return _template().render(
        title=title, entries=entries, failed=failed, warned=warned, settings=chosen, style=_style()
    )


def _style() -> str:
    return _text('report.css')


@cache
def _template() -> Template:
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_text('contact.html'))


def _text(name: str) -> str:
    return files('raki.evaluation').joinpath('page', name).read_text(encoding='utf-8')
