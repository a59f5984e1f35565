"""What a comparison comes to: one sentence, and a small table of methods at every rate, with what the best one costs.

Report, terminal, Python and benchmark all show this, from the rows of `results.json`. Figures are means over slices and
seeds. A method that has the least error has a price where points, ghosts or bias are worse than those of the baseline,
by more than limits that stand here and in every sentence that uses them. What was not measured may be a price, too: the
sentence says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from raki.evaluation.metrics import sizes
from raki.evaluation.rows import Label

BASELINES = ('plain-grappa', 'grappa')
"""Methods that others are held against, the first that is there; without any the first that fills something in."""

LOST_POINTS, MORE_GHOSTS, MORE_BIAS = 0.1, 0.1, 0.1
"""How much worse than the baseline a figure may be without a price: height of points and ghosts absolutely [1], bias as
part of the baseline's error in the object [1]."""

PRICES = ('point_peak', 'ghost_index', 'noise_bias')
"""Columns that these are of."""

VISIBLE = 1.1
"""Methods differ visibly where the error of the baseline is so many times the least [1]."""

STAR, PRICED, PRICE = '★', '☆', '†'
"""Of the best value, of one that has a price, and of the figure that is the price."""


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of the table."""

    name: str
    """Key of a row; `seconds` is the sum of fitting and filling in."""
    label: str
    better: str
    """`low`, or `high` up to 1: what comes back beyond that is no better."""
    digits: int
    about: str

    def written(self, value: float | None) -> str:
        """Write a value as people read it."""
        return '–' if value is None else f'{round(value, self.digits) + 0.0:.{self.digits}f}'


COLUMNS = (
    Column('nrmse_object', 'error', 'low', 4, 'NRMSE in the object'),
    Column('gfactor_mean', 'noise (g)', 'low', 2, 'mean g-factor in the object; shrinkage lowers it, too'),
    Column('point_peak', 'small points', 'high', 2, 'height that comes back of small points: 0 zero filling, 1 all'),
    Column('ghost_index', 'ghosts', 'low', 3, 'share of the error that is copies of the object'),
    Column('noise_bias', 'bias', 'low', 4, 'how far the mean of replicas lies off, on the scale of the error'),
    Column('seconds', 'seconds', 'low', 2, 'to learn and to fill in one slice, or the volume'),
)
"""Of the table, in this order."""


@dataclass(frozen=True, slots=True)
class Price:
    """A figure that is worse than the baseline's by more than its limit."""

    column: Column
    value: float
    baseline: float

    def __str__(self) -> str:
        return f'{self.column.label} {self.column.written(self.value)} ({self.column.written(self.baseline)})'


