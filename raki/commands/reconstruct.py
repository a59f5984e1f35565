"""What `raki reconstruct` does: read, fill in, combine, write all or nothing."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from raki.commands.costs import guess_for
from raki.commands.fallback import by_whom
from raki.commands.fits import Given, Kept, keeping
from raki.commands.inputs import shown
from raki.commands.job import Job
from raki.commands.origin import inputs_of, named, require_unchanged, stamps_of, versions
from raki.commands.parts import Done, Part, Wanted, done_with, parts_of
from raki.commands.progress import Course, Watch
from raki.commands.workers import each_done
from raki.data.images.outputs import output_of, reconstruction_writer
from raki.data.mrd.description import scanner_of
from raki.data.place import Place, columns
from raki.data.save import OutputImage
from raki.data.scan import Scan, ScanFile
from raki.interpolation.calibration import Progress
from raki.interpolation.fitted import DETERMINED
from raki.pipeline import INTENSITY

NOT_FILLED = 'nothing was filled in: all lines of the acquired range were measured'
"""What is noted of a fully sampled scan."""

TIMES = ('seconds_fit', 'seconds_fill')
"""What differs from run to run, so that outputs do not hold it: the same run gives the same bytes."""


def reconstruct_file(
    file: ScanFile,
    output: Path,
    job: Job,
    progress_for: Callable[[str], Progress],
    save_fit: Path | None = None,
    watch: Callable[[Scan, OutputImage], object] = lambda _scan, _image: None,
    n_workers: int = 1,
) -> dict[str, Any]:
    """Reconstruct into a file, all or nothing, and return the manifest that it carries, and times, which it does not.

    Slice by slice, so that memory stays that of one slice, or of one for every worker. A volume is read whole. Where
    two axes are accelerated it is reconstructed whole, too; its filled k-space is written with kz transformed away, as
    slices.

    What was learnt of the first frame of every slice goes to `save_fit`, where that is given. `watch` is shown
    every image that is written, and the scan of which it is one. Workers are processes with one thread each. A
    ScanError if a file that is read changes meanwhile.
    """
    given, stamps = Given.of(job.settings), stamps_of(file.path, job.settings)
    if given:
        job = replace(job, settings=given.settled(job.settings))
    asked, kept, kind, numbers, course = job.settings, Kept(), output_of(output), count(), Watch.of(progress_for)
    slices = asked.slices or range(file.n_slices)
    file.require_known(slices)
    frames = file.frames_with(**asked.labels)
    places = [file.place(index, frame) for frame in frames for index in slices]
    manifest = _manifest(file, job, places, given, 1 if n_workers > 1 else torch.get_num_threads())
    manifest['warnings'] += kind.shortcomings(places, is_identity_wanted=asked.keep_phi and bool(file.identity))
    wanted = Wanted(asked.kspace or kind.is_kspace, save_fit is not None)

    def prepared(part: Part) -> Callable[[Progress], Done]:
        fitted = ()
        if given:
            interpolator, doubts = given.interpolator(part.number, part.scan, part.name, job.device)
            fitted, manifest['warnings'] = (interpolator,), [*manifest['warnings'], *doubts]
        return lambda progress: done_with(part, job, progress, wanted, fitted)

    with keeping(save_fit) as fits, reconstruction_writer(output, len(places)) as writer:  # images come first
        found, wholes, n_fits = parts_of(file, slices, frames, job), list[bool](), 0 if given else 1
        by_method = Counter[str]()
        parts = _expected(found, course, job, len(places), n_fits, n_workers)
        for part, done in each_done(parts, prepared, n_workers, course, asked.method):
            kept.add(done.fit)
            wholes.append(done.is_whole)
            by_method[done.method] += len(done.images)
            for image in done.images:
                placed = replace(image, readout_is_rows=file.readout_is_rows)
                writer.put(next(numbers), placed)
                watch(part.scan, placed)
            manifest |= _grown(manifest, done)
        require_unchanged(stamps)
        manifest['notes'] += _not_filled(wholes)
        manifest |= by_whom(asked, by_method)
        kept_manifest = {name: value for name, value in manifest.items() if name not in TIMES}
        if fits:
            kept.put(fits, kept_manifest)
        writer.describe(kept_manifest)
    return manifest


def _expected(
    parts: Iterable[Part], watch: Watch, job: Job, n_images: int, n_fits: int, n_workers: int
) -> Iterator[Part]:
    """The same parts; when the first is there it is known how many there are, and what they may cost."""
    for number, part in enumerate(parts):
        if not number:
            unit = 'slice' if part.scan.n_phase_axes == 1 else 'volume'
            kinds, guesses = [job.settings.method] * (n_images // len(part.places)), guess_for(part.scan, job, n_fits)
            watch.expect(Course(unit, kinds, guesses=guesses, n_at_once=n_workers))
        yield part


def _not_filled(wholes: list[bool]) -> list[str]:
    """Of how many parts nothing was missing, if of any."""
    if not any(wholes):
        return []
    return [NOT_FILLED if all(wholes) else f'{NOT_FILLED}, in {sum(wholes)} of {len(wholes)} slices or volumes']


def told(output: Path, manifest: Mapping[str, Any]) -> str:
    """What came of it, in a line."""
    seconds = f'fit {manifest["seconds_fit"]:.1f} s, fill {manifest["seconds_fill"]:.1f} s'
    is_whole = NOT_FILLED in manifest['notes']
    how = f'; {NOT_FILLED}' if is_whole else f' by {manifest["method"]}, {seconds}'
    return f'{shown(output)}: {len(manifest["slice"])} image(s){how}'


def _manifest(file: ScanFile, job: Job, places: list[Place], given: Given | None, n_threads: int) -> dict[str, Any]:
    """Before anything is reconstructed."""
    asked = job.settings
    about = given.about if given else {}
    return {
        **dict(columns(places)),
        'method': asked.method,
        'command': 'reconstruct',
        'options': named(asked),
        'settings': asdict(job.prepared),
        'combine': asked.combine,
        'virtual_coils': asked.coils,
        'energy_in_virtual_coils': [],
        **{name: [] for name in DETERMINED},
        'partial_fourier': asked.partial_fourier,
        'whiten': asked.whiten,
        'crop': asked.crop,
        'intensity': INTENSITY,
        'source_file': shown(Path(file.path).name),
        'input': inputs_of(file.path, asked),
        'scanner': scanner_of(file),
        **({'subject': dict(file.identity)} if asked.keep_phi and file.identity else {}),
        'acceleration': [],
        'notes': [*dict.fromkeys(file.notes), *([given.note] if given else [])],
        'warnings': [],
        'versions': versions(),
        'device': str(job.device),
        'n_threads': n_threads,
        **dict.fromkeys(TIMES, 0.0),
        **about,
    }


def _grown(manifest: Mapping[str, Any], done: Done) -> dict[str, Any]:
    """What one more part tells, with what is told already; the acceleration is that of the first."""
    said = {'notes': done.notes, 'warnings': done.warnings}
    return {
        'acceleration': manifest['acceleration'] or done.acceleration,
        'energy_in_virtual_coils': [*manifest['energy_in_virtual_coils'], *done.energies],
        **{name: list(dict.fromkeys([*manifest[name], *texts])) for name, texts in said.items()},
        **{name: [*manifest[name], *(each[name] for each in done.determined)] for name in DETERMINED},
        **{name: manifest[name] + more for name, more in zip(TIMES, done.seconds, strict=True)},
    }
