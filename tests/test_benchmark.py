"""A table of many methods over many scans, that anybody can make again and add to."""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from raki.cli import main
from raki.commands.benchmark import FILES, Listener, benchmark_scans
from raki.commands.benchmark_results import table
from raki.commands.contest import Contest, methods_of
from raki.commands.inputs import UsageError
from raki.commands.method_files import methods_in
from raki.commands.progress import Course, Steps, Watch
from raki.commands.tables import show
from raki.data.digests import verify
from raki.data.masks import Pattern
from raki.data.sampling import undersample
from raki.data.save import write_scan
from raki.data.simulate import Simulation, simulate
from raki.evaluation.baseline import Baseline, MeasuredOnly
from raki.evaluation.benchmark_page import best_of
from raki.evaluation.compare import Bench, Task, tasks
from raki.evaluation.kept import FOLDER
from raki.evaluation.peers import PEERS, PyGrappa
from raki.evaluation.plan import Plan, Rate
from raki.evaluation.rows import Cell
from raki.evaluation.standings import standings_of
from raki.evaluation.verdict import PRICES
from tests.toys import acs_of, measured_only

Capture = pytest.CaptureFixture[str]

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = re.findall(r'```python\n(.*?)```', (ROOT / 'docs' / 'benchmark.md').read_text(encoding='utf-8'), re.DOTALL)
SMALL = Simulation((40, 32), n_coils=4, noise=0.01)

BROKEN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Broken:
    number: int = 7

    def smallest(self, calibration):
        return None

    def learn(self, calibration, progress):
        return {}[self.number]

METHOD = Broken()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scans: one full, one undersampled, one cut off; and a text that is none."""
    monkeypatch.chdir(tmp_path)
    scans = tmp_path / 'scans'
    scans.mkdir()
    full = simulate(SMALL)
    write_scan(scans / 'full.h5', full, {})
    write_scan(scans / 'half.h5', replace(full, mask=undersample(full.mask, (2,), (12,)).mask), {})
    (scans / 'cut.h5').write_bytes((scans / 'full.h5').read_bytes()[:3000])
    (scans / 'README.md').write_text('mine')
    return scans


def run(*words: str) -> int:
    """A small benchmark of the folder."""
    return main(['benchmark', 'scans', '-o', 'out', '--acs', '14', '--replicas', '0', '--peers', 'none', *words])


def results(folder: str = 'out') -> dict[str, Any]:
    assert not [each.problem for each in verify(Path(folder)) if each.problem]
    return json.loads((Path(folder) / 'benchmark.json').read_text(encoding='utf-8'))


@pytest.mark.usefixtures('folder')
def test_one_page_and_one_json_say_everything(capsys: Capture) -> None:
    assert run('--rates', '2', '3', '--methods', 'zero-filled', 'grappa') == 0
    assert sorted(path.name for path in Path('out').iterdir()) == sorted(FILES)
    found, page = results(), (Path('out') / 'benchmark.html').read_text(encoding='utf-8')
    rows = found['rows']
    assert {(row['scan'], row['rate'], row['method']) for row in rows} == {
        ('full', rate, method) for rate in (2, 3) for method in ('plain-grappa', 'zero-filled', 'grappa')
    }
    overall = {each['method']: each for each in found['overall']}
    assert overall['plain-grappa']['geomean_ratio'] == pytest.approx(1)
    assert overall['zero-filled']['n_cells'] == 2
    assert [each['scan'] for each in found['left_out']] == ['cut', 'half']
    assert re.search(
        r'half\.h5: comparing needs a fully sampled scan .* only 26 of 40 lines', found['left_out'][1]['reason']
    )
    assert 'scans/' not in page + json.dumps(found)  # names of folders may tell who somebody is
    assert found['again'] == (
        'raki benchmark SCANS -o FOLDER --rates 2 3 --acs 14 --methods zero-filled grappa --peers none --seeds 0 '
        '--replicas 0'
    )
    for text in (*(each['reason'] for each in found['left_out']), found['sentence'], found['machine']['processor']):
        assert escaped(text) in page
    said = capsys.readouterr()
    assert 'left out: half: ' in said.err
    assert max(map(len, said.out.splitlines()[:4])) <= 80
    assert found['sentence'] in ' '.join(said.out.split())


def escaped(text: str) -> str:
    for plain, safe in (('&', '&amp;'), ("'", '&#39;'), ('>', '&gt;'), ('<', '&lt;')):
        text = text.replace(plain, safe)
    return text


@pytest.mark.usefixtures('folder')
def test_a_method_that_fails_stops_nothing_and_is_listed_with_its_reason() -> None:
    Path('broken.py').write_text(BROKEN)
    assert run('--rates', '2', '--methods', 'grappa', '--method-file', 'broken.py') == 0
    found = results()
    [refused] = found['refused']
    assert (refused['method'], refused['scan'], refused['rate'], refused['acs']) == ('broken', 'full', 2, 14)
    assert 'KeyError: 7' in refused['reason']
    assert {row['method'] for row in found['rows']} == {'plain-grappa', 'grappa'}
    page = (Path('out') / 'benchmark.html').read_text(encoding='utf-8')
    assert re.search(r'<b>broken</b>, full, R = 2, ACS 14: .*KeyError', page)
    assert '<b>broken</b> was measured in no cell' in page


@pytest.mark.usefixtures('folder')
def test_a_cell_that_a_scan_has_no_room_for_is_refused_and_others_are_measured() -> None:
    assert run('--rates', '2', '--acs', '50', '--methods', 'grappa') == 0
    found = results()
    assert [(each['acs'], each['method']) for each in found['refused']] == [(50, 'every method')]
    assert {row['acs'] for row in found['rows']} == {14}


@pytest.mark.usefixtures('folder')
def test_peers_that_are_not_installed_are_listed_as_such(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setitem(PEERS, 'espirit', replace(PEERS['espirit'], package='no_such_package'))  # pyright: ignore
    monkeypatch.setitem(PEERS, 'bart-pics', replace(PEERS['bart-pics'], package='no-such-program'))  # pyright: ignore
    words = ['--rates', '2', '--methods', 'grappa', '--peers', 'espirit', 'bart-pics']
    assert main(['benchmark', 'scans/full.h5', '-o', 'out', '--acs', '14', '--replicas', '0', *words]) == 0
    found = results()
    assert [(peer['method'], peer['version']) for peer in found['peers']] == [('espirit', None), ('bart-pics', None)]
    assert 'no_such_package is not installed' in (Path('out') / 'benchmark.html').read_text(encoding='utf-8')
    assert 'not installed: espirit' in capsys.readouterr().err


class CutOff(BaseException):
    """What a signal does."""


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of methods in the order in which they were computed; the third is cut off."""
    names: list[str] = []
    done = Task.done

    def counted(task: Task, *others: Any) -> Cell:
        names.append(task.name)
        if len(names) == 3:
            raise CutOff
        return done(task, *others)

    monkeypatch.setattr(Task, 'done', counted)
    return names


