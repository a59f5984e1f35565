"""How a command ends that cannot do what it was asked: an exit code and one line."""

import typer

from raki.commands.inputs import UsageError, shown
from raki.errors import CalibrationError, ResourceError, ScanError, TrainingError

EXIT_CODES = {
    typer.BadParameter.__bases__[0]: 2,
    UsageError: 2,
    ScanError: 3,
    CalibrationError: 3,
    TrainingError: 4,
    ResourceError: 5,
    OSError: 5,
}
OUT_OF_MEMORY = ('OutOfMemoryError', 'MemoryError')


def exit_code(error: Exception) -> int | None:
    """2 usage, 3 bad input, 4 numerical failure, 5 resources; None for what nobody expects."""
    if type(error).__name__ in OUT_OF_MEMORY:
        return 5
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), None)


def one_line(error: Exception) -> str:
    """What an error says, in one line that any terminal can show."""
    describe = getattr(error, 'format_message', None)
    text = describe() if describe else str(error) or type(error).__name__
    text = '; '.join([text, *getattr(error, '__notes__', ())])
    return shown(' '.join(text.split()))
