"""What a person at a terminal sees of a batch, and how to interrupt a command: tables, signals."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import mean
from types import FrameType

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

from raki.commands.batch.pool import Watcher
from raki.commands.batch.records import Outcome
from raki.commands.batch.tasks import Task
from raki.commands.progress import WORTH_SAYING, spoken
from raki.commands.tables import escape
from raki.data.signals import handled

STOPPED = {
    getattr(signal, name): word
    for name, word in {
        'SIGINT': 'interrupted',
        'SIGTERM': 'terminated',
        'SIGHUP': 'hung up',
        'SIGXCPU': 'out of CPU time (ulimit -t)',
    }.items()
    if hasattr(signal, name)
}
"""What signals that end a command do to it."""

REPEATED = ('SIGHUP', 'SIGXCPU')
"""Those that come again by themselves."""


class _Pace:
    """How fast scans get on, as those tell that were reconstructed."""

    def __init__(self, n_scans: int) -> None:
        self.n_scans, self.n_over, self._seconds = n_scans, 0, list[float]()
        self._running, self._n_at_once = set[Task](), 1

    def started(self, task: Task) -> None:
        """Another one is at work."""
        self._running.add(task)
        self._n_at_once = max(self._n_at_once, len(self._running))

    def finished(self, task: Task, seconds: float, *, is_new: bool) -> None:
        """One is over."""
        self._running.discard(task)
        self.n_over += 1
        if is_new:
            self._seconds.append(seconds)

    @property
    def left(self) -> str:
        """How long the rest may take, where that is worth saying."""
        n_left = self.n_scans - self.n_over
        seconds = n_left * mean(self._seconds) / min(n_left, self._n_at_once) if self._seconds and n_left else 0.0
        return f', about {spoken(seconds)} to go' if seconds >= WORTH_SAYING else ''


class BatchLines(Watcher):
    """A line for every scan that is over, where nobody watches."""

    def __init__(self, n_scans: int, log: Callable[[str], object]) -> None:
        self._pace, self._log = _Pace(n_scans), log

    def started(self, task: Task) -> None:
        """A worker has this scan."""
        self._pace.started(task)

    def finished(self, task: Task, outcome: Outcome, seconds: float, *, is_new: bool) -> None:
        """Write what came of a scan."""
        self._pace.finished(task, seconds, is_new=is_new)
        told = _cells(task, outcome, seconds, is_new=is_new)
        said = ', '.join(text for text in told if text)
        self._log(f'{self._pace.n_over} of {self._pace.n_scans}: {said}{self._pace.left}')


class BatchTable(Watcher):
    """Scans that are being reconstructed, and as many of those that are over as there is room for."""

    def __init__(self, n_scans: int, live: Live) -> None:
        self._pace, self._live = _Pace(n_scans), live
        self._running: dict[Task, float] = {}
        self._over: list[tuple[str, ...]] = []
        self._n_failed = 0

    def started(self, task: Task) -> None:
        """A worker has this scan."""
        self._pace.started(task)
        self._running[task] = time.monotonic()
        self.tick()

    def finished(self, task: Task, outcome: Outcome, seconds: float, *, is_new: bool) -> None:
        """Keep what came of a scan."""
        self._pace.finished(task, seconds, is_new=is_new)
        self._running.pop(task, None)
        self._over.append(_cells(task, outcome, seconds, is_new=is_new))
        self._n_failed += not outcome.is_done
        self.tick()

    def tick(self) -> None:
        """Draw the table as it is now."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in ('scan', 'state', 'method', 'time', 'warnings'):
            table.add_column(name, overflow='fold')
        room = max(1, self._live.console.height - len(self._running) - 6)
        for cells in self._over[-room:]:
            table.add_row(*map(escape, cells))
        for task, since in self._running.items():
            table.add_row(escape(str(task.scan)), 'running', '', f'{time.monotonic() - since:.0f} s', '')
        table.caption = f'{len(self._over)} of {self._pace.n_scans} over, {self._n_failed} failed{self._pace.left}'
        self._live.update(table, refresh=True)


def _cells(task: Task, outcome: Outcome, seconds: float, *, is_new: bool) -> tuple[str, str, str, str, str]:
    """Scan, state, method, time, warnings."""
    state = ('done' if is_new else 'unchanged') if outcome.is_done else f'failed ({outcome.error})'
    warnings = f'{len(outcome.warnings)} warning(s)' if outcome.warnings else ''
    return str(task.scan), state, outcome.method, f'{seconds:.1f} s', warnings


@contextmanager
def batch_watcher(log: Callable[[str], object]) -> Iterator[Callable[[int], Watcher]]:
    """Give what shows, on stderr, how so many scans get on: a table on a terminal, else a line of `log` for each."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda n_scans: BatchLines(n_scans, log)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda n_scans: BatchTable(n_scans, live)


class Stopped(BaseException):
    """A signal asked the command to end; its notes say what was kept, and none that nothing was."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """130 interrupted, 143 terminated, 129 hung up; 5 where time does not suffice."""
        return 5 if signal.Signals(self.number).name == 'SIGXCPU' else 128 + self.number

    def __str__(self) -> str:
        return f'{STOPPED[self.number]}, {"; ".join(getattr(self, "__notes__", ())) or "nothing was written"}'


@contextmanager
def terminable() -> Iterator[None]:
    """Let signals, as people, batch systems and lost connections send them, end a command in good order by `Stopped`.

    Temporary files are then removed. A second signal ends it at once, except that terminals hang up twice, and CPU time
    is over every second. What is ignored, as by nohup, stays so.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in obeyed:
            signal.signal(each, signal.SIG_IGN if signal.Signals(each).name in REPEATED else signal.SIG_DFL)
        raise Stopped(number)

    obeyed = [number for number in STOPPED if signal.getsignal(number) is not signal.SIG_IGN]
    with handled(dict.fromkeys(obeyed, stop)):
        yield
