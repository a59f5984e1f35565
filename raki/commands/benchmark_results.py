"""What a benchmark tells besides its rows, so that whoever doubts it can make it again."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from raki.commands.compare import LATTICE
from raki.commands.contest import Contest
from raki.commands.machine import machine
from raki.commands.tables import ARROWS, escape, marked
from raki.evaluation.metrics import OBJECT
from raki.evaluation.peers import PEERS
from raki.evaluation.standings import BASELINE, Standing, Standings
from raki.evaluation.verdict import COLUMNS, PRICE, PRICED, STAR, Column, best_values

RATIOS = (
    Column('ratio', 'error', 'low', 2, f'over that of {BASELINE} in the same cell, geometric mean'),
    Column('worst', 'worst', 'low', 2, 'the largest of these'),
)
MEANS = tuple(column for column in COLUMNS if column.name in ('point_peak', 'ghost_index', 'noise_bias', 'seconds'))

LEGEND = (
    f'error: over {BASELINE} in the same cell, geometric mean; others: means',
    f'↓ lower, ↑ higher is better; {STAR} best of those measured in all cells,',
    f'{PRICED} best, but at a price in some; {PRICE} what is the price in any',
    'priced: cells in which points, ghosts or bias are worse than those of',
    f'{BASELINE} by more than the limits of a verdict',
)
"""Below the table, in lines that 80 columns hold."""


def results_of(
    contest: Contest, standings: Standings, versions: Mapping[str, str], told: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything in `benchmark.json`, in its order.

    `told` holds `scans`, `left_out`, `refused`, the `load` before and after, and `rows`.
    """
    return {
        'command': 'benchmark',
        'sentence': standings.sentence,
        'baseline': BASELINE,
        'overall': [each.told for each in standings.methods],
        'scans': [{**each, 'verdict': _verdict(standings, each['name'])} for each in told['scans']],
        'left_out': [{'scan': name, 'reason': reason} for name, reason in told['left_out'].items()],
        'refused': told['refused'],
        'peers': _peers(contest),
        'own_methods': [{'method': name, **origin} for name, origin in contest.files.items()],
        'again': again(contest),
        'settings': _settings(contest),
        'versions': dict(versions),
        'machine': machine(contest.device) | {'load_before_and_after': told['load']},
        'rows': told['rows'],
    }


def again(contest: Contest) -> str:
    """The command that makes it again; names of folders are left to whoever does: they may tell who somebody is."""
    peers = [name for name in contest.methods if name in PEERS]
    own = [name for name in contest.methods if name not in (*peers, *contest.files, BASELINE)]
    options = {
        '--rates': contest.rates or (),
        '--acs': contest.acs or (),
        '--methods': own or (BASELINE,),
        '--peers': (*peers, *contest.absent) or ('none',),
        '--seeds': tuple(map(str, contest.seeds)),
        '--replicas': (str(contest.n_replicas),),
    }
    words = [f'{option} {" ".join(values)}' for option, values in options.items() if values]
    files = [f'--method-file {name}' for name in dict.fromkeys(each['file'] for each in contest.files.values())]
    return ' '.join(['raki benchmark SCANS -o FOLDER', *words, *files])


def _verdict(standings: Standings, scan: str) -> str | None:
    """None of a scan of which nothing could be measured."""
    return standings.verdicts[scan].sentence if scan in standings.verdicts else None


def _peers(contest: Contest) -> list[dict[str, Any]]:
    """Those that took part, with versions, and those that are not installed, without."""
    names = [*(name for name in contest.methods if name in PEERS), *contest.absent]
    every = {name: PEERS[name] for name in names}
    return [
        {
            'method': name,
            'package': peer.package,
            'version': peer.version,
            'regularised': peer.regularised,
            'noise': peer.noise,
        }
        for name, peer in every.items()
    ]


def _settings(contest: Contest) -> dict[str, Any]:
    return {
        'methods': {name: asdict(method) for name, method in contest.methods.items()},
        'seeds': list(contest.seeds),
        'n_replicas': contest.n_replicas,
        'lattice': LATTICE[1],
        'object': OBJECT,
        'image': 'root sum of squares',
        'slices': 'the middle one of every scan, volumes as a whole',
        'noise': 'noise samples of scans are given to nobody, and coils are not whitened',
    }


def table(standings: Standings) -> Table:
    """How every method stands, the least error first, for a terminal; the best of those measured everywhere marked."""
    n_cells = max(each.n_cells for each in standings.methods)
    whole = [each for each in standings.methods if each.fills and each.n_cells == n_cells]
    best = {column.name: best_values([_values(each) for each in whole], column) for column in (*RATIOS, *MEANS)}
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0, caption_justify='left')
    made.add_column('method', no_wrap=True, vertical='bottom')
    for head in (*map(_head, RATIOS), 'cells', 'priced', *map(_head, MEANS)):
        made.add_column(head, justify='right', no_wrap=True, vertical='bottom')
    for each in standings.methods:
        *ratios, points, ghosts, bias, seconds = (
            _figure(each, column, is_best=each in whole and _values(each)[column.name] in best[column.name])
            for column in (*RATIOS, *MEANS)
        )
        counts = f'{each.n_cells}/{n_cells}', str(each.n_priced)
        style = None if each.fills else 'dim'
        made.add_row(escape(each.method), *ratios, *counts, points, ghosts, bias, seconds, style=style)
    made.caption = '\n'.join(LEGEND) + '\n'
    return made


def _head(column: Column) -> str:
    return f'{column.label}\n{ARROWS[column.better]}'


def _values(each: Standing) -> Mapping[str, float | None]:
    return {**each.values, 'ratio': each.ratio, 'worst': each.worst}


def _figure(each: Standing, column: Column, *, is_best: bool) -> str:
    """Write a figure and its mark: what is paid anywhere, the best, hollow where it is that of an error at a price."""
    star = PRICED if column in RATIOS and each.n_priced else STAR
    mark = PRICE if column.label in each.prices else star if is_best else ''
    return marked(column.written(_values(each)[column.name]), mark)
