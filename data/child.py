"""A child process that reads one file and answers questions about it: what it does to itself, it does to nobody else.

Libraries loop in C, crash, or ask for more memory than there is where a file is damaged; in a child all of these end
as an error. It is forked, so it needs no time to start; it runs one thread, because those of the parent do not exist
there; and it goes away with whoever asked: when it is not needed any more, at the end, and when the parent dies.
"""

import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch

from raki.data.boundary import OURS, reading
from raki.data.memory import limit_memory
from raki.data.messages import receive, send, send_error
from raki.data.signals import die_with_parent
from raki.errors import ResourceError, ScanError

Answer = Callable[..., object]
"""What the child does: from some numbers to a value that `raki.data.records.packed` takes."""

Known = Mapping[str, Callable[..., object]]
"""Classes that come back, or what makes them, by `raki.data.records.name_of`."""

IS_POSSIBLE = sys.platform == 'linux' and hasattr(os, 'fork')
"""Elsewhere there is no fork, or libraries of the system do not survive it (macOS)."""

END_SECONDS = 5.0
"""How long the end of a killed child is waited for [s]; one that waits for a disk cannot end before that answers."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer may take."""

    seconds: float = 30.0
    """Whatever is asked [s]."""

    bytes_per_second: float = 10e6
    """Slowest disk that is waited for [byte/s]."""

    def of(self, n_bytes: int) -> float:
        """Time for reading so many bytes [s]."""
        return self.seconds + n_bytes / self.bytes_per_second


@dataclass(frozen=True, slots=True)
class Role:
    """What a child is there for: how its end, and errors in it, are told."""

    ended: str
    """That it ended by itself."""
    killed: str
    """That it was killed, as for memory."""
    crashed: str
    """That it ended by the signal {}."""
    boundary: Callable[[str], AbstractContextManager[None]]
    """What errors become in it, and on the way, given the name that stands in them."""


READER = Role(
    'cannot be read, the process that read it ended: read the file again',
    'the process that read it was killed, as systems do when memory runs out: use a larger machine, or raise the '
    'limits on memory and CPU time',
    'cannot be read, the library for it crashed ({}): the file is damaged',
    reading,
)


class Child:
    """A child process at the other end of a socket."""

    def __init__(self, name: str, answer: Answer, known: Known, role: Role = READER) -> None:
        """Fork. `name` stands in errors; `answer` runs in the child; `known` classes come back from it."""
        self._name, self._known, self._role, self._lock = name, known, role, threading.Lock()
        self._connection, other = socket.socketpair()
        with warnings.catch_warnings():
            # Python 3.12 warns of threads at a fork: the child enters no lock and no parallel region of theirs
            warnings.filterwarnings('ignore', message='.*multi-threaded.*', category=DeprecationWarning)
            is_main = threading.current_thread() is threading.main_thread()
            self._pid = os.fork()
        if self._pid == 0:
            _live(other, self._connection, partial(_answer, name, answer, role), dies_with_thread=is_main)
        other.close()
        self.close = weakref.finalize(self, _end, self._connection, self._pid, os.getpid())
        """End the child; it happens by itself when nobody refers to this any more."""

    def ask(self, *numbers: int, seconds: float) -> Any:
        """What the child answers.

        Raises
        ------
        ScanError, ResourceError
            As the child raised it, or if it did not answer within `seconds`, or died.
        """
        with self._lock:
            self.begin(*numbers)
            return self.finish(seconds)

    def begin(self, *numbers: int) -> None:
        """Ask, and do not wait."""
        with suppress(ConnectionError):  # that it has died is told by `finish`
            send(self._connection, list(numbers))

    def finish(self, seconds: float) -> Any:
        """What the child answers to what was asked; errors as of `ask`."""
        with self._role.boundary(self._name):
            try:
                return receive(self._connection, self._known, seconds)
            except TimeoutError as error:
                self.close()
                raise ScanError(
                    f'{self._name}: cannot be read, nothing came of it within {seconds:.0f} s: the file is damaged, or '
                    'its disk too slow: copy it to another one'
                ) from error
            except (EOFError, ConnectionError) as error:
                raise _death(self._name, self._role, self.close()) from error


def _live(
    connection: socket.socket, parents: socket.socket, reply: Callable[[socket.socket], None], **how: bool
) -> NoReturn:
    """All that the child does, and its end: nothing of the parent's must happen twice."""
    try:
        parents.close()
        _prepare(**how)
        while True:
            reply(connection)
    finally:
        os._exit(0)


def _prepare(*, dies_with_thread: bool) -> None:
    """Be silent, alone and small."""
    gc.freeze()  # what is garbage in the parent is not ours to finalize
    faulthandler.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the parent ends us
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    if dies_with_thread:
        die_with_parent()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    sys.stdout = sys.stderr = os.fdopen(nothing, 'w', encoding='utf-8')  # what has been put in their place, too
    with suppress(OSError):
        Path('/proc/self/oom_score_adj').write_text('1000', encoding='ascii')
    torch.set_num_threads(1)
    limit_memory()


def _answer(name: str, answer: Answer, role: Role, connection: socket.socket) -> None:
    numbers = receive(connection, {})
    try:
        with role.boundary(name):
            send(connection, answer(*numbers))
    except OURS as error:
        send_error(connection, error, traceback.format_exc())


def _end(connection: socket.socket, pid: int, owner: int) -> int | None:
    """Kill the child and wait for it; what the system says of its end, None if nothing."""
    connection.close()
    if os.getpid() != owner:
        return None
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + END_SECONDS
        while time.monotonic() < until:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                return status
            time.sleep(0.001)
    return None


def _death(name: str, role: Role, status: int | None) -> Exception:
    """Why there is no answer; a child that had died by itself is not changed by being killed."""
    if status is None or not os.WIFSIGNALED(status):
        return ScanError(f'{name}: {role.ended}')
    number = os.WTERMSIG(status)
    if number in (signal.SIGKILL, getattr(signal, 'SIGXCPU', None)):
        return ResourceError(f'{name}: {role.killed}')
    known = signal.Signals(number).name if number in set(signal.Signals) else f'signal {number}'
    return ScanError(f'{name}: {role.crashed.format(known)}')
