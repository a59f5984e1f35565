"""One thread beside a connection: it does what it is given, in order, while lines keep coming."""

from collections.abc import Callable
from queue import Queue
from threading import Event, Thread
from typing import Generic, Self, TypeVar

from raki.interpolation.calibration import Progress

Task = TypeVar('Task')

KNOWN_FAILURES = (ValueError, ArithmeticError, MemoryError, OSError, RuntimeError)
"""What scans, methods, machines and connections are known to raise."""


class CancelledError(RuntimeError):
    """The connection has ended: nobody wants the result any more."""


class Worker(Generic[Task]):
    """Do tasks one after the other, at most one waiting; what fails is raised where tasks are given.

    `interrupt` is called when a task has failed: it should wake up who waits for more to give. `is_over` tells that
    nobody wants anything any more.
    """

    def __init__(
        self,
        do: Callable[[Task, Progress], None],
        interrupt: Callable[[], object],
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._do, self._interrupt, self._is_over = do, interrupt, is_over
        self._tasks: Queue[Task | None] = Queue(maxsize=1)
        self._is_cancelled = Event()
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Wait for what was given; where something went wrong, drop it instead, and raise what went wrong first."""
        if kind is not None:
            self._is_cancelled.set()
        self._tasks.put(None)
        self._thread.join()
        if not isinstance(self._failure, CancelledError):
            self.raise_failure()

    def give(self, task: Task) -> None:
        """Add a task, as soon as there is room for it."""
        self.raise_failure()
        self._tasks.put(task)

    def raise_failure(self) -> None:
        """Raise what a task has raised."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            if self._failure is None and not self._is_unwanted:
                try:
                    self._do(task, self._progress)
                except BaseException as failure:  # noqa: BLE001 - raised again where tasks are given
                    self._failure = failure
                    self._interrupt()
            del task

    @property
    def _is_unwanted(self) -> bool:
        return self._is_cancelled.is_set() or self._is_over()

    def _progress(self, step: int, n_steps: int) -> None:
        """Told by a method while it learns; ends that where nobody waits for it."""
        del step, n_steps
        if self._is_unwanted:
            raise CancelledError('the connection has ended')
