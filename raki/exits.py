"""What an error means to the shell: its exit code, and one line."""

import typer

from raki.commands.inputs import UsageError
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
"""2 usage, 3 bad input, 4 numerical failure, 5 resources."""

OUT_OF_MEMORY = ('OutOfMemoryError', 'MemoryError')
"""Names, for torch is not imported to know its errors."""


def exit_code(error: Exception) -> int | None:
    """Code of an expected error, None of a fault of the program."""
    if type(error).__name__ in OUT_OF_MEMORY:
        return 5
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), None)


def one_line(error: Exception) -> str:
    """Its text without line breaks; its kind where it has none."""
    describe = getattr(error, 'format_message', None)
    text = describe() if describe else str(error) or type(error).__name__
    return ' '.join(text.split())
