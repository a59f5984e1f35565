"""Slices of one file, one after the other here, or several at once in processes of their own.

A process is forked when its slice has been read, so that it starts with all that it needs, and at once; it has one
thread, and sends back what came of it.
"""

import math
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass

from raki.commands.inputs import UsageError
from raki.commands.parts import Done, Part
from raki.data.apart import KNOWN
from raki.data.boundary import OURS
from raki.data.child import IS_POSSIBLE, Child, Role
from raki.data.memory import COMPLEX64_BYTES, COPIES, room_bytes
from raki.data.messages import Elsewhere
from raki.data.records import name_of
from raki.data.save import OutputImage
from raki.fits.known import makers
from raki.fits.stored import Fit
from raki.interpolation.calibration import Progress, silent

Prepared = Callable[[Part], Callable[[Progress], Done]]
"""From a part to what reconstructs it; whatever parts have in common is looked at in order, here."""

WORKER = Role(
    'its process ended without a result: try again',
    'its process was killed, as systems do when memory runs out: use fewer --workers',
    'its process crashed ({}): try again without --workers',
    lambda _name: nullcontext(),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that is none of ours, on its way from a process."""

    kind: str
    """Name of its class."""
    text: str
    trace: str

    @property
    def error(self) -> Exception:
        """One that is told as it would have been."""
        error = type(self.kind, (Exception,), {})(self.text)
        error.__cause__ = Elsewhere(self.trace)
        return error


def require_workers(n_workers: int, device: str) -> None:
    """Raise a UsageError where there cannot be so many processes: on a GPU, or on systems without fork."""
    if n_workers > 1 and device != 'cpu':
        raise UsageError(f'--workers {n_workers} are processes on cores, but --device is {device}: add --device cpu')
    if n_workers > 1 and not IS_POSSIBLE:
        raise UsageError(f'--workers {n_workers} needs Linux, where processes can be forked: leave it out')


def each_done(
    parts: Iterable[Part], prepared: Prepared, n_workers: int, progress_for: Callable[[str], Progress], method: str
) -> Iterator[tuple[Part, Done]]:
    """Give what came of every part, in their order.

    Parameters
    ----------
    parts, prepared
        What to reconstruct, and how.
    n_workers
        How many at once, as far as memory holds them.
    progress_for, method
        From the name of what is being done to who is told how far it is, and by which method it is done.

    Raises
    ------
    ScanError, CalibrationError, TrainingError, ResourceError
        As whoever reconstructs a part raises them, the first first; then no process is left.
    """
    if n_workers == 1:
        for part in parts:
            yield part, prepared(part)(progress_for(f'{part.name}: {method}'))
        return
    with closing(_in_processes(parts, prepared, n_workers)) as every:
        for number, (part, done) in enumerate(every, start=1):
            progress_for(f'{part.name}: {method}')(number, number)
            yield part, done


def _in_processes(parts: Iterable[Part], prepared: Prepared, n_workers: int) -> Generator[tuple[Part, Done]]:
    at_work = deque[tuple[Part, Child]]()
    try:
        for part in parts:
            at_work.append((part, _started(part, prepared(part))))
            needs = COPIES * COMPLEX64_BYTES * part.scan.kspace.numel()
            if len(at_work) >= n_workers or needs > room_bytes() - needs * len(at_work):
                yield _finished(*at_work.popleft())
        while at_work:
            yield _finished(*at_work.popleft())
    finally:
        for _, child in at_work:
            child.close()


def _started(part: Part, do: Callable[[Progress], Done]) -> Child:
    def answer() -> Done | Failure:
        try:
            return do(silent)
        except OURS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the process that asked must tell it
            return Failure(type(error).__name__, str(error), traceback.format_exc())

    own = {name_of(kind): kind for kind in (Done, Failure, OutputImage, Fit)}
    child = Child(part.name, answer, {**KNOWN, **makers(), **own}, WORKER)
    child.begin()
    return child


def _finished(part: Part, child: Child) -> tuple[Part, Done]:
    try:
        found: Done | Failure = child.finish(math.inf)
    finally:
        child.close()
    if isinstance(found, Failure):
        raise found.error
    return part, found
