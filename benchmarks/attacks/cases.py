"""Attacks with names, shared between workers that are forked: each has a folder of its own, and gives a finding."""

import json
import os
import shutil
import tempfile
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import numpy as np

from attacks.running import adopt_orphans

BAD = (
    'traceback',
    'hang',
    'crash',
    'orphans',
    'many lines',
    'torn',
    'mixed',
    'touched',
    'left over',
    'not resumed',
    'undetected',
    'wrong code',
    'wrong',
    'escapes',
    'script',
    'memory',
    'no image',
    'without a word',
    'broken attack',
)
"""Outcomes that no command may have; `silent` images are counted against a share."""


class Verdict(NamedTuple):
    """What came of an attack."""

    outcome: str
    """In one or two words: right, warned, refused, ..., or one of BAD."""
    detail: str = ''


class Case(NamedTuple):
    """An attack."""

    group: str
    """Row of the table."""
    name: str
    """What makes it again, with the seed."""
    attack: Callable[[Path], Verdict]
    """Carries it out in an empty folder."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A case, and what came of it."""

    group: str
    name: str
    outcome: str
    detail: str
    seconds: float


def generator_of(name: str, seed: int) -> np.random.Generator:
    """Random numbers of a case, which do not depend on the others."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def share(cases: Sequence[Case], n_workers: int) -> Iterator[Finding]:
    """Carry out all cases in worker processes, each taking the next one when it is free."""
    with tempfile.TemporaryDirectory(prefix='faults') as name:
        numbers, ask = os.pipe()
        files = [Path(name) / f'{worker}.jsonl' for worker in range(n_workers)]
        workers = [_worker(cases, numbers, ask, file) for file in files]
        os.close(numbers)
        for number in range(len(cases)):
            os.write(ask, number.to_bytes(4, 'little'))
        os.close(ask)
        for worker in workers:
            os.waitpid(worker, 0)
        for file in files:
            yield from (Finding(**json.loads(line)) for line in file.read_text().splitlines())


def _worker(cases: Sequence[Case], numbers: int, ask: int, file: Path) -> int:
    """Fork a worker that writes its findings to a file; returns its number."""
    file.touch()
    worker = os.fork()
    if worker:
        return worker
    code = 1
    try:
        os.close(ask)
        adopt_orphans()
        with file.open('a') as lines:
            while number := os.read(numbers, 4):
                case = cases[int.from_bytes(number, 'little')]
                lines.write(json.dumps(asdict(carried_out(case))) + '\n')
                lines.flush()
        code = 0
    finally:
        os._exit(code)


def carried_out(case: Case, kept: Path | None = None) -> Finding:
    """Carry out one case, in a folder that is kept if it is named."""
    folder = Path(tempfile.mkdtemp(prefix='fault')) if kept is None else kept
    folder.mkdir(parents=True, exist_ok=True)
    started = monotonic()
    try:
        verdict = case.attack(folder)
    except Exception:  # noqa: BLE001 - a mistake of an attack must not end the others
        verdict = Verdict('broken attack', traceback.format_exc()[-600:])
    finally:
        if kept is None:
            shutil.rmtree(folder, ignore_errors=True)
    return Finding(case.group, case.name, verdict.outcome, verdict.detail, round(monotonic() - started, 3))
