"""The one boundary around reading: whatever goes wrong in there becomes an error of ours that names the file.

A damaged file makes libraries raise errors of every class, from KeyError to UnicodeDecodeError, and each new version
some more: so the boundary lists no classes. What says that memory does not suffice is told apart from damage.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raki.errors import CalibrationError, ResourceError, ScanError, TrainingError

OURS = (ScanError, CalibrationError, TrainingError, ResourceError)

LACKING = (
    "can't allocate",
    'cannot allocate',
    'unable to allocate',
    'not enough memory',
    'out of memory',
    'memory allocation failed',
    'bad_alloc',
    'bad allocation',
    'failed to map segment',
    "can't start new thread",
)
"""What says so of allocators, loaders and threads, in lower case: torch, HDF5, the C library, the dynamic linker."""

EXHAUSTED = (errno.ENOMEM, errno.EFBIG, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
"""Errors of the system that no file is to blame for."""

KINDS = {
    stat.S_IFDIR: 'a folder, name a file in it',
    stat.S_IFIFO: 'a pipe, not a file: save what comes out of it first',
    stat.S_IFSOCK: 'a socket, not a file',
    stat.S_IFCHR: 'a device, not a file',
    stat.S_IFBLK: 'a device, not a file',
}


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice, whatever its class."""
    is_known = isinstance(error, MemoryError) or type(error).__name__ == 'OutOfMemoryError'
    is_system = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return is_known or is_system or any(word in str(error).lower() for word in LACKING)


def _is_limited(error: BaseException) -> bool:
    """Whether a limit on files is in the way; torch tells that in words only."""
    return (isinstance(error, OSError) and error.errno in EXHAUSTED) or os.strerror(errno.EMFILE) in str(error)


@contextmanager
def reading(path: str | Path, kind: str = '') -> Iterator[None]:
    """Let errors of ours pass; others become a ScanError that names the file, or a ResourceError where memory lacks.

    `kind` says in the error as what the file was read, such as ` as HDF5`.
    """
    try:
        yield
    except OURS:
        raise
    except BlockingIOError as error:
        raise ScanError(f'{path}: another program is writing it: try again when it is complete') from error
    except Exception as error:  # no list of classes is complete, and a damaged file must get one line
        reason = said(error)
        if _is_limited(error) and not lacks_memory(error):
            raise ResourceError(
                f'{path}: cannot be read{kind}, a limit is in the way ({reason}): raise those on open files, on their '
                'size and on memory (ulimit), or make room on the disk'
            ) from error
        if lacks_memory(error):
            raise ResourceError(
                f'{path}: cannot be read{kind}, memory does not suffice ({reason}): use a larger machine, or raise '
                'the limit on memory; a damaged file may ask for more than any scan'
            ) from error
        raise ScanError(f'{path}: cannot be read{kind}, it may be truncated or damaged ({reason})') from error


def said(error: BaseException) -> str:
    """What an error says in one line; with its class, unless it is that of any failed reading."""
    text, name = ' '.join(str(error).split()), type(error).__name__
    return text if text and isinstance(error, OSError) else f'{name}: {text}' if text else name


def require_regular(path: str | Path) -> None:
    """Refuse what exists and is no file, before anything opens it: a pipe would wait, a device never end."""
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        raise ScanError(f'{path}: cannot be opened ({said(error)})') from error
    if not stat.S_ISREG(mode):
        raise ScanError(f'{path}: is {KINDS.get(stat.S_IFMT(mode), "not a file")}')


def require_file(path: str | Path) -> None:
    """Refuse what is no file, or not there."""
    require_regular(path)
    if not Path(path).is_file():
        raise ScanError(f'{path}: no such file')
