"""A comparison is all or nothing, checked before the work, and goes on after it was cut off."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from raki.cli import main
from raki.commands.compare import compare_file, require_folder
from raki.commands.inputs import UsageError
from raki.data.digests import verify
from raki.data.load import open_scan
from raki.data.save import write_scan
from raki.data.simulate import Simulation, simulate
from raki.evaluation.compare import Task
from raki.evaluation.kept import FOLDER
from raki.evaluation.plan import Plan, Rate
from raki.evaluation.rows import Cell, Row
from raki.grappa.method import Grappa
from raki.interpolation.calibration import silent
from raki.interpolation.fit import ZeroFilling

METHODS = {'zero-filled': ZeroFilling(), 'grappa': Grappa()}
PLAN = Plan(METHODS, (Rate((2,)), Rate((3,))), ((12,),), n_replicas=0)
N_CELLS = 8
SMALL = Simulation(matrix=(32, 24), n_coils=4, n_slices=2)


class CutOff(BaseException):
    """What a signal does."""


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    write_scan(tmp_path / 'scan.h5', simulate(SMALL), {})
    return tmp_path / 'scan.h5'


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of cells that were computed; the fourth computation is cut off."""
    names: list[str] = []
    done = Task.done

    def counted(task: Task, *others: object) -> Cell:
        names.append(task.name)
        if len(names) == 4:
            raise CutOff
        return done(task, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Task, 'done', counted)
    return names


def compared(scan: Path, folder: Path, plan: Plan = PLAN) -> list[Row]:
    return compare_file(open_scan(scan), folder, plan, (1, 0), lambda _name: silent)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def is_whole(folder: Path) -> bool:
    """Whether the files that are there belong together; results that are there are whole."""
    found = verify(folder)
    return {each.path.name for each in found if not each.problem} == {'results.json', 'report.html'}


def without_times(value: object) -> object:
    """Results but for what a clock measured."""
    if isinstance(value, dict):
        return {name: without_times(each) for name, each in value.items() if not name.startswith('seconds')}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def test_what_was_done_is_not_done_again_and_the_rest_is_as_without_a_break(
    scan: Path, tmp_path: Path, computed: list[str]
) -> None:
    folder = tmp_path / 'out'
    with pytest.raises(CutOff) as caught:
        compared(scan, folder)
    [note] = caught.value.__notes__
    assert note == f'3 of 8 cells are kept in {folder / FOLDER}: the same command goes on from there'
    assert [path.name for path in folder.iterdir()] == [FOLDER]
    cells = {path.name: path.read_bytes() for path in (folder / FOLDER).glob('*.json')}
    compared(scan, folder)
    assert len(computed) == 4 + N_CELLS - 3
    assert sorted(contents(folder)) == ['report.html', 'results.json']
    assert [path.name for path in folder.iterdir() if path.is_dir()] == []
    assert is_whole(folder)
    compared(scan, tmp_path / 'whole')
    first, second = (json.loads((each / 'results.json').read_text()) for each in (folder, tmp_path / 'whole'))
    assert without_times(first['rows']) == without_times(second['rows'])
    told = [json.dumps(row['seconds_fit']) for row in first['rows'][:3]]
    assert all(any(seconds in text.decode() for text in cells.values()) for seconds in told)


