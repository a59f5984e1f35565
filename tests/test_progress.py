"""How far a command is: what is said of costs, by a clock that tests move on."""

import json
import re
from collections.abc import Callable
from math import prod
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress

from raki.cli import main
from raki.commands.batch.records import Outcome
from raki.commands.batch.tasks import Task
from raki.commands.catalogue import METHODS
from raki.commands.costs import Size, cost_of
from raki.commands.progress import GUESSED, LEAST_SEEN, WORTH_SAYING, Course, Shown, Watch, progress_bars, spoken
from raki.commands.terminal import BatchLines
from raki.consistency.grid import Grid


class Clock:
    """Seconds as a test sets them."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def run(course: Course, clock: Clock, seconds: float) -> None:
    """Begin a part that takes so long."""
    course.begin()
    clock.now += seconds


def test_nothing_is_known_before_a_part_is_over(clock: Clock) -> None:
    course = Course('slice', ['grappa'] * 3, clock=clock)
    assert course.left is None
    run(course, clock, 5)
    assert course.left is None
    assert course.announcement is None


def test_parts_of_one_kind_cost_what_those_before_took(clock: Clock) -> None:
    """Ten of 20 s: 20 s are gone, 5 s of the second; 15 s of it are left, and eight more."""
    course = Course('slice', ['grappa'] * 10, clock=clock)
    run(course, clock, 20)
    course.begin()
    clock.now += 5
    left = course.left
    assert left is not None
    assert (left.seconds, left.is_whole, str(left)) == (15 + 8 * 20, True, 'about 3 min')
    assert (
        course.announcement
        == 'about 3 min to go, give or take a factor of 2; slice 2 of 10, estimated from 1 slice so far'
    )
    assert course.announcement is None  # said once


def test_kinds_that_were_not_seen_make_it_a_least_cost(clock: Clock) -> None:
    course = Course('cell', ['grappa', 'raki', 'grappa', 'raki'], clock=clock)
    run(course, clock, 70)
    run(course, clock, 1)
    left = course.left
    assert left is not None
    assert (left.seconds, left.is_whole) == (70, False)
    assert str(left) == 'more than 1 min'


def test_steps_tell_of_training_before_it_is_spent(clock: Clock) -> None:
    """Three seconds of preparation, then 100 steps a second: 10000 take 100 s more, twice."""
    course = Course('cell', ['raki', 'raki'], clock=clock)
    course.begin()
    clock.now += 3
    course.told(1, 10_001)
    clock.now += LEAST_SEEN
    course.told(1 + round(100 * LEAST_SEEN), 10_001)
    left = course.left
    assert left is not None
    assert left.seconds == pytest.approx(2 * 103 - 3 - LEAST_SEEN)
    assert course.announcement == (
        'about 3 min to go, give or take a factor of 2; '
        'cell 1 of 2, estimated raki from 201 of 10001 steps, without what follows'
    )


def test_a_first_fit_tells_of_all_that_replicas_need(clock: Clock) -> None:
    course = Course('cell', ['gated'], n_fits=101, clock=clock)
    course.begin()
    clock.now += 4
    course.told(1, 1)
    assert course.announcement == (
        'about 7 min to go, give or take a factor of 2; '
        'cell 1 of 1, estimated gated from its first fit, without what follows'
    )


def test_what_turns_out_much_larger_is_said_again(clock: Clock) -> None:
    course = Course('slice', ['iraki'] * 100, clock=clock)
    run(course, clock, 1)
    run(course, clock, 1)
    assert course.announcement is not None
    run(course, clock, 1)
    assert course.announcement is None
    run(course, clock, 400)
    course.begin()
    assert str(course.announcement).startswith('about 3 h to go, give or take a factor of 2; slice 5 of 100')


def test_cheap_commands_say_nothing(clock: Clock) -> None:
    course = Course('slice', ['grappa'] * 5, clock=clock)
    for _ in range(5):
        run(course, clock, WORTH_SAYING / 6)
        assert course.announcement is None


def test_parts_that_were_kept_cost_nothing_and_tell_nothing(clock: Clock) -> None:
    course = Course('cell', ['grappa'] * 4, clock=clock)
    course.skip()
    course.skip()
    run(course, clock, 50)
    assert (course.number, course.left) == (3, None)
    course.begin()
    left = course.left
    assert left is not None
    assert left.seconds == 50


@pytest.mark.parametrize(
    ('seconds', 'expected'), [(4.4, '4 s'), (59, '59 s'), (100, '2 min'), (3000, '50 min'), (9000, '2 h')]
)
def test_times_are_spoken(seconds: float, expected: str) -> None:
    assert spoken(seconds) == expected


def test_a_terminal_shows_which_part_it_is_and_which_method() -> None:
    console = Console(width=80, force_terminal=True, record=True)
    with Progress(console=console) as bars:
        shown = Shown(bars, pytest.fail)
        shown.expect(Course('cell', ['grappa', 'gated', 'gated']))
        shown.skip()
        shown('slice 0, R=2: gated')(3, 10)
        whole, part = bars.tasks
        assert (whole.description, whole.completed, whole.total) == ('cell 2 of 3', 1.3, 3)
        assert (part.description, part.completed, part.total) == ('slice 0, R=2: gated', 3, 10)


def test_one_step_is_no_progress_as_others_may_follow() -> None:
    """What spirit starts from is one, and comes before its own."""
    with Progress(console=Console(width=80, force_terminal=True, record=True)) as bars:
        shown = Shown(bars, pytest.fail)
        shown.expect(Course('slice', ['spirit'] * 2))
        shown('slice 0: spirit')(1, 1)
        whole, part = bars.tasks
        assert (whole.completed, part.total) == (0, None)


def test_costs_are_told_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    said: list[str] = []
    monkeypatch.setattr('raki.commands.progress.time', SimpleNamespace(monotonic=clock))
    with progress_bars(said.append) as watch:
        watch.expect(Course('slice', ['grappa'] * 3))
        watch('slice 0')(1, 1)
        clock.now += 50
        watch('slice 1')(1, 1)
    assert said == ['about 2 min to go, give or take a factor of 2; slice 2 of 3, estimated from 1 slice so far']


def test_a_plain_function_is_told_of_steps_alone() -> None:
    told: list[tuple[str, int, int]] = []

    def progress_for(name: str) -> Callable[[int, int], None]:
        return lambda done, total: told.append((name, done, total))

    watch = Watch.of(progress_for)
    watch.expect(Course('cell', ['grappa']))
    watch.skip()
    watch('a')(1, 2)
    assert told == [('a', 1, 2)]
    assert Watch.of(watch) is watch


def test_a_guess_holds_until_a_part_is_over(clock: Clock) -> None:
    course = Course('volume', ['gated'] * 2, guesses={'gated': 90.0}, clock=clock)
    course.begin()
    assert course.announcement == (
        f'about 3 min to go, give or take a factor of {GUESSED}; volume 1 of 2, estimated gated from the size, '
        'for one core'
    )
    clock.now += 5
    course.told(1, 1)  # of what it starts with
    left = course.left
    assert left is not None
    assert left.seconds == 90 - 5 + 90
    clock.now += 15
    course.begin()
    left = course.left
    assert left is not None
    assert (left.seconds, left.basis) == (20, 'from 1 volume so far')


def test_guesses_are_of_those_kinds_that_are_to_come(clock: Clock) -> None:
    kinds = ['raki', 'spirit', 'sparse'] * 2
    course = Course('cell', kinds, guesses={'spirit': 100.0, 'sparse': 200.0}, clock=clock)
    course.begin()
    assert course.announcement == (
        f'more than 10 min to go, give or take a factor of {GUESSED}; cell 1 of 6, estimated spirit and sparse from '
        'the size, for one core'
    )
    for _ in range(2):
        clock.now += 10
        course.begin()
    left = course.left
    assert left is not None
    assert (left.seconds, left.basis) == (
        200 + 10 + 10 + 200,
        'from 2 cells so far, sparse from the size, for one core',
    )


def test_parts_that_are_done_at_once_share_the_time(clock: Clock) -> None:
    """Of 100 two at once: after the first 50 s two are over, so that 98 take 25 s each."""
    course = Course('slice', ['grappa'] * 100, n_at_once=2, clock=clock)
    clock.now += 50
    for n_over in (1, 2):
        course.begin()
        course.told(n_over, n_over)
        left = course.left
        assert left is not None
        assert left.seconds == (100 - n_over) * 25
        assert course.done == n_over
    assert course.announcement == (
        'about 41 min to go, give or take a factor of 2; slice 3 of 100, estimated from 2 slices so far'
    )


def test_guesses_of_parts_at_once_are_told_before_the_first_is_over() -> None:
    said: list[str] = []
    with progress_bars(said.append) as watch:
        watch.expect(Course('slice', ['sparse'] * 4, guesses={'sparse': 60.0}, n_at_once=2))
        assert len(said) == 1
        assert said[0].startswith('about 2 min to go')
    with progress_bars(said.append) as watch:
        watch.expect(Course('slice', ['sparse'], guesses={'sparse': 70.0}, n_at_once=2))
    assert len(said) == 2
    assert said[1].startswith('about 1 min to go')


def test_what_is_kept_of_an_earlier_run_is_not_announced() -> None:
    said: list[str] = []
    with progress_bars(said.append) as watch:
        watch.expect(Course('cell', ['sparse'] * 4, guesses={'sparse': 60.0}))
        watch.skip()
        watch.skip()
        assert not said
        watch('slice 0')
    assert len(said) == 1
    assert said[0].startswith('about 2 min to go')


RESULTS = Path(__file__).parents[1] / 'benchmarks' / 'results'


def test_what_is_guessed_is_what_was_measured_give_or_take_three_times() -> None:
    """Slices and volumes of several sizes and numbers of coils; below 0.2 s what does not depend on them counts."""
    rows = json.loads((RESULTS / 'size_cost.json').read_text())['rows']
    assert {row['method'] for row in rows} == {'grappa', 'gated', 'spirit', 'sparse'}
    for row in (row for row in rows if row['learn'] + row['fill'] > 0.2):
        matrix = map(int, row['matrix'].split('x'))
        cost = cost_of(METHODS[row['method']], Size((row['coils'], *matrix), row['acs'], row['pattern'] == 'lattice'))
        assert cost is not None
        if row['method'] in ('spirit', 'sparse'):
            assert 1 / GUESSED < cost.fill / row['fill'] < GUESSED, row
        assert 1 / GUESSED < sum(cost) / (row['learn'] + row['fill']) < GUESSED, row


def test_what_volumes_cost_is_what_was_measured_give_or_take_three_times() -> None:
    """Of 8 coils and an ACS of 12 x 20, less the time to start, which zero filling shows."""
    rows = json.loads((RESULTS / 'volume_memory.json').read_text())['rows']
    started = {row['matrix']: row['cpu_seconds'] for row in rows if row['method'] == 'zero-filled'}
    for row in rows:
        size = Size((8, *map(int, row['matrix'].split('x'))), 12 * 20, has_lattice=True)
        cost = cost_of(METHODS[row['method']], size)
        if cost is not None:
            assert 1 / GUESSED < sum(cost) / (row['cpu_seconds'] - started[row['matrix']]) < GUESSED


def test_nothing_is_guessed_of_training_and_of_references() -> None:
    for name in ('raki', 'raki-complex', 'iraki', 'rraki', 'zero-filled'):
        assert cost_of(METHODS[name], Size((8, 96, 80), 24, has_lattice=True)) is None


def test_a_batch_says_how_long_the_rest_takes() -> None:
    """Of ten two at once: 50 s each, so that nine take 225 s; what was finished before tells nothing."""
    tasks = [Task(Path(f'{number}.h5'), Path(f'out/{number}.h5')) for number in range(10)]
    said: list[str] = []
    lines = BatchLines(len(tasks), said.append)
    outcome = Outcome(scan='a.h5', output='a.h5', method='grappa')
    for task in tasks[:2]:
        lines.started(task)
    lines.finished(tasks[0], outcome, 50.0, is_new=True)
    lines.finished(tasks[1], outcome, 0.1, is_new=False)
    for task in tasks[2:]:
        lines.finished(task, outcome, 50.0, is_new=True)
    assert said[0] == '1 of 10: 0.h5, done, grappa, 50.0 s, about 4 min to go'
    assert said[1] == '2 of 10: 1.h5, unchanged, grappa, 0.1 s, about 3 min to go'
    assert said[-1] == '10 of 10: 9.h5, done, grappa, 50.0 s'


@pytest.mark.parametrize(
    'words',
    [
        ['reconstruct', 'half.h5', '--method', 'spirit', '--slice', '0'],
        ['info', 'half.h5', '--plan', '--method', 'spirit'],
        ['compare', 'full.h5', '-o', 'out', '--methods', 'zero-filled,spirit', '--rates', '2', '--replicas', '0'],
    ],
)
def test_commands_say_what_a_first_slice_may_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """On a machine that is as slow as an hour a step."""
    monkeypatch.chdir(tmp_path)
    for name, rate in (('full', '1'), ('half', '2')):
        assert main(['simulate', '-o', f'{name}.h5', '--matrix', '32x24', '--coils', '3', '--rate', rate]) == 0
    monkeypatch.setattr('raki.commands.costs.AGREED', 400 / prod(Grid((32, 24)).size))
    assert main(words) == 0
    [line] = [line for line in capsys.readouterr().err.splitlines() if ' to go' in line]
    assert re.match(r'raki: (about|more than) \d+ h to go, give or take a factor of 3; (slice|plan|cell) 1 of', line)
    assert line.endswith('estimated spirit from the size, for one core')
