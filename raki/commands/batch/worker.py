"""A process that reconstructs one scan after another, as it is told line by line: JSON in, JSON out.

In come a greeting and then tasks. Out come `{"ready": ...}` or `{"refused": ...}`, and then for every task
`{"needs": ...}`, which waits for an answer, and `{"outcome": ...}`; an output that is finished has no needs.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from raki.commands.batch.tasks import Task
from raki.commands.settings import Settings
from raki.data.signals import die_with_parent

Reply = Callable[[dict[str, Any]], None]


@contextmanager
def lines_of_worker() -> Iterator[tuple[IO[bytes], Reply]]:
    """Give standard input, and what writes to standard output; what else is printed there goes to standard error."""
    with os.fdopen(os.dup(sys.stdout.fileno()), 'wb') as target:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

        def reply(message: dict[str, Any]) -> None:
            target.write(json.dumps(message).encode() + b'\n')
            target.flush()

        yield sys.stdin.buffer, reply


def serve(source: IO[bytes], reply: Reply, ending: Callable[[Exception], tuple[int, str]]) -> None:
    """Do what the lines say until they end; `ending` is as in `raki.commands.batch.one`.

    The greeting is `{"parent", "settings", "suffix", "threads", "resume"}`, a task `{"scan", "output"}`.
    """
    greeting = json.loads(source.readline() or b'{}')
    if not greeting or not die_with(greeting['parent']):
        return
    import torch  # only now: it takes seconds

    from raki.commands.batch.one import run_one
    from raki.commands.job import Job
    from raki.data.images.outputs import output_of
    from raki.device import choose_device

    torch.set_num_threads(greeting['threads'])
    settings = Settings.model_validate_json(json.dumps(greeting['settings']))
    try:
        output_of(f'scan{greeting["suffix"]}')
        job = Job(settings, choose_device(settings.device))
    except ValueError as error:
        reply({'refused': str(error)})
        return
    machine = {'device': job.device.type, 'gpus': torch.cuda.device_count()}
    reply({'ready': machine})

    def admit(n_bytes: int) -> None:
        reply({'needs': n_bytes})
        source.readline()

    while line := source.readline():
        task = Task(*map(Path, json.loads(line)))
        outcome = run_one(job, task, ending, resume=greeting['resume'], admit=admit)
        reply({'outcome': outcome.model_dump(mode='json')})


def die_with(parent: int) -> bool:
    """Let the system end this process when its parent does, however; False if it has already.

    Elsewhere than on Linux a worker ends after the scan that it has, when its standard input does.
    """
    die_with_parent()
    return os.getppid() == parent
