"""How far a command is: which of its parts, what the rest may cost, and a word before more than a minute is spent.

Costs are told by what was done already: parts that cost alike, such as cells of one method, cost what those that are
over took. Of the first one of a method that is trained, steps tell as soon as some are done; what follows training,
such as noise maps, comes on top. Of others there may be guesses, see `raki.commands.costs`, until a part is over.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from statistics import mean
from types import MappingProxyType
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from raki.commands.inputs import shown

Steps = Callable[[int, int], None]
"""Told (steps done, steps in all), as `raki.interpolation.calibration.Progress`."""

WORTH_SAYING = 60.0
"""Costs above this are announced [s]."""

LEAST_SEEN = 2.0
"""As long must steps have taken before they tell anything [s]."""

MORE = 2.0
"""What was announced is said again when it comes out so many times as large [1]."""

SEEN, GUESSED = 2, 3
"""How many times more or less it may well be than what was told by what is done, or by the size alone [1]."""

NOTHING: Mapping[str, float] = MappingProxyType({})


class Left(NamedTuple):
    """What the rest costs."""

    seconds: float
    is_whole: bool
    """Whether all of it is known; else there are parts of kinds that nothing is known of yet."""
    basis: str
    """What it was told by, in words."""
    factor: int
    """How many times more or less it may well be."""

    def __str__(self) -> str:
        return f'{"about" if self.is_whole else "more than"} {spoken(self.seconds)}'


def spoken(seconds: float) -> str:
    """A time as people say it."""
    for size, name in ((3600, 'h'), (60, 'min')):
        if seconds >= 2 * size or (seconds >= size and name == 'min'):
            return f'{seconds / size:.0f} {name}'
    return f'{seconds:.0f} s'


class Course:
    """Parts of a command in their order, and what they cost."""

    def __init__(
        self,
        unit: str,
        kinds: Sequence[str],
        n_fits: int = 1,
        guesses: Mapping[str, float] = NOTHING,
        n_at_once: int = 1,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Of parts called `unit`, one of each of `kinds`.

        Each fits so many times, and tells of the first. Guesses of what parts cost, by kind [s], hold until one is
        over. Of parts that are done at once, which are of one kind, only the end is told.
        """
        self.unit, self.kinds, self._n_fits, self._clock = unit, list(kinds), n_fits, clock or time.monotonic
        self._guesses, self.n_at_once = guesses, n_at_once
        self._begun, self._costs, self._announced = self._clock(), dict[str, list[float]](), 0.0
        self.number, self._since = (1, self._begun) if n_at_once > 1 else (0, None)
        self._steps = 0, 0
        self._fit: float | None = None
        self._first: tuple[int, float] | None = None

    @property
    def seconds(self) -> float:
        """Since all of it began."""
        return self._clock() - self._begun

    @property
    def done(self) -> float:
        """Parts that are over, the one at work as far as it tells; one step tells nothing, as more may follow it."""
        done, total = self._steps
        return max(0, self.number - 1) + (done / total if total > 1 else 0.0)

    def begin(self) -> None:
        """Another part begins, and the one before is over."""
        self._next(self._clock())

    def skip(self) -> None:
        """Another part is known already."""
        self._next(None)

    def _next(self, since: float | None) -> None:
        if self.n_at_once > 1:
            in_rounds = ceil(self.number / self.n_at_once) * self.n_at_once
            self._costs[self.kinds[0]] = [self.seconds / in_rounds] * self.number
        elif self._since is not None and self.number <= len(self.kinds):
            self._costs.setdefault(self.kinds[self.number - 1], []).append(self._clock() - self._since)
        self.number, self._since, self._steps = self.number + 1, since, (0, 0)
        self._fit = self._first = None

    def told(self, done: int, total: int) -> None:
        """How many steps of the first fit of the part at work are done."""
        if self.n_at_once > 1:
            return
        self._steps, elapsed = (done, total), self._elapsed
        self._first = first_done, first_elapsed = self._first or (done, elapsed)
        if done == total:
            self._fit = elapsed
        elif done > first_done and elapsed >= first_elapsed + LEAST_SEEN:  # what came before steps is none of them
            self._fit = elapsed + (total - done) * (elapsed - first_elapsed) / (done - first_done)

    @property
    def _elapsed(self) -> float:
        """Since the part at work began [s]."""
        return 0.0 if self._since is None else self._clock() - self._since

    @property
    def left(self) -> Left | None:
        """What the rest costs; None where nothing is known."""
        to_come = self.kinds[max(0, self.number - 1) :]
        known = {kind: cost for kind in dict.fromkeys(self.kinds) if (cost := self._cost(kind)) is not None}
        if not to_come or not known:
            return None
        seconds = sum(known.get(kind, 0.0) for kind in to_come[1:])
        seconds += max(0.0, known.get(to_come[0], 0.0) - self._elapsed)
        guessed = [kind for kind in dict.fromkeys(to_come) if kind in self._guesses and kind not in self._costs]
        basis = self._basis(to_come[0], guessed)
        return Left(seconds, set(to_come) <= set(known), basis, GUESSED if guessed else SEEN)

    def _cost(self, kind: str) -> float | None:
        """Of a part of this kind, as far as it is known [s]."""
        if kind in self._costs:
            return mean(self._costs[kind])
        if kind in self._guesses:
            return self._guesses[kind] / min(self.n_at_once, len(self.kinds))
        is_at_work = self.kinds[self.number - 1 : self.number] == [kind]
        return self._n_fits * self._fit if is_at_work and self._fit is not None else None

    def _basis(self, current: str, guessed: Sequence[str]) -> str:
        over = sum(map(len, self._costs.values()))
        told = [f'from {over} {self.unit}{"s" * (over > 1)} so far'] * bool(over)
        if self._fit is not None and current not in {*self._costs, *guessed}:
            done, total = self._steps
            steps = f'{done} of {total} steps' if total > 1 else 'its first fit'
            told.append(f'{current} from {steps}, without what follows')
        if guessed:
            told.append(f'{" and ".join(guessed)} from the size, for one core')
        return ', '.join(told)

    @property
    def announcement(self) -> str | None:
        """What is to be said of costs, once, and again where they come out much larger."""
        left = self.left if self._guesses or self.seconds >= LEAST_SEEN else None
        if left is None or left.seconds < max(WORTH_SAYING, MORE * self._announced):
            return None
        self._announced = left.seconds
        where = f'{self.unit} {max(1, self.number)} of {len(self.kinds)}'
        return f'{left} to go, give or take a factor of {left.factor}; {where}, estimated {left.basis}'


