"""Outputs that are no ordinary place: refused in one line, and what was there stays."""

import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raki.cli import main
from raki.data.temporary import temporary_name

Capture = pytest.CaptureFixture[str]

SIZE = ['--matrix', '32x24', '--coils', '4']
COMPARE = ['compare', 'full.h5', '--rates', '2', '--methods', 'zero-filled', '--acs', '12', '--replicas', '0', '-o']
RECONSTRUCT = ['reconstruct', 'half.h5', '--method', 'zero-filled', '-o']

WRITERS: dict[str, tuple[list[str], str]] = {
    'reconstruct': (RECONSTRUCT, 'out.h5'),
    'nifti': (RECONSTRUCT, 'out.nii.gz'),
    'dicom': (RECONSTRUCT, 'out.dcm'),
    'png': (RECONSTRUCT, 'out.png'),
    'bart': (RECONSTRUCT, 'out.cfl'),
    'mrd': (RECONSTRUCT, 'out.mrd.h5'),
    'convert': (['convert', 'half.h5'], 'out.h5'),
    'convert to mrd': (['convert', 'half.h5'], 'out.mrd.h5'),
    'convert to bart': (['convert', 'half.h5'], 'out.cfl'),
    'simulate': (['simulate', *SIZE, '-o'], 'out.h5'),
    'view': (['view', 'images.h5', '--no-open', '-o'], 'out.html'),
    'compare': (COMPARE, 'out'),
}
"""Words of everything that writes, and a name for its output."""

FILES = [name for name in WRITERS if name != 'compare']


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with scans and images."""
    monkeypatch.chdir(tmp_path)
    assert main(['simulate', '-o', 'full.h5', *SIZE]) == 0
    assert main(['simulate', '-o', 'half.h5', *SIZE, '--rate', '2', '--acs', '12']) == 0
    assert main(['reconstruct', 'half.h5', '-o', 'images.h5', '--method', 'zero-filled']) == 0
    (tmp_path / 'mine').write_text('mine')
    return tmp_path


def state(folder: Path) -> dict[str, tuple[object, ...]]:
    """Kind, permissions, size and time of everything in a folder."""
    found = ((str(path.relative_to(folder)), path.lstat()) for path in folder.rglob('*'))
    return {
        name: (status.st_ino, status.st_mode, status.st_size, 0 if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns)
        for name, status in found
    }


def refused(words: list[str], capsys: Capture) -> tuple[int, str]:
    """Exit code and the only line of a command that fails."""
    capsys.readouterr()
    code = main(words)
    captured = capsys.readouterr()
    said = [line for line in captured.err.splitlines() if line.startswith('raki: ')]
    assert captured.out == ''
    assert len(said) == 1, said
    assert 'Traceback' not in captured.err
    return code, said[0]


def bound(path: Path) -> None:
    """Make the name of a socket."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path.name)


