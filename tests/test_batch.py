"""Many scans: what becomes of the set when some fail, when it is cut off, and when it goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from raki.cli import main
from raki.commands.batch.one import Seen
from raki.commands.batch.pool import Pool, Watcher, told_by
from raki.commands.batch.process import Work, environment
from raki.commands.batch.records import FOLDER, Outcome, Records
from raki.commands.batch.summary import exit_code_of
from raki.commands.batch.tasks import Task, tasks_for
from raki.commands.inputs import UsageError
from raki.commands.settings import Settings
from raki.data.place import Place
from raki.data.sampling import undersample
from raki.data.save import OutputImage, write_scan
from raki.data.simulate import Simulation, simulate
from raki.evaluation.contact_page import Entry, contact_page

N_SCANS = 10
DAMAGED = 'scan3.h5'
ENDINGS = {signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130}
"""How the command ends that gets a signal."""

METHOD = ('--method', 'grappa')


@pytest.fixture(scope='module')
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small scans, one of them cut off."""
    folder = tmp_path_factory.mktemp('scans')
    for seed in range(N_SCANS):
        scan = simulate(Simulation(matrix=(40, 32), n_coils=4, n_slices=1 + seed % 2, seed=seed))
        write_scan(folder / f'scan{seed}.h5', replace(scan, mask=undersample(scan.mask, (2,), (16,)).mask), {})
    (folder / DAMAGED).write_bytes((folder / DAMAGED).read_bytes()[:5000])
    return folder


@pytest.fixture(scope='module')
def whole(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one worker makes of it without being disturbed."""
    folder = tmp_path_factory.mktemp('whole') / 'out'
    assert main(['batch', str(scans), '-o', str(folder), *METHOD, '--workers', '1']) == 3
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    """Contents of all files of a batch that are the same after every run, hidden ones included."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file() and path.name != 'times.json'
    }


def summary_of(folder: Path) -> dict[str, Mapping[str, object]]:
    """Entries of a summary by the name of their scan."""
    scans = json.loads((folder / 'summary.json').read_text())['scans']
    return {Path(each['scan']).name: each for each in scans}


