"""What `raki benchmark` does: every method and every peer on every cell of many scans, as JSON and as a page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from raki.commands.batch.tasks import names_of, scans_in
from raki.commands.benchmark_results import results_of
from raki.commands.compare import require_folder, require_full
from raki.commands.contest import Contest
from raki.commands.inputs import ACS, RATES, UsageError, acs_for, open_file, rates_for, shown, sizes_by_axis
from raki.commands.machine import load
from raki.commands.origin import versions
from raki.commands.progress import Course, Steps, Watch
from raki.data.save import replacing_all
from raki.data.scan import Scan, ScanFile
from raki.data.simulate import Simulation, simulate
from raki.errors import SamplingError, ScanError
from raki.evaluation.baseline import Baseline
from raki.evaluation.benchmark_page import benchmark_page
from raki.evaluation.compare import Bench, ProgressFor, Task, has_seed, tasks, with_seed
from raki.evaluation.kept import Kept, cell_digest, keeping, slab_digest
from raki.evaluation.peers import PEERS
from raki.evaluation.plan import Asked, Plan, Rate, labelled
from raki.evaluation.rows import Row
from raki.evaluation.standings import Standings, standings_of
from raki.interpolation.calibration import silent

T = TypeVar('T')

Told = Callable[[Exception], str]
"""From an error to one line."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told how a benchmark gets on."""

    progress_for: ProgressFor
    """Of each cell."""
    say: Callable[[str], Any]
    """Of scans that are over, or left out."""
    told: Told
    """How errors are told."""


FILES = ('benchmark.html', 'benchmark.json')
"""What is written. The second is the manifest of both: where it is, both are whole."""

FIGURES = (
    'nrmse_object', 'noise_floor', 'ssim', 'kspace_nrmse', 'energy_ratio', 'gfactor_mean', 'noise_bias', 'ghost_index',
    'point_peak', 'net_acceleration', 'acs_used', 'seconds_fit', 'seconds_fill',
)  # fmt: skip
"""What is measured of `raki.evaluation.metrics`: error, all that decides a price, and what a reader may ask next."""

UNUSED = ('lesions', 'tradeoff')
"""Of a row, left out: not measured here."""

