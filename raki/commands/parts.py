"""Parts of a file that are reconstructed at once: slices, or volumes with two accelerated axes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from raki.coils.combine import Combination
from raki.coils.noise import known_covariance
from raki.commands.fallback import filled
from raki.commands.fits import number_of
from raki.commands.job import Job
from raki.data.masks import pattern_of
from raki.data.place import Place
from raki.data.sampling import Sampling
from raki.data.save import OutputImage
from raki.data.scan import Scan, ScanFile
from raki.device import or_on_cpu
from raki.errors import ScanError, TrainingError
from raki.evaluation.noise_maps import analytic_noise_map
from raki.fits.likeness import moments_of
from raki.fits.stored import Fit
from raki.fourier import centre_crop, cropped, image_from_kspace
from raki.interpolation.calibration import Progress
from raki.interpolation.fit import Interpolator
from raki.interpolation.fitted import how_determined, on_device
from raki.magnitude import in_unit, unit_of
from raki.pipeline import COMBINATION_WEIGHTS, Reconstruction

ALIKE = 'g-factor: without enough noise samples, coils are taken to have equal and independent noise'
BEYOND = 'g-factor: of what is filled in within the acquired range, before partial Fourier is completed'


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

    @property
    def number(self) -> int | None:
        """By which its fit is found."""
        return number_of(self.scan, self.places[0].slice)


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What came of a part."""

    images: tuple[OutputImage, ...]
    """In the order of what was wanted."""
    acceleration: list[int]
    """R of a slice, (Rz, Ry) of a volume; empty where measured lines are no lattice."""
    energies: tuple[float, ...]
    """Share of the energy that virtual coils have, of every slab."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: tuple[float, float]
    """Time spent on fitting and on filling in [s]."""
    determined: tuple[dict[str, float | None], ...] = ()
    """How well the equations of every slab determined its weights, by the names of manifests."""
    fit: Fit | None = None
    """What was learnt, where that is wanted."""
    is_whole: bool = False
    """Whether nothing within the acquired range was missing."""
    method: str = ''
    """By which it was filled in: the one that was asked for, or its fallback."""


class Wanted(NamedTuple):
    """What is kept of a part beside images."""

    kspace: bool = False
    fit: bool = False


def parts_of(file: ScanFile, slices: Sequence[int], frames: Sequence[int], job: Job) -> Iterator[Part]:
    """Slices, or volumes with two accelerated axes, as far as they are to be looked at, in their order."""
    for frame in frames:
        places = [file.place(index, frame) for index in slices]
        volume = file.read(frame=frame) if len(file.shape) > 4 else None
        if volume is not None and not volume.has_full_kz:
            yield Part(f'volume, {file.frames[frame]}', job.seen(volume), slices, places)
            continue
        whole = None if volume is None else volume.as_slices()
        del volume
        for index, place in zip(slices, places, strict=True):
            scan = file.read([index], frame) if whole is None else whole.only(index)
            yield Part(f'slice {index}, {file.frames[frame]}', job.seen(scan), [0], [place])


def done_with(part: Part, job: Job, progress: Progress, wanted: Wanted, fitted: tuple[Interpolator, ...] = ()) -> Done:
    """Reconstruct a part, with what was `fitted` before if there is such, and tell what came of it.

    Raises
    ------
    ScanError, TrainingError
        As `raki.pipeline.reconstruct` raises them, with the name of the part.
    """
    scan = part.scan
    with naming(part.name):
        result, method = filled(scan, part.name, job, progress, fitted)
        gfactors, shortcomings = _gfactors(scan, result, job)
    transforms = [each.transform for each in result.interpolators]
    return Done(
        images=tuple(_images(part, result, gfactors, keeps_kspace=wanted.kspace)),
        acceleration=_acceleration(scan),
        energies=tuple(1.0 if each is None else each.energy for each in transforms),
        notes=(*_about_gfactors(scan, result, job), *result.notes),
        warnings=tuple(dict.fromkeys((*result.warnings, *shortcomings))),
        seconds=result.seconds,
        determined=tuple(map(how_determined, result.interpolators)),
        fit=Fit(result.interpolators[0], part.number, moments_of(scan.kspace[0], scan.mask)) if wanted.fit else None,
        is_whole=_is_whole(scan),
        method=method,
    )


@contextmanager
def naming(part: str) -> Iterator[None]:
    """Say which part it is that is not usable, or does not become so."""
    try:
        yield
    except (ScanError, TrainingError) as error:
        raise type(error)(f'{part}: {error}') from error


def _gfactors(scan: Scan, result: Reconstruction, job: Job) -> tuple[Tensor | None, tuple[str, ...]]:
    """Maps, where they are wanted, and what a user must know of them."""
    if not job.settings.gfactor:
        return None, ()
    combine = COMBINATION_WEIGHTS[job.settings.combine]

    def maps(where: torch.device) -> Tensor:
        moved = tuple(on_device(each, where) for each in result.interpolators)
        return gfactor_maps(scan, replace(result, interpolators=moved), combine, where).cpu()

    return or_on_cpu(maps, job.device)


def _images(
    part: Part, result: Reconstruction, gfactors: Tensor | None, *, keeps_kspace: bool
) -> Iterator[OutputImage]:
    """What is wanted of a part, as it was seen, with what comes with it."""
    scan = part.scan
    for index, place in zip(part.wanted, part.places, strict=True):
        yield OutputImage(
            result.image[index],
            place,
            kspace=result.kspace[index] if keeps_kspace else None,
            gfactor=None if gfactors is None else gfactors[index],
            voxel_size=None if scan.voxel_size is None else scan.voxel_size[-2:],
        )


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


def _is_whole(scan: Scan) -> bool:
    pattern = pattern_of(scan.mask)
    return bool(pattern.mask[pattern.inside].all())


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
