"""Methods of a user's own, from a Python file that is named at the command line. To load such a file is to run it."""

import runpy
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from traceback import extract_tb
from typing import Any

from raki.commands.inputs import UsageError
from raki.data.records import packed
from raki.evaluation.baseline import Baseline
from raki.interpolation.calibration import Method

NAMES = ('METHOD', 'METHODS')
"""What such a file defines: one method, which gets the name of the file, or a mapping from names to methods."""

RUN_AS = 'raki_method_file'
"""Name of the module while it is run."""


def methods_in(path: Path) -> dict[str, Method | Baseline]:
    """Run a Python file, with all rights of whoever calls, and give the methods that it defines, by name.

    Raises
    ------
    UsageError
        If there is no such file, it fails, or what it defines is no method.
    """
    if not path.is_file() or path.suffix != '.py':
        raise UsageError(f'--method-file needs a Python file such as mine.py, got {path}')
    found = _run(path)
    given = [name for name in NAMES if name in found]
    if len(given) != 1:
        raise UsageError(f'{path} must define METHOD, or METHODS by name, got {" and ".join(given) or "neither"}')
    methods = {path.stem: found['METHOD']} if given == ['METHOD'] else found['METHODS']
    if not isinstance(methods, Mapping) or not methods:
        raise UsageError(f'METHODS in {path} must be a mapping from names to methods, got {type(methods).__name__}')
    for name, method in methods.items():
        _require_method(path, name, method)
    return dict(methods)


def _run(path: Path) -> dict[str, Any]:
    try:
        return runpy.run_path(str(path), run_name=RUN_AS)
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f', line {lines[-1]}' if lines else ''
        raise UsageError(f'{path}{where} fails: {type(error).__name__}: {error}') from error


def _require_method(path: Path, name: object, method: object) -> None:
    """Raise a UsageError unless it is a frozen dataclass of plain settings that learns as methods or baselines do."""
    learns = all(callable(getattr(method, each, None)) for each in ('smallest', 'learn'))
    if (
        not isinstance(name, str)
        or not name
        or not (learns or isinstance(method, Baseline))
        or isinstance(method, type)
    ):
        raise UsageError(
            f'{name!r} in {path} must be a method, with smallest and learn, or a Baseline, got {type(method).__name__}'
        )
    if not is_dataclass(method) or not method.__dataclass_params__.frozen:  # pyright: ignore[reportAttributeAccessIssue]
        raise UsageError(f'{name!r} in {path} must be a frozen dataclass of its settings: add @dataclass(frozen=True)')
    try:
        packed(method, [])
    except TypeError as error:
        raise UsageError(f'settings of {name!r} in {path} must be numbers, texts, arrays or such: {error}') from error
