"""What a person at a terminal sees, and how to interrupt: tables, progress bars, signals."""

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import mean, stdev
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.markup import escape as without_markup
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from raki.evaluation.metrics import Figure
    from raki.evaluation.rows import Row

from raki.commands.batch.pool import Watcher
from raki.commands.batch.records import Outcome
from raki.commands.batch.tasks import Task
from raki.commands.inputs import shown
from raki.data.place import Frame, named
from raki.data.signals import handled

MIN_WIDTH = 80
"""Columns that a table needs; narrower terminals wrap rather than lose figures."""

COMPARISON_WIDTH = 144
"""Columns that the table of a comparison needs."""

SHOWN = 3
"""How many kinds of frames, cautions, or reasons against a reconstruction a description lists."""

MORE = 'and {}: --json lists all'

SECTIONS = ('repetitions', 'steps', 'cautions', 'missing', 'verdict')
"""What of a description has sections of its own, or is part of one."""

STOPPED = {
    getattr(signal, name): word
    for name, word in {'SIGINT': 'interrupted', 'SIGTERM': 'terminated', 'SIGHUP': 'hung up'}.items()
    if hasattr(signal, name)
}
"""What signals that end a command do to it."""


def escape(text: str) -> str:
    """Text for a table: without markup, and without what a terminal would obey."""
    return without_markup(shown(text))


def show(table: Table, width: int = MIN_WIDTH) -> None:
    """Print a table to standard output, at least so many columns wide."""
    console = Console()
    console.width = max(console.width, width)
    console.print(table)


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Show a bar per task on stderr, if it is a terminal; finished ones make room."""
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task('reading', total=None)

        def progress_for(name: str) -> Callable[[int, int], None]:
            bars.reset(task, description=name, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield progress_for


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
    return '[green]' if verdict == 'ready' else '[yellow]' if verdict.startswith('ready') else '[red]'


def _readable(value: object) -> str:
    if isinstance(value, Mapping):
        return ', '.join(f'{name} {part}' for name, part in value.items())
    if not isinstance(value, list):
        return str(value)
    return ('\n' if isinstance(value[0], str) else ' x ').join(map(str, value))


def comparison_table(rows: 'Sequence[Row]') -> Table:
    """Figures of merit of each method, rate and ACS; over slices and seeds their mean and standard deviation."""
    from raki.evaluation import metrics  # not before there is something to show: it takes seconds

    groups: dict[tuple[int | str, int | str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (metrics.sizes(row.rate), metrics.sizes(row.acs))):
        groups.setdefault((row.rate, row.acs, row.method), []).append(row)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    if len(groups) < len(rows):
        table.caption = 'mean ± standard deviation over slices, repetitions and seeds'
    first, *others = (figure for figure in metrics.FIGURES if figure.in_terminal)
    for name in ('method', 'R', 'ACS', *(figure.in_terminal or '' for figure in (first, *others))):
        table.add_column(name, justify='left' if name == 'method' else 'right', no_wrap=True)
    for (rate, acs, method), following in zip(groups, [*list(groups)[1:], None], strict=True):
        group = groups[rate, acs, method]
        figures = _summary(group, first, with_spread=True), *(_summary(group, figure) for figure in others)
        is_last = following is not None and following[0] != rate
        table.add_row(method, str(rate), str(acs), *figures, end_section=is_last)
    return table


def _summary(group: 'Sequence[Row]', figure: 'Figure', *, with_spread: bool = False) -> str:
    """Mean of what is known, and its standard deviation if asked for and there is more than one."""
    values = (row.figures.get(figure.name) for row in group)
    known = [value for value in values if isinstance(value, int | float)]
    spread = f' ± {figure.written(stdev(known))}' if with_spread and len(known) > 1 else ''
    return figure.written(mean(known) if known else None) + spread


class BatchLines(Watcher):
    """A line for every scan that is over, where nobody watches."""

    def __init__(self, n_scans: int, log: Callable[[str], object]) -> None:
        self._n_scans, self._log, self._n_over = n_scans, log, 0

    def finished(self, task: Task, outcome: Outcome, seconds: float, *, is_new: bool) -> None:
        """Write what came of a scan."""
        self._n_over += 1
        told = _cells(task, outcome, seconds, is_new=is_new)
        self._log(f'{self._n_over} of {self._n_scans}: {", ".join(text for text in told if text)}')


class BatchTable(Watcher):
    """Scans that are being reconstructed, and as many of those that are over as there is room for."""

    def __init__(self, n_scans: int, live: Live) -> None:
        self._n_scans, self._live = n_scans, live
        self._running: dict[Task, float] = {}
        self._over: list[tuple[str, ...]] = []
        self._n_failed = 0

    def started(self, task: Task) -> None:
        """A worker has this scan."""
        self._running[task] = time.monotonic()
        self.tick()

    def finished(self, task: Task, outcome: Outcome, seconds: float, *, is_new: bool) -> None:
        """Keep what came of a scan."""
        self._running.pop(task, None)
        self._over.append(_cells(task, outcome, seconds, is_new=is_new))
        self._n_failed += not outcome.is_done
        self.tick()

    def tick(self) -> None:
        """Draw the table as it is now."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in ('scan', 'state', 'method', 'time', 'warnings'):
            table.add_column(name, overflow='fold')
        room = max(1, self._live.console.height - len(self._running) - 6)
        for cells in self._over[-room:]:
            table.add_row(*map(escape, cells))
        for task, since in self._running.items():
            table.add_row(escape(str(task.scan)), 'running', '', f'{time.monotonic() - since:.0f} s', '')
        table.caption = f'{len(self._over)} of {self._n_scans} over, {self._n_failed} failed'
        self._live.update(table, refresh=True)


def _cells(task: Task, outcome: Outcome, seconds: float, *, is_new: bool) -> tuple[str, str, str, str, str]:
    """Scan, state, method, time, warnings."""
    state = ('done' if is_new else 'unchanged') if outcome.is_done else f'failed ({outcome.error})'
    warnings = f'{len(outcome.warnings)} warning(s)' if outcome.warnings else ''
    return str(task.scan), state, outcome.method, f'{seconds:.1f} s', warnings


@contextmanager
def batch_watcher(log: Callable[[str], object]) -> Iterator[Callable[[int], Watcher]]:
    """Give what shows, on stderr, how so many scans get on: a table on a terminal, else a line of `log` for each."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda n_scans: BatchLines(n_scans, log)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda n_scans: BatchTable(n_scans, live)


class Stopped(BaseException):
    """A signal asked the command to end; its notes say what was kept, and none that nothing was."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """130 interrupted, 143 terminated, 129 hung up."""
        return 128 + self.number

    def __str__(self) -> str:
        return f'{STOPPED[self.number]}, {"; ".join(getattr(self, "__notes__", ())) or "nothing was written"}'


@contextmanager
def terminable() -> Iterator[None]:
    """Let signals, as people, batch systems and lost connections send them, end a command in good order by `Stopped`.

    Temporary files are then removed. A second signal ends it at once, except that terminals hang up twice. What is
    ignored, as by nohup, stays so.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in obeyed:
            signal.signal(each, signal.SIG_IGN if signal.Signals(each).name == 'SIGHUP' else signal.SIG_DFL)
        raise Stopped(number)

    obeyed = [number for number in STOPPED if signal.getsignal(number) is not signal.SIG_IGN]
    with handled(dict.fromkeys(obeyed, stop)):
        yield