SMALL = Simulation((32, 24), 4)
"""What every peer reconstructs once before anything counts."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """One scan that can be the truth."""

    name: str
    path: Path
    slice: int
    """The middle one; of a volume that which would be shown."""
    rates: Sequence[Rate]
    acs: Sequence[tuple[int, ...]]
    facts: Mapping[str, Any]
    """What is told of it."""

    def scan(self) -> Scan:
        """Read it, without noise samples: nobody is to know more of the noise than measured lines tell."""
        return _read(open_file(self.path), self.slice)


@dataclass(frozen=True, slots=True)
class Found:
    """What came of all cells so far."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    """Scan, rate, acs, method and reason."""

    def __str__(self) -> str:
        return f'{len(self.rows)} cells measured so far and {len(self.refused)} refused'


@dataclass(frozen=True, slots=True)
class Bout:
    """A benchmark that is going on."""

    contest: Contest
    kept: Kept
    listener: Listener
    watch: Watch
    found: Found = field(default_factory=Found)

    def measure(self, entrant: Entrant) -> None:
        """Go through all cells of a scan; what fails stops nothing else."""
        bench = _tried(lambda: Bench(entrant.scan(), entrant.slice, self._plan(entrant)), self.listener.told)
        for rate, acs in product(entrant.rates, entrant.acs):
            asked = bench if isinstance(bench, str) else _asked(bench, rate, acs, self.listener.told)
            if isinstance(bench, str) or isinstance(asked, str):
                self._refuse(entrant, rate, acs, 'every method', str(asked))
                for _ in self.contest.runs:
                    self.watch.skip()
                continue
            for task in self._tasks(asked):
                self._do(bench, task, entrant, acs)

    def _plan(self, entrant: Entrant) -> Plan:
        contest = self.contest
        others = contest.seeds, contest.n_replicas, contest.device
        return Plan(contest.methods, entrant.rates, entrant.acs, *others, figures=FIGURES)

    def _tasks(self, asked: Asked) -> Iterator[Task]:
        for name, method in self.contest.methods.items():
            for seed in self.contest.seeds if has_seed(method) else (0,):
                yield Task(name, with_seed(method, seed), asked)

    def _do(self, bench: Bench, task: Task, entrant: Entrant, acs: tuple[int, ...]) -> None:
        def progress_for(name: str) -> Steps:
            return self.watch(f'{entrant.name}, {name}')

        source = self.contest.files.get(task.name, {}).get('sha256')
        key = cell_digest(slab_digest(bench, versions=versions_of(self.contest), source=source), task)
        row = self.kept.get(key)
        if row is None:
            row = _tried(lambda: task.done(bench, progress_for).row, self.listener.told)
            if isinstance(row, str):
                self._refuse(entrant, task.asked.rate, acs, task.name, row)
                return
            self.kept.put(key, row)
        else:
            self.watch.skip()
        self.found.rows.append({'scan': entrant.name, **_flat(row)})

    def _refuse(self, entrant: Entrant, rate: Rate, acs: tuple[int, ...], method: str, reason: str) -> None:
        place = {'scan': entrant.name, 'rate': rate.label, 'acs': labelled(acs)}
        self.found.refused.append({**place, 'method': method, 'reason': reason})


def benchmark_scans(
    words: Sequence[str], folder: Path, contest: Contest, listener: Listener
) -> tuple[dict[str, Any], Standings]:
    """Measure every method on every cell of scans; write `benchmark.json` and `benchmark.html`; give what is in them.

    A scan that fails, or is not fully sampled, and a method that fails are listed with their reasons. Cells that are
    done are kept in the folder until both files are in place: after an interruption the same call goes on from there.

    Parameters
    ----------
    words, folder
        Files, patterns or folders (not those in them), and where to write.
    contest
        What is compared.
    listener
        Who is told how it gets on.

    Raises
    ------
    UsageError, ScanError
        If there are no scans, none of them can be the truth, or nothing could be measured.
    OSError
        If the folder may not be written, or another comparison is being written there.
    """
    require_folder(folder, FILES)
    entrants, left_out = _entrants(words, contest, listener.told)
    for name, reason in left_out.items():
        listener.say(f'left out: {name}: {reason}')
    n_cells = sum(len(each.rates) * len(each.acs) for each in entrants)
    watch, runs = Watch.of(listener.progress_for), n_cells * contest.runs
    listener.say(f'{len(runs)} cells: {len(entrants)} scan(s), {len(contest.methods)} methods')
    watch.expect(Course('cell', runs))
    with keeping(folder, len(runs)) as kept:
        bout, before = Bout(contest, kept, listener, watch), load()
        _warm_up(contest, listener.told)
        for entrant in entrants:
            bout.measure(entrant)
            listener.say(f'{entrant.name} is done, with {bout.found}')
        if not bout.found.rows:
            raise ScanError(f'nothing could be measured, first because {bout.found.refused[0]["reason"]}')
        standings = standings_of(bout.found.rows)
        scans = [{'name': each.name, **each.facts, 'slice': each.slice} for each in entrants]
        found = {'scans': scans, 'left_out': left_out, 'refused': bout.found.refused, 'rows': bout.found.rows}
        results = results_of(contest, standings, versions_of(contest), found | {'load': [before, load()]})
        _write(folder, results, benchmark_page(results, standings))
    return results, standings


def versions_of(contest: Contest) -> dict[str, str]:
    """Versions of what decides a result, those of peers that take part among them."""
    peers = {PEERS[name].package: PEERS[name].version for name in contest.methods if name in PEERS}
    return versions() | {name: version for name, version in peers.items() if version}


def _entrants(words: Sequence[str], contest: Contest, told: Told) -> tuple[list[Entrant], dict[str, str]]:
    """Scans that can be the truth, and why others cannot, by name."""
    paths = scans_in(words)
    if not paths:
        raise UsageError(f'no scans in {shown(", ".join(words))}: name files, patterns such as "*.h5", or folders')
    entrants, left_out = list[Entrant](), dict[str, str]()
    for name, path in zip(map(shown, names_of(paths)), paths, strict=True):
        entrant = _entrant(name, path, contest, told)
        if isinstance(entrant, Entrant):
            entrants.append(entrant)
        else:
            left_out[name] = entrant.replace(str(path), path.name)  # paths may tell who somebody is
    if not entrants:
        raise ScanError(f'none of {len(paths)} scan(s) can be the truth, first because {next(iter(left_out.values()))}')
    return entrants, left_out


def _entrant(name: str, path: Path, contest: Contest, told: Told) -> Entrant | str:
    def found() -> Entrant:
        file = open_file(path)
        index, scan = file.n_slices // 2, _read(file, file.n_slices // 2)
        require_full(scan, path.name)
        rates, acs = _fitting(file, contest)
        truth = 'the fully sampled scan' if scan.reference is None else 'the noise-free truth in the file'
        facts = {'format': file.format, 'shape': sizes_by_axis(file), 'reference': truth}
        return Entrant(name, path, index, rates, acs, facts)

    return _tried(found, told)


def _read(file: ScanFile, index: int) -> Scan:
    return replace(file.read([index if len(file.shape) == 4 else 0]), noise=None)


def _fitting(file: ScanFile, contest: Contest) -> tuple[list[Rate], list[tuple[int, ...]]]:
    """Rates and ACS sizes of as many phase axes as the scan has."""
    n_axes = len(file.shape) - 3
    rates, acs = (
        [word for word in words if word.count('x') == n_axes - 1]
        for words in (contest.rates or RATES[n_axes], contest.acs or map('x'.join, [map(str, ACS[n_axes])]))
    )
    if not rates or not acs:
        kind = 'slices need rates such as 4 and an ACS such as 24', 'a volume needs rates such as 2x2 and 16x24 as ACS'
        raise SamplingError(f'{kind[n_axes - 1]}: none was asked for')
    return rates_for(file, rates), acs_for(file, acs if contest.acs else None)


def _asked(bench: Bench, rate: Rate, acs: tuple[int, ...], told: Told) -> Asked | str:
    return _tried(lambda: replace(bench.plan, rates=[rate], acs=[acs]).asked(bench.scan)[0], told)


def _warm_up(contest: Contest, told: Told) -> None:
    """Let peers reconstruct something small: what they import and compile at first is to count for nobody."""
    peers = {name: method for name, method in contest.methods.items() if isinstance(method, Baseline)}
    if peers:
        bench = Bench(simulate(SMALL), 0, Plan(peers, [Rate((2,))], [(16,)], n_replicas=0, figures=FIGURES[:1]))
        for task in tasks(bench):
            _tried(lambda task=task: task.done(bench, lambda _name: silent), told)


def _tried(do: Callable[[], T], told: Told) -> T | str:
    """What came of it, or in one line why nothing did."""
    try:
        return do()
    except Exception as error:  # noqa: BLE001 - as in a batch: whatever it is, the next scan or method is another matter
        return told(error)


def _flat(row: Row) -> dict[str, Any]:
    values = {name: value for name, value in row.flat().items() if name not in UNUSED}
    return values | {'warnings': [str(text) for text in row.warnings], 'seconds_cpu': round(row.seconds_cpu or 0.0, 2)}


def _write(folder: Path, results: Mapping[str, Any], page: str) -> None:
    """Write both files, which appear together."""
    with replacing_all(folder / FILES[1]) as new_files:
        new_files(folder / FILES[0]).write_text(page, encoding='utf-8')
        new_files.describe(folder / FILES[1], results)
