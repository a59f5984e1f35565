"""SIGKILL at a random moment: afterwards outputs are the old ones or the new ones, and the same command succeeds.

No system puts several files in place in one step. So a set may be partly new, every file of it whole, if `raki verify`
says so of it; that is `mixed, told`. It is `mixed` if verify takes it for what was written, and `torn` if any file is
neither old nor new, whatever verify says.
"""

import os
import re
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

from attacks.cases import Case, Verdict, generator_of
from attacks.contents import digest, state_among, sums
from attacks.folders import is_temporary
from attacks.running import Ending, finish, kill_all, run, start
from attacks.scans import Clean, kept
from attacks.warm import commands
from raki.data.save import write_scan
from raki.data.simulate import Simulation, simulate

NAME = 'kills'

COUNT = 500

EARLIEST, LATEST = 0.7, 1.3
"""Kills come up to this part of the time that the command takes alone, half of them not before that, when outputs are
written [1]."""

EVERY_ANEW = 12
"""One in so many is a process started anew."""

GRACE = 10.0
"""So long may children outlive their parent that was killed alone [s]."""

SUFFIXES = ('.h5', '.mrd.h5', '.nii', '.dcm', '.png', '.cfl')


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """A command that writes, on one scan and before that on another."""

    name: str
    files: Sequence[Path]
    """What it reads."""
    command: tuple[str, ...]
    before: tuple[str, ...]
    """What writes older outputs of the same names."""
    again: tuple[str, ...]
    """Further words of the command after a kill."""
    old: dict[str, str]
    """Sums of older outputs by name."""
    new: dict[str, str]
    """Digests of outputs by name."""
    seconds: tuple[float, float]
    """How long it takes, forked and anew."""
    is_set: bool = True
    """Whether its outputs appear together; those of a batch do one by one, and its summary grows."""

    def prepare(self, folder: Path) -> None:
        """Put there what it reads."""
        for file in self.files:
            shutil.copy2(file, folder)


def cases(scans: Sequence[Clean], count: int, seed: int) -> list[Case]:
    """Kills of every command in turn; and batches that are killed and resumed many times."""
    from attacks.batches import batch_cases

    works = list(_works(scans))
    found = []
    for number in range(count):
        work = works[number % len(works)]
        how = 'alone' if number // len(works) % 2 else 'with children'
        past = 'over older' if number // len(works) // 2 % 2 else 'first'
        anew = '/anew' if number % EVERY_ANEW == EVERY_ANEW - 1 else ''
        name = f'{NAME}/{work.name}/{how}/{past}/{number}{anew}'
        found.append(Case(f'{work.name}, {how}', name, _attack_of(work, name, seed)))
    return found + batch_cases(scans, count / COUNT, seed)


def _attack_of(work: Work, name: str, seed: int):
    return lambda folder: attack(folder, work, name, seed)


def attack(folder: Path, work: Work, name: str, seed: int) -> Verdict:
    """Kill a command, look at what is there, do it again."""
    generator, is_anew = generator_of(name, seed), name.endswith('/anew')
    work.prepare(folder)
    old = work.old if '/over older/' in name else {}
    if old:
        run(work.before, folder)
        old = {each: sums(folder)[each] for each in work.old}
    inputs = {file.name: sums(folder)[file.name] for file in work.files}
    running = start(work.command, folder, is_anew=is_anew)
    earliest = EARLIEST * int(generator.integers(2))
    sleep(float(generator.uniform(earliest, LATEST)) * work.seconds[is_anew])
    os.kill(running.process, signal.SIGKILL)
    if '/with children/' in name:
        kill_all(running.process)
    ending = finish(running, grace=GRACE)
    state = _state(folder, old, work)
    if state == 'mixed' and _is_told(folder, work):
        state = 'mixed, told'
    if ending.n_orphans or state in ('torn', 'mixed'):
        return Verdict('orphans' if ending.n_orphans else state, ' '.join(sorted(sums(folder))))
    again = run([*work.command, *work.again], folder, is_anew=is_anew)
    return _after(again, folder, work, inputs, state)


def _is_told(folder: Path, work: Work) -> bool:
    """Whether `raki verify` refuses a set, whichever of its files is named."""
    there = [name for name in work.new if (folder / name).exists()]
    return bool(there) and all(run(('verify', name), folder).code == 3 for name in there)


