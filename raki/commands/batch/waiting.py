"""Waiting for scans of a batch that elements of an array of SLURM have.

Elements and whoever waits for them share one folder, and nothing else: a scan is over when its record is there.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raki.commands.batch import queue
from raki.commands.batch.pool import RESOURCES, Watcher
from raki.commands.batch.process import Work
from raki.commands.batch.records import Outcome, Records
from raki.commands.batch.tasks import Task
from raki.commands.inputs import shown

POLL = 2.0
"""How often the shared folder is looked at [s]."""

LOOK = 15.0
"""How often SLURM is asked what is still in its queue [s]."""

GRACE = 60.0
"""How long after an element has left the queue what it wrote may take to be seen here [s]: NFS looks that seldom."""


@dataclass(frozen=True, slots=True)
class Array:
    """What was submitted."""

    job: str
    """Its number; none if there was nothing to do."""

    elements: Mapping[Task, tuple[str, Path]]
    """Of every scan the element that has it, as 7_0, and the log of that."""

    before: Mapping[Task, Outcome]
    """Scans that were finished and unchanged: they were not submitted."""

    @property
    def told(self) -> dict[str, str | int]:
        """What is shown of it to programs."""
        return {'job': self.job, 'n_submitted': len(self.elements), 'n_finished': len(self.before)}

    @property
    def line(self) -> str:
        """What is shown of it to people."""
        submitted = f'{len(self.elements)} scan(s) submitted as SLURM job {self.job}' if self.job else 'none submitted'
        return f'{submitted}, {len(self.before)} finished before'


def awaited(array: Array, tasks: Sequence[Task], records: Records, work: Work, watcher: Watcher) -> list[Outcome]:
    """Wait until every scan is over: its record is there, or its element has ended without one."""
    outcomes, began, gone = dict(array.before), dict[Task, float](), Gone()
    for task, outcome in outcomes.items():
        watcher.finished(task, outcome, 0.0, is_new=False)
    while waiting := [task for task in tasks if task not in outcomes]:
        gone.look([array.elements[task][0] for task in waiting])
        made = {path.name for path in records.path.iterdir()}
        for task in waiting:
            if task not in began and records.work(task).name in made:
                began[task] = time.monotonic()
                watcher.started(task)
            outcome = _over(task, records, made)
            if outcome is None and gone.for_good(array.elements[task][0]):
                outcome = _lost(task, work, *array.elements[task])
            if outcome is not None:
                outcomes[task], now = outcome, time.monotonic()
                watcher.finished(task, outcome, now - began.get(task, now), is_new=True)
        watcher.tick()
        time.sleep(POLL)
    return [outcomes[task] for task in tasks]


def _over(task: Task, records: Records, made: Collection[str]) -> Outcome | None:
    """What came of a task; None while it is not over: its record comes before its output."""
    if records.of(task).name not in made or records.work(task).name in made:
        return None
    found = records.kept(task)
    return records.finished(task, found.key) if found is not None and found.is_done else found


def _lost(task: Task, work: Work, element: str, log: Path) -> Outcome:
    """What came of a task whose element has ended without a word of it."""
    line = f'SLURM job {element} ended before this scan was done (cancelled, out of time or memory, or its node failed)'
    error = shown(f'{task.scan}: {line}: see {log}; the same command with --resume does what is left')
    method = work.settings.method
    return Outcome(scan=str(task.scan), output=task.name, exit_code=RESOURCES, error=error, method=method)


class Gone:
    """Which elements have left the queue, and since when."""

    def __init__(self) -> None:
        self._next = 0.0
        self._since: dict[str, float] = {}

    def look(self, elements: Collection[str]) -> None:
        """Ask SLURM for these elements, if it was not asked just now."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next, found = now + LOOK, queue.queued()
        if found is not None:
            self._since = {each: self._since.get(each, now) for each in elements if each not in found}

    def for_good(self, element: str) -> bool:
        """Whether all that an element wrote can be seen by now."""
        return time.monotonic() - self._since.get(element, float('inf')) > GRACE
