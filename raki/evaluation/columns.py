"""What the figures of a row are called, how they are written, and which way is better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """How one figure of a row is shown."""

    label: str
    about: str = ''
    """One sentence for people who point at it."""
    digits: int | None = None
    """Decimals; None for four significant digits."""
    best: str | None = None
    """`low` or `high` where one way is better."""
    is_metric: bool = True
    """Whether it is drawn over the rate, rather than saying which cell this is."""


COLUMNS = {
    'method': Column('method', is_metric=False),
    'rate': Column('R', 'acceleration: every R-th line', 0, is_metric=False),
    'acs': Column('ACS', 'autocalibration lines', 0, is_metric=False),
    'slice': Column('slice', digits=0, is_metric=False),
    'seed': Column('seed', 'of methods that have one', 0, is_metric=False),
    'nrmse_object': Column('NRMSE object', '||image − reference|| / ||reference|| inside the object', 4, 'low'),
    'nrmse': Column('NRMSE', '||image − reference|| / ||reference|| over all pixels, noise in air included', 4, 'low'),
    'kspace_nrmse': Column('k-space NRMSE', 'complex error over the missing lines only', 4, 'low'),
    'ssim': Column('SSIM', 'structural similarity, 7 × 7 window, range the maximum of the reference', 4, 'high'),
    'psnr': Column('PSNR [dB]', 'peak signal-to-noise ratio, peak the maximum of the reference', 2, 'high'),
    'energy_ratio': Column('energy filled/true', 'of the filled lines; below 1 they are too dark', 3),
    'gfactor_mean': Column('g mean', 'mean g-factor inside the object; a network may lower it by shrinkage', 2),
    'gfactor_p95': Column('g 95 %', '95th percentile of the g-factor inside the object', 2),
    'gfactor_standard_error': Column('g rel. SE', 'relative standard error of a g-factor pixel', 3, is_metric=False),
    'net_acceleration': Column('R net', 'all lines over measured lines, ACS counted', 2, is_metric=False),
    'acs_used': Column('ACS used', 'with the lattice lines that adjoin', 0, is_metric=False),
    'seconds_fit': Column('fit [s]', 'time to learn', 2, 'low'),
    'seconds_fill': Column('fill [s]', 'time to fill in', 3, 'low'),
    'device': Column('device', is_metric=False),
}
"""In the order of the table; a row's further figures follow under their own names."""


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    """Columns of a table of rows: every figure and text that a row has, known ones first."""
    present = dict.fromkeys(name for row in rows for name, value in row.items() if _is_shown(value))
    order = [name for name in COLUMNS if name in present] + [name for name in present if name not in COLUMNS]
    return {name: COLUMNS.get(name, Column(name.replace('_', ' '))) for name in order}


def _is_shown(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def written(value: object, column: Column) -> str:
    """A figure as people read it."""
    if value is None:
        return '–'
    if not isinstance(value, int | float):
        return str(value)
    return f'{value:.4g}' if column.digits is None else f'{value:.{column.digits}f}'
