"""Cells of a comparison that are done, kept beside its results until these are written, so that it can go on."""

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raki.data.notes import Note
from raki.data.records import Plain, name_of, packed, unpacked
from raki.data.save import kind_of, write_text
from raki.evaluation.compare import Bench, Task
from raki.evaluation.pictures import Picture
from raki.evaluation.report import ShownCell
from raki.evaluation.rows import Row

FOLDER = '.raki-compare'
"""Where cells are kept, in the folder of the results."""

LOCK = 'lock'
"""Held by the process that is at work there."""

KNOWN: Mapping[str, type] = {name_of(each): each for each in (Row, ShownCell, Picture, Note)}

Found = tuple[Row, ShownCell]
"""What is kept of a cell: its figures, measured seconds among them, and its pictures."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Cells in a folder, by all that decides them."""

    folder: Path

    def get(self, key: str) -> Any:
        """What was put there by this key; None if there is nothing, or it is damaged."""
        try:
            digest, _, text = self._path(key).read_text(encoding='utf-8').partition('\n')
            return unpacked(json.loads(text), [], KNOWN) if digest == _digest((key, text)) else None
        except (OSError, ValueError):
            return None

    def put(self, key: str, cell: Found | Row) -> None:
        """Keep a cell, with its pictures or without, all or nothing."""
        text = json.dumps(packed(cell, []))
        write_text(self._path(key), f'{_digest((key, text))}\n{text}')

    def _path(self, key: str) -> Path:
        return self.folder / f'{key}.json'

    @property
    def n_cells(self) -> int:
        """How many there are."""
        return sum(1 for _ in self.folder.glob('*.json'))

    def remove(self) -> None:
        """Remove all cells and, if there is nothing else in it, the folder."""
        for path in (*self.folder.glob('*.json'), *self.folder.glob('.*.part'), self.folder / LOCK):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()


@contextmanager
def keeping(folder: Path, n_cells: int) -> Iterator[Kept]:
    """Give the cells that are kept in a folder of results, which is made if there is none; one process at a time.

    If the block succeeds they are removed. Otherwise the exception gets a note of how many of `n_cells` are there, and
    what was made and holds nothing is removed.

    Raises
    ------
    OSError
        If the folder cannot be written, or another process is at work there.
    """
    kept, is_new = Kept(folder / FOLDER), not folder.exists()
    kept.folder.mkdir(parents=True, exist_ok=True)
    if kind_of(kept.folder) != 'a folder':
        raise FileExistsError(f'{kept.folder} is {kind_of(kept.folder)}, which is never written into: remove it')
    with _locked(kept.folder / LOCK, folder):
        try:
            yield kept
        except BaseException as error:
            if n_done := kept.n_cells:
                error.add_note(
                    f'{n_done} of {n_cells} cells are kept in {kept.folder}: the same command goes on from there'
                )
            else:
                kept.remove()
                if is_new:
                    with suppress(OSError):
                        folder.rmdir()
            raise
        kept.remove()


@contextmanager
def _locked(path: Path, folder: Path) -> Iterator[None]:
    """Hold a file as long as this process lives; BlockingIOError if another one does."""
    if sys.platform == 'win32':  # which has no such locks
        yield
        return
    import fcntl

    with path.open('a') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise _is_busy(folder) from None
        if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):  # it has just been removed
            raise _is_busy(folder)
        yield


def _is_busy(folder: Path) -> BlockingIOError:
    return BlockingIOError(f'another comparison is being written to {folder}: wait for it, or name another folder')


def slab_digest(bench: Bench, **others: Plain) -> str:
    """Digest of what decides all cells of a slab: its samples, the plan but for its lists, threads, and `others`."""
    plan = bench.plan
    deciding = {
        'scan': bench.scan,
        'slice': bench.index,
        'n_replicas': plan.n_replicas,
        'is_refitted': plan.is_refitted,
        'coils': plan.coils,
        'object': plan.object_mask,
        'device': str(plan.device),
        'figures': None if plan.figures is None else list(plan.figures),
        'n_threads': torch.get_num_threads(),
    }
    return _digest(deciding | others)


def cell_digest(slab: str, task: Task) -> str:
    """Digest of what decides a cell, given that of its slab: method with settings and seed, and pattern."""
    asked = task.asked
    return _digest((slab, task.name, task.method, asked.rate.label, asked.acs, asked.pattern.mask))


def _digest(value: object) -> str:
    arrays: list[Tensor] = []
    found = sha256(json.dumps(packed(value, arrays)).encode())
    for array in arrays:
        found.update(f'{array.dtype} {tuple(array.shape)}'.encode())
        found.update(array.cpu().contiguous().numpy().data)
    return found.hexdigest()
