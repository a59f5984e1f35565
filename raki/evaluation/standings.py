"""What a benchmark over several scans comes to: how every method stands against one baseline, and at what price.

Errors of different scans cannot be averaged: a noisy scan would outweigh all others. So every error is divided by
that of the baseline in the same cell (scan, slice, rate, ACS); over cells the geometric mean counts, under which a
method that has half the error in one cell and twice the error in another is as good as the baseline.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import mean
from typing import Any, NamedTuple

from raki.evaluation.metrics import sizes
from raki.evaluation.rows import Label
from raki.evaluation.verdict import COLUMNS, PRICES, Verdict, is_filled, listed, verdict_of

BASELINE = 'plain-grappa'
"""What errors are divided by. `raki.evaluation.verdict` compares with it, too."""


class Place(NamedTuple):
    """A cell of a benchmark."""

    scan: str
    slice: int
    rate: Label
    acs: Label

    def __str__(self) -> str:
        return f'{self.scan}, R = {self.rate}, ACS {self.acs}'


def place_of(row: Mapping[str, Any]) -> Place:
    """The cell that a row belongs to."""
    return Place(row['scan'], row['slice'], row['rate'], row['acs'])


@dataclass(frozen=True, slots=True)
class Standing:
    """One method over all cells in which it and the baseline were measured."""

    method: str
    fills: bool
    """Whether it fills anything in anywhere; a method may leave out what would do harm."""
    ratio: float | None
    """Geometric mean of its error over that of the baseline; None without any cell [1]."""
    ratios: Mapping[Label, float]
    """The same of every rate."""
    worst: float | None
    worst_place: Place | None
    """The largest ratio, and where."""
    n_cells: int
    """In how many cells it and the baseline were measured."""
    n_priced: int
    """In how many it is worse than the baseline in points, ghosts or bias, beyond the limits of a verdict."""
    prices: Mapping[str, int]
    """In how many each of them is, by label."""
    unknown: Mapping[str, int]
    """In how many each of them was not measured, of this method or of the baseline, by label; those it fills in."""
    n_filled: int
    """In how many it fills in anything."""
    values: Mapping[str, float | None]
    """Means by the names of `raki.evaluation.verdict.COLUMNS`, error left out: over the cells in which it fills in
    anything, since an image that stays as it was measured has the ghosts of undersampling; seconds over all."""

    @property
    def told(self) -> dict[str, Any]:
        """For programs."""
        worst = None if self.worst_place is None else self.worst_place._asdict()
        by_rate = {str(rate): ratio for rate, ratio in self.ratios.items()}
        return {
            'method': self.method,
            'fills': self.fills,
            'geomean_ratio': self.ratio,
            'geomean_ratio_by_rate': by_rate,
            'worst_ratio': self.worst,
            'worst_cell': worst,
            'n_cells': self.n_cells,
            'n_priced': self.n_priced,
            'prices': dict(self.prices),
            'means': dict(self.values),
        }


@dataclass(frozen=True, slots=True)
class Standings:
    """What a benchmark comes to."""

    sentence: str
    methods: tuple[Standing, ...]
    """From the least error to the largest; those that were never measured with the baseline come last."""
    verdicts: Mapping[str, Verdict]
    """Of every scan."""
    ratios: Mapping[Place, Mapping[str, float]]
    """Error over that of the baseline of every method (mean over seeds) in every cell that the baseline has."""
    filled: Mapping[Place, frozenset[str]]
    """Methods that fill anything in there, in each of these cells."""
    rates: tuple[Label, ...]


def standings_of(rows: Sequence[Mapping[str, Any]]) -> Standings:
    """Sum up rows of a benchmark: those of `results.json`, with the name of their `scan`; at least one.

    Seconds are CPU time where all was computed on CPUs, and of a clock elsewhere.
    """
    rows = [_timed(row) for row in rows]
    scans = list(dict.fromkeys(row['scan'] for row in rows))
    verdicts = {scan: verdict_of([row for row in rows if row['scan'] == scan]) for scan in scans}
    errors = {place_of(row): row['nrmse_object'] for row in rows if row['method'] == BASELINE}
    methods = dict.fromkeys(row['method'] for row in rows)
    every = [_standing(name, [row for row in rows if row['method'] == name], errors, verdicts) for name in methods]
    every.sort(key=lambda each: (each.ratio is None, each.ratio or 0.0))
    ratios = {place: {name: _ratio_at(rows, place, name, error) for name in methods} for place, error in errors.items()}
    known = {place: {name: value for name, value in each.items() if value} for place, each in ratios.items()}
    filled = {
        place: frozenset(row['method'] for row in rows if place_of(row) == place and is_filled(row)) for place in errors
    }
    rates = tuple(sorted({row['rate'] for row in rows}, key=sizes))
    return Standings(_sentence(every, errors), tuple(every), verdicts, known, filled, rates)


def _timed(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with CPU time as its seconds, where that is what was used."""
    if row['device'] != 'cpu' or row['seconds_cpu'] is None:
        return row
    return {**row, 'seconds_fit': row['seconds_cpu'], 'seconds_fill': 0.0}