@pytest.mark.usefixtures('folder')
def test_it_goes_on_where_it_was_and_ends_as_without_a_break(computed: list[str]) -> None:
    words = '--rates', '2', '--methods', 'grappa', 'gated'
    with pytest.raises(CutOff) as caught:
        run(*words)
    assert caught.value.__notes__ == [f'2 of 3 cells are kept in out/{FOLDER}: the same command goes on from there']
    assert [path.name for path in Path('out').iterdir()] == [FOLDER]
    assert run(*words) == 0
    assert computed[3:] == ['gated']
    assert not (Path('out') / FOLDER).exists()
    first = results()
    assert run(*words) == 0
    assert without_times(results()['rows']) == without_times(first['rows'])


@pytest.mark.usefixtures('folder')
@pytest.mark.parametrize(('added', 'again'), [('', []), ('# changed', ['mine'])])
def test_methods_of_a_file_that_was_changed_are_measured_anew(
    computed: list[str], added: str, again: list[str]
) -> None:
    Path('mine.py').write_text(EXAMPLES[0])
    words = '--rates', '2', '3', '--methods', 'plain-grappa', '--method-file', 'mine.py'
    with pytest.raises(CutOff):
        run(*words)
    Path('mine.py').write_text(EXAMPLES[0] + added)
    assert run(*words) == 0
    assert computed == ['plain-grappa', 'mine', 'plain-grappa', *again, 'plain-grappa', 'mine']


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if not name.startswith('seconds')} for row in rows]


