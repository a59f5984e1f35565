"""Errors of the Python face: they restate the call, and name arguments as they are written in Python."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from reprlib import Repr

import numpy as np
from torch import Tensor

from raki.commands.inputs import UsageError
from raki.data.blocks import Positions
from raki.data.scan import Scan, ScanFile
from raki.errors import CalibrationError, ExtraError, ResourceError, SamplingError, ScanError, TrainingError

RESTATED = (
    CalibrationError,
    ExtraError,
    ResourceError,
    SamplingError,
    ScanError,
    TrainingError,
    TypeError,
    UsageError,
    ValueError,
)
"""Errors that are about what was asked for."""

LONGEST = 60
"""An argument that takes more characters is shortened."""

SHORTENED = Repr()
SHORTENED.maxstring = SHORTENED.maxother = LONGEST

PYTHON = {
    '--spikes drop': "spikes='drop'",
    '--nan drop': "nan='drop'",
    '--mask zeros': 'mask=None',
    'name the axes in their order with --dataset NAME --axes, ky and kx the other way': (
        'wanted are axes (coil, ky, kx): exchange the last two, kspace.swapaxes(-2, -1)'
    ),
    '-o must name': 'wanted is',
    ' for -o': '',
    'raki reconstruct': 'raki.reconstruct',
    'add them as dataset "acs"': 'give them by raki.scan_of(..., calibration=acs)',
    'the file is damaged, or was written incompletely': 'they are missing',
}
"""What the command line calls otherwise."""


def in_python(text: str) -> str:
    """Advice for the command line as advice for Python; dashes within paths stay."""
    for there, here in PYTHON.items():
        text = text.replace(there, here)
    return re.sub(r'(?<![\w./-])--([a-z][a-z-]*)', lambda option: option[1].replace('-', '_'), text)


@contextmanager
def restating(function: str, arguments: Mapping[str, object]) -> Iterator[None]:
    """Put the call before whatever is wrong with it; arguments that are None were left out."""
    try:
        yield
    except RESTATED as error:
        if type(error) not in RESTATED:  # of another library, made of who knows what
            raise
        raise type(error)(f'{call_of(function, arguments)}: {in_python(str(error))}') from error


def call_of(function: str, arguments: Mapping[str, object]) -> str:
    """A call in one line: arrays as their shapes; names that end with = stand before their values."""
    told = [_told(name, value) for name, value in arguments.items() if value is not None]
    return f'raki.{function}({", ".join(told)})'


def _told(name: str, value: object) -> str:
    if isinstance(value, Positions):
        value = value.mask
    if isinstance(value, np.ndarray | Tensor):
        return f'{name.removesuffix("=")} {tuple(value.shape)}'
    if isinstance(value, Scan):
        return f'scan {tuple(value.kspace.shape)}'
    if isinstance(value, ScanFile):
        return f'file {tuple(value.shape)}'
    text = SHORTENED.repr(value).replace('\n', ' ')
    shown = text if len(text) <= LONGEST else f'{text[: LONGEST - 3]}...'
    return f'{name}{shown}' if name.endswith('=') else shown
