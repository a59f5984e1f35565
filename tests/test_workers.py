"""Slices in processes of their own: the same bytes as one after the other, and errors as if they had happened here."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raki.cli import main
from raki.commands.inputs import UsageError
from raki.commands.parts import Done, Part
from raki.commands.workers import each_done, require_workers
from raki.data.child import IS_POSSIBLE
from raki.data.place import Place
from raki.data.simulate import Simulation, simulate
from raki.endings import exit_code, one_line
from raki.errors import ResourceError, ScanError, TrainingError
from raki.interpolation.calibration import Progress, silent

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason='processes can be forked on Linux only')


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in every worker: threads decide the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / 'scan.h5'
    assert main(['simulate', '-o', str(path), '--slices', '4', '--matrix', '60x44', '--rate', '2', '--coils', '4']) == 0
    return path


def outputs(path: Path, folder: Path, *words: str) -> dict[str, bytes]:
    folder.mkdir()
    assert main(['reconstruct', str(path), '-o', str(folder / 'out.h5'), '--device', 'cpu', *words]) == 0
    return {each.name: each.read_bytes() for each in folder.iterdir()}


@pytest.mark.parametrize('words', [('--method', 'grappa', '--gfactor', '--kspace'), ('--slices', '2', '0')])
@pytest.mark.parametrize('n_workers', [2, 3, 9])
@pytest.mark.usefixtures('one_thread')
def test_workers_give_the_bytes_of_one(path: Path, tmp_path: Path, words: tuple[str, ...], n_workers: int) -> None:
    one = outputs(path, tmp_path / 'one', *words)
    assert outputs(path, tmp_path / 'more', *words, '--workers', str(n_workers)) == one


@pytest.mark.usefixtures('one_thread')
def test_what_is_learnt_and_used_again_is_the_same(path: Path, tmp_path: Path) -> None:
    fits = {}
    for number in ('1', '2'):
        kept = tmp_path / f'{number}.safetensors'
        outputs(path, tmp_path / f'learnt{number}', '--save-fit', str(kept), '--workers', number)
        fits[number] = kept.read_bytes()
    assert fits['1'] == fits['2']
    words = ('--fit', str(tmp_path / '1.safetensors'), '--workers')
    assert outputs(path, tmp_path / 'a', *words, '2') == outputs(path, tmp_path / 'b', *words, '1')


def parts(n: int) -> list[Part]:
    scan = simulate(Simulation(matrix=(12, 8), n_coils=2))
    return [Part(f'slice {number}', scan, [0], [Place(number)]) for number in range(n)]


def come_of(do: Callable[[Part], Any], every: Iterable[Part], n_workers: int = 2) -> list[Any]:
    def prepared(part: Part) -> Callable[[Progress], Done]:
        return lambda _progress: do(part)

    return [done for _, done in each_done(every, prepared, n_workers, lambda _name: silent, 'test')]


def told(part: Part, notes: tuple[str, ...] = ()) -> Done:
    return Done((), [2], (1.0,), (part.name, *notes), (), (0.0, 0.0))


def test_order_is_that_of_the_parts() -> None:
    def do(part: Part) -> Done:
        return told(part, (str(os.getpid()),))

    found = come_of(do, parts(5))
    assert [done.notes[0] for done in found] == [f'slice {number}' for number in range(5)]
    assert len({done.notes[1] for done in found} | {str(os.getpid())}) == 6


@pytest.mark.parametrize(
    ('error', 'code'),
    [
        (ScanError('bad samples'), 3),
        (TrainingError('not finite'), 4),
        (np.linalg.LinAlgError('singular'), 4),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 5),
        (KeyError('a fault of this program'), 70),
    ],
)
def test_errors_end_as_they_would_here(error: Exception, code: int) -> None:
    def do(part: Part) -> Done:
        if part.name == 'slice 1':
            raise error
        return told(part)

    with pytest.raises(Exception, match=r'.') as here:
        come_of(do, parts(4), n_workers=1)
    with pytest.raises(Exception, match=r'.') as there:
        come_of(do, parts(4))
    assert exit_code(there.value) == exit_code(here.value) == code
    assert one_line(there.value) == one_line(here.value)
    assert 'raise error' in str(there.value.__cause__)


def test_a_killed_process_is_told_and_no_other_is_left() -> None:
    def do(part: Part) -> Done:
        os.kill(os.getpid(), signal.SIGKILL if part.name == 'slice 0' else signal.SIGSTOP)
        return told(part)

    with pytest.raises(ResourceError, match=r'slice 0: its process was killed.*fewer --workers'):
        come_of(do, parts(3))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_crash_is_told() -> None:
    def do(_part: Part) -> Done:
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError

    with pytest.raises(ScanError, match=r'slice 0: its process crashed \(SIGSEGV\): try again without --workers'):
        come_of(do, parts(1))


def test_a_damaged_slice_leaves_nothing(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import h5py

    with h5py.File(path, 'r+') as file:
        file['kspace'][2] = 0  # pyright: ignore[reportIndexIssue]
    output = tmp_path / 'out.h5'
    lines = []
    for number in ('1', '2'):
        assert main(['reconstruct', str(path), '-o', str(output), '--workers', number, '--device', 'cpu']) == 3
        lines.append(capsys.readouterr().err)
    assert lines[0] == lines[1]
    assert list(tmp_path.iterdir()) == [path]


def test_workers_are_for_cores() -> None:
    require_workers(1, 'cuda')
    with pytest.raises(UsageError, match=r'--workers 3 .*--device is cuda: add --device cpu'):
        require_workers(3, 'cuda')
