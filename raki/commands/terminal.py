"""What a person at a terminal sees: tables and progress bars."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import mean, stdev
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from raki.evaluation.compare import Row

MIN_WIDTH = 128
"""Columns that a table needs; narrower terminals wrap rather than lose figures."""


def show(table: Table) -> None:
    """Print a table to standard output."""
    console = Console()
    console.width = max(console.width, MIN_WIDTH)
    console.print(table)


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Show a bar per task on stderr; finished ones make room."""
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task('reading', total=None)

        def progress_for(name: str) -> Callable[[int, int], None]:
            bars.reset(task, description=name, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield progress_for


def description_table(description: Mapping[str, object]) -> Table:
    """What `raki.commands.info.describe` found in a file."""
    table = Table(show_header=False, title=escape(str(description['file'])), title_justify='left')
    for name, value in description.items():
        if name not in ('file', 'repetitions') and value not in (None, [], {}):
            table.add_row(name.replace('_', ' '), escape(_readable(value)))
    for index, repetition in enumerate(description['repetitions']):  # type: ignore[arg-type]
        table.add_section()
        for name, value in repetition.items():
            if value is not None:
                label = name.replace('_', ' ')
                table.add_row(
                    f'repetition {index}: {label}' if index else label,
                    f'[red]{escape(str(value))}' if name == 'problem' else escape(_readable(value)),
                )
    return table


def _readable(value: object) -> str:
    if isinstance(value, Mapping):
        return ', '.join(f'{name} {part}' for name, part in value.items())
    if not isinstance(value, list):
        return str(value)
    return ('\n' if isinstance(value[0], str) else ' x ').join(map(str, value))


def comparison_table(rows: 'Sequence[Row]') -> Table:
    """Figures of merit of each method, rate and ACS; over slices and seeds their mean and standard deviation."""
    groups: dict[tuple[int, int, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.rate, row.acs)):
        groups.setdefault((row.rate, row.acs, row.method), []).append(row)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    if len(groups) < len(rows):
        table.caption = 'mean ± standard deviation over slices, repetitions and seeds'
    names = ('R', 'ACS', 'object', 'NRMSE', 'k-space', 'SSIM', 'g mean', 'g 95 %', 'bias', 'ghost', 'point', 'fit / s')
    for name in ('method', *names):
        table.add_column(name, justify='left' if name == 'method' else 'right', no_wrap=True)
    for (rate, acs, method), following in zip(groups, [*list(groups)[1:], None], strict=True):
        figures = _figures(groups[rate, acs, method])
        is_last = following is not None and following[0] != rate
        table.add_row(method, str(rate), str(acs), *figures, end_section=is_last)
    return table


def _figures(group: 'Sequence[Row]') -> Iterator[str]:
    yield _summary([row.nrmse_object for row in group], 4, with_spread=True)
    for name, digits in (('nrmse', 4), ('kspace_nrmse', 4), ('ssim', 4), ('gfactor_mean', 2), ('gfactor_p95', 2)):
        yield _summary([getattr(row, name) for row in group], digits)
    for name, digits in (('noise_bias', 4), ('ghost_index', 2), ('point_peak', 2), ('seconds_fit', 2)):
        yield _summary([getattr(row, name) for row in group], digits)


def _summary(values: Sequence[float | None], digits: int, *, with_spread: bool = False) -> str:
    """Mean of what is known, and its standard deviation if asked for and there is more than one."""
    known = [value for value in values if value is not None]
    if not known:
        return '–'
    spread = f' ± {stdev(known):.{digits}f}' if with_spread and len(known) > 1 else ''
    return f'{mean(known):.{digits}f}{spread}'
