"""What a person at a terminal sees: tables and progress bars."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from raki.evaluation.compare import Row

MIN_WIDTH = 114
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
    """What `raki.description.describe` found in a file."""
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
    """Figures of merit, a line per cell, grouped by rate."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    names = ('R', 'ACS', 'object', 'NRMSE', 'k-space', 'SSIM', 'g mean', 'g 95 %', 'bias', 'ghost', 'point', 'fit / s')
    for name in ('method', *names):
        table.add_column(name, justify='left' if name == 'method' else 'right', no_wrap=True)
    rows = sorted(rows, key=lambda row: (row.rate, row.acs))
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        figures = (row.nrmse_object, row.nrmse, row.kspace_nrmse, row.ssim)
        gfactors = ('–' if value is None else f'{value:.2f}' for value in (row.gfactor_mean, row.gfactor_p95))
        bias = '–' if row.noise_bias is None else f'{row.noise_bias:.4f}'
        price = (bias, f'{row.ghost_index:.2f}', f'{row.point_peak:.2f}')
        texts = [row.method, str(row.rate), str(row.acs), *(f'{value:.4f}' for value in figures)]
        is_last = following is not None and following.rate != row.rate
        table.add_row(*texts, *gfactors, *price, f'{row.seconds_fit:.2f}', end_section=is_last)
    return table
