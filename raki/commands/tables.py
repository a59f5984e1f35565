"""Tables for a person at a terminal: what is in a file, and what a comparison comes to."""

import json
import sys
from collections.abc import Mapping, Sequence
from statistics import stdev
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape as without_markup
from rich.table import Table

from raki.commands.inputs import shown
from raki.data.place import Frame, named

if TYPE_CHECKING:
    from raki.evaluation.rows import Row
    from raki.evaluation.verdict import Column, Score, Verdict

MIN_WIDTH = 80
"""Columns that a table needs; narrower terminals wrap rather than lose figures."""

SHOWN = 3
"""How many kinds of frames, cautions, or reasons against a reconstruction a description lists."""

LETTERS = str.maketrans('★☆†↓↑±–…', '*o!v^~-.')
"""Instead of marks, where these cannot be printed."""

MORE = 'and {}: --json lists all'

SECTIONS = ('repetitions', 'steps', 'cautions', 'missing', 'verdict')
"""What of a description has sections of its own, or is part of one."""


def escape(text: str) -> str:
    """Text for a table: without markup, and without what a terminal would obey."""
    return without_markup(shown(text))


def show(table: Table, width: int = MIN_WIDTH) -> None:
    """Print a table to standard output, at least so many columns wide."""
    _print(table, width)


def _print(what: Table | str, width: int) -> None:
    """Print to standard output, with letters for marks where its coding lacks any of these."""
    console = Console()
    console.width = max(console.width, width)
    with console.capture() as captured:
        console.print(what, highlight=False)
    text = captured.get()
    sys.stdout.write(text if _can_hold(console.encoding, text) else text.translate(LETTERS))


def _can_hold(coding: str, text: str) -> bool:
    try:
        text.encode(coding)
    except UnicodeEncodeError:
        return False
    return True


def description_table(description: Mapping[str, Any]) -> Table:
    """What `raki.commands.info.describe` found in a file; the verdict comes last."""
    table = Table(show_header=False, title=escape(str(description['file'])), title_justify='left')
    table.add_column(no_wrap=True)
    table.add_column(overflow='fold')
    for name, value in {**description, 'notes': _not_told_later(description)}.items():
        if name not in ('file', *SECTIONS) and value not in (None, [], {}):
            table.add_row(name.replace('_', ' '), escape(_readable(value)))
    _add_frames(table, description['repetitions'])
    table.add_section()
    for name, value in description['steps'].items():
        table.add_row(f'step: {name}', escape(value))
    for label, colour, texts in (
        ('caution', '[yellow]', description['cautions']),
        ('missing', '[red]', _not_told_before(description)),
    ):
        table.add_section()
        for text in _some(texts):
            table.add_row(label, colour + escape(text))
    table.add_section()
    table.add_row('verdict', _colour(description['verdict']) + escape(description['verdict']))
    return table


def _add_frames(table: Table, repetitions: Sequence[Mapping[str, Any]]) -> None:
    """A section for all frames that are described alike."""
    kinds = _alike(repetitions)
    for frames, pattern in kinds[:SHOWN]:
        table.add_section()
        if len(repetitions) > 1:
            table.add_row('frames', frames)
        for name, value in pattern.items():
            text = escape(_readable(value))
            table.add_row(name.replace('_', ' '), f'[red]{text}' if name == 'problem' else text)
    if len(kinds) > SHOWN:
        table.add_section()
        table.add_row('frames', MORE.format(f'{len(kinds) - SHOWN} more kinds'))


def _some(texts: Sequence[str]) -> list[str]:
    """As many as a screen has room for, and how many more there are."""
    if len(texts) <= SHOWN:
        return list(texts)
    return [*texts[:SHOWN], MORE.format(f'{len(texts) - SHOWN} more')]


