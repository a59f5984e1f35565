"""What one element of an array of a cluster does: its part of the scans, in workers, with records for all."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from raki.commands.batch import queue
from raki.commands.batch.command import start_workers
from raki.commands.batch.pool import RESOURCES, UNEXPECTED, Pool, Watcher
from raki.commands.batch.process import Work
from raki.commands.batch.records import Outcome, Records
from raki.commands.batch.tasks import Task
from raki.commands.settings import Settings
from raki.data.memory import memory_bytes

PARTS = 'parts.json'

GRACE = 1.0
"""What ends a worker may be meant for its parent, too, which is then ended before it can blame the scan [s]."""


def write_parts(records: Records, work: Work, n_workers: int, parts: Sequence[Sequence[Task]]) -> None:
    """Write down what every element is to do."""
    from raki.data.save import write_text

    told = {'settings': work.settings.model_dump(mode='json'), 'suffix': work.suffix, 'threads': work.threads}
    told |= {'seconds': work.seconds, 'workers': n_workers}
    told |= {'parts': [[[str(task.scan), str(task.output)] for task in part] for part in parts]}
    (records.path / queue.FOLDER).mkdir(parents=True, exist_ok=True)
    write_text(records.path / queue.FOLDER / PARTS, json.dumps(told, indent=1))


def run_part(folder: Path, number: int) -> None:
    """Reconstruct the scans of an element; what is finished already, before it was started again, is left as it is.

    Raises
    ------
    ResourceError
        If no worker can start. A scan that fails raises nothing: its record says so.
    """
    records = Records(folder)
    told = json.loads((records.path / queue.FOLDER / PARTS).read_bytes())
    settings = Settings.model_validate_json(json.dumps(told['settings']))
    work = Work(settings, told['suffix'], resume=True, threads=told['threads'], seconds=told['seconds'])
    tasks = [Task(Path(scan), Path(output)) for scan, output in told['parts'][number]]
    with Pool(work) as pool:
        start_workers(pool, work, len(tasks), told['workers'])
        pool.run(tasks, memory_bytes(), _Keeper(records))


class _Keeper(Watcher):
    """Writes down which scans failed, as workers do for those that are done."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def finished(self, task: Task, outcome: Outcome, seconds: float, *, is_new: bool) -> None:
        del seconds, is_new
        if outcome.exit_code in (RESOURCES, UNEXPECTED):
            time.sleep(GRACE)
        if not outcome.is_done:
            self._records.keep(task, outcome)