@dataclass(frozen=True, slots=True)
class Score:
    """One method at one rate and ACS."""

    method: str
    rate: Label
    acs: Label
    values: Mapping[str, float | None]
    """Means over slices and seeds, by the names of `COLUMNS`."""
    fills: bool
    """Whether it fills anything in; zero filling is shown, but never the best."""
    prices: tuple[Price, ...] = ()
    unknown: tuple[Column, ...] = ()
    """What may be a price, too: it was not measured, of this method or of the baseline."""
    best: frozenset[str] = frozenset()
    """Names of columns in which no other method is better."""

    def mark(self, column: Column) -> str:
        """PRICE where it is paid, a star for the best value, a hollow one where error or noise are least at a price."""
        if any(price.column == column for price in self.prices):
            return PRICE
        if column.name not in self.best:
            return ''
        return PRICED if self.prices and column.name in ('nrmse_object', 'gfactor_mean') else STAR


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison comes to."""

    sentence: str
    rate: Label
    acs: Label
    """What the sentence is about: the first cell in which methods differ visibly."""
    baseline: str
    scores: tuple[Score, ...]
    """By rate, then ACS, then in the order in which methods were asked for."""

    @property
    def columns(self) -> list[Column]:
        """Columns of which any method has a value; that of the error in any case."""
        error, *others = COLUMNS
        return [error, *(each for each in others if any(score.values[each.name] is not None for score in self.scores))]

    @property
    def winner(self) -> str:
        """The method of the least error where it opens; the baseline if no two are compared there."""
        here = [score for score in self.scores if (score.rate, score.acs) == (self.rate, self.acs)]
        return next((score.method for score in here if COLUMNS[0].name in score.best), self.baseline)

    @property
    def limits(self) -> str:
        """What a price is, in words."""
        return (
            f'{PRICED}: best at a price, compared with {self.baseline}: small points more than {LOST_POINTS} lower, '
            f'ghosts more than {MORE_GHOSTS} higher, or bias higher by more than {MORE_BIAS} of the error of '
            f'{self.baseline} ({PRICE})'
        )


def verdict_of(rows: Sequence[Mapping[str, Any]]) -> Verdict:
    """Sum up rows of a comparison, as `results.json` has them; at least one."""
    cells = list(dict.fromkeys((row['rate'], row['acs']) for row in rows))
    cells.sort(key=lambda cell: (sizes(cell[0]), sizes(cell[1])))
    baseline = _baseline(rows)
    groups = {cell: [row for row in rows if (row['rate'], row['acs']) == cell] for cell in cells}
    every = {cell: _scores(group, baseline) for cell, group in groups.items()}
    rate, acs = next((cell for cell in cells if _is_visible(every[cell], baseline)), cells[-1])
    scores = tuple(score for cell in cells for score in every[cell])
    return Verdict(_sentence(every, (rate, acs), baseline), rate, acs, baseline, scores)


def is_filled(row: Mapping[str, Any]) -> bool:
    """Whether anything was filled in, as zero filling does not."""
    return row['energy_ratio'] is None or row['energy_ratio'] > 0


def _fills(row: Mapping[str, Any]) -> bool:
    """Whether anything was missing and was filled in."""
    return is_filled(row) and max(sizes(row['rate'])) > 1


def _baseline(rows: Sequence[Mapping[str, Any]]) -> str:
    names = [row['method'] for row in rows if _fills(row)] or [row['method'] for row in rows]
    return next((name for name in BASELINES if name in names), names[0])


def _scores(rows: Sequence[Mapping[str, Any]], baseline: str) -> list[Score]:
    """Of one cell, with prices and marks."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row['method'], []).append(row)
    values = {method: {each.name: _mean(group, each.name) for each in COLUMNS} for method, group in groups.items()}
    fills = {method: all(map(_fills, group)) for method, group in groups.items()}
    best = {
        column.name: best_values([values[method] for method in groups if fills[method]], column) for column in COLUMNS
    }
    before = values.get(baseline, {})
    return [
        Score(
            method,
            rows[0]['rate'],
            rows[0]['acs'],
            own := values[method],
            fills[method],
            _prices(own, before) if fills[method] else (),
            tuple(each for each in COLUMNS if each.name in PRICES and None in (own[each.name], before.get(each.name))),
            frozenset(name for name, least in best.items() if fills[method] and own[name] in least),
        )
        for method in groups
    ]


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    names = ('seconds_fit', 'seconds_fill') if name == 'seconds' else (name,)
    every = [[row.get(each) for each in names] for row in rows]
    known = [sum(filter(None, values)) for values in every if None not in values]
    return mean(known) if known else None


def best_values(every: Sequence[Mapping[str, float | None]], column: Column) -> tuple[float, ...]:
    """The best value, as people read it: all that are written alike share it; none if nothing is compared."""
    known = [value for each in every if (value := each[column.name]) is not None]
    if len(known) < 2:
        return ()
    best = min(known) if column.better == 'low' else min(1.0, max(known))
    alike = {value: column.written(value if column.better == 'low' else min(1.0, value)) for value in known}
    return tuple(value for value in known if alike[value] == column.written(best))


def _prices(own: Mapping[str, float | None], baseline: Mapping[str, float | None]) -> tuple[Price, ...]:
    allowed = dict(
        zip(PRICES, (LOST_POINTS, MORE_GHOSTS, MORE_BIAS * (baseline.get('nrmse_object') or 0.0)), strict=True)
    )
    found = []
    for column in COLUMNS:
        value, before = own[column.name], baseline.get(column.name)
        if column.name in allowed and value is not None and before is not None:
            loss = value - before if column.better == 'low' else before - value
            found += [Price(column, value, before)] * (loss > allowed[column.name])
    return tuple(found)


