"""A worker process as its parent sees it: how it is started, what it is told, what it says."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from raki.commands.batch.tasks import Task
from raki.commands.idle import brief_waits
from raki.commands.inputs import UsageError, shown
from raki.commands.settings import Settings
from raki.data.signals import handled

COMMAND = (sys.executable, '-P', '-m', 'raki.cli', 'worker')

PATIENCE = 5.0
"""How long a worker that is to end may tidy up [s]."""

THREADS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')
"""Variables of the environment that number threads of libraries."""

CGROUP_CORES = Path('/sys/fs/cgroup/cpu.max')
"""Where Linux keeps how much of its cores a container may use: microseconds in so many, or `max`."""


@dataclass(frozen=True, slots=True)
class Work:
    """How scans of a batch are reconstructed, whichever they are."""

    settings: Settings
    suffix: str
    """Of outputs."""
    resume: bool = False
    """Whether what is finished and unchanged is left as it is."""
    threads: int = 1
    """Of every worker; they decide the last bits of results."""
    seconds: float = 3600.0
    """How long one scan may take [s]."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r'(\.\w+)+', self.suffix):
            raise UsageError(f'--format needs a suffix such as .h5 or .nii.gz, got {shown(self.suffix)}')
        if not 0 < self.seconds < float('inf'):
            raise UsageError(f'--timeout must be a positive number of seconds, got {self.seconds:g}')

    def greeting(self) -> dict[str, Any]:
        """What a worker is told first."""
        told = {'parent': os.getpid(), 'settings': self.settings.model_dump(mode='json'), 'suffix': self.suffix}
        return told | {'threads': self.threads, 'resume': self.resume}


def n_cores() -> int:
    """Cores that this process may use, at least one: as many as its container may keep busy."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    try:
        allowed, period = CGROUP_CORES.read_text(encoding='ascii').split()
        return max(1, min(usable, int(allowed) // int(period)))
    except (OSError, ValueError):
        return usable


def environment(threads: int, gpu: int | None = None) -> dict[str, str]:
    """Give what a worker is started with: the same modules, and one GPU if it has a number."""
    found = {**os.environ, 'PYTHONPATH': os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    found |= brief_waits(os.environ) | dict.fromkeys(THREADS, str(threads))
    if gpu is not None:
        visible = [name for name in os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',') if name]
        found['CUDA_VISIBLE_DEVICES'] = visible[gpu] if visible else str(gpu)
    return found


@dataclass(slots=True, eq=False)
class Worker:
    """One process, and what it is doing."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    """What it writes to standard error."""
    environment: Mapping[str, str]
    """What another in its stead is started with."""
    is_ready: bool = False
    task: Task | None = None
    since: float = 0.0
    """When it was given its task, on a clock [s]."""
    needs: int = 0
    """Memory that its task takes [byte]; 0 while that is not known."""
    is_admitted: bool = False
    """Whether it may take that."""
    text: bytearray = field(default_factory=bytearray)
    """What it has written of a line."""
    words: str = ''
    """Its last ones, once it has ended."""

    def tell(self, message: object) -> None:
        """Write one line to it; that it has died is seen elsewhere."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message).encode() + b'\n')
            self.process.stdin.flush()

    def give(self, task: Task) -> None:
        """Let it reconstruct a scan."""
        self.task, self.since, self.needs, self.is_admitted = task, time.monotonic(), 0, False
        self.tell([str(task.scan), str(task.output)])

    @property
    def output(self) -> IO[bytes]:
        """Its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout

    def messages(self) -> Iterator[dict[str, Any]] | None:
        """What it has said since; None if it has ended."""
        block = os.read(self.output.fileno(), 1 << 16)
        self.text += block
        *lines, rest = self.text.split(b'\n')
        self.text = bytearray(rest)
        return (json.loads(line) for line in lines) if block else None

    def last_words(self) -> str:
        """The last line of what it wrote to standard error."""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors='replace').strip().splitlines()
        return shown(lines[-1]) if lines else ''

    def end(self) -> int:
        """Make it end, with time to tidy up; what it ended with."""
        self.process.terminate()
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.close()
        return code

    def close(self) -> None:
        """Close what leads to a process that has ended."""
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()


def started(work: Work, environment: Mapping[str, str]) -> Worker:
    """Start a worker and greet it."""
    errors = TemporaryFile()  # noqa: SIM115 - closed with the worker
    with handled({signal.SIGINT: signal.SIG_IGN}):  # it inherits this: Ctrl-C is meant for the one that starts it
        process = subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=dict(environment)
        )
    worker = Worker(process, errors, environment)
    worker.tell(work.greeting())
    return worker