class Watch:
    """Whom a command tells how far it is; this one passes on steps only."""

    def __init__(self, progress_for: Callable[[str], Steps] = lambda _name: lambda _done, _total: None) -> None:
        self._progress_for = progress_for

    @classmethod
    def of(cls, progress_for: Callable[[str], Steps]) -> 'Watch':
        """One for a plain function; the same, if it is one already."""
        return progress_for if isinstance(progress_for, Watch) else cls(progress_for)

    def expect(self, course: Course) -> None:
        """Hear of all parts before the first one."""

    def skip(self) -> None:
        """Hear that a part is known already."""

    def __call__(self, name: str) -> Steps:
        """Hear that a part begins, and give what is told of its steps."""
        return self._progress_for(name)


class _Told(ProgressColumn):
    """What a function says at the moment."""

    max_refresh = 0.2

    def render(self, task: Task) -> Text:
        return Text(task.fields['told'](task), style='progress.elapsed')


class Shown(Watch):
    """Shows all of it on stderr, if that is a terminal, and says what is costly anyhow."""

    def __init__(self, bars: Progress, log: Callable[[str], object]) -> None:
        super().__init__()
        self._bars, self._log = bars, log
        self._course: Course | None = None
        self._whole = bars.add_task('reading', total=None, told=lambda _task: '')
        self._part = bars.add_task('', total=None, visible=False, told=_steps)

    def expect(self, course: Course) -> None:
        """See `Watch`."""
        self._course = course
        self._bars.update(self._whole, total=len(course.kinds), visible=True, told=lambda _task: self._times())
        if course.n_at_once > 1:  # others begin at once
            self._announce()

    def skip(self) -> None:
        """See `Watch`."""
        if self._course:
            self._course.skip()
            self._move()

    def __call__(self, name: str) -> Steps:
        """See `Watch`."""
        if self._course:
            self._course.begin()
            self._move()
            self._announce()
        else:
            self._bars.update(self._whole, visible=False)
        self._bars.reset(self._part, description=escape(shown(name)), total=None, visible=True)
        return self._stepped

    def _stepped(self, done: int, total: int) -> None:
        if total > 1:
            self._bars.update(self._part, completed=done, total=total)
        if self._course:
            self._course.told(done, total)
            self._move()
            self._announce()

    def _move(self) -> None:
        course = self._course
        assert course is not None
        name = f'{course.unit} {min(course.number, len(course.kinds))} of {len(course.kinds)}'
        self._bars.update(self._whole, description=name, completed=course.done)

    def _announce(self) -> None:
        if self._course and (text := self._course.announcement):
            self._log(text)

    def _times(self) -> str:
        course = self._course
        left = course.left if course else None
        gone = spoken(course.seconds) if course else ''
        return gone if left is None or left.seconds < 1 else f'{gone}, {left} left'


def _steps(task: Task) -> str:
    return f'{task.completed:.0f}/{task.total:.0f}' if task.total and task.total > 1 else ''


@contextmanager
def progress_bars(log: Callable[[str], object]) -> Iterator[Watch]:
    """Show on stderr, if it is a terminal, which part a command is at, and what is being done; `log` hears of costs."""
    console = Console(stderr=True)
    columns = TextColumn('{task.description}'), BarColumn(20), _Told()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield Shown(bars, (lambda text: console.print(f'raki: {escape(shown(text))}')) if console.is_terminal else log)