def _alike(repetitions: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, object]]]:
    """What is known of frames that are described alike, after their names."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for each in repetitions:
        pattern = {name: value for name, value in each.items() if name != 'frame' and value is not None}
        groups.setdefault(json.dumps(pattern), []).append(each['frame'])
    return [(named([Frame(**frame) for frame in frames]), json.loads(key)) for key, frames in groups.items()]


def _not_told_later(description: Mapping[str, Any]) -> list[str]:
    """Notes that are neither cautions nor part of a step."""
    later = [*description['cautions'], *description['steps'].values()]
    return [note for note in description['notes'] if not any(note in text for text in later)]


def _not_told_before(description: Mapping[str, Any]) -> list[str]:
    """What else is missing than the verdict tells, and the problems of frames."""
    problems = [each['problem'] for each in description['repetitions'] if each.get('problem')]
    return [text for text in description['missing'][1:] if not any(problem in text for problem in problems)]


def _colour(verdict: str) -> str:
    return '[green]' if verdict.partition(':')[0] == 'ready' else '[yellow]' if verdict.startswith('ready') else '[red]'


def _readable(value: object) -> str:
    if isinstance(value, Mapping):
        return ', '.join(f'{name} {part}' for name, part in value.items())
    if not isinstance(value, list):
        return str(value)
    return ('\n' if isinstance(value[0], str) else ' x ').join(map(str, value))


ARROWS = {'low': '↓', 'high': '↑'}
"""Which way figures are better."""

STYLES = {'★': 'green', '☆': 'yellow', '†': 'yellow'}
"""Of a figure by its mark, see `raki.evaluation.verdict`."""

HEADS = {'noise (g)': 'noise\n(g) {}', 'small points': 'small\npoints {}'}
"""Headings in two lines, so that the table has room in 80 columns; others have the arrow below."""

LONGEST = 6
"""Characters of a figure; longer ones lose their decimals."""

MOST_NAMED = 6
"""Slices that are named one by one."""


def place_of(rows: 'Sequence[Row]') -> str:
    """Which slices figures are of, in words."""
    every, n_seeds = list(dict.fromkeys(row.slice for row in rows)), len({row.seed for row in rows} - {None})
    seeds = f', means of {n_seeds} seeds' if n_seeds > 1 else ''
    if isinstance(rows[0].rate, str):
        return f'the whole volume, shown in slice {every[0]}{seeds}'
    if len(every) == 1:
        return f'slice {every[0]}{seeds}'
    few = ', '.join(map(str, every)) if len(every) <= MOST_NAMED else f'{every[0]} ... {every[-1]}'
    return f'means of {len(every)} slices ({few})' + f' and {n_seeds} seeds' * (n_seeds > 1)


def verdict_table(verdict: 'Verdict', rows: 'Sequence[Row]', name: str) -> Table:
    """Figures of each method at every rate and ACS, the best marked, and prices; of the scan of this name."""
    from raki.evaluation.verdict import COLUMNS, STAR  # not before there is something to show: it takes seconds

    spreads = _spreads(rows)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0, title_justify='left', caption_justify='left')
    table.title = escape(f'{name}, {place_of(rows)}')
    for head in ('method', 'R', 'ACS'):
        table.add_column(head, justify='left' if head == 'method' else 'right', no_wrap=True, vertical='bottom')
    for column in COLUMNS:
        head = HEADS.get(column.label, f'{column.label}\n{{}}').format(ARROWS[column.better])
        table.add_column(head, justify='right', no_wrap=True)
        if column is COLUMNS[0] and spreads:
            table.add_column('\n±', justify='right', no_wrap=True)
    for score, following in zip(verdict.scores, [*verdict.scores[1:], None], strict=True):
        cell = score.method, score.rate, score.acs
        error, *others = (_figure(score, column) for column in COLUMNS)
        spread = [COLUMNS[0].written(spreads.get(cell))] if spreads else []
        is_last = following is not None and (following.rate, following.acs) != cell[1:]
        style = None if score.fills else 'dim'
        table.add_row(*map(str, cell), error, *spread, *others, end_section=is_last, style=style)
    table.caption = '\n'.join(_legend(verdict, STAR, has_spread=bool(spreads))) + '\n'
    return table


def _legend(verdict: 'Verdict', star: str, *, has_spread: bool) -> list[str]:
    lines = [f'↓ lower, ↑ higher is better; {star} best at this R and ACS']
    lines += ['± standard deviation over slices and seeds'] * has_spread
    return lines + [verdict.limits] * any(score.prices for score in verdict.scores)


def _figure(score: 'Score', column: 'Column') -> str:
    """Write a figure and its mark."""
    mark = score.mark(column)
    value, written = score.values[column.name], column.written(score.values[column.name])
    if value is not None and len(written) > LONGEST:
        written = f'{value:.0f}'
    return marked(written, mark)


def marked(written: str, mark: str) -> str:
    """Give a figure its mark and colour, or room for one."""
    return f'[{STYLES[mark]}]{written}{mark}[/]' if mark else f'{written} '


def _spreads(rows: 'Sequence[Row]') -> dict[tuple[str, object, object], float]:
    """Standard deviation of the error of each method at every rate and ACS, where there are several of any."""
    groups: dict[tuple[str, object, object], list[float]] = {}
    for row in rows:
        if (error := row.figures.get('nrmse_object')) is not None:
            groups.setdefault((row.method, row.rate, row.acs), []).append(error)
    return {cell: stdev(errors) for cell, errors in groups.items() if len(errors) > 1}


def show_text(text: str) -> None:
    """Print text to standard output, in lines as wide as a table."""
    _print(escape(text), MIN_WIDTH)


def show_comparison(rows: 'Sequence[Row]', name: str) -> None:
    """Print what a comparison of the scan of this name comes to: a sentence, and a table."""
    from raki.evaluation.verdict import verdict_of

    verdict = verdict_of([row.flat() for row in rows])
    show_text(f'{verdict.sentence}\n')
    show(verdict_table(verdict, rows, name))
