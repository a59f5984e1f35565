"""Where an output comes from: what its manifest says so that it can be made again."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from raki.commands.inputs import shown
from raki.commands.settings import Reading
from raki.data.cfl import files_of_cfl, is_cfl
from raki.data.digests import described
from raki.errors import ScanError

PATHS = ('mask', 'fit')
"""Options that may name a file."""


def inputs_of(source: str | Path, asked: Reading) -> list[dict[str, Any]]:
    """Name, size [byte] and sha256 of all files that are read: those of a scan, and those that options name."""
    return [{'name': shown(each.name), **described(each)} for each in _read(source, asked)]


def _read(source: str | Path, asked: Reading) -> list[Path]:
    path = Path(source)
    every = [*(files_of_cfl(path) if is_cfl(path) else [path]), *_files(asked).values()]
    return [each for each in every if each.is_file()]


def stamps_of(source: str | Path, asked: Reading) -> dict[Path, tuple[int, int]]:
    """Size [byte] and time of the last change [ns] of all files that are read."""
    return {each: _stamp(each) for each in _read(source, asked)}


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def require_unchanged(stamps: Mapping[Path, tuple[int, int]]) -> None:
    """Raise a ScanError unless files are what they were: slabs are read one by one, and could be of several files."""
    for path, stamp in stamps.items():
        if not path.is_file() or _stamp(path) != stamp:
            raise ScanError(f'{path}: was changed while it was read: try again when nobody writes it any more')


def named(asked: Reading) -> dict[str, Any]:
    """Options as a manifest has them: files by their names alone, since paths may tell who somebody is."""
    names = {option: shown(path.name) for option, path in _files(asked).items()}
    return asked.model_dump(mode='json') | names


def _files(asked: Reading) -> dict[str, Path]:
    options = {option: getattr(asked, option, None) for option in PATHS}
    return {option: Path(value) for option, value in options.items() if value and Path(value).is_file()}


def versions() -> dict[str, str]:
    """Versions of what decides a result."""
    packages = ('raki', 'torch', 'numpy', 'h5py', 'scikit-image')
    return {'python': platform.python_version()} | {name: version(name) for name in packages}