@pytest.mark.usefixtures('folder')
def test_where_nothing_can_be_measured_what_was_there_stays(capsys: Capture) -> None:
    assert run('--rates', '2', '--methods', 'zero-filled') == 0
    before = {name: (Path('out') / name).read_bytes() for name in FILES}
    assert main(['benchmark', 'scans/half.h5', 'scans/cut.h5', '-o', 'out']) == 3
    assert 'none of 2 scan(s) can be the truth, first because cut.h5: ' in capsys.readouterr().err
    assert main(['benchmark', 'scans/full.h5', '-o', 'out', '--acs', '60', '--peers', 'none']) == 3
    assert 'nothing could be measured' in capsys.readouterr().err
    assert {name: (Path('out') / name).read_bytes() for name in FILES} == before
    assert sorted(path.name for path in Path('out').iterdir()) == sorted(FILES)


def test_names_are_taken_in_any_case() -> None:
    found, absent, _ = methods_of(['Plain-GRAPPA', 'Gated', 'Zero-Filled'], ['None'], [])
    assert (list(found), absent) == (['plain-grappa', 'gated', 'zero-filled'], [])
    twice = methods_of(['GRAPPA', 'ESPIRIT'], ['Espirit', 'BART-pics'], [])
    assert sorted([*twice[0], *twice[1]]) == ['bart-pics', 'espirit', 'grappa', 'plain-grappa']


@pytest.mark.usefixtures('folder')
def test_nobody_is_shown_noise_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    done = Task.done

    def watched(task: Task, bench: Bench, *others: Any) -> Cell:
        seen.append(bench.scan.noise)
        return done(task, bench, *others)

    monkeypatch.setattr(Task, 'done', watched)
    assert simulate(SMALL).noise is not None
    assert run('--rates', '2', '--methods', 'grappa') == 0
    assert seen == [None, None]


@pytest.mark.usefixtures('folder')
@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--methods', 'grapa'], "no method 'grapa': choose from"),
        (['--peers', 'sigpie'], "no peer 'sigpie': choose from espirit, l1-wavelet"),
        (['--rates', 'x'], '--rates needs numbers such as 4, of volumes such as 2x2, got x'),
        (['--replicas', '1'], '--replicas must be 0 or at least 2, got 1'),
        (['--method-file', 'none.py'], '--method-file needs a Python file such as mine.py, got none.py'),
        (['--method-file', 'scans/README.md'], 'needs a Python file'),
    ],
)
def test_wrong_words_are_told_before_any_work(words: list[str], said: str, capsys: Capture) -> None:
    assert run(*words) == 2
    assert said in capsys.readouterr().err
    assert not Path('out').exists()


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('x = 1', 'must define METHOD, or METHODS by name, got neither'),
        ('METHOD = METHODS = 1', 'got METHOD and METHODS'),
        ('METHODS = []', 'must be a mapping from names to methods, got list'),
        ('METHOD = 1', "'mine' in .* must be a method, with smallest and learn, or a Baseline, got int"),
        ('x = 1\n1 / 0', r'mine\.py, line 2 fails: ZeroDivisionError'),
        ('raise SystemExit(0)', 'line 1 fails: SystemExit'),
        ('def', 'fails: SyntaxError'),
        (
            BROKEN.replace('(frozen=True)', ''),
            r'must be a frozen dataclass .* add @dataclass\(frozen',
        ),
        (
            BROKEN.replace('int = 7', 'object = print'),
            'must be numbers, texts, arrays or such: only data',
        ),
        (BROKEN.replace('Broken()', 'Broken'), 'must be a method'),
    ],
)
def test_a_file_without_a_method_is_refused_with_what_it_lacks(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / 'mine.py').write_text(text)
    with pytest.raises(UsageError, match=said):
        methods_in(tmp_path / 'mine.py')


@pytest.mark.usefixtures('folder')
def test_a_method_of_ones_own_does_not_take_the_name_of_another(capsys: Capture) -> None:
    Path('gated.py').write_text(BROKEN)
    assert run('--method-file', 'gated.py') == 2
    assert "gated.py defines 'gated', but there is a method of this name: choose another" in capsys.readouterr().err


@pytest.mark.usefixtures('folder')
def test_the_examples_of_the_documentation_take_part() -> None:
    names = 'ridge', 'conjugate'
    for name, code in zip(names, EXAMPLES, strict=True):
        Path(f'{name}.py').write_text(code)
    files = [word for name in names for word in ('--method-file', f'{name}.py')]
    assert run('--rates', '2', '--methods', 'zero-filled', *files) == 0
    found = {each['method']: each for each in results()['overall']}
    assert found['ridge']['geomean_ratio'] < 1.5
    assert found['conjugate']['fills']
    assert not results()['refused']


