"""What a benchmark tells besides its rows, so that whoever doubts it can make it again."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from raki.commands.compare import LATTICE
from raki.commands.contest import Contest
from raki.commands.machine import machine
from raki.evaluation.metrics import OBJECT
from raki.evaluation.peers import PEERS
from raki.evaluation.standings import BASELINE, Standing, Standings
from raki.evaluation.verdict import COLUMNS

PRICE = 'points, ghosts or bias are worse beyond the limits of a verdict'

COLUMN = {column.name: column for column in COLUMNS}
MEANS = 'point_peak', 'ghost_index', 'noise_bias', 'seconds'
WIDTHS = 7, 7, 8, 8, 8, 8, 8, 8
"""Of the columns of the table for terminals after the first [character]."""


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


def table(standings: Standings) -> list[str]:
    """Lines for a terminal: how every method stands, the least error first."""
    n_cells = max(each.n_cells for each in standings.methods)
    names = 'error', 'worst', 'cells', 'priced', 'points', 'ghosts', 'bias', 's'
    head = f'{"method":<18}{"".join(f"{name:>{width}}" for name, width in zip(names, WIDTHS, strict=True))}'
    lines = [_line(each, n_cells) for each in standings.methods]
    note = f'error: over {BASELINE} in the same cell, geometric mean; points to s: means'
    better = 'points: higher is better, 1 is faithful; all else: lower is better'
    return [head, *lines, '', note, better, f'priced: cells in which {PRICE}']


def _line(each: Standing, n_cells: int) -> str:
    values = [COLUMN[name].written(each.values[name]) for name in MEANS]
    cells = f'{each.n_cells}/{n_cells}', str(each.n_priced)
    words = [_ratio(each.ratio), _ratio(each.worst), *cells, *values]
    return f'{each.method:<18}{"".join(f"{word:>{width}}" for word, width in zip(words, WIDTHS, strict=True))}'


def _ratio(value: float | None) -> str:
    return '–' if value is None else f'{value:.2f}'
