"""How a command ends that cannot do what it was asked: an exit code and one line."""

import errno

import typer
from pydantic import ValidationError

from raki.commands.inputs import UsageError, shown
from raki.data.boundary import lacks_memory
from raki.errors import CalibrationError, ExtraError, ResourceError, ScanError, TrainingError

EXIT_CODES = {
    typer.BadParameter.__bases__[0]: 2,
    UsageError: 2,
    ExtraError: 2,
    ScanError: 3,
    CalibrationError: 3,
    TrainingError: 4,
    ResourceError: 5,
    OSError: 5,
}
SINGULAR = ('LinAlgError', '_LinAlgError')
"""Names of what NumPy and torch raise where equations have no solution."""

REMEDIES = {
    errno.ENOSPC: 'make room on that disk, or choose another one with -o',
    errno.EDQUOT: 'remove what is not needed any more, or choose another disk with -o',
    errno.EFBIG: 'raise the limit on the size of files (ulimit -f)',
    errno.EIO: 'that disk fails, choose another one with -o',
    errno.EAGAIN: 'raise the limit on processes (ulimit -u), or end others',
    errno.EMFILE: 'raise the limit on open files (ulimit -n)',
}
"""What to do about errors of the system, by their number."""

LONGEST = 300
"""What is repeated of an error of a library, some of which are pages [character]."""

UNEXPECTED = 70
"""A fault of this program, not of the scan or the machine (EX_SOFTWARE of sysexits.h)."""


def exit_code(error: Exception) -> int:
    """2 usage, 3 bad input, 4 numerical failure, 5 resources, 70 for what nobody expects."""
    if type(error).__name__ in SINGULAR:
        return 4
    known = next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), None)
    return known or (5 if lacks_memory(error) else UNEXPECTED)


def _given(error: Exception) -> str:
    """What was given instead, where typer leaves that out."""
    known = error.__cause__.errors() if isinstance(error.__cause__, ValidationError) else ()
    inputs = [repr(each['input'])[:LONGEST] for each in known if isinstance(error, typer.BadParameter)]
    return f', got {", ".join(inputs)}' if inputs else ''


def one_line(error: Exception) -> str:
    """What an error says, and what to do where it does not say that, in one line that any terminal can show.

    Notes in one line tell what was kept; the others are tracebacks of processes that read for this one.
    """
    describe = getattr(error, 'format_message', None)
    name = type(error).__name__
    text = ' '.join((describe() if describe else str(error) or name).split()) + _given(error)
    if name in SINGULAR:
        text = (
            f'equations of this scan have no solution ({text}): look for empty or equal coils with raki info, '
            'or take fewer coils (--coils) or another method'
        )
    elif exit_code(error) == UNEXPECTED:
        text = f'unexpected {name}: {text}: run again with --debug for the traceback, and report it'
    elif exit_code(error) == 5 and not isinstance(error, ResourceError | OSError):
        text = f'memory does not suffice ({text[:LONGEST]}): take fewer slices or coils, or raise the limit on memory'
    elif isinstance(error, OSError) and error.errno in REMEDIES:
        text = f'{text}: {REMEDIES[error.errno]}'
    return shown('; '.join([text, *(note for note in getattr(error, '__notes__', ()) if '\n' not in note)]))
