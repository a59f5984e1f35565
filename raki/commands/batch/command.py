"""What `raki batch` does: plan, let all be reconstructed here or on a cluster, sum up."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raki.commands.batch.pool import Pool, Watcher
from raki.commands.batch.process import Work, environment, n_cores
from raki.commands.batch.queue import require_idle
from raki.commands.batch.records import Outcome, Records
from raki.commands.batch.summary import write_summary
from raki.commands.batch.tasks import Task, tasks_for
from raki.commands.inputs import UsageError, shown
from raki.commands.settings import Settings
from raki.data.memory import WORKING_BYTES, memory_bytes

Run = Callable[[Sequence[Task], Watcher], list[Outcome]]
"""Does all tasks, tells how they get on, and gives what came of each, in their order."""

Machine = Callable[[Work, Records, int], AbstractContextManager[Run]]
"""Where a batch of so many scans runs. Entered before anything is written, so that it can refuse."""

GPUS = '/dev', ('nvidia[0-9]*', 'kfd')
"""Where Linux shows GPUs: without any there is no need to ask the first worker before others are started."""


@dataclass(slots=True, eq=False)
class Watched(Watcher):
    """Passes on what happens, and keeps how long it took."""

    others: Sequence[Watcher] = ()
    times: dict[str, dict[str, object]] = field(default_factory=dict)
    """Of every task that this run has seen, by its name."""

    def started(self, task: Task) -> None:
        """A worker has this task."""
        for other in self.others:
            other.started(task)

    def finished(self, task: Task, outcome: Outcome, seconds: float, *, is_new: bool) -> None:
        """Say what came of a task."""
        state = 'failed' if not outcome.is_done else 'done' if is_new else 'skipped'
        self.times[shown(task.name)] = {'state': state, 'seconds': round(seconds, 3)}
        for other in self.others:
            other.finished(task, outcome, seconds, is_new=is_new)

    def tick(self) -> None:
        """Time goes by."""
        for other in self.others:
            other.tick()


def batch_files(
    words: Sequence[str], folder: Path, work: Work, machine: Machine, watcher: Callable[[int], Watcher]
) -> dict[str, Any]:
    """Reconstruct every scan that words name into a folder; give the summary.

    Parameters
    ----------
    words, folder
        As `raki.commands.batch.tasks.tasks_for` takes them.
    work, machine
        What to do, and where.
    watcher
        Gives who is told what happens, of a number of scans.

    Raises
    ------
    UsageError
        If nothing can be done like this: nothing has been written then.
    ResourceError
        If nothing can start, or another batch is writing to the folder.
    """
    records, tasks = planned(words, folder, work)
    with machine(work, records, len(tasks)) as run, begun(records, tasks, work.settings):
        watched = Watched([watcher(len(tasks))])
        outcomes = run(tasks, watched)
        for task, outcome in zip(tasks, outcomes, strict=True):
            if not outcome.is_done:
                records.keep(task, outcome)
        summary = write_summary(records, outcomes, work.settings, watched.times)
        records.tidy()
    return summary


def planned(words: Sequence[str], folder: Path, work: Work) -> tuple[Records, list[Task]]:
    """Give what is to be done, and where records of it are; a UsageError or ResourceError where it must not be."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f'-o must name a folder, but {shown(folder)} is a file')
    records = Records(folder)
    records.require_ours()
    require_idle(records)
    return records, tasks_for(words, folder, work.suffix, records.outputs())


@contextmanager
def begun(records: Records, tasks: Sequence[Task], settings: Settings) -> Iterator[None]:
    """Let this run alone write to the folder, which has the plan."""
    records.path.mkdir(parents=True, exist_ok=True)
    with records.locked():
        records.begin(tasks, settings)
        yield


@contextmanager
def here(n_workers: int | None, work: Work, records: Records, n_tasks: int) -> Iterator[Run]:
    """Give what reconstructs in processes of this machine: by default one per GPU, or without one per core."""
    del records
    with Pool(work) as pool:
        start_workers(pool, work, n_tasks, n_workers)
        yield lambda tasks, watcher: pool.run(tasks, memory_bytes(), watcher)


def start_workers(pool: Pool, work: Work, n_tasks: int, n_workers: int | None) -> None:
    """Start workers, no more than there is memory for, and wait until one is ready."""
    device = work.settings.device
    may_have_gpu = device != 'cpu' if device else any(any(Path(GPUS[0]).glob(name)) for name in GPUS[1])
    n_wanted = min(n_tasks, memory_bytes() // WORKING_BYTES)
    n_on_cores = max(1, min(n_wanted, n_workers or n_cores() // work.threads))
    for _ in range(1 if may_have_gpu else n_on_cores):
        pool.start(environment(work.threads))
    ready = pool.first_ready()
    if may_have_gpu:
        n_gpus = ready['gpus'] if ready['device'] == 'cuda' else 0
        for number in range(1, min(n_wanted, n_workers or n_gpus) if n_gpus else n_on_cores):
            is_any = n_gpus > 0 and device in (None, 'cuda')
            pool.start(environment(work.threads, number % n_gpus if is_any else None))
