"""What a folder held before and after: nothing but the output may change, and that only as a whole."""

import hashlib
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeAlias

from attacks.running import Ending

State: TypeAlias = Mapping[str, tuple[object, ...]]
"""Every file by its path below the folder: kind, permissions, time of change, content."""


def state_of(folder: Path) -> State:
    """Look at everything below a folder; pipes and devices are not opened, links not followed."""
    return {str(path.relative_to(folder)): _of(path) for path in sorted(folder.rglob('*'))}


def _of(path: Path) -> tuple[object, ...]:
    found = path.lstat()
    if path.is_symlink():
        return 'link', str(path.readlink())
    if stat.S_ISDIR(found.st_mode):
        return 'folder', found.st_mode
    if not stat.S_ISREG(found.st_mode):
        return 'special', found.st_mode, found.st_rdev
    return 'file', found.st_mode, found.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()


def fault_of(before: State, after: State, ending: Ending, outputs: Collection[str]) -> str:
    """What a command did to a folder that it must not do; empty where it did nothing of the kind.

    `outputs` are what it may write: files, or folders with all that is in them.
    """
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    written = {name for name in changed if any(name == each or name.startswith(f'{each}/') for each in outputs)}
    if any(name in before for name in changed - written):
        return 'touched'
    if changed - written or any(is_temporary(name) for name in (written & set(after)) - set(outputs)):
        return 'left over'
    return 'torn' if ending.code != 0 and written else ''


def is_temporary(name: str) -> bool:
    """Whether a file is one that a killed command leaves behind."""
    return Path(name).name.startswith('.') or name.endswith(('.part', '.tmp'))
