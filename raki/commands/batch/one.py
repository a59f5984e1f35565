"""One scan of a batch, from its file to its output and its record: what a worker, or a job of a cluster, runs."""

import hashlib
import json
import os
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from stat import S_IMODE

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from raki.commands.batch.records import Outcome, Records
from raki.commands.batch.tasks import Task
from raki.commands.inputs import require_fits, require_output
from raki.commands.job import Job
from raki.commands.origin import inputs_of, named, versions
from raki.commands.reconstruct import reconstruct_file
from raki.data.digests import sum_of
from raki.data.images.grey import encoded
from raki.data.masks import pattern_of
from raki.data.memory import reconstruction_bytes
from raki.data.save import OutputImage, require_replaceable
from raki.data.scan import Scan
from raki.interpolation.calibration import silent

Ending = Callable[[Exception], tuple[int, str]]
"""From an error to the exit code and the line of a command that ends with it."""

THUMBNAIL = 160
"""Longer side of a small image [pixel]."""

WINDOW = 0.999
"""White is this quantile of the small image; black is 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the pages of a batch show of a reconstruction, kept while its images pass by."""

    images: list[Tensor] = field(default_factory=list)
    """Small ones, axes (y, x)."""

    acs: list[int] = field(default_factory=list)
    """Size of the first ACS on every phase axis, of a separate one where there is one [line]."""

    def __call__(self, scan: Scan, image: OutputImage) -> None:
        """Look at an image, and at the scan of which it is one."""
        if not self.images:
            own = scan.calibration
            self.acs.extend(map(len, pattern_of(scan.mask).acs) if own is None else own.shape[2:-1])
        self.images.append(small(image.maps['reconstruction'].cpu()))

    @property
    def thumbnail(self) -> str:
        """PNG of the middle one, base64."""
        image = self.images[len(self.images) // 2].numpy()
        white = float(np.quantile(image, WINDOW, method='nearest')) or 1.0
        grey = np.rint(np.clip(np.nan_to_num(image / white), 0, 1) * 255).astype(np.uint8)
        return b64encode(encoded(grey, {})).decode()


def run_one(
    job: Job,
    task: Task,
    ending: Ending,
    *,
    resume: bool = False,
    admit: Callable[[int], object] = lambda _n_bytes: None,
) -> Outcome:
    """Reconstruct a scan into its folder, which has one for records, and say what came of it.

    Files are made in a folder of their own and put in place when they are whole; nothing else is touched.

    Parameters
    ----------
    job, task
        What to do, with which scan.
    ending
        Says how a command would end that fails like this.
    resume
        Whether an output that is there, whole, and of the same scan, settings and versions, is left as it is.
    admit
        Is told how much memory it takes [byte] when this is known, and may wait until there is as much.
    """
    records, key = Records(task.output.parent), key_of(job, task, torch.get_num_threads())
    found = records.finished(task, key) if resume else None
    if found is not None:
        return found
    try:
        return _reconstructed(job, task, records, key, admit)
    except Exception as error:  # noqa: BLE001 - as for a command: whatever it is, the next scan is another matter
        code, line = ending(error)
        return Outcome(scan=str(task.scan), output=task.name, exit_code=code, error=line, method=job.settings.method)
    finally:
        rmtree(records.work(task), ignore_errors=True)


def _reconstructed(job: Job, task: Task, records: Records, key: str, admit: Callable[[int], object]) -> Outcome:
    asked, seen, work = job.settings, Seen(), records.work(task)
    require_output(task.output, task.scan, asked.mask, keeps_kspace=asked.kspace)
    require_fits(None, asked.fit, task.scan)
    rmtree(work, ignore_errors=True)
    file = asked.open(task.scan, asked.coils)
    admit(reconstruction_bytes(file.shape))
    work.mkdir()
    manifest = reconstruct_file(file, work / task.name, job, lambda _name: silent, watch=seen)
    made = sorted(work.iterdir(), key=lambda path: (path.suffix == '.json', path.name))
    outcome = Outcome(
        scan=str(task.scan),
        output=task.name,
        warnings=tuple(dict.fromkeys(manifest['warnings'])),
        method=manifest['method'],
        acceleration=tuple(manifest['acceleration']),
        acs=tuple(seen.acs),
        n_images=len(seen.images),
        key=key,
        files={path.name: sum_of(path) for path in made},
        thumbnail=seen.thumbnail,
    )
    records.keep(task, outcome)
    _put(made, task.output.parent)
    return outcome


def _put(made: Sequence[Path], folder: Path) -> None:
    """Put files in place, a manifest of them last, with the permissions of those that they replace."""
    for path in made:
        target = folder / path.name
        require_replaceable(target)
        if target.exists():
            path.chmod(S_IMODE(target.stat().st_mode))
        path.replace(target)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def key_of(job: Job, task: Task, n_threads: int) -> str:
    """Sum of what decides an output: every file of the scan, settings, format, device, threads, versions.

    Empty if the scan cannot be read: nothing is finished with this key.
    """
    asked = job.settings
    try:
        files = inputs_of(task.scan, asked)
    except OSError:
        return ''
    what = {'input': files, 'options': named(asked), 'output': task.name, 'device': str(job.device)}
    what |= {'n_threads': n_threads, 'versions': versions()}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def small(image: Tensor) -> Tensor:
    """An image (y, x) of which the longer side has at most THUMBNAIL pixels: means of blocks."""
    longer = max(image.shape)
    if longer <= THUMBNAIL:
        return image.clone()
    height, width = (max(1, round(size * THUMBNAIL / longer)) for size in image.shape)
    return adaptive_avg_pool2d(image[None], (height, width))[0]
