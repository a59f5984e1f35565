"""Too little memory, disk, time or permission, signals, and many writers of one file: in order, and all or nothing."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import sleep

import numpy as np

from attacks.cases import Case, Verdict, generator_of
from attacks.folders import State, fault_of, state_of
from attacks.running import ROOT, Ending, finish, run, start
from attacks.scans import Clean, image_in, nrmse
from attacks.warm import commands
from raki.data.digests import verify
from raki.evaluation.kept import FOLDER as KEPT

NAME = 'limits'

COUNT = 120
"""Of signals; memory, disks, folders and writers have their own numbers."""

MEMORY_STEPS = 20

SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130}

N_WRITERS = 20

WRITING = {
    **{f'reconstruct {suffix}': f'reconstruct fastmri.h5 -o {{}}/out{suffix} --method grappa' for suffix in
       ('.h5', '.mrd.h5', '.nii', '.nii.gz', '.dcm', '.png', '.cfl')},
    'reconstruct --kspace': 'reconstruct fastmri.h5 -o {}/out.h5 --method grappa --kspace',
    'convert .h5': 'convert fastmri.h5 {}/out.h5',
    'convert .mrd.h5': 'convert fastmri.h5 {}/out.mrd.h5',
    'convert .cfl': 'convert fastmri.h5 {}/out.cfl',
    'simulate': 'simulate -o {}/out.h5 --coils 4 --matrix 32x24',
    'compare': 'compare full.h5 -o {}/page --rates 2 --acs 16 --methods zero-filled grappa --replicas 0',
    'compare in place': 'compare full.h5 -o {} --rates 2 --acs 16 --methods zero-filled grappa --replicas 0',
    'view': 'view result.h5 -o {}/page.html --no-open',
    'batch': 'batch fastmri.h5 -o {}/many --method grappa',
}  # fmt: skip
"""What writes into the folder that is put in."""

PARTS = (0.0, 0.1, 0.5, 0.9)
"""Of what a command writes, so much has room on the disk; 0 for a disk that is full already [1]."""


def cases(scans: Sequence[Clean], count: int, seed: int) -> list[Case]:
    """Everything, with as many signals."""
    scan = scans[0]
    folder = Path(scan.files[0]).parent
    run(['simulate', '-o', 'full.h5', '--coils', '6', '--matrix', '48x40'], folder)
    shutil.copy2(folder / f'clean {scan.name}.h5', folder / 'result.h5')
    there = [(kind, words) for kind, words in WRITING.items() if words.split()[0] in commands()]
    return [
        *_memory(_large(folder), count),
        *(Case('full disk', f'{NAME}/full disk/{kind}/{part}', partial(_full, words=words, part=part, of=folder))
          for kind, words in there for part in PARTS),
        *(Case('read-only folder', f'{NAME}/read-only/{kind}', partial(_read_only, words=words, of=folder))
          for kind, words in there),
        *_signals(there, folder, count, seed),
        *(Case('writers of one file', f'{NAME}/writers/{number}', partial(_writers, scan=scan)) for number in range(2)),
    ]  # fmt: skip


def _large(folder: Path) -> Clean:
    """A scan whose reconstruction takes some memory."""
    run(['simulate', '-o', 'large.h5', '--coils', '16', '--matrix', '192x160', '--rate', '3'], folder)
    found = Clean('large', (folder / 'large.h5',), ('--method', 'grappa'), np.zeros(0), frozenset())
    run(found.command('clean large.h5'), folder)
    return replace(found, image=image_in(folder / 'clean large.h5'))


def _memory(scan: Clean, count: int) -> Iterator[Case]:
    """Limits of address space and of data, from far too small to enough."""
    n_steps = MEMORY_STEPS if count >= COUNT else 5
    for number in range(n_steps):
        part = number / (n_steps - 1)
        for kind, most in (('AS', 12_000), ('DATA', 2_000)):
            megabytes = round(100 * (most / 100) ** part)
            name = f'{NAME}/memory/{kind} {megabytes} MB/anew'
            yield Case(f'memory {kind}, anew', name, partial(_anew, scan=scan, kind=kind, megabytes=megabytes))
            more = round(1 * 1000**part)
            name = f'{NAME}/memory/{kind} {more} MB more'
            yield Case(f'memory {kind}, forked', name, partial(_more, scan=scan, kind=kind, megabytes=more))


def _limit(kind: str, megabytes: float) -> None:
    size = int(megabytes * 1e6)
    resource.setrlimit(getattr(resource, f'RLIMIT_{kind}'), (size, size))


def _anew(folder: Path, scan: Clean, kind: str, megabytes: int) -> Verdict:
    """A process started with so little memory; whether Python with the command line starts at all is tried first."""
    limited = partial(_limit, kind, megabytes)
    probe = subprocess.run(
        [sys.executable, '-c', 'import raki.cli'],
        preexec_fn=limited,
        env=os.environ | {'PYTHONPATH': str(ROOT)},
        capture_output=True,
        check=False,
    )
    if probe.returncode:
        return Verdict('not started')
    return _reconstructed(folder, scan, limited, is_anew=True)


def _more(folder: Path, scan: Clean, kind: str, megabytes: int) -> Verdict:
    """A forked process that may have so much more memory than it has."""
    field = {'AS': 'VmSize', 'DATA': 'VmData'}[kind]
    line = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith(field))
    now = int(line.split()[1]) * 1024 / 1e6
    return _reconstructed(folder, scan, partial(_limit, kind, now + megabytes))


def _reconstructed(folder: Path, scan: Clean, before: Callable[[], None], *, is_anew: bool = False) -> Verdict:
    scan.copied(folder)
    state = state_of(folder)
    ending = run(scan.command(), folder, before=before, is_anew=is_anew)
    fault = ending.fault or fault_of(state, state_of(folder), ending, ['out.h5'])
    if fault:
        return Verdict(fault, ending.last)
    if ending.code == 0:
        error = nrmse(image_in(folder / 'out.h5'), scan.image)
        return Verdict('right' if error < 1e-3 else 'wrong', f'nrmse {error:.3g}')
    return _refused_for_resources(ending)


def _refused_for_resources(ending: Ending) -> Verdict:
    is_proper = ending.code == 5 and 'truncated or damaged' not in ending.last
    return Verdict('refused' if is_proper else 'wrong code', f'exit {ending.code}: {ending.last}')


@contextmanager
def _disk(folder: Path, how: str) -> Iterator[bool]:
    """Mount a disk of its own at a folder; whether that is allowed here."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', how, 'tmpfs', str(folder)], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(['umount', '-l', str(folder)], check=False)


