"""What SLURM knows of the jobs of a batch. Accounting (`sacct`) is not asked: many clusters have none."""

import json
import os
import subprocess

from raki.commands.batch.records import Records
from raki.errors import ResourceError

FOLDER = 'slurm'
"""In the folder of records: what elements of an array are to do, logs, and the number of the job."""

JOB = 'job.json'

PATIENCE = 60.0
"""How long `squeue` may take [s]."""


def keep_job(records: Records, number: str) -> None:
    """Write down which job works on a batch."""
    from raki.data.save import write_text

    write_text(records.path / FOLDER / JOB, json.dumps({'job': number}))


def forget_job(records: Records) -> None:
    """Write down that no job has anything left to do: one that is just ending is in nobody's way."""
    (records.path / FOLDER / JOB).unlink(missing_ok=True)


def known_job(records: Records) -> str | None:
    """Give the number of the last job that was submitted for a batch."""
    try:
        found = json.loads((records.path / FOLDER / JOB).read_bytes())
    except (OSError, ValueError):
        return None
    return str(found['job']) if isinstance(found, dict) and 'job' in found else None


def queued() -> set[str] | None:
    """Give all elements of arrays of this user that wait or run, as 7_0; None where SLURM cannot be asked."""
    command = ['squeue', '--noheader', '--array', '--format=%i', f'--user={os.getuid()}']
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else set(done.stdout.split())


def require_idle(records: Records) -> None:
    """Raise a ResourceError if a job still works on a batch: two that write the same are in each other's way."""
    job = known_job(records)
    if job is not None and any(each.partition('_')[0] == job for each in queued() or ()):
        raise ResourceError(
            f'SLURM job {job} of this batch is not over: wait for it (squeue --jobs={job}), or end it (scancel {job}), '
            'then go on with --resume'
        )