def test_from_the_same_cells_come_the_same_bytes(scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures, pictures and warnings go through the folder unchanged."""
    folder = tmp_path / 'out'
    with monkeypatch.context() as patch:
        patch.setattr('raki.evaluation.kept.Kept.remove', lambda _kept: None)
        rows = compared(scan, folder)
        first = contents(folder)
        monkeypatch.setattr(Task, 'done', lambda *_: pytest.fail('computed again'))
        assert compared(scan, folder) == rows
    assert contents(folder) == first
    compared(scan, folder)
    assert contents(folder) == first
    assert not (folder / FOLDER).exists()


@pytest.mark.parametrize('damage', [lambda text: text[:-9], lambda text: text.replace('0.', '1.', 1), lambda _: '{}'])
def test_a_damaged_cell_is_computed_again(
    scan: Path, tmp_path: Path, computed: list[str], damage: Callable[[str], str]
) -> None:
    with pytest.raises(CutOff):
        compared(scan, tmp_path)
    cell = sorted((tmp_path / FOLDER).glob('*.json'))[1]
    cell.write_text(damage(cell.read_text()))
    compared(scan, tmp_path)
    assert len(computed) == 4 + N_CELLS - 2


@pytest.mark.parametrize(
    ('change', 'n_taken'),
    [
        ({'n_replicas': 3}, 0),
        ({'coils': 3}, 0),
        ({'is_refitted': True}, 0),
        ({'object_mask': torch.ones(32, 24, dtype=torch.bool)}, 0),
        ({'acs': ((14,),)}, 0),
        ({'methods': METHODS | {'grappa': Grappa(regularization=0.3)}}, 2),  # zero filling of slice 1 at both rates
        ({'rates': (Rate((3,)), Rate((2,)))}, 3),
    ],
)
def test_only_cells_of_the_same_settings_are_taken(
    scan: Path, tmp_path: Path, computed: list[str], change: dict, n_taken: int
) -> None:
    with pytest.raises(CutOff):
        compared(scan, tmp_path / 'out')
    compared(scan, tmp_path / 'out', replace(PLAN, **change))
    assert len(computed) == 4 + N_CELLS - n_taken


def test_cells_of_another_scan_are_not_taken(scan: Path, tmp_path: Path, computed: list[str]) -> None:
    with pytest.raises(CutOff):
        compared(scan, tmp_path / 'out')
    write_scan(scan, simulate(replace(SMALL, seed=1)), {})
    compared(scan, tmp_path / 'out')
    assert len(computed) == 4 + N_CELLS


def test_two_comparisons_are_not_written_to_one_folder(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Task.done

    def while_another_starts(task: Task, *others: object) -> Cell:
        with pytest.raises(BlockingIOError, match='another comparison is being written to'):
            compared(scan, tmp_path / 'out')
        return done(task, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Task, 'done', while_another_starts)
    compared(scan, tmp_path / 'out')
    assert is_whole(tmp_path / 'out')


KILLED = """
import os, random, signal, sys, time
import torch
import raki.commands.catalogue, raki.commands.compare, raki.data.hdf5, raki.data.load
from raki.cli import main
torch.set_num_threads(1)
words, n_kills, longest = sys.argv[4:], int(sys.argv[1]), float(sys.argv[2])
sys.stdout = sys.stderr = open(os.devnull, 'w')
draw = random.Random(int(sys.argv[3]))
with open(3, 'wb', buffering=0) as told:
    for number in range(n_kills + 1):
        child = os.fork()
        if not child:
            os._exit(main(words))
        if number < n_kills:
            time.sleep(draw.uniform(0, longest))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        told.write(b'%d\\n' % os.waitstatus_to_exitcode(status))
        os.read(0, 1)
"""
"""Runs a command again and again, and kills it at random moments, but for the last time."""


@contextmanager
def killed(words: list[str], n_kills: int, longest: float, seed: int) -> Iterator[Iterator[int]]:
    """Exit code after every run of a command; the next one starts when it is asked for."""
    reading, writing = os.pipe()
    code = KILLED.replace('open(3,', f'open({writing},')
    command = [sys.executable, '-c', code, str(n_kills), str(longest), str(seed), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[writing]) as process, open(reading) as told:  # noqa: PTH123
        os.close(writing)
        assert process.stdin is not None

        def codes() -> Iterator[int]:
            for line in told:
                yield int(line)
                process.stdin.write(b'.')  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]

        try:
            yield codes()
        finally:
            process.kill()


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_killed_at_any_moment_it_leaves_no_mixed_pair_and_ends_as_without_a_break(scan: Path, tmp_path: Path) -> None:
    """An older pair lies there; after every kill there is that, or no results, and in the end the new pair."""
    folder, whole = tmp_path / 'out', tmp_path / 'whole'
    words = ['--rates', '2', '3', '--methods', 'zero-filled', 'grappa', '--acs', '12', '--slices', '0', '1']
    assert main(['compare', str(scan), '-o', str(folder), '--replicas', '0', *words]) == 0
    old = contents(folder)
    n_kept, n_killed, code = [], 0, None
    with killed(['compare', str(scan), '-o', str(folder), '--replicas', '3', *words], 6, 1.5, seed=4) as codes:
        for code in codes:
            there = contents(folder)
            assert 'results.json' not in there or is_whole(folder)
            n_kept.append(len(list((folder / FOLDER).glob('*.json'))))
            n_killed += code == -signal.SIGKILL
    assert code == 0
    assert n_killed >= 4
    assert n_killed < 6 or n_kept[:-1] == sorted(n_kept[:-1])  # nothing is lost
    assert contents(folder) != old
    assert sorted(path.name for path in folder.iterdir()) == ['report.html', 'results.json']
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert main(['compare', str(scan), '-o', str(whole), '--replicas', '3', *words]) == 0
    torch.set_num_threads(n_threads)
    first, second = (json.loads((each / 'results.json').read_text())['rows'] for each in (folder, whole))
    assert without_times(first) == without_times(second)


def test_a_folder_is_checked_before_the_scan_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'taken').mkdir()
    (tmp_path / 'taken' / 'results.json').symlink_to('/dev/null')
    (tmp_path / 'pipe').mkdir()
    os.mkfifo(tmp_path / 'pipe' / 'report.html')
    (tmp_path / 'file').write_text('mine')
    (tmp_path / 'dangling').symlink_to(tmp_path / 'nowhere')
    (tmp_path / 'cells').mkdir()
    (tmp_path / 'cells' / FOLDER).symlink_to(tmp_path / 'taken')
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in tmp_path.rglob('*'))
    for name, said in {
        'taken': r'results\.json is a link, which is never replaced',
        'pipe': r'report\.html is a pipe, which is never replaced',
        'file': r'must name a folder, but .*file is a file',
        'file/in': r'must name a folder, but .*file is a file',
        'dangling': r'must name a folder, but .*dangling is a link',
        'cells': r'is a link, but cells are kept there',
    }.items():
        with pytest.raises(UsageError, match=said):
            require_folder(tmp_path / name)
    monkeypatch.setattr('os.access', lambda path, _mode: path != tmp_path)
    with pytest.raises(PermissionError, match=f'{re.escape(str(tmp_path))} may not be written'):
        require_folder(tmp_path / 'new' / 'one')
    monkeypatch.undo()
    require_folder(tmp_path / 'new' / 'one')
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in tmp_path.rglob('*')) == before


def test_too_little_room_is_noticed_before_the_work(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int = 3_000_000

    monkeypatch.setattr('raki.commands.compare.disk_usage', lambda _folder: Usage())
    monkeypatch.setattr(Task, 'done', lambda *_: pytest.fail('computed'))
    assert main(['compare', str(scan), '-o', str(tmp_path / 'out'), '--rates', '2']) == 5
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(r'out has room for 3 MB, but 5 cells may need \d+ MB: choose another folder', said)
    assert not (tmp_path / 'out').exists()
