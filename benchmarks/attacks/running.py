"""A `raki` command in a process of its own, forked from this warm one or started anew, and how it ended."""

import ctypes
import os
import re
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import BinaryIO

import raki.cli

ROOT = Path(raki.cli.__file__).parents[1]
"""Where the package lies that is attacked."""

TIMEOUT = 60.0
"""After this long a command hangs [s]."""

GRACE = 5.0
"""How long processes of a command may outlive it [s]."""

DEFINED = (0, 2, 3, 4, 5, 130, 143)
"""Exit codes that mean something."""

REFUSED = (2, 3, 4, 5)

ESCAPES = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]')
UNEXPECTED = re.compile(r'Traceback \(most recent call last\)|unexpected error|internal error', re.IGNORECASE)

OF_A_SCAN = re.compile(r'raki: \d+ of \d+: ')
"""How a batch tells of every scan, beside the one line of its own end."""

PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended."""

    code: int
    """Exit code; minus the signal that ended it."""

    out: str
    err: str
    seconds: float
    has_hung: bool = False
    n_orphans: int = 0
    """Processes that outlived the command by more than GRACE."""
    peak_mb: float = 0.0
    """Largest memory of the command, with what it was forked with [MB]."""

    @property
    def lines(self) -> list[str]:
        """What was said on stderr, without what moves a cursor."""
        return [line.strip() for line in ESCAPES.sub('', self.err).replace('\r', '\n').splitlines() if line.strip()]

    @property
    def warnings(self) -> list[str]:
        """What was warned of."""
        return [line for line in self.lines if line.startswith('raki: warning')]

    @property
    def last(self) -> str:
        """The last line of stderr, for people."""
        return self.lines[-1][:300] if self.lines else f'exit {self.code}'

    @property
    def fault(self) -> str:
        """What no command may do, whatever it was given; empty where it did nothing of the kind."""
        if self.has_hung:
            return 'hang'
        if self.code < 0:
            return 'crash'
        if UNEXPECTED.search(self.err) or self.code not in DEFINED:
            return 'traceback'
        if self.n_orphans:
            return 'orphans'
        said = [line for line in self.lines if line not in self.warnings and not OF_A_SCAN.match(line)]
        is_told = len(said) == 1 or (not said and bool(self.out))
        return '' if is_told or self.code not in REFUSED else 'many lines'


@dataclass(frozen=True, slots=True)
class Running:
    """A command that runs, in a session of its own."""

    process: int
    out: BinaryIO
    err: BinaryIO
    started: float


def start(
    arguments: Sequence[str], folder: Path, *, is_anew: bool = False, before: Callable[[], None] | None = None
) -> Running:
    """Start a command in a folder: forked from this process, or anew; `before` is called in its process first."""
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
    sys.stdout.flush()
    sys.stderr.flush()
    started, process = monotonic(), os.fork()
    if process == 0:
        _command(arguments, folder, (out, err), before, is_anew=is_anew)
    return Running(process, out, err, started)


def _command(
    arguments: Sequence[str],
    folder: Path,
    streams: tuple[BinaryIO, BinaryIO],
    before: Callable[[], None] | None,
    *,
    is_anew: bool,
) -> None:
    """What a forked process does; it never returns."""
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        for stream, number in zip(streams, (1, 2), strict=True):
            os.dup2(stream.fileno(), number)
        if before is not None:
            before()
        if is_anew:
            environment = os.environ | {'PYTHONPATH': str(ROOT)}
            os.execve(sys.executable, [sys.executable, '-m', 'raki.cli', *arguments], environment)
        code = raki.cli.main(list(arguments))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)


def finish(running: Running, timeout: float = TIMEOUT, grace: float | None = GRACE) -> Ending:
    """Wait for the end of a command, and of all it started; with None not for those, as others may run."""
    handle = os.pidfd_open(running.process)
    has_hung = not select.select([handle], [], [], timeout)[0]
    os.close(handle)
    seconds = monotonic() - running.started
    if has_hung:
        kill_all(running.process)
    _, status, used = os.wait4(running.process, 0)
    n_orphans = 0 if grace is None else _outlived(0.0 if has_hung else grace)
    kill_all(running.process)
    texts = []
    for stream in (running.out, running.err):
        stream.seek(0)
        texts.append(stream.read().decode(errors='replace'))
        stream.close()
    code, peak = os.waitstatus_to_exitcode(status), used.ru_maxrss / 1024
    return Ending(code, texts[0], texts[1], seconds, has_hung, 0 if has_hung else n_orphans, peak)


def run(
    arguments: Sequence[str],
    folder: Path,
    *,
    is_anew: bool = False,
    before: Callable[[], None] | None = None,
    timeout: float = TIMEOUT,
) -> Ending:
    """Start a command and wait for its end."""
    return finish(start(arguments, folder, is_anew=is_anew, before=before), timeout)


def kill_all(process: int) -> None:
    """Kill the whole session of a command, as a batch system does."""
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def adopt_orphans() -> None:
    """Become the parent of whatever outlives a command, so that it is seen."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _outlived(grace: float) -> int:
    """Wait until all children of this process have ended; kill and count those that have not by then."""
    until = monotonic() + grace
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if ended == 0:
            if monotonic() > until:
                break
            sleep(0.01)
    orphans = [int(each) for each in Path(f'/proc/self/task/{os.getpid()}/children').read_text().split()]
    for each in orphans:
        os.kill(each, signal.SIGKILL)
        os.waitpid(each, 0)
    return len(orphans)