@dataclass(frozen=True, slots=True)
class Cheat(Baseline):
    """Gives back whatever it is shown."""

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def calibrate(self, acs: Tensor, sampling: Pattern, kspace: Tensor) -> 'Cheat':
        del acs
        assert not bool(kspace[:, ~sampling.mask].any())
        return self

    def fill(self, kspace: Tensor) -> Tensor:
        return kspace


def test_a_baseline_is_shown_measured_lines_only() -> None:
    scan = simulate(SMALL)
    bench = Bench(scan, 0, Plan({'cheat': Cheat()}, [Rate((2,))], [(14,)], n_replicas=0, figures=('energy_ratio',)))
    [task] = tasks(bench)
    assert task.done(bench, lambda _name: lambda _done, _total: None).row.figures == {'energy_ratio': 0.0}
    sampling = undersample(scan.mask, (2,), (14,))
    filled = MeasuredOnly(Cheat(), sampling).fill(scan.kspace[0])
    assert torch.equal(filled, measured_only(scan.kspace[0], sampling))


@pytest.mark.filterwarnings('ignore')
def test_pygrappa_fills_in_by_the_weights_that_it_learnt() -> None:
    """At once and later alike, linearly, from measured lines alone, which come back bit for bit."""
    pytest.importorskip('pygrappa', reason='needs the peer tool pygrappa')
    kspace = simulate(SMALL).kspace[0]
    sampling = undersample(torch.ones(40, dtype=torch.bool), (2,), (14,))
    measured = measured_only(kspace, sampling)
    fitted = PyGrappa().calibrate(acs_of(kspace, sampling), sampling, kspace)
    filled = fitted.fill(measured)
    assert torch.equal(filled, fitted.fill(kspace))
    assert torch.equal(filled[:, sampling.mask], kspace[:, sampling.mask])
    assert bool(filled[:, ~sampling.mask].any(-1).all())
    torch.testing.assert_close(fitted.fill(2 * measured), 2 * filled, rtol=1e-4, atol=1e-4 * float(filled.abs().max()))
    error = (filled - kspace)[:, ~sampling.mask].norm() / kspace[:, ~sampling.mask].norm()
    assert error < 0.5


