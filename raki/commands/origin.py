"""Where an output comes from: what its manifest says so that it can be made again."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from raki.commands.inputs import shown
from raki.commands.settings import Reading
from raki.data.cfl import files_of_cfl, is_cfl
from raki.data.digests import described

PATHS = ('mask', 'fit')
"""Options that may name a file."""


def inputs_of(source: str | Path, asked: Reading) -> list[dict[str, Any]]:
    """Name, size [byte] and sha256 of all files that are read: those of a scan, and those that options name."""
    path = Path(source)
    read = [*(files_of_cfl(path) if is_cfl(path) else [path]), *_files(asked).values()]
    return [{'name': shown(each.name), **described(each)} for each in read if each.is_file()]


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