def _prepared(folder: Path, of: Path) -> None:
    for name in ('fastmri.h5', 'full.h5', 'result.h5'):
        shutil.copy2(of / name, folder)


def _size(folder: Path, words: str) -> int:
    """What a command writes where there is room [byte]."""
    (folder / 'room').mkdir()
    ending = run(words.format('room').split(), folder)
    if ending.code:
        raise RuntimeError(f'{words}: {ending.err}')
    written = sum(path.stat().st_size for path in (folder / 'room').rglob('*') if path.is_file())
    shutil.rmtree(folder / 'room')
    return written


def _full(folder: Path, words: str, part: float, of: Path) -> Verdict:
    """A disk with too little room, or a limit of files' size where no disk can be mounted."""
    _prepared(folder, of)
    room = max(4096, round(part * _size(folder, words)) // 4096 * 4096)
    with _disk(folder / 'disk', f'size={room}') as is_disk:
        if is_disk and not part:
            (folder / 'disk' / 'filling').write_bytes(bytes(4096))
        limited = None if is_disk else (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)))
        return _not_written(folder, words, limited)


def _not_written(folder: Path, words: str, before: Callable[[], None] | None = None) -> Verdict:
    """Try; nothing must be there after."""
    state = state_of(folder)
    ending = run(words.format('disk').split(), folder, before=before)
    if ending.fault:
        return Verdict(ending.fault, ending.last)
    if state_of(folder) != state and not _is_unfinished_batch(folder, words):
        is_whole = ending.code == 0
        return Verdict('done' if is_whole else 'torn', ' '.join(sorted(set(state_of(folder)) - set(state))))
    return _refused_for_resources(ending)