class Counted(Watch):
    """Counts cells that were announced, begun and skipped."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds, self.begun, self.n_skipped = list[str](), list[str](), 0

    def expect(self, course: Course) -> None:
        assert course.unit == 'cell'
        self.kinds = course.kinds

    def skip(self) -> None:
        self.n_skipped += 1

    def __call__(self, name: str) -> Steps:
        self.begun.append(name)
        return super().__call__(name)


def test_every_cell_that_was_announced_begins_or_is_skipped(folder: Path) -> None:
    """Of two sizes of the ACS the scan has room for one; the baseline and one more method."""
    watch, contest = Counted(), Contest(methods_of(['grappa'], ['none'], [])[0], ['2'], ['14', '50'], n_replicas=0)
    results, _ = benchmark_scans([str(folder)], folder / 'out', contest, Listener(watch, lambda _line: None, str))
    assert watch.kinds == 2 * ['plain-grappa', 'grappa']
    assert watch.begun == [f'full, slice 0, R=2, ACS 14: {name}' for name in ('plain-grappa', 'grappa')]
    assert watch.n_skipped == 2
    assert len(results['rows']) == 2


def test_a_volume_takes_part_at_rates_of_its_own(folder: Path) -> None:
    write_scan(folder / 'volume.h5', simulate(Simulation((12, 20, 16), n_coils=4)), {})
    contest = Contest(methods_of(['zero-filled'], ['none'], [])[0], ['2x2', '3'], ['6x10', '14'], n_replicas=0)
    results, standings = benchmark_scans(
        [str(folder)], folder / 'out', contest, Listener(Watch(), lambda _line: None, str)
    )
    assert {(row['scan'], row['rate'], row['acs']) for row in results['rows']} == {
        ('full', 3, 14),
        ('volume', '2x2', '6x10'),
    }
    assert standings.rates == ('2x2', 3)


def row(method: str, error: float, scan: str = 'a', rate: int = 4, **others: Any) -> dict[str, Any]:
    usual = {'slice': 0, 'acs': 24, 'energy_ratio': 0.9, 'device': 'cpu', 'seconds_cpu': 2.0, 'seconds_fit': 30.0}
    usual |= {'seconds_fill': 1.0, 'gfactor_mean': 2.0, 'point_peak': 0.9, 'ghost_index': 0.1, 'noise_bias': 0.001}
    return {**usual, 'method': method, 'scan': scan, 'rate': rate, 'nrmse_object': error, **others}


def unmeasured(names: Sequence[str]) -> dict[str, Any]:
    return dict.fromkeys(names)


def test_half_the_error_here_and_twice_there_is_no_gain() -> None:
    rows = [row('plain-grappa', 0.1), row('x', 0.05), row('plain-grappa', 0.01, 'b'), row('x', 0.02, 'b')]
    found = {each.method: each for each in standings_of(rows).methods}
    assert found['x'].ratio == pytest.approx(1)
    assert (found['x'].worst, found['x'].worst_place) == (pytest.approx(2), ('b', 0, 4, 24))
    assert found['x'].n_cells == 2
    assert found['x'].values['seconds'] == pytest.approx(2)  # CPU time, not that of the clock


def test_the_least_error_in_all_cells_wins_at_its_price() -> None:
    rows = [row('plain-grappa', 0.1, scan) for scan in 'ab'] + [row('few', 0.01), row('zero', 0.001, energy_ratio=0.0)]
    rows += [row('x', 0.08, point_peak=0.5), row('x', 0.05, 'b'), row('zero', 0.001, 'b', energy_ratio=0.0)]
    found = standings_of(rows)
    assert found.sentence == (
        'Over 2 cells (2 scans, R = 4) x has the least error, 0.63 times that of plain-grappa (geometric mean; worst '
        '0.80: a, R = 4, ACS 24), at a price in 1 of them (small points in 1).'
    )
    assert [each.method for each in found.methods] == ['zero', 'few', 'x', 'plain-grappa']


def test_of_one_cell_there_is_no_mean_and_no_worst() -> None:
    found = standings_of([row('plain-grappa', 0.1), row('x', 0.08, point_peak=0.5)])
    least = 'x has the least error, 0.80 times that of plain-grappa'
    assert found.sentence == f'Over 1 cell (1 scan, R = 4) {least}, at a price in small points.'


@pytest.mark.parametrize(
    ('there', 'elsewhere', 'text'),
    [
        (
            ['noise_bias'],
            ['noise_bias'],
            'at no price in small points or ghosts beyond the limits (not measured: bias).',
        ),
        (['noise_bias'], [], 'in small points, ghosts or bias beyond the limits (not measured: bias in 1).'),
        (PRICES, PRICES, ', its price not measured.'),
    ],
)
def test_what_was_not_measured_of_the_winner_may_be_its_price(
    there: Sequence[str], elsewhere: Sequence[str], text: str
) -> None:
    rows = [row('plain-grappa', 0.1, scan) for scan in 'ab']
    rows += [row('x', 0.05, **unmeasured(there)), row('x', 0.05, 'b', **unmeasured(elsewhere))]
    assert standings_of(rows).sentence.endswith(text)


def test_a_price_is_told_beside_what_was_not_measured() -> None:
    found = standings_of([row('plain-grappa', 0.1), row('x', 0.05, point_peak=0.5, noise_bias=None)])
    assert found.sentence.endswith(', at a price in small points (not measured: bias).')


def test_a_method_that_leaves_one_scan_as_it_is_may_win() -> None:
    rows = [row('plain-grappa', 0.1), row('x', 0.05), row('plain-grappa', 0.1, 'b')]
    found = standings_of([*rows, row('x', 0.1, 'b', energy_ratio=0.0)])
    assert ' x has the least error, 0.71 times' in found.sentence
    assert found.methods[0].fills


def test_an_image_that_stays_as_it_was_measured_is_never_the_best_of_a_cell() -> None:
    """Where filling in would do harm, methods of raki leave k-space alone; what others fill in is worse there, too."""
    idle = [row(name, 0.1, 'b', energy_ratio=0.0) for name in ('plain-grappa', 'x', 'zero-filled')]
    found = standings_of([row('plain-grappa', 0.1), row('x', 0.05), *idle, row('other', 0.2, 'b')])
    assert {place.scan: names for place, names in found.filled.items()} == {'a': {'plain-grappa', 'x'}, 'b': {'other'}}
    assert {place.scan: names for place, names in best_of(found).items()} == {'a': {'x'}, 'b': {'other'}}


def test_means_are_of_what_was_filled_in() -> None:
    """Ghosts of an image that stays as it was measured are those of undersampling; of zero filling they are its own."""
    idle: dict[str, Any] = {'energy_ratio': 0.0, 'ghost_index': 1.0, 'point_peak': 0.0, 'seconds_cpu': 4.0}
    rows = [row('plain-grappa', 0.1), row('plain-grappa', 0.1, 'b', **idle), row('zero-filled', 0.3, **idle)]
    found = {each.method: each.values for each in standings_of(rows).methods}
    plain = {name: found['plain-grappa'][name] for name in ('ghost_index', 'point_peak', 'seconds')}
    assert plain == pytest.approx({'ghost_index': 0.1, 'point_peak': 0.9, 'seconds': 3.0})
    assert found['zero-filled']['ghost_index'] == 1.0


def test_cells_without_the_baseline_have_no_ratio() -> None:
    found = standings_of([row('plain-grappa', 0.1), row('x', 0.05), row('x', 0.001, 'b')])
    ours = next(each for each in found.methods if each.method == 'x')
    assert (ours.ratio, ours.n_cells) == (pytest.approx(0.5), 1)
    nowhere = standings_of([row('x', 0.001)])
    assert nowhere.sentence.startswith('plain-grappa could be measured nowhere')
    assert nowhere.methods[0].ratio is None


def test_the_table_for_terminals_tells_directions_and_marks_the_best(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('COLUMNS', '80')
    rows = [row('plain-grappa', 0.1), row('x', 0.05, point_peak=0.5), row('zero-filled', 0.01, energy_ratio=0.0)]
    rows += [row('plain-grappa', 0.1, 'b'), row('x', 0.05, 'b', ghost_index=0.05), row('few', 0.01, 'b')]
    show(table(standings_of(rows)))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert re.findall('[↓↑]', next(line for line in lines if '↓' in line)) == ['↓', '↓', '↑', '↓', '↓', '↓']
    found = {words[0]: words[1:] for line in lines if line.startswith(' ') and (words := line.split())}
    assert found['x'] == ['0.50☆', '0.50☆', '2/2', '1', '0.70†', '0.075★', '0.0010★', '2.00★']
    assert found['plain-grappa'] == ['1.00', '1.00', '2/2', '0', '0.90★', '0.100', '0.0010★', '2.00★']
    assert not any(mark in ''.join(found['few'] + found['zero-filled']) for mark in '★☆†')
    assert 'what is the price in any' in '\n'.join(lines)


def test_the_stored_table_is_what_its_rows_come_to() -> None:
    stored = json.loads((ROOT / 'benchmarks' / 'results' / 'public.json').read_text(encoding='utf-8'))
    found = standings_of(stored['rows'])
    assert stored['sentence'] == found.sentence
    assert stored['overall'] == json.loads(json.dumps([each.told for each in found.methods]))


def test_the_table_of_the_documentation_is_the_stored_one() -> None:
    stored = json.loads((ROOT / 'benchmarks' / 'results' / 'public.json').read_text(encoding='utf-8'))
    text = (ROOT / 'docs' / 'benchmark.md').read_text(encoding='utf-8')
    for each in stored['overall']:
        points, ghosts, seconds = (each['means'][name] for name in ('point_peak', 'ghost_index', 'seconds'))
        price = f'{each["n_priced"]} of {each["n_cells"]}'
        figures = f'{each["geomean_ratio"]:.2f} | {each["worst_ratio"]:.2f} | {price} | {points:.2f} | {ghosts:.2f}'
        assert f'| `{each["method"]}` | {figures} | {seconds:.2f} |' in text


@pytest.mark.usefixtures('folder')
def test_the_page_fits_any_screen_and_says_nothing_to_the_console() -> None:
    api = pytest.importorskip('playwright.sync_api', reason='needs the package playwright')
    chromium = shutil.which('chromium')
    if chromium is None:
        pytest.skip("needs Debian's chromium")
    assert run('--rates', '2', '3', '--methods', 'zero-filled', 'grappa') == 0
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        page, said = browser.new_page(), []
        page.on('console', lambda message: said.append(message.text))
        page.goto((Path('out') / 'benchmark.html').resolve().as_uri())
        for width in (1280, 400):
            page.set_viewport_size({'width': width, 'height': 720})
            assert page.evaluate('document.documentElement.scrollWidth') <= width
            assert page.get_by_role('heading', name='Overall').bounding_box()['y'] < 720
        browser.close()
    assert not said
