"""A batch on a cluster: what comes of it is what this machine makes, whatever happens to jobs on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from raki.cli import main
from raki.commands.batch import queue, waiting
from raki.commands.batch.records import FOLDER, Records
from raki.data.sampling import undersample
from raki.data.save import write_scan
from raki.data.simulate import Simulation, simulate
from tests.one_node_slurm import one_node_slurm, require_slurm

pytest.importorskip('submitit', reason='needs submitit')

METHOD = ('--method', 'grappa')

PROGRAMS = {
    'sbatch': """
        [ -e {folder}/refuses ] && echo 'sbatch: error: invalid partition specified: x' >&2 && exit 1
        [ -e {folder}/loses ] && echo Submitted batch job 7 && exit
        last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$1")
        for element in $(seq 0 $last); do touch {folder}/queue/7_$element; done
        (for element in $(seq 0 $last); do
            export SLURM_JOB_ID=$element SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$element
            bash "$1"
            [ -e {folder}/requeued ] && rm {folder}/requeued && bash "$1"
            rm {folder}/queue/7_$element
        done) </dev/null >{folder}/log 2>&1 &
        echo Submitted batch job 7
        """,
    'srun': 'shift 5\necho $$ >{folder}/pid\nexec "$@"',
    'scontrol': """
        [ "$1" = requeue ] && touch {folder}/requeued
        for child in $(cat /proc/$PPID/task/$PPID/children); do [ $child = $$ ] || kill $child; done
        """,
    'squeue': '[ -e {folder}/ends ] && kill -TERM $PPID\nls {folder}/queue',
}
"""Commands of SLURM as far as a batch needs them: elements run one after the other."""


def write_small(path: Path, seed: int, n_slices: int = 1, matrix: tuple[int, int] = (40, 32)) -> None:
    scan = simulate(Simulation(matrix=matrix, n_coils=4, n_slices=n_slices, seed=seed))
    write_scan(path, replace(scan, mask=undersample(scan.mask, (2,), (16,)).mask), {})


def files_of(folder: Path) -> dict[str, bytes]:
    """Contents of all files of a batch that do not depend on where it ran, hidden ones included."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file() and path.name != 'times.json' and path.parent.name != queue.FOLDER
    }


def times_of(folder: Path) -> list[str]:
    """What the last run did with every scan, in their order."""
    return [each['state'] for _, each in sorted(json.loads((folder / FOLDER / 'times.json').read_text()).items())]


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and not path.exists():
        time.sleep(0.02)


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Let something be done beside."""
    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks more often than is kind to a real cluster."""
    for name, seconds in {'POLL': 0.2, 'LOOK': 0.5, 'GRACE': 1.0}.items():
        monkeypatch.setattr(waiting, name, seconds)


@pytest.fixture(scope='module')
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three small scans, one of them cut off."""
    folder = tmp_path_factory.mktemp('scans')
    for seed in range(3):
        write_small(folder / f'scan{seed}.h5', seed)
    (folder / 'scan1.h5').write_bytes((folder / 'scan1.h5').read_bytes()[:5000])
    return folder


@pytest.fixture(scope='module')
def whole(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What this machine makes of it."""
    folder = tmp_path_factory.mktemp('whole') / 'my images'
    assert main(['batch', str(scans), '-o', str(folder), *METHOD, '--workers', '1']) == 3
    return folder


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a SLURM that only pretends."""
    folder = tmp_path / 'slurm'
    (folder / 'queue').mkdir(parents=True)
    for name, text in PROGRAMS.items():
        program = folder / name
        program.write_text(f'#!/bin/bash\n{text.format(folder=folder)}\n')
        program.chmod(0o755)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    return folder


def test_a_cluster_makes_what_this_machine_makes(
    scans: Path, whole: Path, pretended: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Failures included; and what is finished is not submitted again."""
    folder = tmp_path / 'my images'
    words = ['batch', str(scans), '-o', str(folder), *METHOD, '--slurm', '--array-size', '2']
    assert main(words) == 3
    assert times_of(folder) == ['done', 'failed', 'done']
    assert '3 scan(s) submitted as SLURM job 7, 0 finished before' in capsys.readouterr().err
    assert files_of(folder) == files_of(whole)
    (pretended / 'loses').touch()
    assert main([*words, '--resume']) == 5
    assert times_of(folder) == ['skipped', 'failed', 'skipped']
    assert '1 scan(s) submitted as SLURM job 7, 2 finished before' in capsys.readouterr().err
    (folder / 'scan2.h5').write_bytes(b'changed')
    assert main([*words, '--resume', '--no-wait', '--json']) == 0
    assert json.loads(capsys.readouterr().out) == {'job': '7', 'n_submitted': 2, 'n_finished': 1}


