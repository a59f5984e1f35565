"""Temporary files: whose they are, when they are removed, and how a set of files is put in place."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from raki.commands.terminal import Stopped, terminable
from raki.data import temporary
from raki.data.save import replacing, replacing_all, write_text
from raki.data.temporary import remove_abandoned, temporary_name

DAY = 86400
NAMES = ['a.h5', 'a' * 250 + '.h5', 'ä\udcff[x]*?.h5']


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def gone() -> int:
    """Number of a process that has ended."""
    with subprocess.Popen([sys.executable, '-c', '']) as process:
        process.wait()
    return process.pid


def left_by(path: Path, process: int, birth: str = '5', machine: str | None = None) -> Path:
    """A temporary file of `path` as another process left it."""
    name = temporary_name(path).name
    own = f'{temporary._machine()}-{os.getpid()}-{temporary._birth(os.getpid())}'  # pyright: ignore[reportPrivateUsage]
    assert own in name
    other = own.replace(own[:8], machine or own[:8]).replace(own[8:], f'-{process}-{birth}')
    found = path.with_name(name.replace(own, other))
    found.write_text('half')
    return found


@pytest.mark.parametrize('name', NAMES)
def test_files_of_a_dead_process_are_removed_as_the_same_output_is_written(
    tmp_path: Path, gone: int, name: str
) -> None:
    path = tmp_path / name
    left = [left_by(path, gone), left_by(path, os.getpid(), birth='5'), left_by(path, 10**9)]
    write_text(path, 'new')
    assert names(tmp_path) == [name]
    assert not any(each.exists() for each in left)


def test_nothing_else_is_ever_removed(tmp_path: Path, gone: int) -> None:
    """Of living processes, other outputs, other machines until they are old, and whatever is only called alike."""
    path = tmp_path / 'a.h5'
    left_by(tmp_path / 'b.h5', gone)
    left_by(tmp_path / 'a.h5.b', gone)
    left_by(path, gone, machine='01234567')
    temporary_name(path).touch()  # of this process
    left_by(path, os.getppid(), temporary._birth(os.getppid()))  # pyright: ignore[reportPrivateUsage]
    stale = left_by(path, gone)
    stale.rename(tmp_path / f'x{stale.name}')
    (tmp_path / f'{stale.name}.txt').write_text('mine')
    (tmp_path / '.a.h5.notes.part').write_text('mine')
    stale.symlink_to(tmp_path / 'elsewhere')
    left_by(path, gone).rename(tmp_path / 'moved')
    folder = left_by(path, gone)
    folder.unlink()
    folder.mkdir()
    before = names(tmp_path)
    remove_abandoned(path)
    assert names(tmp_path) == before
    write_text(path, 'new')
    assert names(tmp_path) == sorted([*before, 'a.h5'])


def test_files_of_another_machine_are_removed_once_they_are_old(tmp_path: Path, gone: int) -> None:
    path = tmp_path / 'a.h5'
    young, old = (left_by(path, gone, machine=machine) for machine in ('01234567', '76543210'))
    for each, age in ((young, 0.9 * DAY), (old, 1.1 * DAY)):
        os.utime(each, (time.time() - age, time.time() - age))
    remove_abandoned(path)
    assert names(tmp_path) == [young.name]


@pytest.mark.parametrize('name', NAMES[:1])
def test_a_killed_writer_leaves_what_the_next_one_removes(tmp_path: Path, name: str) -> None:
    code = (
        'import os, signal, sys\nfrom pathlib import Path\nfrom raki.data.save import replacing\n'
        'with replacing(Path(sys.argv[1])) as new:\n    new.write_text("half"), os.kill(os.getpid(), signal.SIGKILL)'
    )
    path = tmp_path / name
    path.write_text('old')
    assert subprocess.run([sys.executable, '-c', code, str(path)], check=False).returncode == -signal.SIGKILL
    [left] = [each for each in names(tmp_path) if each != name]
    assert left.endswith('.part')
    assert path.read_text() == 'old'
    write_text(path, 'new')
    assert (names(tmp_path), path.read_text()) == ([name], 'new')


class CutOff(Exception):  # noqa: N818 - as a kill is
    """In the middle of it."""


@pytest.mark.parametrize('n_steps', range(5))
def test_a_set_with_a_seal_is_never_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_steps: int) -> None:
    """However far it gets: where the seal is, all that is there is of its age."""
    pages, seal = [tmp_path / 'a.html', tmp_path / 'b.html'], tmp_path / 'z.json'
    for path in (*pages, seal):
        path.write_text('old')
    steps = 0

    def step(change: Callable) -> Callable:
        def cut(path: Path, *others: Path, **more: bool) -> None:
            nonlocal steps
            if path.suffix == '.json' or others:
                steps += 1
                if steps > n_steps:
                    raise CutOff
            change(path, *others, **more)

        return cut

    monkeypatch.setattr(Path, 'replace', step(Path.replace))
    monkeypatch.setattr(Path, 'unlink', step(Path.unlink))
    try:
        with replacing_all(seal) as new_file:
            for path in (*pages, seal):
                new_file(path).write_text('new')
    except CutOff:
        assert n_steps < 4
    monkeypatch.undo()
    found = {path.read_text() for path in (*pages, seal)} if seal.exists() else set()
    assert found == ({'old'} if n_steps == 0 else set() if n_steps < 4 else {'new'})


def test_a_seal_keeps_its_permissions_and_is_not_needed_before(tmp_path: Path) -> None:
    seal = tmp_path / 'z.json'
    for permissions in (0o600, 0o640):
        with replacing_all(seal) as new_file:
            new_file(tmp_path / 'a').write_text('x')
            new_file(seal).write_text('y')
        assert names(tmp_path) == ['a', 'z.json']
        seal.chmod(permissions)
    with replacing_all(seal) as new_file:
        new_file(seal).write_text('new')
    assert seal.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_until_files_are_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """And its message does not say then that nothing was written."""
    replace, before = Path.replace, signal.getsignal(number)
    signal.signal(number, signal.default_int_handler)

    def signalled(path: Path, target: Path) -> Path:
        signal.raise_signal(number)
        return replace(path, target)

    monkeypatch.setattr(Path, 'replace', signalled)
    with pytest.raises(Stopped, match=r'a, b written before$'), terminable(), replacing_all() as new_file:  # noqa: PT012
        for name in 'ab':
            new_file(tmp_path / name).write_text('new')
    signal.signal(number, before)
    assert names(tmp_path) == ['a', 'b']


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_writing_removes_what_was_begun(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    signal.signal(number, signal.default_int_handler)
    with pytest.raises(Stopped) as caught, terminable(), replacing(tmp_path / 'a') as path:  # noqa: PT012
        path.write_text('half')
        signal.raise_signal(number)
    signal.signal(number, before)
    assert (caught.value.exit_code, str(caught.value).partition(', ')[2]) == (128 + number, 'nothing was written')
    assert names(tmp_path) == []


def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminable():
            signal.raise_signal(signal.SIGHUP)
            write_text(tmp_path / 'a', 'x')
    finally:
        signal.signal(signal.SIGHUP, before)
    assert names(tmp_path) == ['a']
