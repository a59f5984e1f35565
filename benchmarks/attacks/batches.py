"""Many scans, killed many times and resumed: the final set is that of an uninterrupted run.

All files are compared but the hidden one that tells how long the last run took.
"""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

from attacks.cases import Case, Verdict, generator_of
from attacks.contents import digest, sums
from attacks.running import finish, kill_all, run, start
from attacks.scans import Clean
from attacks.warm import commands
from raki.commands.batch.records import FOLDER, TIMES

N_FILES, N_CORRUPT, N_KILLS = 60, 5, 20

COMMAND = ('batch', 'in/*.h5', '-o', 'out', '--method', 'grappa')


def batch_cases(scans: Sequence[Clean], scale: float, seed: int) -> list[Case]:
    """A batch of intact files, and one with corrupt ones, where there is such a command."""
    if 'batch' not in commands():
        print('  no command batch: not killed')
        return []
    n_files = max(6, round(N_FILES * scale))
    found = []
    for name, n_corrupt in (('intact', 0), ('some corrupt', N_CORRUPT)):
        case = f'kills/batch resumed/{name}'
        found.append(Case('batch, killed and resumed', case, _attack_of(scans[0], n_files, n_corrupt, case, seed)))
    return found


def _attack_of(scan: Clean, n_files: int, n_corrupt: int, name: str, seed: int):
    return lambda folder: _attack(folder, scan, n_files, n_corrupt, generator_of(name, seed))


def _attack(folder: Path, scan: Clean, n_files: int, n_corrupt: int, generator) -> Verdict:
    """Uninterrupted in one folder; killed and resumed in another; equal by bytes, or by content."""
    with TemporaryDirectory(prefix='faults') as place:
        whole = Path(place)
        for each in (whole, folder):
            _inputs(each, scan, n_files, n_corrupt)
        first = run(COMMAND, whole, timeout=600)
        wanted = 3 if n_corrupt else 0
        if first.fault not in ('', 'many lines') or first.code != wanted:  # it tells of every file
            return Verdict('wrong code', f'{first.code}, not {wanted}: {first.last}')
        n_kills = _killed(folder, first.seconds / N_KILLS, generator)
        last = run((*COMMAND, '--resume'), folder, timeout=600)
        if last.code != wanted:
            return Verdict('not resumed', f'{last.code}, not {wanted}: {last.last}')
        return _compared(whole / 'out', folder / 'out', n_kills)


def _inputs(folder: Path, scan: Clean, n_files: int, n_corrupt: int) -> None:
    """The same scan under many names, the first of them truncated where they shall be corrupt."""
    (folder / 'in').mkdir()
    content = scan.files[0].read_bytes()
    for number in range(n_files):
        size = len(content) // 2 if number < n_corrupt else len(content)
        (folder / 'in' / f'{number:02}.h5').write_bytes(content[:size])


def _killed(folder: Path, step: float, generator) -> int:
    """Start, kill and resume; how often it was killed before it had ended."""
    n_kills = 0
    for number in range(N_KILLS):
        running = start((*COMMAND, '--resume') if number else COMMAND, folder)
        sleep(float(generator.uniform(0.2, 2) * step))
        os.kill(running.process, signal.SIGKILL)
        if number % 2:
            kill_all(running.process)
        n_kills += finish(running, grace=10).code == -signal.SIGKILL
    return n_kills


def _lasting(folder: Path) -> dict[str, str]:
    return {name: content for name, content in sums(folder).items() if name != f'{FOLDER}/{TIMES}'}


def _compared(whole: Path, resumed: Path, n_kills: int) -> Verdict:
    first, second = _lasting(whole), _lasting(resumed)
    if set(first) != set(second):
        return Verdict('wrong', f'{n_kills} kills, not in both: {sorted(set(first) ^ set(second))[:6]}')
    others = sorted(name for name in first if first[name] != second[name])
    if not others:
        return Verdict('byte-equal', f'{n_kills} kills')
    if all(digest(whole / name) == digest(resumed / name) for name in others):
        return Verdict('content-equal', f'{n_kills} kills, other bytes in {len(others)} files: {others[:6]}')
    return Verdict('wrong', f'{n_kills} kills, other content in {others[:6]}')
