"""What is known of every scan of a batch, on the disk beside its outputs, so that a run that was cut off goes on."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from raki.commands.batch.tasks import Task
from raki.commands.inputs import UsageError, shown
from raki.commands.settings import Settings
from raki.data.digests import sum_of
from raki.errors import ResourceError

FOLDER = '.raki-batch'
"""In the folder of outputs: a record for every scan, and the plan."""

PLAN, LOCK, TIMES = 'plan.json', 'lock', 'times.json'
SUMMARY, PAGE = 'summary.json', 'index.html'

LONGEST = 180
"""Bytes of the name of an output that that of its record repeats; file systems take 255 with what comes after it."""

Text = Annotated[str, BeforeValidator(lambda value: shown(value) if isinstance(value, str) else value)]
"""What stands in records as it may be printed: names in no coding are no JSON."""


class Outcome(BaseModel):
    """What came of one scan. Holds nothing that differs from run to run, such as times."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    scan: Text
    """As it was named."""
    output: Text
    """Name of the output in its folder."""
    exit_code: int = 0
    """As `raki reconstruct` ends."""
    error: Text = ''
    """What it says."""
    warnings: tuple[Text, ...] = ()
    method: str = ''
    acceleration: tuple[int, ...] = ()
    """Spacing of measured lines on every phase axis; none where they are no lattice."""
    acs: tuple[int, ...] = ()
    """Size of the ACS on every phase axis [line]."""
    n_images: int = 0
    key: str = ''
    """Sum of what decides the output: scan, settings, versions."""
    files: dict[Text, str] = {}
    """sha256 of every file of the output, by its name."""
    thumbnail: str = ''
    """Its middle image, small: PNG, base64."""

    @property
    def is_done(self) -> bool:
        """Whether the output is there."""
        return self.exit_code == 0


@dataclass(frozen=True, slots=True)
class Records:
    """The hidden folder of a batch."""

    folder: Path
    """Where outputs go."""

    @property
    def path(self) -> Path:
        """Where records are."""
        return self.folder / FOLDER

    def of(self, task: Task) -> Path:
        """Where the record of a task is."""
        return self.path / f'{_short(task.name)}.json'

    def work(self, task: Task) -> Path:
        """Where the files of an output are made before they are put in place."""
        return self.path / f'{_short(task.name)}.part'

    def outputs(self) -> set[str]:
        """Names of all files that batches with this folder wrote, or may have written."""
        planned = _json(self.path / PLAN).get('outputs', [])
        known = [_json(path).get('files', {}) for path in self.path.glob('*.json') if path.name != PLAN]
        names = {name for each in (planned, *known) if isinstance(each, list | dict) for name in each}
        return {name for name in names if isinstance(name, str) and is_name(name)} | (
            {SUMMARY, PAGE} if names else set()
        )

    def finished(self, task: Task, key: str) -> Outcome | None:
        """What came of a task, if it was done with this key, and its files are as they were written."""
        found = self.kept(task)
        if found is None or not found.is_done or (found.key, found.scan) != (key, shown(task.scan)):
            return None
        try:
            there = {shown(name): name for name in os.listdir(self.folder)}  # noqa: PTH208 - one stat less for each
            sums = {name: sum_of(self.folder / there[name]) for name in found.files if name in there}
        except OSError:
            return None
        return found if sums and sums == found.files else None

    def kept(self, task: Task) -> Outcome | None:
        """What came of a task the last time, done or failed; None if nothing is known."""
        try:
            return Outcome.model_validate_json(self.of(task).read_bytes(), strict=True)
        except (OSError, ValidationError):
            return None

    def keep(self, task: Task, outcome: Outcome) -> None:
        """Write down what came of a task, all or nothing."""
        from raki.data.save import write_text

        write_text(self.of(task), outcome.model_dump_json(indent=1))

    def begin(self, tasks: Sequence[Task], settings: Settings) -> None:
        """Make the folders, and write down what is going to be done; old summaries are not of this run."""
        from raki.commands.origin import named
        from raki.data.save import write_text

        names = sorted({task.name for task in tasks} | {name for name in self.outputs() if self._is_there(name)})
        plan = [{'scan': str(task.scan), 'output': task.name} for task in tasks]
        told = {'options': named(settings), 'tasks': plan, 'outputs': names}
        self.path.mkdir(exist_ok=True)
        write_text(self.path / PLAN, json.dumps(told, indent=1))
        for name in (SUMMARY, PAGE):
            (self.folder / name).unlink(missing_ok=True)
        self.tidy()

    def _is_there(self, name: str) -> bool:
        return name not in (SUMMARY, PAGE) and (self.folder / name).exists()

    def tidy(self) -> None:
        """Remove what was being made when a run was cut off."""
        for path in self.path.glob('*.part'):
            rmtree(path) if path.is_dir() else path.unlink()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other batch write to this folder, on systems that know such locks."""
        try:
            from fcntl import LOCK_EX, LOCK_NB, flock
        except ImportError:
            yield
            return
        with (self.path / LOCK).open('ab') as file:
            try:
                flock(file, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                raise ResourceError(f'{self.folder}: another batch is writing here: wait for it, or end it') from None
            except OSError:  # a file system without locks
                pass
            yield

    def require_ours(self) -> None:
        """Raise a UsageError if the folder has something else where records, summary or page belong."""
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise UsageError(f'{shown(self.path)} is no folder of a batch: choose another -o')
        for name in (SUMMARY, PAGE):
            if os.path.lexists(self.folder / name) and not self.path.is_dir():
                raise UsageError(f'{shown(self.folder / name)} is there, and not of a batch: choose another -o')


def _short(name: str) -> str:
    """A name, or its sum if that of a file could not be longer."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= LONGEST else sha256(encoded).hexdigest()


def is_name(text: str) -> bool:
    """Whether a text names a file in a folder, and nothing outside."""
    return Path(text).name == text and text not in ('', '.', '..')


def _json(path: Path) -> dict[str, object]:
    """What a JSON file of ours holds; nothing if it is absent or damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