MAKERS: dict[str, Callable[[Path], object]] = {
    'a folder': lambda path: path.mkdir(),
    'a pipe': os.mkfifo,
    'a socket': bound,
    'a link': lambda path: path.symlink_to('mine'),
    'a link to nowhere': lambda path: path.symlink_to('nowhere'),
    'a link to a device': lambda path: path.symlink_to('/dev/null'),
    'a link in a circle': lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize('kind', MAKERS)
@pytest.mark.parametrize('writer', FILES)
def test_what_is_no_file_is_never_replaced(place: Path, capsys: Capture, writer: str, kind: str) -> None:
    words, name = WRITERS[writer]
    MAKERS[kind](place / name)
    before = state(place)
    code, said = refused([*words, name], capsys)
    assert code == 2
    assert f'{name} is {" ".join(kind.split()[:2])}' in said
    assert state(place) == before


@pytest.mark.parametrize('writer', [name for name, (_, output) in WRITERS.items() if output in ('out.h5', 'out.html')])
def test_a_device_is_never_replaced(place: Path, capsys: Capture, writer: str) -> None:
    words, name = WRITERS[writer]
    device = place / name
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip('only root makes devices')
    code, said = refused([*words, name], capsys)
    assert (code, f'{name} is a device' in said) == (2, True)
    assert stat.S_ISCHR(device.lstat().st_mode)


@pytest.mark.parametrize('kind', [kind for kind in MAKERS if kind not in ('a folder', 'a link')])
def test_a_comparison_needs_a_folder(place: Path, capsys: Capture, kind: str) -> None:
    MAKERS[kind](place / 'out')
    before = state(place)
    code, said = refused([*COMPARE, 'out'], capsys)
    assert code == 2
    assert '-o must name a folder' in said
    assert state(place) == before


@pytest.mark.parametrize('folder', ['nowhere/out', 'mine/out'])
@pytest.mark.parametrize('writer', FILES)
def test_a_folder_that_is_not_there_is_named(place: Path, capsys: Capture, writer: str, folder: str) -> None:
    words, name = WRITERS[writer]
    before = state(place)
    code, said = refused([*words, folder.replace('out', name)], capsys)
    assert code in (2, 5)
    assert folder.partition('/')[0] in said
    assert state(place) == before


@pytest.mark.parametrize('writer', WRITERS)
def test_a_file_system_without_files_is_named(place: Path, capsys: Capture, writer: str) -> None:
    """Nobody, root neither, makes files in /proc."""
    words, name = WRITERS[writer]
    if not Path('/proc/self').is_dir():
        pytest.skip('needs /proc')
    before = state(place)
    code, said = refused([*words, f'/proc/{name}'], capsys)
    assert code in (2, 5)
    assert '/proc' in said
    assert state(place) == before


@pytest.mark.parametrize('writer', FILES)
@pytest.mark.parametrize('permissions', [0o600, 0o444])
def test_what_is_replaced_keeps_its_permissions(place: Path, writer: str, permissions: int) -> None:
    words, name = WRITERS[writer]
    assert main([*words, name]) == 0
    made = [path for path in place.iterdir() if path.name.startswith('out')]
    for path in made:
        path.write_bytes(path.read_bytes() + b'old')
        path.chmod(permissions)
    assert main([*words, name]) == 0
    assert all(stat.S_IMODE(path.stat().st_mode) == permissions for path in made)
    assert not any(path.read_bytes().endswith(b'old') for path in made)


def test_results_that_are_replaced_keep_their_permissions(place: Path) -> None:
    for _ in range(2):
        assert main([*COMPARE, 'out']) == 0
        for path in (place / 'out').iterdir():
            path.chmod(0o600)
    assert main([*COMPARE, 'out']) == 0
    assert {stat.S_IMODE(path.stat().st_mode) for path in (place / 'out').iterdir()} == {0o600}


@contextmanager
def full_disk(place: Path, n_bytes: int) -> Iterator[Path]:
    """A small file system of its own; the test skips where none can be made."""
    folder = place / 'disk'
    folder.mkdir()
    words = ['mount', '-t', 'tmpfs', '-o', f'size={n_bytes}', 'tmpfs', str(folder)]
    if shutil.which('mount') is None or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip('only root mounts a small disk')
    try:
        yield folder
    finally:
        subprocess.run(['umount', '-l', str(folder)], check=True)


@pytest.mark.parametrize('writer', WRITERS)
def test_a_full_disk_ends_in_one_line_with_nothing_half_written(place: Path, capsys: Capture, writer: str) -> None:
    words, name = WRITERS[writer]
    with full_disk(place, 1 << 16) as folder:
        (folder / 'fill').write_bytes(bytes(1 << 16))
        code, said = refused([*words, str(folder / name)], capsys)
        assert code == 5, said
        assert [path.name for path in folder.iterdir()] == ['fill']


@pytest.mark.parametrize('writer', WRITERS)
def test_a_limit_on_the_size_of_files_ends_in_one_line(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    """As a quota does, which no look at the free space tells; it is there from the first file that is written."""
    words, name = WRITERS[writer]
    before, limits = state(place), resource.getrlimit(resource.RLIMIT_FSIZE)

    def limited(path: Path) -> Path:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
        return temporary_name(path)

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    monkeypatch.setattr('raki.data.save.temporary_name', limited)
    try:
        code, said = refused([*words, name], capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert code == 5, said
    assert state(place) == before


@pytest.mark.parametrize('writer', WRITERS)
def test_a_folder_that_vanishes_meanwhile_is_named(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    """It is removed just before the output is put in place."""
    words, name = WRITERS[writer]
    folder = place / 'folder'
    folder.mkdir()
    before = state(place)
    before.pop('folder')
    flush = os.fsync

    def vanishing(handle: int) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        flush(handle)

    monkeypatch.setattr('os.fsync', vanishing)
    code, said = refused([*words, f'folder/{name}'], capsys)
    monkeypatch.undo()
    assert code == 5
    assert 'folder' in said
    assert state(place) == before


SIGNALLED = """
import os, signal, sys
from pathlib import Path
number, at, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts tests in the background ignores it
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from raki.cli import main
from raki.data.temporary import temporary_name
import raki.commands.compare, raki.commands.reconstruct
from raki.evaluation.compare import Task
from raki.pipeline import Slab

def signalled(change):
    def first(*values, **more):
        signal.raise_signal(number)
        if at == 'twice':
            signal.raise_signal(number)
        return change(*values, **more)
    return first

def second(change, count=[0]):
    def at_second(*values, **more):
        count[0] += 1
        if count[0] == 2:
            signal.raise_signal(number)
        return change(*values, **more)
    return at_second

Slab.fitted = signalled(Slab.fitted) if at != 'second' else Slab.fitted
Task.done = second(Task.done) if at == 'second' else Task.done
sys.exit(main(words))
"""


@pytest.mark.parametrize(
    ('number', 'said', 'code'),
    [
        (signal.SIGINT, 'interrupted', 130),
        (signal.SIGTERM, 'terminated', 143),
        (signal.SIGHUP, 'hung up', 129),
        (signal.SIGXCPU, 'out of CPU time (ulimit -t)', 5),
    ],
)
def test_a_signal_ends_a_command_in_one_line(place: Path, number: int, said: str, code: int) -> None:
    before = state(place)
    found = subprocess.run(
        [sys.executable, '-c', SIGNALLED, str(int(number)), 'once', *RECONSTRUCT, 'out.h5'],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (found.returncode, found.stderr.strip()) == (code, f'raki: {said}, nothing was written')
    assert state(place) == before


def test_a_signal_to_a_comparison_says_what_is_kept_and_how_to_go_on(place: Path) -> None:
    words = [sys.executable, '-c', SIGNALLED, str(int(signal.SIGTERM)), 'second', *COMPARE, 'out', '--rates', '3']
    found = subprocess.run(words, check=False, capture_output=True, text=True)
    kept = '1 of 2 cells are kept in out/.raki-compare: the same command goes on from there'
    assert (found.returncode, found.stderr.strip()) == (143, f'raki: terminated, {kept}')
    assert [path.name for path in (place / 'out').iterdir()] == ['.raki-compare']
    assert main([*COMPARE, 'out', '--rates', '3']) == 0
    assert sorted(path.name for path in (place / 'out').iterdir()) == ['report.html', 'results.json']