def _is_unfinished_batch(folder: Path, words: str) -> bool:
    """Whether only records and pages of a batch are there, which tell how far it came, and whole images."""
    images = {str(path.relative_to(folder)) for path in (folder / 'disk').rglob('*.h5')}
    return words.startswith('batch') and _are_whole(folder, images)


def _are_whole(folder: Path, names: Collection[str]) -> bool:
    """Whether these files are as they were written."""
    return not any(found.problem for name in names if (folder / name).is_file() for found in verify(folder / name))


def _read_only(folder: Path, words: str, of: Path) -> Verdict:
    """A folder that cannot be written."""
    _prepared(folder, of)
    with _disk(folder / 'disk', 'ro,size=1m') as is_disk:
        if not is_disk:
            (folder / 'disk').chmod(0o555)
            if os.access(folder / 'disk', os.W_OK):
                return Verdict('skipped', 'no disk can be mounted here, and permissions do not bind this user')
        outcome, detail = _not_written(folder, words)
        return Verdict('refused' if outcome == 'wrong code' and 'exit 2' in detail else outcome, detail)


def _signals(there: Sequence[tuple[str, str]], folder: Path, count: int, seed: int) -> Iterator[Case]:
    """SIGTERM and SIGINT at random moments."""
    for number in range(count):
        kind, words = there[number % len(there)]
        which = list(SIGNALS)[number // len(there) % 2]
        name = f'{NAME}/{which.name}/{kind}/{number}'
        attack = partial(_signalled, words=words, which=which, name=name, of=folder, seed=seed)
        yield Case(which.name, name, attack)


def _signalled(folder: Path, words: str, which: signal.Signals, name: str, of: Path, seed: int) -> Verdict:
    """The defined exit code and a line, and nothing is left; or it was done before."""
    _prepared(folder, of)
    (folder / 'disk').mkdir()
    state = state_of(folder)
    running = start(words.format('disk').split(), folder)
    sleep(float(generator_of(name, seed).uniform(0.03, 0.3)))
    os.kill(running.process, which)
    ending = finish(running)
    found = state_of(folder)
    if ending.code == 0:
        return Verdict('done')
    if ending.code != SIGNALS[which]:
        return Verdict('wrong code', f'{ending.code}: {ending.last}')
    if ending.fault:
        return Verdict(ending.fault, ending.last)
    left = {name for name in {*state, *found} if state.get(name) != found.get(name)} - _kept(found)
    is_said = 'written before' in ending.last and _are_whole(folder, left)
    if left and 'batch' not in words and not is_said:
        return Verdict('torn', ' '.join(sorted(left)))
    return Verdict('ended' if ending.lines else 'without a word')


def _kept(state: State) -> set[str]:
    """What an interrupted comparison goes on from, in a hidden folder, and the folder that this is in."""
    hidden = {name for name in state if KEPT in Path(name).parts}
    return hidden | {str(Path(name).parent) for name in hidden if Path(name).name == KEPT}


def _writers(folder: Path, scan: Clean) -> Verdict:
    """Many processes write one file at once: the file is whole, and nothing else is left."""
    scan.copied(folder)
    state = state_of(folder)
    endings = [finish(each, grace=None) for each in [start(scan.command(), folder) for _ in range(N_WRITERS)]]
    fault = next((each.fault for each in endings if each.fault), '')
    if fault or any(each.code not in (0, 5) for each in endings):
        return Verdict(fault or 'wrong code', next(each.last for each in endings if each.code))
    fault = fault_of(state, state_of(folder), endings[0], ['out.h5'])
    return Verdict(fault or ('right' if nrmse(image_in(folder / 'out.h5'), scan.image) < 1e-3 else 'wrong'))