def _standing(
    name: str, rows: Sequence[Mapping[str, Any]], errors: Mapping[Place, float], verdicts: Mapping[str, Verdict]
) -> Standing:
    known = [row for row in rows if errors.get(place_of(row))]
    filled = [row for row in rows if is_filled(row)]
    ratios = [(row['nrmse_object'] / errors[place_of(row)], place_of(row)) for row in known]
    rates = sorted({place.rate for _, place in ratios}, key=sizes)
    by_rate = {rate: _geometric_mean(ratio for ratio, place in ratios if place.rate == rate) for rate in rates}
    worst, where = max(ratios, default=(None, None), key=lambda each: each[0])
    scores = [(score, verdicts[scan].baseline) for scan in verdicts for score in verdicts[scan].scores]
    own = [score for score, baseline in scores if score.method == name and baseline == BASELINE]
    priced = [[price.column.label for price in score.prices] for score in own]
    filling = [score for score in own if score.fills]
    unknown = [column.label for score in filling for column in score.unknown]
    labels = dict.fromkeys(label for each in priced for label in each)
    return Standing(
        name,
        fills=bool(filled),
        ratio=_geometric_mean(ratio for ratio, _ in ratios),
        ratios={rate: ratio for rate, ratio in by_rate.items() if ratio},
        worst=worst,
        worst_place=where,
        n_cells=len({place for _, place in ratios}),
        n_priced=sum(map(bool, priced)),
        prices={label: sum(label in each for each in priced) for label in labels},
        unknown=Counter(unknown),
        n_filled=len(filling),
        values={
            each.name: _mean(rows if each.name == 'seconds' else filled or rows, each.name) for each in COLUMNS[1:]
        },
    )


def _ratio_at(rows: Iterable[Mapping[str, Any]], place: Place, method: str, error: float) -> float | None:
    values = [row['nrmse_object'] for row in rows if row['method'] == method and place_of(row) == place]
    return mean(values) / error if values and error else None


def _geometric_mean(ratios: Iterable[float]) -> float | None:
    logarithms = [log(ratio) for ratio in ratios if ratio > 0]
    return exp(mean(logarithms)) if logarithms else None


def _mean(rows: Iterable[Mapping[str, Any]], name: str) -> float | None:
    names = ('seconds_fit', 'seconds_fill') if name == 'seconds' else (name,)
    values = [[row.get(each) for each in names] for row in rows]
    known = [sum(filter(None, each)) for each in values if None not in each]
    return mean(known) if known else None


def _sentence(every: Sequence[Standing], errors: Mapping[Place, float]) -> str:
    """Which method has the least error, over what, and at what price."""
    if not errors:
        return f'{BASELINE} could be measured nowhere: there is nothing to hold methods against.'
    scans, n_cells = {place.scan for place in errors}, len(errors)
    rates = ', '.join(map(str, sorted({place.rate for place in errors}, key=sizes)))
    over = f'Over {_counted(n_cells, "cell")} ({_counted(len(scans), "scan")}, R = {rates})'
    whole = [each for each in every if each.fills and each.ratio is not None and each.n_cells >= n_cells]
    if len(whole) < 2:
        return f'{over} nothing but {BASELINE} was measured in all of them: there is nothing to compare.'
    winner = whole[0]
    if winner.method == BASELINE:
        return f'{over} none of {len(whole)} methods has less error than {BASELINE}.'
    least = f'{winner.ratio:.2f} times that of {BASELINE}'
    worst = f' (geometric mean; worst {winner.worst:.2f}: {winner.worst_place})' if n_cells > 1 else ''
    return f'{over} {winner.method} has the least error, {least}{worst}, {_told_price(winner, n_cells)}.'


def _told_price(winner: Standing, n_cells: int) -> str:
    """What it costs, and what of that was not measured."""
    never = [label for label, number in winner.unknown.items() if number == winner.n_filled]
    known = [column for column in COLUMNS if column.name in PRICES and column.label not in never]
    if not known:
        return 'its price not measured'
    price = f'at no price in {listed(known)} beyond the limits'
    if winner.n_priced:
        named = ', '.join(f'{label} in {number}' for label, number in winner.prices.items())
        price = (
            f'at a price in {winner.n_priced} of them ({named})'
            if n_cells > 1
            else f'at a price in {", ".join(winner.prices)}'
        )
    unknown = [label if label in never else f'{label} in {number}' for label, number in winner.unknown.items()]
    return f'{price} (not measured: {", ".join(unknown)})' if unknown else price


def _counted(number: int, what: str) -> str:
    return f'{number} {what}{"s" * (number != 1)}'
