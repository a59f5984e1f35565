"""Where an output comes from: what its manifest says so that it can be made again."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from raki.commands.inputs import shown
from raki.data.cfl import files_of_cfl, is_cfl
from raki.data.digests import described


def origin(command: str, source: str | Path | None = None, **options: object) -> dict[str, Any]:
    """Command, its options, the files that it read by their names alone, with size and sum, and versions."""
    return {
        'command': command,
        **({} if source is None else {'input': inputs_of(source)}),
        'options': options,
        'versions': versions(),
    }


def inputs_of(source: str | Path) -> list[dict[str, Any]]:
    """Name, size [byte] and sha256 of every file of a scan: one, or those of BART that belong together."""
    path = Path(source)
    return [{'name': shown(each.name), **described(each)} for each in (files_of_cfl(path) if is_cfl(path) else [path])]


def versions() -> dict[str, str]:
    """Versions of what decides a result."""
    packages = ('raki', 'torch', 'numpy', 'h5py', 'scikit-image')
    return {'python': platform.python_version()} | {name: version(name) for name in packages}