def _state(folder: Path, old: dict[str, str], work: Work) -> str:
    """What of the outputs is there."""
    if work.is_set:
        return state_among(folder, old, work.new)
    states = {state_among(folder, {}, {name: content}) for name, content in work.new.items()}
    return 'torn' if 'torn' in states else 'new' if states == {'new'} else 'some'


def _after(again: Ending, folder: Path, work: Work, inputs: dict[str, str], state: str) -> Verdict:
    """What is there after the command has been done again."""
    found = sums(folder)
    if again.code or _state(folder, {}, work) != 'new':
        return Verdict('not resumed', again.last)
    if any(found[name] != content for name, content in inputs.items()):
        return Verdict('touched')
    extra = set(found) - set(work.new) - set(inputs) if work.is_set else set[str]()
    return Verdict('left over', ' '.join(sorted(extra))) if extra or any(map(is_temporary, found)) else Verdict(state)


def _works(scans: Sequence[Clean]) -> list[Work]:
    """Commands, with what they write and how long they take."""
    by_name = {scan.name: scan for scan in scans}
    there = commands()
    works = []
    with TemporaryDirectory(prefix='faults') as name:
        folder = Path(name)
        os.chdir(folder)
        write_scan(folder / 'old.h5', kept(simulate(Simulation((48, 40), 6)), (2,), (18,)), {})
        run(['simulate', '-o', 'full.h5', '--coils', '6', '--matrix', '48x40'], folder)
        lasting = Path(by_name['fastMRI'].files[0]).parent / 'of kills'
        lasting.mkdir(exist_ok=True)
        old, full = (Path(shutil.copy(folder / each, lasting)) for each in ('old.h5', 'full.h5'))
        scan = by_name['fastMRI'].files[0]
        for suffix in SUFFIXES:
            words = ('-o', f'out{suffix}', '--method', 'grappa')
            command = ('reconstruct', scan.name, *words)
            works.append(_measured(f'reconstruct {suffix}', (scan, old), command, ('reconstruct', old.name, *words)))
        plan = ('--acs', '16', '--methods', 'zero-filled', 'grappa', '--replicas', '0')
        comparing = ('compare', full.name, '-o', 'page', *plan, '--rates', '2', '3')
        earlier = ('compare', full.name, '-o', 'page', *plan, '--rates', '4')
        works += [_measured('compare', (full,), comparing, earlier)] * 4
        works += [
            _measured('convert', (scan, old), ('convert', scan.name, 'out.cfl'), ('convert', old.name, 'out.cfl'))
        ]
        if 'batch' in there:
            batch = ('batch', scan.name, old.name, full.name, '-o', 'many', '--method', 'grappa')
            works += [_measured('batch', (scan, old, full), batch, ())] * 2
        os.chdir('/')
    return works


def _measured(name: str, files: Sequence[Path], command: tuple[str, ...], before: tuple[str, ...]) -> Work:
    """Try a command: what it writes, and how long it takes."""
    empty = Work(name, files, command, before, _again(command[0]), {}, {}, (0, 0))
    with TemporaryDirectory(prefix='faults') as place:
        folder = Path(place)
        empty.prepare(folder)
        old, _ = _written(empty, folder, before) if before else ({}, 0.0)
    with TemporaryDirectory(prefix='faults') as place:
        folder = Path(place)
        empty.prepare(folder)
        found, seconds = _written(empty, folder, command)
        is_set = command[0] != 'batch'
        new = {each: digest(folder / each) for each in found if is_set or each.endswith('.h5')}
        anew = run(command, folder, is_anew=True).seconds
    return replace(empty, old=old, new=new, seconds=(seconds, anew), is_set=is_set)


def _written(work: Work, folder: Path, command: tuple[str, ...]) -> tuple[dict[str, str], float]:
    """Sums of what a command writes, and how long it takes."""
    ending = run(command, folder)
    if ending.code:
        raise RuntimeError(f'{" ".join(command)}: {ending.err}')
    inputs = {file.name for file in work.files}
    return {name: content for name, content in sums(folder).items() if name not in inputs}, ending.seconds


def _again(command: str) -> tuple[str, ...]:
    """`--resume`, where the command has it."""
    with TemporaryDirectory(prefix='faults') as folder:
        told = run((command, '--help'), Path(folder))
    return ('--resume',) if re.search(r'--resume\b', told.out) else ()