def _is_visible(scores: Sequence[Score], baseline: str) -> bool:
    """Whether the best differs visibly from the baseline, or the baseline, if it is the best, from the next."""
    errors = {score.method: error for score in scores if score.fills and (error := score.values['nrmse_object'])}
    if len(errors) < 2:
        return False
    least, second, *_ = sorted(errors.values())
    before = errors.get(baseline, second)
    return (second if before == least else before) >= VISIBLE * least


def _sentence(every: Mapping[tuple[Label, Label], Sequence[Score]], cell: tuple[Label, Label], baseline: str) -> str:
    """Which method, at which rate, at what price."""
    error = COLUMNS[0]
    filling = [score for score in every[cell] if score.fills and score.values[error.name] is not None]
    where = f'At R = {cell[0]} with an ACS of {cell[1]}'
    if max(sizes(cell[0])) == 1:
        return f'{where} nothing was left out: there is nothing to compare.'
    if not filling:
        return f'{where} nothing was filled in: there is nothing to compare.'
    winner = min(filling, key=lambda score: score.values[error.name] or 0.0)
    value = winner.values[error.name] or 0.0
    if len(filling) == 1:
        idle = ' and '.join(score.method for score in every[cell] if not score.fills)
        alone = f'{idle} filled nothing in' if idle else 'nothing else was compared'
        told = f'{error.written(value)}{_against_nothing(every[cell], value)}'
        return f'{where}, {winner.method} has an error of {told}; {alone}.'
    others = {score.method: score for score in filling if score.method != winner.method}
    rival = others.get(baseline) or min(others.values(), key=lambda score: score.values[error.name] or 0.0)
    ratio = value / (rival.values[error.name] or value or 1.0)
    least = f'{error.written(value)} ({ratio:.2f} of {rival.method}){_against_nothing(every[cell], value)}'
    cost = f'{_told_price(winner, baseline)}{_told_time(winner, rival)}'
    told = f'{where}, {winner.method} has the least error, {least}, {cost}.{_elsewhere(every, cell, winner)}'
    if _is_visible(every[cell], baseline):
        return told
    return f'{told} Nowhere is another visibly better than {baseline}, by a factor of {VISIBLE} or more.'


def _against_nothing(scores: Sequence[Score], value: float) -> str:
    """That an error is more than that of images that stay as they were measured; nothing where it is not."""
    idle = [(least, score.method) for score in scores if not score.fills and (least := score.values[COLUMNS[0].name])]
    least, method = min(idle, default=(value, ''))
    return f', more than {method} ({COLUMNS[0].written(least)})' if least < value else ''


def _told_price(winner: Score, baseline: str) -> str:
    if winner.method == baseline:
        return 'and the others are held against it'
    if winner.prices:
        known = f'at a price: {", ".join(map(str, winner.prices))}, in brackets {baseline}'
    elif len(winner.unknown) == len(PRICES):
        return 'its price not measured'
    else:
        found = [each for each in COLUMNS if each.name in PRICES and each not in winner.unknown]
        known = f'at no price in {listed(found)}'
    unknown = ', '.join(each.label for each in winner.unknown)
    return f'{known} (not measured: {unknown})' if unknown else known


def listed(of: Sequence[Column]) -> str:
    """Labels such as small points, ghosts or bias."""
    *labels, last = (each.label for each in of)
    return f'{", ".join(labels)} or {last}' if labels else last


def _told_time(winner: Score, rival: Score) -> str:
    own, other = winner.values['seconds'], rival.values['seconds']
    each = 'volume' if isinstance(winner.rate, str) else 'slice'
    return '' if own is None or other is None else f'; {_told(own)} s a {each} ({rival.method} {_told(other)} s)'


def _told(seconds: float) -> str:
    """To two digits, or to the second."""
    return f'{seconds:.2g}' if seconds < 10 else f'{seconds:.0f}'


def _elsewhere(every: Mapping[tuple[Label, Label], Sequence[Score]], cell: tuple[Label, Label], winner: Score) -> str:
    """In how many of the other cells the same method has the least error; not where every line is measured."""
    cells = [each for each in every if max(sizes(each[0])) > 1]
    n_won = sum(
        any(score.method == winner.method and (each == cell or 'nrmse_object' in score.best) for score in every[each])
        for each in cells
    )
    what = 'at {} of {} rates' if len({rate for rate, _ in cells}) == len(cells) else 'in {} of {} cells (rate and ACS)'
    return f' It has the least {what.format(n_won, len(cells))}.' if len(cells) > 1 else ''
