"""What a comparison comes to: one sentence, and a small table of methods at every rate, with what the best one costs.

Report, terminal, Python and benchmark all show this, from the rows of `results.json`. Figures are means over slices and
seeds. A method that has the least error has a price where points, ghosts or bias are worse than those of the baseline,
by more than limits that stand here and in every sentence that uses them.
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
    def limits(self) -> str:
        """What a price is, in words."""
        return (
            f'{PRICED}: best at a price, compared with {self.baseline}: small points more than {LOST_POINTS} lower, '
            f'ghosts more than {MORE_GHOSTS} higher, or bias higher by more than {MORE_BIAS} of its error ({PRICE})'
        )


def verdict_of(rows: Sequence[Mapping[str, Any]]) -> Verdict:
    """Sum up rows of a comparison, as `results.json` has them; at least one."""
    cells = list(dict.fromkeys((row['rate'], row['acs']) for row in rows))
    cells.sort(key=lambda cell: (sizes(cell[0]), sizes(cell[1])))
    baseline = _baseline(rows)
    every = {cell: _scores([row for row in rows if (row['rate'], row['acs']) == cell], baseline) for cell in cells}
    rate, acs = next((cell for cell in cells if _is_visible(every[cell], baseline)), cells[-1])
    scores = tuple(score for cell in cells for score in every[cell])
    return Verdict(_sentence(every, (rate, acs), baseline), rate, acs, baseline, scores)


def is_filled(row: Mapping[str, Any]) -> bool:
    """Whether anything was filled in, as zero filling does not."""
    return row['energy_ratio'] is None or row['energy_ratio'] > 0


def _baseline(rows: Sequence[Mapping[str, Any]]) -> str:
    names = [row['method'] for row in rows if is_filled(row)] or [row['method'] for row in rows]
    return next((name for name in BASELINES if name in names), names[0])


def _scores(rows: Sequence[Mapping[str, Any]], baseline: str) -> list[Score]:
    """Of one cell, with prices and marks."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row['method'], []).append(row)
    values = {method: {each.name: _mean(group, each.name) for each in COLUMNS} for method, group in groups.items()}
    fills = {method: all(map(is_filled, group)) for method, group in groups.items()}
    best = {column.name: _best([values[method] for method in groups if fills[method]], column) for column in COLUMNS}
    return [
        Score(
            method,
            rows[0]['rate'],
            rows[0]['acs'],
            own := values[method],
            fills[method],
            _prices(own, values.get(baseline, own)) if fills[method] else (),
            frozenset(name for name, least in best.items() if fills[method] and own[name] in least),
        )
        for method in groups
    ]


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    names = ('seconds_fit', 'seconds_fill') if name == 'seconds' else (name,)
    every = [[row.get(each) for each in names] for row in rows]
    known = [sum(filter(None, values)) for values in every if None not in values]
    return mean(known) if known else None


def _best(every: Sequence[Mapping[str, float | None]], column: Column) -> tuple[float, ...]:
    """The best value, as people read it: all that are written alike share it; none if nothing is compared."""
    known = [value for each in every if (value := each[column.name]) is not None]
    if len(known) < 2:
        return ()
    best = min(known) if column.better == 'low' else min(1.0, max(known))
    alike = {value: column.written(value if column.better == 'low' else min(1.0, value)) for value in known}
    return tuple(value for value in known if alike[value] == column.written(best))


def _prices(own: Mapping[str, float | None], baseline: Mapping[str, float | None]) -> tuple[Price, ...]:
    allowed = {'point_peak': LOST_POINTS, 'ghost_index': MORE_GHOSTS}
    allowed['noise_bias'] = MORE_BIAS * (baseline['nrmse_object'] or 0.0)
    found = []
    for column in COLUMNS:
        value, before = own[column.name], baseline[column.name]
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
    if not filling:
        return f'{where} nothing was filled in: there is nothing to compare.'
    winner = min(filling, key=lambda score: score.values[error.name] or 0.0)
    value = winner.values[error.name] or 0.0
    if len(filling) == 1:
        return f'{where}, {winner.method} has an error of {error.written(value)}; nothing else was compared.'
    others = {score.method: score for score in filling if score.method != winner.method}
    rival = others.get(baseline) or min(others.values(), key=lambda score: score.values[error.name] or 0.0)
    ratio = value / (rival.values[error.name] or value or 1.0)
    least = f'{where}, {winner.method} has the least error, {error.written(value)} ({ratio:.2f} of {rival.method})'
    return f'{least}, {_told_price(winner, baseline)}{_told_time(winner, rival)}.{_elsewhere(every, cell, winner)}'


def _told_price(winner: Score, baseline: str) -> str:
    if winner.method == baseline:
        return 'and the others are held against it'
    if not winner.prices:
        return 'at no price in small points, ghosts or bias'
    return f'at a price: {", ".join(map(str, winner.prices))}, in brackets {baseline}'


def _told_time(winner: Score, rival: Score) -> str:
    own, other = winner.values['seconds'], rival.values['seconds']
    each = 'volume' if isinstance(winner.rate, str) else 'slice'
    return '' if own is None or other is None else f'; {own:.2g} s a {each} ({rival.method} {other:.2g} s)'


def _elsewhere(every: Mapping[tuple[Label, Label], Sequence[Score]], cell: tuple[Label, Label], winner: Score) -> str:
    """In how many of the other cells the same method has the least error."""
    others = [scores for each, scores in every.items() if each != cell]
    n_won = sum(
        any(score.method == winner.method and 'nrmse_object' in score.best for score in scores) for scores in others
    )
    return f' It has the least in {n_won + 1} of {len(every)} cells.' if others else ''
