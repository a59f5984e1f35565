"""Planning: from what a user names to a list of scans, each with the output that it will have."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from raki.commands.inputs import UsageError, shown

SUFFIXES = ('.h5', '.hdf5', '.hdf', '.mrd', '.mat', '.dat', '.cfl', '.npy', '.npz')
"""Of files in a folder that may be scans; what is named itself, or by a pattern, may have any."""

BESIDE_CFL = re.compile('_(noise|acs|reference|gfactor|mask)$')
"""Of names of BART's files that come with another."""

NUMBERED = re.compile(r'_[a-z]+\d{3,}$')
GFACTOR = '_gfactor'
"""What names of several files of one output have beyond its own: g-factors, and then numbers of any axes."""


@dataclass(frozen=True, slots=True)
class Task:
    """One scan to reconstruct."""

    scan: Path
    output: Path
    """Where it will be; of several files what their names begin with."""

    @property
    def name(self) -> str:
        """What tells it from the others of a batch."""
        return self.output.name


def tasks_for(words: Sequence[str], folder: Path, suffix: str, ours: Collection[str] = ()) -> list[Task]:
    """Scans in the order of their paths, each once, with outputs in `folder` that have the name of the scan.

    Scans of the same name from different folders get that of their folder in front.

    Parameters
    ----------
    words
        Files, patterns with wildcards, folders (not those in them).
    folder, suffix
        Where outputs go, and what ends their names.
    ours
        Names of files in `folder` that earlier runs wrote: these are no scans, and may be replaced.

    Raises
    ------
    UsageError
        If there is no scan, two would have the same output, or an output would replace a scan or a file of others.
    """
    written = {_place(folder / name) for name in ours}
    scans = [scan for scan in scans_in(words) if _place(scan) not in written]
    if not scans:
        raise UsageError(f'no scans in {shown(", ".join(words))}: name files, patterns such as "*.h5", or folders')
    tasks = [Task(scan, folder / f'{name}{suffix}') for scan, name in zip(scans, names_of(scans), strict=True)]
    _require_apart(tasks, suffix)
    places = {_place(scan) for scan in scans}
    for task in tasks:
        _require_free(task, places, written)
    return tasks


def scans_in(words: Sequence[str]) -> list[Path]:
    """Files that words stand for, each once, in the order of their paths; see `tasks_for`."""
    found = {_place(path): path for word in words for path in _named(word)}
    pairs = {place.with_suffix('.cfl') for place in found if place.suffix == '.hdr'}
    halves = {pair.with_suffix('.hdr') for pair in pairs & set(found)}
    return [path for place, path in sorted(found.items()) if place not in halves]


def _named(word: str) -> list[Path]:
    """Files that one word stands for; itself if there is nothing of this name: reading will say so."""
    path = Path(word)
    if path.exists() or not has_magic(word):
        return _in_folder(path) if path.is_dir() else [path]
    found = list(map(Path, glob(word, recursive=True)))  # noqa: PTH207 - takes absolute patterns, too
    inside = [each for path in found if path.is_dir() for each in _in_folder(path)]
    return [*filter(_is_scan, found), *inside]


def _in_folder(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if each.name.lower().endswith(SUFFIXES) and _is_scan(each)]


def _is_scan(path: Path) -> bool:
    """Whether a file that is there may be a scan of its own."""
    main = path.with_name(f'{BESIDE_CFL.sub("", path.stem)}.cfl')
    return path.is_file() and not (path.suffix in ('.cfl', '.hdr') and main.stem != path.stem and main.exists())


def _place(path: Path) -> Path:
    """Where a path is; what it leads to, if it is a link, is a matter of reading."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps `..`


def names_of(scans: Sequence[Path]) -> list[str]:
    """A name for each, without suffix; those of the same name get that of their folder in front."""
    n_alike = Counter(scan.stem for scan in scans)
    return [scan.stem if n_alike[scan.stem] == 1 else f'{_place(scan).parent.name}_{scan.stem}' for scan in scans]


def _require_apart(tasks: Sequence[Task], suffix: str) -> None:
    seen: dict[str, Task] = {}
    for task in tasks:
        if other := seen.setdefault(task.name, task) if task.name in seen else None:
            both = f'{task.scan} and {other.scan} would both be written to {task.output}'
            raise UsageError(shown(f'{both}: give them to runs with different -o'))
        seen[task.name] = task
    if suffix.startswith(('.h5', '.hdf')):
        return
    names = {name.removesuffix(suffix) for name in seen}
    for name in sorted(names):
        if one := next((each for each in _beginnings(name) if each in names), None):
            raise UsageError(shown(f'files of {one} may have the name {name}{suffix}: give it to a run of its own'))


def _beginnings(name: str) -> Iterator[str]:
    """Names of outputs of which one file may have this name, for all that numbers and g-factors add."""
    while match := NUMBERED.search(name):
        name = name[: match.start()]
        yield name
    if name.endswith(GFACTOR):
        yield name.removesuffix(GFACTOR)


def _require_free(task: Task, scans: Collection[Path], written: Collection[Path]) -> None:
    place = _place(task.output)
    if place in scans:
        raise UsageError(shown(f'the output {task.output} is a scan of this batch: choose another folder with -o'))
    if os.path.lexists(place) and place not in written:
        raise UsageError(
            shown(f'{task.output} is there, and not of a batch: choose another folder with -o, or move it away')
        )
