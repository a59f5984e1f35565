"""Workers: given scans as memory allows, and replaced where one crashes or takes too long."""

import json
import selectors
import signal
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from raki.commands.batch.process import Work, Worker, started
from raki.commands.batch.records import Outcome
from raki.commands.batch.tasks import Task
from raki.commands.inputs import UsageError, shown
from raki.errors import ResourceError

TICK = 0.5
"""How often whoever watches is called at least [s]."""

DAMAGED, RESOURCES, UNEXPECTED = 3, 5, 70
"""Exit codes: of files that crash whoever reads them, of what the machine is too small or slow for, of all else."""


class Watcher:
    """Is told what happens; does nothing about it."""

    def started(self, task: Task) -> None:
        """A worker has this task."""

    def finished(self, task: Task, outcome: Outcome, seconds: float, *, is_new: bool) -> None:
        """What came of a task, new or from before."""

    def tick(self) -> None:
        """Time goes by."""


class Pool:
    """Workers, as a context: none is left when it ends."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._workers: list[Worker] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.end()
        self._selector.close()

    def start(self, environment: Mapping[str, str]) -> None:
        """Start one more worker."""
        worker = started(self._work, environment)
        self._workers.append(worker)
        self._selector.register(worker.output, selectors.EVENT_READ, worker)

    def first_ready(self) -> dict[str, Any]:
        """Wait until a worker is ready, and give what it says of the machine.

        Raises
        ------
        UsageError
            If settings do not fit together.
        ResourceError
            If none can start.
        """
        while True:
            for worker, message in self._heard():
                if message is None:
                    self._bury(worker)
                elif 'ready' in message:
                    return message['ready']

    def run(self, tasks: Sequence[Task], memory: int, watcher: Watcher) -> list[Outcome]:
        """Do all tasks, and give what came of each, in their order.

        Parameters
        ----------
        tasks, watcher
            What to do, and who is told.
        memory
            What tasks that run at once may take together [byte]; one alone takes what it takes.
        """
        waiting, outcomes = deque(tasks), dict[Task, Outcome]()
        while len(outcomes) < len(tasks):
            for worker in self._workers:
                if worker.is_ready and worker.task is None and waiting:
                    task = waiting.popleft()
                    worker.give(task)
                    watcher.started(task)
            self._admit(memory)
            for worker, outcome in self._over(is_more_to_do=bool(waiting)):
                assert worker.task is not None
                outcomes[worker.task] = outcome
                seconds = time.monotonic() - worker.since
                watcher.finished(worker.task, outcome, seconds, is_new=bool(worker.needs) or not outcome.is_done)
                worker.task = None
            watcher.tick()
        return [outcomes[task] for task in tasks]

    def _heard(self) -> Iterator[tuple[Worker, dict[str, Any] | None]]:
        """What workers say, None for one that has ended; waits a moment for it."""
        for key, _ in self._selector.select(TICK):
            messages = key.data.messages()
            for message in (None,) if messages is None else messages:
                if message and 'refused' in message:
                    raise UsageError(message['refused'])
                key.data.is_ready |= message is not None
                yield key.data, message

    def _over(self, *, is_more_to_do: bool) -> Iterator[tuple[Worker, Outcome]]:
        yield from self._ended(is_more_to_do=is_more_to_do)
        yield from self._overdue(is_more_to_do=is_more_to_do)

    def _ended(self, *, is_more_to_do: bool) -> Iterator[tuple[Worker, Outcome]]:
        """Tasks that workers are done with, or have died of."""
        for worker, message in self._heard():
            if message is None:
                code = self._bury(worker)
                if worker.task is not None:
                    yield worker, self._failed(worker.task, *told_by(code, worker.words))
                if worker.is_ready and is_more_to_do:
                    self.start(worker.environment)
            elif 'needs' in message:
                worker.needs = max(message['needs'], 1)
            elif 'outcome' in message:
                yield worker, Outcome.model_validate_json(json.dumps(message['outcome']))

    def _overdue(self, *, is_more_to_do: bool) -> Iterator[tuple[Worker, Outcome]]:
        """Tasks that take too long; their workers end."""
        for worker in list(self._workers):
            if worker.task is not None and time.monotonic() - worker.since > self._work.seconds:
                worker.process.kill()
                self._bury(worker)
                line = f'takes longer than {self._work.seconds:g} s: allow more with --timeout'
                yield worker, self._failed(worker.task, RESOURCES, line)
                if is_more_to_do:
                    self.start(worker.environment)

    def _admit(self, memory: int) -> None:
        """Let the next go on that wait for memory, the first first, so that large ones get their turn."""
        taken = sum(worker.needs for worker in self._workers if worker.task and worker.is_admitted)
        waiting = [each for each in self._workers if each.task and each.needs and not each.is_admitted]
        for worker in sorted(waiting, key=lambda each: each.since):
            if taken and taken + worker.needs > memory:
                return
            taken, worker.is_admitted = taken + worker.needs, True
            worker.tell('go')

    def _failed(self, task: Task, code: int, line: str) -> Outcome:
        method = self._work.settings.method
        return Outcome(
            scan=str(task.scan), output=task.name, exit_code=code, error=shown(f'{task.scan}: {line}'), method=method
        )

    def _bury(self, worker: Worker) -> int:
        """Forget a worker that has ended; a ResourceError if none is left that could ever start."""
        self._selector.unregister(worker.output)
        self._workers.remove(worker)
        code = worker.process.wait()
        worker.words = worker.last_words()
        worker.close()
        if not self._workers and not worker.is_ready:
            raise ResourceError(f'no worker process can start ({worker.words or f"exit code {code}"})')
        return code


def told_by(code: int, words: str) -> tuple[int, str]:
    """Exit code and line of a scan whose worker died."""
    if code >= 0:
        return UNEXPECTED, f'ended unexpectedly: {words or f"exit code {code}"}'
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f'signal {-code}'
    if code == -signal.SIGKILL:
        return RESOURCES, f'its process was killed ({name}), as systems do that are out of memory: use fewer --workers'
    return DAMAGED, f'its process crashed ({name}): the file may be damaged'