def times_of(folder: Path) -> dict[str, str]:
    """What the last run did with every output."""
    times = json.loads((folder / FOLDER / 'times.json').read_text())
    return {name: each['state'] for name, each in times.items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """As workers have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_scan_that_fails_stops_no_other(scans: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told in the words of `raki reconstruct`, and its exit code is that of the batch."""
    found = summary_of(whole)
    assert list(found) == [f'scan{seed}.h5' for seed in range(N_SCANS)]
    assert [name for name, each in found.items() if each['state'] != 'done'] == [DAMAGED]
    capsys.readouterr()
    assert main(['reconstruct', str(scans / DAMAGED), '-o', str(whole.parent / 'no.h5'), *METHOD]) == 3
    failed = found[DAMAGED]
    assert (failed['exit_code'], failed['output']) == (3, None)
    assert capsys.readouterr().err.strip() == f'raki: {failed["error"]}'
    assert not (whole / DAMAGED).exists()
    kept = Records(whole).kept(Task(scans / DAMAGED, whole / DAMAGED))
    assert kept is not None
    assert (kept.exit_code, kept.error) == (3, failed['error'])
    done = found['scan1.h5']
    assert (done['acceleration'], done['acs'], done['n_images'], done['method']) == ([2], [17], 2, 'grappa')


def test_the_acs_of_a_scan_that_was_measured_apart_is_told() -> None:
    scan = simulate(Simulation(matrix=(32, 24), n_coils=4))
    apart = replace(scan, mask=undersample(scan.mask, (2,), (0,)).mask, calibration=scan.kspace[:, :, 8:20])
    seen = Seen()
    seen(apart, OutputImage(torch.ones(32, 24), Place(0)))
    assert seen.acs == [12]


def test_an_output_is_what_reconstruct_writes(scans: Path, whole: Path, tmp_path: Path) -> None:
    with one_thread():
        assert main(['reconstruct', str(scans / 'scan1.h5'), '-o', str(tmp_path / 'scan1.h5'), *METHOD]) == 0
    assert (tmp_path / 'scan1.h5').read_bytes() == (whole / 'scan1.h5').read_bytes()


def test_every_file_of_a_batch_can_be_verified(whole: Path) -> None:
    assert main(['verify', str(whole)]) == 0


@pytest.mark.skipif(sys.platform != 'linux', reason='needs /proc')
def test_a_batch_that_is_killed_goes_on_to_the_same_set(scans: Path, whole: Path, tmp_path: Path) -> None:
    """By three signals, each after one more scan is over; workers end with whoever started them."""
    folder = tmp_path / 'out'
    words = ['batch', str(scans), '-o', str(folder), *METHOD, '--resume', '--workers']
    for number, (sent, ending) in enumerate(ENDINGS.items(), start=1):
        code, workers, said = killed([*words, str(1 + number % 2)], sent, after=2 * number)
        assert code == ending
        assert not (folder / 'index.html').exists()
        assert sent == signal.SIGKILL or '--resume goes on' in said
        wait_for(lambda workers=workers: not any(is_alive(each) for each in workers))
    assert main([*words, '1']) == 3
    assert 'skipped' in times_of(folder).values()
    assert files_of(folder) == files_of(whole)


def killed(words: list[str], sent: signal.Signals, after: int) -> tuple[int, list[int], str]:
    """End a batch when so many scans are over: its exit code, what its workers were, what it said last."""
    command = [sys.executable, '-m', 'raki.cli', *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for _ in range(after):
            assert process.stderr.readline()
        children = Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()
        process.send_signal(sent)
        return process.wait(), [int(each) for each in children], process.stderr.read()


def is_alive(process: int) -> bool:
    try:
        state = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0]
    except OSError:
        return False
    return state != 'Z'


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_is_finished_and_unchanged_is_left_and_all_else_is_made(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed scan, and an output that lost a bit, are made again."""
    own, folder = tmp_path / 'scans', tmp_path / 'out'
    own.mkdir()
    for number in range(3):
        (own / f'scan{number}.h5').write_bytes((scans / f'scan{number}.h5').read_bytes())
    words = ['batch', str(own), '-o', str(folder), *METHOD, '--workers', '1']
    assert main(words) == 0
    before = files_of(folder)
    (own / 'scan1.h5').write_bytes((scans / 'scan4.h5').read_bytes())
    damaged = bytearray((folder / 'scan2.h5').read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (folder / 'scan2.h5').write_bytes(damaged)
    capsys.readouterr()
    assert main([*words, '--resume', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['n_done'] == 3
    assert times_of(folder) == {'scan0.h5': 'skipped', 'scan1.h5': 'done', 'scan2.h5': 'done'}
    after = files_of(folder)
    assert (after['scan0.h5'], after['scan2.h5']) == (before['scan0.h5'], before['scan2.h5'])
    assert after['scan1.h5'] != before['scan1.h5']


def test_another_setting_makes_all_again(tmp_path: Path) -> None:
    task = Task(Path('scan.h5'), tmp_path / 'scan.h5')
    records = Records(tmp_path)
    records.path.mkdir()
    task.output.write_bytes(b'image')
    sums = {'scan.h5': '6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d'}
    records.of(task).write_text(Outcome(scan='scan.h5', output='scan.h5', key='one', files=sums).model_dump_json())
    assert records.finished(task, 'one') is not None
    assert records.finished(task, 'other') is None
    records.of(task).write_text('{"scan": 3}')
    assert records.finished(task, 'one') is None


class Killer(Watcher):
    """Kills the first worker as soon as it has something to do."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.n_started = pool, 0

    def started(self, task: Task) -> None:
        del task
        self.n_started += 1
        if self.n_started == 1:
            [worker] = self.pool._workers
            worker.process.kill()


@pytest.mark.skipif(os.name != 'posix', reason='needs signals')
def test_a_worker_that_is_killed_is_one_failed_scan(scans: Path, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    tasks = [Task(scans / name, tmp_path / name) for name in ('scan0.h5', 'scan1.h5')]
    with Pool(Work(Settings(method='grappa'), '.h5')) as pool:
        pool.start(environment(1))
        pool.first_ready()
        first, second = pool.run(tasks, 10**10, Killer(pool))
    assert first.exit_code == 5
    assert first.error.startswith(f'{scans / "scan0.h5"}: its process was killed (SIGKILL), as systems do')
    assert second.is_done


def test_a_scan_that_takes_too_long_ends(scans: Path, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    with Pool(Work(Settings(method='raki'), '.h5', seconds=0.2)) as pool:
        pool.start(environment(1))
        pool.first_ready()
        [outcome] = pool.run([Task(scans / 'scan0.h5', tmp_path / 'scan0.h5')], 10**10, Watcher())
    assert (outcome.exit_code, list(tmp_path.glob('*.h5'))) == (5, [])
    assert outcome.error.endswith('takes longer than 0.2 s: allow more with --timeout')


def test_wrong_settings_are_told_before_anything_is_written(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(['batch', str(scans), '-o', str(tmp_path / 'out'), '--method', 'grapa', '--workers', '1']) == 2
    assert "no method 'grapa': choose from" in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--format', '../x.h5'], '--format needs a suffix such as .h5'),
        (['--timeout', '0'], '--timeout must be a positive number'),
        (['--config', 'no.yaml'], 'no.yaml: cannot be read'),
    ],
)
def test_wrong_options_are_told(
    scans: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(['batch', str(scans), '-o', str(tmp_path / 'out'), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(('codes', 'expected'), [((), 0), ((0, 0), 0), ((0, 3, 3), 3), ((5, 0, 4), 4), ((5, 3, 4), 3)])
def test_the_exit_code_is_the_smallest_of_those_of_failures(codes: tuple[int, ...], expected: int) -> None:
    assert exit_code_of([Outcome(scan='a', output='b', exit_code=code) for code in codes]) == expected


# What a user names


def touched(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def named(folder: Path, *words: str, suffix: str = '.h5', ours: tuple[str, ...] = ()) -> dict[str, str]:
    """Outputs of scans, both as they are called from the folder."""
    tasks = tasks_for([str(folder / word) for word in words], folder / 'out', suffix, ours)
    return {str(task.scan.relative_to(folder)): str(task.output.relative_to(folder / 'out')) for task in tasks}


def test_files_patterns_and_folders_are_taken_in_order_and_once(tmp_path: Path) -> None:
    touched(tmp_path, 'b/z.h5', 'b/a.dat', 'b/notes.txt', 'b/c/deep.h5', 'y.bin', 'x.h5')
    found = named(tmp_path, 'x.h5', '*.bin', 'b', 'x.h5', '?.h5', 'gone.h5')
    expected = {'b/a.dat': 'a.h5', 'b/z.h5': 'z.h5', 'gone.h5': 'gone.h5', 'x.h5': 'x.h5', 'y.bin': 'y.h5'}
    assert list(found.items()) == list(expected.items())
    assert list(named(tmp_path, '**/deep.h5')) == ['b/c/deep.h5']


def test_parts_of_a_bart_file_are_one_scan(tmp_path: Path) -> None:
    touched(tmp_path, 'a.cfl', 'a.hdr', 'a_noise.cfl', 'a_noise.hdr', 'b_noise.cfl', 'b_noise.hdr')
    assert list(named(tmp_path, '*')) == ['a.cfl', 'b_noise.cfl']


def test_scans_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    touched(tmp_path, 's1/scan.h5', 's2/scan.h5', 's2/other.h5')
    expected = {'s1/scan.h5': 's1_scan.nii.gz', 's2/other.h5': 'other.nii.gz', 's2/scan.h5': 's2_scan.nii.gz'}
    assert named(tmp_path, 's*', suffix='.nii.gz') == expected


@pytest.mark.parametrize(
    ('names', 'words', 'suffix', 'message'),
    [
        (('a/x.h5', 'a/x.dat'), ['a'], '.h5', 'would both be written to'),
        (('x.h5', 'x_slice001.h5'), ['*.h5'], '.png', 'files of x may have the name x_slice001.png'),
        (('x.h5', 'x_gfactor.h5'), ['*.h5'], '.png', 'files of x may have the name x_gfactor.png'),
        (('x.h5', 'x_gfactor_set001_slice001.h5'), ['*.h5'], '.nii', 'files of x may'),
        (('out/x.h5',), ['out'], '.h5', 'is a scan of this batch'),
        (('x.h5', 'out/x.h5'), ['x.h5'], '.h5', 'is there, and not of a batch'),
        (('x.txt',), ['*.h5'], '.h5', 'no scans in'),
    ],
)
def test_what_would_overwrite_something_is_refused(
    tmp_path: Path, names: tuple[str, ...], words: list[str], suffix: str, message: str
) -> None:
    touched(tmp_path, *names)
    with pytest.raises(UsageError, match=message):
        named(tmp_path, *words, suffix=suffix)


def test_ten_thousand_scans_are_planned_at_once(tmp_path: Path) -> None:
    """Comparing each with each takes minutes."""
    names = [f'x_{number}.dat' for number in range(10_000)]
    since = time.process_time()
    assert len(tasks_for(names, tmp_path, '.nii.gz')) == 10_000
    assert time.process_time() - since < 10


@pytest.mark.parametrize(
    ('code', 'expected'), [(-9, (5, 'SIGKILL')), (-11, (3, 'SIGSEGV')), (-50, (3, 'signal 50')), (1, (70, 'words'))]
)
def test_every_end_of_a_worker_is_told(code: int, expected: tuple[int, str]) -> None:
    found, line = told_by(code, 'words')
    assert found == expected[0]
    assert expected[1] in line


def test_outputs_of_a_batch_are_no_scans_of_it(tmp_path: Path) -> None:
    touched(tmp_path, 'out/x.dat', 'out/x.h5')
    assert named(tmp_path, 'out', ours=('x.h5',)) == {'out/x.dat': 'x.h5'}


@pytest.mark.parametrize('name', ['summary.json', 'index.html'])
def test_a_summary_of_others_is_not_replaced(tmp_path: Path, name: str) -> None:
    touched(tmp_path, name)
    with pytest.raises(UsageError, match='not of a batch'):
        Records(tmp_path).require_ours()


def test_records_name_nothing_outside_their_folder(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / 'plan.json').write_text('{"outputs": ["../x.h5", "/etc/passwd", "..", "y.h5", 3]}')
    assert Records(tmp_path).outputs() == {'y.h5', 'summary.json', 'index.html'}


@pytest.mark.parametrize(
    'name',
    [os.fsdecode(b'caf\xe9.h5'), 'a\nraki: done.h5', 249 * 'x' + '.hdf5', '-o.h5'],
    ids=['bytes', 'lines', 'long', 'o'],
)
def test_any_name_of_a_scan_is_one_like_any_other(
    scans: Path, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'in').mkdir()
    shutil.copy(scans / 'scan1.h5', tmp_path / 'in' / name)
    words = ['batch', str(tmp_path / 'in'), '-o', str(tmp_path / 'out'), '--method', 'zero-filled', '--resume']
    for state in ('done', 'skipped'):
        assert main(words) == 0
        assert state in (tmp_path / 'out' / FOLDER / 'times.json').read_text()
    assert all(line.startswith('raki: 1 of 1: ') for line in capfd.readouterr().err.splitlines())
    assert main(['verify', str(tmp_path / 'out')]) == 0


# The page


def test_what_names_and_errors_say_is_text_on_the_page() -> None:
    hostile = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    page = contact_page(hostile, [Entry(hostile, hostile, hostile, [hostile], hostile, hostile)], {hostile: hostile})
    assert '<script' not in page
    assert '<img src=x' not in page
    assert "default-src 'none'" in page


# Settings from a file

MERGES = 'a0: &a0 {x: 1}\n' + ''.join(
    f'a{each}: &a{each} {{<<: [{", ".join([f"*a{each - 1}"] * 9)}]}}\n' for each in range(1, 12)
)
"""A kilobyte that is merged to 9 ** 11 keys."""


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('slicess: 2', "no setting 'slicess': choose from dataset, axes"),
        ('method: 3', 'method: must be a valid string, got 3'),
        ('seed: "1"', "seed: must be a valid integer, got '1'"),
        ('slices: [0, x]', "slices: must be a valid integer, entry 1, got 'x'"),
        ('whiten: 1', 'whiten: must be a valid boolean, got 1'),
        ('- method', 'must hold settings'),
        ('method: {a: 1}', 'method: must be one value or a list'),
        ('method: [a', 'is not YAML'),
        ('method: !!python/object/apply:os.system ["true"]', 'is not YAML'),
        ('a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]', 'without references'),
        (MERGES, 'without references'),
        ('method: grappa\nmethod: gated', 'method is there more than once'),
        ('? [a, b]\n: 1', 'is not YAML'),
        ('? {a: b}\n: 1', 'is not YAML'),
        ('method: "\\ud800"', 'cannot be printed'),
        (f'seed: 0x{"f" * 9999}', 'cannot be printed'),
        ('seed: 99999999999999999999', 'a seed is a number from'),
        ('x: ' + '{a: ' * 9999, 'is not YAML'),
        ('x: ' + '[' * 60000, 'is not YAML'),
        ('x: ' + '[' * 3000, 'is not YAML'),
        ('#' * 70000, 'must hold settings'),
    ],
)
def test_a_file_of_settings_that_is_wrong_is_told(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'c.yaml').write_text(text)
    capsys.readouterr()
    assert main(['reconstruct', 'scan.h5', '--config', str(tmp_path / 'c.yaml')]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_settings_in_what_is_no_file_are_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / 'pipe')
    for name, kind in (('pipe', 'a pipe'), ('.', 'a folder'), ('/dev/zero', 'a device')):
        assert main(['reconstruct', 'scan.h5', '--config', str(tmp_path / name)]) == 2
        assert f'is {kind}' in capsys.readouterr().err


def test_the_command_line_beats_the_file(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'c.yaml').write_text('method: zero-filled\nslices: [1]\ncrop: no\n')
    words = ['reconstruct', str(scans / 'scan1.h5'), '-o', str(tmp_path / 'o.h5'), '--json']
    capsys.readouterr()
    assert main([*words, '--config', str(tmp_path / 'c.yaml'), '--slices', '0']) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found['method'], found['slice'], found['crop']) == ('zero-filled', [0], False)


def test_a_batch_takes_settings_from_a_file(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Options of SLURM are no settings of a reconstruction, and do not look for theirs in it."""
    (tmp_path / 'c.yaml').write_text('method: zero-filled\nslices: [1]\ncombine: walsh\n')
    words = [
        'batch',
        str(scans / 'scan1.h5'),
        '-o',
        str(tmp_path / 'o'),
        '--config',
        str(tmp_path / 'c.yaml'),
        '--json',
    ]
    capsys.readouterr()
    assert main([*words, '--slices', '0']) == 0
    options = json.loads(capsys.readouterr().out)['options']
    assert (options['method'], options['slices'], options['combine']) == ('zero-filled', [0], 'walsh')


def test_settings_in_a_pipe_are_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / 'c.yaml')
    assert main(['reconstruct', 'scan.h5', '--config', str(tmp_path / 'c.yaml')]) == 2
    assert 'is a pipe, not a file' in capsys.readouterr().err