def test_what_was_not_waited_for_is_collected(
    scans: Path, whole: Path, pretended: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not while the job is at work, whether this is asked of the cluster or of this machine."""
    folder = tmp_path / 'my images'
    words = ['batch', str(scans), '-o', str(folder), *METHOD]
    (pretended / 'loses').touch()
    assert main([*words, '--slurm', '--no-wait']) == 0
    assert 'SLURM job 7' in capsys.readouterr().out
    (pretended / 'queue' / '7_1').touch()
    for more in (['--resume'], ['--slurm', '--resume']):
        assert main([*words, *more]) == 5
        assert 'SLURM job 7 of this batch is not over: wait for it' in capsys.readouterr().err
    (pretended / 'queue' / '7_1').rename(pretended / 'queue' / '77_1')
    assert main([*words, '--resume', '--workers', '1']) == 3
    assert files_of(folder) == files_of(whole)


def test_elements_that_leave_no_word_are_failed_scans(
    scans: Path, pretended: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pretended / 'loses').touch()
    folder = tmp_path / 'out'
    assert main(['batch', str(scans), '-o', str(folder), '--slurm', '--array-size', '2', '--json']) == 5
    summary = json.loads(capsys.readouterr().out)
    told = [each['error'].replace(str(tmp_path), '') for each in summary['scans']]
    assert [each['exit_code'] for each in summary['scans']] == [5, 5, 5]
    assert [line.partition('SLURM job ')[2].split()[0] for line in told] == ['7_0', '7_1', '7_0']
    assert 'see /out/.raki-batch/slurm/7_0_0_log.err' in told[0]


def test_the_job_goes_on_when_the_waiting_ends(
    scans: Path, pretended: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ('loses', 'ends'):
        (pretended / name).touch()
    assert main(['batch', str(scans), '-o', str(tmp_path / 'out'), '--slurm']) == 143
    assert 'SLURM job 7 goes on (scancel 7 ends it); what is finished stays in' in capsys.readouterr().err
    assert not (tmp_path / 'out' / 'summary.json').exists()


def test_what_slurm_refuses_is_told(
    scans: Path, pretended: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pretended / 'refuses').touch()
    assert main(['batch', str(scans), '-o', str(tmp_path / 'out'), '--slurm', '--partition', 'x']) == 5
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith('raki: SLURM does not take the job: ')
    assert 'invalid partition specified: x' in line


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--partition', 'x', '--no-wait'], '--partition, --no-wait: only together with --slurm'),
        (['--slurm', '--method', 'grapa'], "no method 'grapa': choose from"),
        (['--slurm', '--format', '.xyz'], '.xyz'),
    ],
)
def test_wrong_options_are_told_before_anything_is_written(
    scans: Path, pretended: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    del pretended
    capsys.readouterr()
    assert main(['batch', str(scans), '-o', str(tmp_path / 'out'), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_what_is_missing_is_told(
    scans: Path, pretended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del pretended
    words = ['batch', str(scans), '-o', str(tmp_path / 'out'), '--slurm']
    with monkeypatch.context() as without:
        without.setitem(sys.modules, 'submitit', None)
        assert main(words) == 2
    assert "pip install 'raki[slurm]'" in capsys.readouterr().err
    monkeypatch.setenv('PATH', str(tmp_path))
    assert main(words) == 2
    assert 'needs sbatch, which is not on this machine' in capsys.readouterr().err


def test_an_element_that_slurm_starts_again_goes_on(pretended: Path, tmp_path: Path) -> None:
    """What it has finished is not made again, and nobody has to be asked."""
    for name, n_slices in {'a': 1, 'b': 1, 'c': 20}.items():
        write_small(tmp_path / f'{name}.h5', 0, n_slices)
    out = tmp_path / 'out'
    before = list[int]()

    def interrupt() -> None:
        wait_for(out / FOLDER / 'c.h5.part')
        before.append((out / 'a.h5').stat().st_mtime_ns)
        os.kill(int((pretended / 'pid').read_text()), signal.SIGUSR2)

    with meanwhile(interrupt):
        assert main(['batch', str(tmp_path / '*.h5'), '-o', str(out), *METHOD, '--slurm', '--array-size', '2']) == 0
    assert (pretended / 'log').read_text().count('Starting with JobEnvironment(job_id=7_0') == 2
    assert before == [(out / 'a.h5').stat().st_mtime_ns]


# A real one


def test_an_array_of_which_one_job_is_killed_goes_on_to_the_same_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require_slurm()
    (tmp_path / 'scans').mkdir()
    for seed in range(12):
        write_small(tmp_path / 'scans' / f'scan{seed:02}.h5', seed, n_slices=1 + 40 * (seed == 3))
    monkeypatch.chdir(tmp_path)
    local, out = tmp_path / 'local' / 'out', tmp_path / 'out'
    words = ['batch', 'scans', *METHOD, '-o']

    def cancel() -> None:
        """As soon as it is at work."""
        wait_for(out / FOLDER / 'scan03.h5.part')
        subprocess.run(['scancel', f'{queue.known_job(Records(out))}_3'], check=True)

    assert main([*words, str(local), '--workers', '1']) == 0
    with one_node_slurm(tmp_path / 'slurm') as environment:
        monkeypatch.setenv('SLURM_CONF', environment['SLURM_CONF'])
        with meanwhile(cancel):
            assert main([*words, str(out), '--slurm', '--array-size', '12', '--time', '10']) == 5
        assert times_of(out) == ['done'] * 3 + ['failed'] + ['done'] * 8
        assert 'SLURM job 1_3 ended before this scan was done' in capsys.readouterr().err
        assert main([*words, str(out), '--slurm', '--resume']) == 0
        assert times_of(out) == ['skipped'] * 3 + ['done'] + ['skipped'] * 8
    assert files_of(out) == files_of(local)
