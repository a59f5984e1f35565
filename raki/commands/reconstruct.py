"""What `raki reconstruct` does: read, fill in, combine, write all or nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from raki.coils.combine import Combination
from raki.coils.noise import known_covariance
from raki.commands.catalogue import known, method_named, with_settings
from raki.commands.fits import Given, Kept, keeping, number_of
from raki.commands.inputs import seed_for, shown
from raki.commands.origin import inputs_of, named, versions
from raki.commands.settings import Settings
from raki.data.damage.examine import POLICIES
from raki.data.images.outputs import output_of, reconstruction_writer
from raki.data.masks import pattern_of
from raki.data.mrd.description import scanner_of
from raki.data.place import Place, columns
from raki.data.sampling import Sampling
from raki.data.save import OutputImage
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError, TrainingError
from raki.evaluation.noise_maps import analytic_noise_map
from raki.fourier import centre_crop, cropped, image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method, Progress
from raki.interpolation.fit import ZeroFilling
from raki.interpolation.settings import with_setting
from raki.magnitude import in_unit, unit_of
from raki.partial_fourier.methods import PARTIAL_FOURIER
from raki.pipeline import COMBINATION_WEIGHTS, COMBINATIONS, INTENSITY, Reconstruction, reconstruct

ALIKE = 'g-factor: without enough noise samples, coils are taken to have equal and independent noise'
BEYOND = 'g-factor: of what is filled in within the acquired range, before partial Fourier is completed'

TIMES = ('seconds_fit', 'seconds_fill')
"""What differs from run to run, so that outputs do not hold it: the same run gives the same bytes."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with a file, once it is known that it can be done.

    Raises
    ------
    ValueError
        If there is no such method, combination, or way to complete partial Fourier, the method has no setting
        that is asked for, or g-factors of a method that is not linear are.
    """

    settings: Settings
    device: torch.device = torch.device('cpu')
    """Where to compute."""

    def __post_init__(self) -> None:
        asked, method = self.settings, self.prepared
        known(COMBINATIONS, asked.combine, 'combination')
        known(PARTIAL_FOURIER, asked.partial_fourier, 'partial Fourier')
        known(POLICIES, asked.spikes, 'way to treat spikes')
        if asked.gfactor and not isinstance(method, Grappa | ZeroFilling):
            raise ValueError(f'g-factors of {asked.method} need replicas: use raki compare, or --method grappa')

    @property
    def prepared(self) -> Method:
        """The method with the seed, if it has one, and with the settings."""
        asked = self.settings
        found = with_settings({asked.method: method_named(asked.method)}, asked.calibration, asked.faithful)
        return with_setting(found[asked.method], 'seed', seed_for(asked.seed))

    @property
    def options(self) -> dict[str, Any]:
        """What `raki.pipeline.reconstruct` is to know beside scan and method."""
        asked = self.settings
        around = {'combine': COMBINATIONS[asked.combine], 'partial_fourier': PARTIAL_FOURIER[asked.partial_fourier]}
        return {'device': self.device, 'coils': asked.coils, 'spikes': POLICIES[asked.spikes], **around}

    def seen(self, scan: Scan) -> Scan:
        """The scan as far as it is to be looked at."""
        if not self.settings.whiten:
            scan = replace(scan, noise=None)
        if not self.settings.crop and scan.image_shape is not None:
            scan = replace(scan, image_shape=(*scan.image_shape[:-2], *scan.kspace.shape[-2:]))
        return scan


class Part(NamedTuple):
    """What is reconstructed at once."""

    name: str
    """In words."""
    scan: Scan
    """One slice or volume."""
    wanted: Sequence[int]
    """Which of its images."""
    places: Sequence[Place]
    """Where these belong."""


def reconstruct_file(
    file: ScanFile,
    output: Path,
    job: Job,
    progress_for: Callable[[str], Progress],
    save_fit: Path | None = None,
    watch: Callable[[Scan, OutputImage], object] = lambda _scan, _image: None,
) -> dict[str, Any]:
    """Reconstruct into a file, all or nothing, and return the manifest that it carries, and times, which it does not.

    Slice by slice, so that memory stays that of one slice. A volume is read whole. Where two axes are accelerated it is
    reconstructed whole, too; its filled k-space is written with kz transformed away, as slices.

    What was learnt of the first frame of every slice goes to `save_fit`, where that is given. `watch` is shown
    every image that is written, and the scan of which it is one.
    """
    given = Given.of(job.settings)
    if given:
        job = replace(job, settings=given.settled(job.settings))
    asked, kept = job.settings, Kept()
    slices = asked.slices or range(file.n_slices)
    file.require_known(slices)
    frames = file.frames_with(**asked.labels)
    places = [file.place(index, frame) for frame in frames for index in slices]
    kind, numbers = output_of(output), count()
    keeps_kspace = asked.kspace or kind.is_kspace
    manifest = _manifest(file, job, places)
    manifest['warnings'] += kind.shortcomings(places, is_identity_wanted=asked.keep_phi and bool(file.identity))
    if given:
        manifest |= {**given.about, 'notes': [*manifest['notes'], given.note]}
    with reconstruction_writer(output, len(places)) as writer, keeping(save_fit) as fits:
        for part in _parts(file, slices, frames):
            scan, number = job.seen(part.scan), number_of(part.scan, part.places[0].slice)
            progress = progress_for(f'{part.name}: {asked.method}')
            fitted = ()
            if given:
                interpolator, doubts = given.interpolator(number, scan, part.name, job.device)
                fitted, manifest['warnings'] = (interpolator,), [*manifest['warnings'], *doubts]
            with naming(part.name):
                result = reconstruct(scan, job.prepared, **job.options, progress=progress, fitted=fitted)
            if fits:
                kept.add(number, scan.kspace[0], scan.mask, result.interpolators[0])
            for image in _images(part, scan, result, job, keeps_kspace=keeps_kspace):
                placed = replace(image, readout_is_rows=file.readout_is_rows)
                writer.put(next(numbers), placed)
                watch(scan, placed)
            manifest = _grown(manifest, scan, result, job)
        kept_manifest = {name: value for name, value in manifest.items() if name not in TIMES}
        if fits:
            kept.put(fits, kept_manifest)
        writer.describe(kept_manifest)
    return manifest


@contextmanager
def naming(part: str) -> Iterator[None]:
    """Say which part it is that is not usable, or does not become so."""
    try:
        yield
    except (ScanError, TrainingError) as error:
        raise type(error)(f'{part}: {error}') from error


def _images(part: Part, scan: Scan, result: Reconstruction, job: Job, *, keeps_kspace: bool) -> Iterator[OutputImage]:
    """What is wanted of a part, as it was seen, with what comes with it."""
    combine = COMBINATION_WEIGHTS[job.settings.combine]
    gfactors = gfactor_maps(scan, result, combine, job.device) if job.settings.gfactor else None
    for index, place in zip(part.wanted, part.places, strict=True):
        yield OutputImage(
            result.image[index],
            place,
            kspace=result.kspace[index] if keeps_kspace else None,
            gfactor=None if gfactors is None else gfactors[index],
            voxel_size=None if scan.voxel_size is None else scan.voxel_size[-2:],
        )


def _manifest(file: ScanFile, job: Job, places: list[Place]) -> dict[str, Any]:
    """Before anything is reconstructed."""
    asked = job.settings
    return {
        **dict(columns(places)),
        'method': asked.method,
        'command': 'reconstruct',
        'options': named(asked),
        'settings': asdict(job.prepared),
        'combine': asked.combine,
        'virtual_coils': asked.coils,
        'energy_in_virtual_coils': [],
        'partial_fourier': asked.partial_fourier,
        'whiten': asked.whiten,
        'crop': asked.crop,
        'intensity': INTENSITY,
        'source_file': shown(Path(file.path).name),
        'input': inputs_of(file.path, asked),
        'scanner': scanner_of(file),
        **({'subject': dict(file.identity)} if asked.keep_phi and file.identity else {}),
        'acceleration': [],
        'notes': list(dict.fromkeys(file.notes)),
        'warnings': [],
        'versions': versions(),
        'device': str(job.device),
        'n_threads': torch.get_num_threads(),
        **dict.fromkeys(TIMES, 0.0),
    }


def _grown(manifest: Mapping[str, Any], scan: Scan, result: Reconstruction, job: Job) -> dict[str, Any]:
    """With what the reconstruction of one more part tells; the acceleration is that of the first."""
    transforms = [each.transform for each in result.interpolators]
    said = {'notes': (*_about_gfactors(scan, result, job), *result.notes), 'warnings': result.warnings}
    seconds = zip(TIMES, result.seconds, strict=True)
    return {
        **manifest,
        'acceleration': manifest['acceleration'] or _acceleration(scan),
        'energy_in_virtual_coils': [
            *manifest['energy_in_virtual_coils'],
            *(1.0 if each is None else each.energy for each in transforms),
        ],
        **{name: list(dict.fromkeys([*manifest[name], *texts])) for name, texts in said.items()},
        **{name: manifest[name] + more for name, more in seconds},
    }


def _about_gfactors(scan: Scan, result: Reconstruction, job: Job) -> list[str]:
    """What they leave out, or take for granted."""
    if not job.settings.gfactor:
        return []
    is_assumed, is_completed = known_covariance(scan.noise) is None, any(each.weight for each in result.completions)
    return [ALIKE] * is_assumed + [BEYOND] * is_completed


def _acceleration(scan: Scan) -> list[int]:
    """Spacing of measured lines, R of slices and (Rz, Ry) of volumes; empty where they are no lattice."""
    pattern = pattern_of(scan.mask)
    return list(pattern.lattice.spacing) if isinstance(pattern, Sampling) else []


def _parts(file: ScanFile, slices: Sequence[int], frames: Sequence[int]) -> Iterator[Part]:
    """Slices, or volumes with two accelerated axes, in the order of their images."""
    for frame in frames:
        places = [file.place(index, frame) for index in slices]
        volume = file.read(frame=frame) if len(file.shape) > 4 else None
        if volume is not None and not volume.has_full_kz:
            yield Part(f'volume, {file.frames[frame]}', volume, slices, places)
            continue
        whole = None if volume is None else volume.as_slices()
        del volume
        for index, place in zip(slices, places, strict=True):
            scan = file.read([index], frame) if whole is None else whole.only(index)
            yield Part(f'slice {index}, {file.frames[frame]}', scan, [0], [place])


def gfactor_maps(
    scan: Scan, result: Reconstruction, combine: Combination, device: torch.device | str = 'cpu'
) -> Tensor:
    """g-factor of every image of a linear reconstruction, axes (slice, y, x), cropped as the images are [1].

    Parameters
    ----------
    scan, result, device
        What was reconstructed, slices or volumes with two accelerated axes, what came of it, and where it was fitted.
    combine
        From coil images and the covariance of their noise to the weights (coil, y, x) of their combination.

    Raises
    ------
    ValueError
        If the method is not linear.
    """
    unit = unit_of(result.kspace)
    covariance = known_covariance(None if scan.noise is None else in_unit(scan.noise, unit))
    n_images, maps = len(result.kspace) // len(result.interpolators), list[Tensor]()
    assumed = torch.eye(scan.n_coils, dtype=torch.complex128) if covariance is None else covariance
    for fitted, slices in zip(result.interpolators, result.kspace.split(n_images), strict=True):
        coils = (image_from_kspace(in_unit(kspace, unit)) for kspace in slices.to(device))
        weights = torch.stack([combine(each, covariance) for each in coils], dim=1)
        whole = weights.new_zeros(scan.kspace.shape[1:])
        centre_crop(whole.view(scan.n_coils, -1, *weights.shape[-2:]), tuple(weights.shape[1:])).copy_(weights)
        found = cropped(analytic_noise_map(fitted, assumed, whole).gfactor, scan.image_shape)
        maps.append(found.reshape(-1, *result.image.shape[-2:]))
    return torch.cat(maps)
