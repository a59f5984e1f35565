"""Files on their way to their place: what they are called, and which of them nobody writes any more."""

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from stat import S_ISREG
from types import FrameType

from raki.data.signals import handled

LONGEST = 180
"""Bytes of a name that a temporary name repeats; file systems take 255 with what comes before and after."""

UNKNOWN_DAYS = 1.0
"""Age at which a file is taken for left behind whose writer cannot be asked, as it ran on another machine [day]."""

PART = re.compile(r'(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-(?P<birth>\d+)-[0-9a-f]{8}\.part')

HELD = tuple(getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGHUP') if hasattr(signal, name))
"""Signals that ask a command to end."""


def temporary_name(path: Path) -> Path:
    """A new name beside a path that tells which process of which machine writes there."""
    process = os.getpid()
    writer = f'{_machine()}-{process}-{_birth(process)}-{token_hex(4)}'
    return path.with_name(f'{_beginning(path)}{writer}.part')


def remove_abandoned(path: Path) -> None:
    """Remove temporary files of `path` that were left behind by processes which are gone, and nothing else."""
    beginning = _beginning(path)
    with suppress(OSError):
        for other in list(path.parent.iterdir()):
            found = PART.fullmatch(other.name.removeprefix(beginning)) if other.name.startswith(beginning) else None
            if found and _is_abandoned(other, found['machine'], int(found['process']), found['birth']):
                other.unlink(missing_ok=True)


def _beginning(path: Path) -> str:
    """Names of temporary files of a path start with it, so that they are told from those of any other."""
    encoded = os.fsencode(path.name)
    return f'.{path.name if len(encoded) <= LONGEST else sha256(encoded).hexdigest()}.'


def _is_abandoned(path: Path, machine: str, process: int, birth: str) -> bool:
    status = path.lstat()
    if not S_ISREG(status.st_mode):
        return False
    if machine == _machine():
        return not _is_alive(process, birth)
    return time.time() - status.st_mtime > UNKNOWN_DAYS * 86400


def _is_alive(process: int, birth: str) -> bool:
    """Whether a process of this machine goes on; another one may have its number by now, but not its birth."""
    if sys.platform == 'win32':  # where asking is killing
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return _birth(process) in (birth, '0')


def _birth(process: int) -> str:
    """When a process of this machine started, in ticks since the machine did; 0 where that is not told."""
    try:
        return (
            Path(f'/proc/{process}/stat').read_text(encoding='ascii', errors='replace').rpartition(')')[2].split()[19]
        )
    except (OSError, IndexError):
        return '0'


@cache
def _machine() -> str:
    """Names all processes that have different numbers: those of a machine since it started, or of a container."""
    words = [os.uname().nodename if hasattr(os, 'uname') else '']
    with suppress(OSError):
        words.append(Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii'))
        words.append(str(Path('/proc/self/ns/pid').readlink()))
    return sha256('\n'.join(words).encode(errors='surrogateescape')).hexdigest()[:8]


@contextmanager
def undisturbed(done: str) -> Iterator[None]:
    """Let signals that ask to end wait until the block is done; they are then obeyed, with a note of what was done."""
    waiting: list[int] = []

    def wait(number: int, _frame: FrameType | None) -> None:
        waiting.append(number)

    with handled(dict.fromkeys(HELD, wait)):
        yield
    try:
        for number in waiting:
            signal.raise_signal(number)
    except BaseException as stopped:
        stopped.add_note(done)
        raise
