"""What fills in where a method fails numerically, if something is asked to: never without a word."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from raki.commands.job import CLOSED, Job
from raki.commands.settings import Settings
from raki.data.scan import Scan
from raki.errors import TrainingError
from raki.interpolation.calibration import Progress
from raki.interpolation.fit import Interpolator
from raki.pipeline import Reconstruction, reconstruct


def filled(
    scan: Scan, name: str, job: Job, progress: Progress, fitted: Sequence[Interpolator]
) -> tuple[Reconstruction, str]:
    """Reconstruct a part of a file; give what came of it, and the name of the method that filled it in.

    Where the method fails, the fallback does it, and its first warning says so; what was fitted carries that, too.

    Raises
    ------
    TrainingError
        If there is no fallback, or it fails, too.
    """
    asked, fallback = job.settings, job.fallback
    try:
        return reconstruct(scan, job.prepared, **job.options, progress=progress, fitted=fitted), asked.method
    except TrainingError as error:
        if fallback is None or asked.fallback is None:
            raise TrainingError(f'{error}{_offer(asked)}') from error
        told = f'{name} is filled in by {asked.fallback} (--fallback), as {asked.method} failed: {error}'
    result = reconstruct(scan, fallback, **job.options, progress=progress)
    interpolators = tuple(replace(each, warnings=(told, *each.warnings)) for each in result.interpolators)
    return replace(result, interpolators=interpolators), asked.fallback


def _offer(asked: Settings) -> str:
    """Name the option, where it would help."""
    return '' if asked.method in CLOSED or asked.fit is not None else '; --fallback grappa fills in with that instead'


def by_whom(asked: Settings, n_images: Mapping[str, int]) -> dict[str, Any]:
    """What changes in a manifest, from the number of images of each method: nothing where all are of the one asked for.

    Images are called after whoever made them.
    """
    if set(n_images) <= {asked.method}:
        return {}
    n_images = {name: n_images[name] for name in (asked.method, asked.fallback) if name and name in n_images}
    names = [name if name == asked.method else f'{name} (fallback)' for name in n_images]
    return {'method': ' and '.join(names), 'n_images_by_method': n_images}
