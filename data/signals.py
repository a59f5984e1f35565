"""What signals do to this process: for a while something else, and the end when its parent dies."""

import ctypes
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | signal.Handlers
"""What is done about a signal."""

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl(2): the signal that a process gets when the thread that started it ends."""


@contextmanager
def handled(handlers: Mapping[int, Handler]) -> Iterator[None]:
    """Treat signals like this within the block, by their numbers; not in other threads than the main one.

    Only the main thread gets signals, and only it may say what is done about them.
    """
    before = {}
    try:
        for number, handler in handlers.items():
            before[number] = signal.signal(number, handler)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def die_with_parent() -> None:
    """Let the system kill this process when the thread that started it ends; nothing elsewhere than on Linux."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
