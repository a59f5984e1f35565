"""Where scans of a batch run on a cluster: an array of SLURM, submitted through submitit.

What submitit pickles is the command line of an element, and what the command prints.
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import cast

from raki.commands.batch import queue
from raki.commands.batch.command import Run, begun, planned
from raki.commands.batch.part import write_parts
from raki.commands.batch.pool import Watcher
from raki.commands.batch.process import Work, environment
from raki.commands.batch.records import Outcome, Records
from raki.commands.batch.tasks import Task
from raki.commands.batch.waiting import Array, awaited
from raki.commands.idle import POLICIES
from raki.commands.inputs import UsageError, as_usage_error
from raki.commands.settings import Slurm
from raki.errors import ResourceError
from raki.extras import require_extra

SECONDS_BEFORE = 30
"""How long before its limit of time an element is told, so that it is started again [s]."""


@contextmanager
def on_slurm(
    slurm: Slurm, n_workers: int | None, say: Callable[[str], object], work: Work, records: Records, n_tasks: int
) -> Iterator[Run]:
    """Give what submits scans to SLURM, says so, and waits for them. When the waiting is cut off the jobs go on.

    Raises
    ------
    UsageError
        If settings do not fit together, or nothing can be submitted from here.
    """
    del n_tasks
    require_slurm(work)

    def run(tasks: Sequence[Task], watcher: Watcher) -> list[Outcome]:
        array = submitted(tasks, records, work, slurm, n_workers)
        say(array.line)
        try:
            outcomes = awaited(array, tasks, records, work, watcher)
        except BaseException as error:
            error.add_note(f'SLURM job {array.job} goes on (scancel {array.job} ends it)')
            raise
        queue.forget_job(records)
        return outcomes

    yield run


def submit_files(words: Sequence[str], folder: Path, work: Work, slurm: Slurm, n_workers: int | None) -> Array:
    """Submit all scans, as `raki.commands.batch.command.batch_files` takes them, and wait for none."""
    records, tasks = planned(words, folder, work)
    require_slurm(work)
    with begun(records, tasks, work.settings):
        return submitted(tasks, records, work, slurm, n_workers)


def require_slurm(work: Work) -> None:
    """Raise a UsageError or an ExtraError if settings do not fit together, or nothing can be submitted from here."""
    import torch

    from raki.commands.job import Job
    from raki.data.images.outputs import output_of

    if shutil.which('sbatch') is None:
        raise UsageError('--slurm needs sbatch, which is not on this machine: use it where jobs are submitted from')
    require_extra('slurm', '--slurm')
    with as_usage_error():
        output_of(f'scan{work.suffix}')
        Job(work.settings, torch.device('cpu'))


def submitted(tasks: Sequence[Task], records: Records, work: Work, slurm: Slurm, n_workers: int | None) -> Array:
    """Submit an array with all scans that are not finished, spread evenly over its elements; none if all are.

    Raises
    ------
    ResourceError
        If SLURM refuses.
    """
    before = _finished(tasks, records, work) if work.resume else {}
    left = [task for task in tasks if task not in before]
    if not left:
        return Array('', {}, before)
    for task in left:  # a record that is there from now on is new
        records.of(task).unlink(missing_ok=True)
    n_parts = min(slurm.array_size, len(left))
    parts = [left[number::n_parts] for number in range(n_parts)]
    n_at_once = n_workers or max(1, slurm.gpus)
    write_parts(records, work, n_at_once, parts)
    commands = [_command(records.folder, number) for number in range(n_parts)]
    elements = _submit(records.path.absolute() / queue.FOLDER, commands, _parameters(slurm, n_at_once * work.threads))
    job = elements[0][0].partition('_')[0]
    queue.keep_job(records, job)
    return Array(job, {task: each for each, part in zip(elements, parts, strict=True) for task in part}, before)


def _submit(folder: Path, commands: Sequence[list[str]], parameters: Mapping[str, object]) -> list[tuple[str, Path]]:
    """Submit an array of commands, that are run in this folder; give the element and the log of each.

    One that SLURM is about to end, for others or because its time is over, is started again.
    """
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError
    from submitit.helpers import CommandFunction, FunctionSequence

    sequences = [cast(FunctionSequence, FunctionSequence()) for _ in commands]
    for sequence, command in zip(sequences, commands, strict=True):
        sequence.add(CommandFunction(command, cwd=Path.cwd()))
    try:
        executor = SlurmExecutor(folder)
        executor.update_parameters(**parameters)
        with redirect_stderr(StringIO()):  # what is printed there is in the error, too
            jobs = executor.submit_array(sequences)
    except (FailedJobError, FailedSubmissionError, RuntimeError) as error:
        raise ResourceError(f'SLURM does not take the job: {" ".join(str(error).split())}') from error
    return [(job.job_id, job.paths.stderr) for job in jobs]


def _command(folder: Path, number: int) -> list[str]:
    """What an element runs: the same modules as here, whatever of the environment a cluster passes on."""
    own = environment(1)
    variables = [f'{name}={own[name]}' for name in ('PYTHONPATH', *POLICIES) if name in own]
    return ['env', *variables, sys.executable, '-P', '-m', 'raki.cli', 'batch-part', str(folder), str(number)]


def _parameters(slurm: Slurm, n_cores: int) -> dict[str, object]:
    """What `sbatch` is told, as submitit names it."""
    given = {'partition': slurm.partition, 'gpus_per_node': slurm.gpus or None}
    given |= {'mem': f'{slurm.memory}GB' if slurm.memory else None}
    told = {'job_name': 'raki', 'time': slurm.time, 'cpus_per_task': n_cores, 'signal_delay_s': SECONDS_BEFORE}
    told |= {'array_parallelism': slurm.array_size, 'additional_parameters': {'requeue': True}}
    return told | {name: value for name, value in given.items() if value is not None}


def _finished(tasks: Sequence[Task], records: Records, work: Work) -> dict[Task, Outcome]:
    """Tasks that are finished and unchanged, wherever they ran if no device is asked for."""
    import torch

    from raki.commands.batch.one import key_of
    from raki.commands.job import Job

    devices = [work.settings.device] if work.settings.device else ['cpu', 'cuda']
    jobs = [Job(work.settings, torch.device(device)) for device in devices]
    found = {}
    for task in tasks:
        if records.kept(task) is not None:
            known = (records.finished(task, key_of(job, task, work.threads)) for job in jobs)
            outcome = next((each for each in known if each is not None), None)
            found |= {task: outcome} if outcome else {}
    return found
