"""Standard streams as whoever starts a command leaves them: closed, full, or a pipe that nobody reads any more."""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from io import TextIOWrapper

from raki.commands.inputs import line_of

UNREAD = 141
"""Exit code where nobody reads standard output any more, as shells have it of SIGPIPE."""


def open_streams() -> None:
    """Lead standard streams that are closed nowhere; else the next file that is opened would have their numbers.

    What the coding of standard output lacks is escaped: no result is lost for a letter.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the least number that is free
    if sys.stdout is None:
        sys.stdout = open(os.devnull, 'w', encoding='utf-8')  # noqa: PTH123, SIM115 - as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, 'w', encoding='utf-8')  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')


def say(line: str) -> None:
    """Write a line to standard error, if it takes one: if not, the exit code still tells."""
    with suppress(OSError):
        sys.stderr.write(f'raki: {line_of(line)}\n')
        sys.stderr.flush()


def warn(warnings: Iterable[str]) -> None:
    """Say every warning once."""
    for text in dict.fromkeys(warnings):
        say(f'warning: {text}')


def flush_output() -> None:
    """Write what standard output still holds; an OSError if it cannot be written: it holds nothing then."""
    try:
        sys.stdout.flush()
    except OSError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
        raise
