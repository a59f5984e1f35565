"""Undersample a fully sampled scan, reconstruct it with several methods, and measure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from raki.coils.combine import matched_weights, root_sum_of_squares
from raki.coils.noise import noise_covariance
from raki.data.blocks import slices
from raki.data.damage.examine import warned
from raki.data.masks import Pattern
from raki.data.sampling import Sampling
from raki.data.scan import Scan
from raki.device import cpu_seconds, now
from raki.errors import ScanError
from raki.evaluation.baseline import Baseline, MeasuredOnly, measured_of
from raki.evaluation.lesions import DIAMETERS, USUAL_DIAMETER
from raki.evaluation.metrics import Judged, figures_of, nrmse_object, object_mask
from raki.evaluation.noise_maps import NoiseMap, covariance_without_noise_scan, full_noise, replica_noise_map
from raki.evaluation.plan import Asked, Plan
from raki.evaluation.retention import RetentionMap, derivative_of, retention_map
from raki.evaluation.rows import Cell, Label, Row
from raki.evaluation.tradeoff import strengths
from raki.fourier import centre_crop, cropped, image_from_kspace, spatial_axes
from raki.interpolation.calibration import Method, Progress, silent
from raki.interpolation.fit import Filler, Interpolator
from raki.interpolation.settings import has_setting, setting_of, with_setting
from raki.magnitude import in_range, in_unit, unit_of
from raki.pipeline import Slab

NOISE_LINES = 32
"""Central lines along each phase axis from which the noise power is estimated where there are no noise samples."""

AnyMethod = TypeVar('AnyMethod', Method, Method | Baseline)

ProgressFor = Callable[[str], Progress]
"""From the name of a task to what is told its progress."""


@dataclass(frozen=True, eq=False)
class Bench:
    """One slab of a fully sampled scan, ready to be undersampled and judged."""

    scan: Scan
    """With one slab."""
    index: int
    """Number of that slice in its file; of a volume that of the slice that is shown."""
    plan: Plan
    """What to compare."""

    @cached_property
    def unit(self) -> float:
        """Power of two near the largest sample, in which images, noise and covariance are [unit of k-space]."""
        return unit_of(in_range(self.scan.kspace, 'k-space'))

    @cached_property
    def seen(self) -> Scan:
        """The scan in its unit, in which all is computed and judged."""
        unit = self.unit
        arrays = {name: getattr(self.scan, name) for name in ('kspace', 'calibration', 'noise', 'reference')}
        return replace(self.scan, **{name: in_unit(each, unit) for name, each in arrays.items() if each is not None})

    @cached_property
    def findings(self) -> tuple[str, ...]:
        """What is wrong with its samples, one sentence each; a ScanError as `raki.data.damage.examine.warned`."""
        return *self.scan.mended, *warned(self.seen.kspace[0], self.scan.mask, self.seen.noise).findings

    @cached_property
    def kspace(self) -> Tensor:
        """Measured k-space, axes (coil, phase axes, kx), on the plan's device."""
        return self.seen.kspace[0].to(self.plan.device)

    @cached_property
    def truth(self) -> Tensor:
        """Reference k-space, same axes: the noise-free truth if known, else the fully sampled scan itself."""
        return self.kspace if self.seen.reference is None else self.seen.reference[0].to(self.plan.device)

    @cached_property
    def true_image(self) -> Tensor:
        """Image of the reference, axes (y, x) or (z, y, x)."""
        return self.magnitude(self.truth)

    @cached_property
    def inside(self) -> Tensor:
        """The object: boolean, axes of the image.

        Raises
        ------
        ScanError
            If the plan's own mask does not fit the images, or is empty.
        """
        given, image = self.plan.object_mask, self.true_image
        if given is None:
            return object_mask(image)
        mask = given[self.index] if given.ndim > image.ndim and self.index < len(given) else given
        if mask.shape != image.shape or not bool(mask.any()):
            wanted, got = (' x '.join(map(str, each.shape)) for each in (image, given))
            raise ScanError(
                f'the object of slice {self.index} needs a mask that is not empty, of the shape of the image '
                f'(phase encode x readout: {wanted}), or one per slice, got {got}'
            )
        return mask.to(image.device)

    @cached_property
    def whole(self) -> Tensor:
        """The object in the whole field of view: boolean, axes of k-space without coils."""
        whole = torch.zeros(self.kspace.shape[1:], dtype=torch.bool, device=self.kspace.device)
        centre_crop(whole, tuple(self.inside.shape)).copy_(self.inside)
        return whole

    @cached_property
    def covariance(self) -> Tensor:
        """Noise covariance (coil, coil): of noise samples where there are, else estimated from periphery and ACS."""
        if self.seen.noise is not None:
            return noise_covariance(self.seen.noise)
        kspace, mask = self.seen.kspace[0], self.scan.mask
        middle = tuple(
            range(max(side.start, (n - NOISE_LINES) // 2), min(side.stop, (n + NOISE_LINES) // 2))
            for side, n in zip(Sampling.from_mask(mask).acs, mask.shape, strict=True)
        )
        return covariance_without_noise_scan(kspace, mask, kspace[:, *slices(middle)])

    @cached_property
    def noise_floor(self) -> float | None:
        """Noise of the reference itself on the scale of `nrmse_object`; None where it cannot be estimated."""
        if self.scan.reference is not None:
            return 0.0
        try:
            covariance = self.covariance
        except ScanError:
            return None
        weights = matched_weights(image_from_kspace(self.truth, spatial_axes(self.truth))).conj()
        std = cropped(full_noise(weights, covariance), self.scan.image_shape)
        return float(std[self.inside].norm() / self.true_image[self.inside].norm())

    def magnitude(self, kspace: Tensor) -> Tensor:
        """Root-sum-of-squares image of k-space (coil, phase axes, kx), cropped as the scan says."""
        return cropped(root_sum_of_squares(image_from_kspace(kspace, spatial_axes(kspace))), self.scan.image_shape)

    def cell(
        self, name: str, method: Method | Baseline, sampling: Pattern, labels: tuple[Label, Label], told: Progress
    ) -> Cell:
        """Reconstruct one cell and measure what the plan asks for; labels are those of rate and ACS."""
        device, names = self.kspace.device, self.plan.figures
        start, before = now(device), cpu_seconds()
        interpolator = self._fitted(method, sampling, self.kspace, told)
        fitted = now(device)
        filled = interpolator.fill(self.kspace)
        done, busy = now(device), cpu_seconds() - before
        seconds, images = (fitted - start, done - fitted), (self.magnitude(filled), self.true_image)
        missing = (sampling.inside & ~sampling.mask & self.scan.mask).to(device)
        fill = interpolator.fill
        retention = self._retention(interpolator, sampling) if names is None else None
        maps = retention, self._noise_map(method, interpolator, sampling)
        where = self.inside, self.whole, missing
        diameters = (USUAL_DIAMETER,) if _is_slow(interpolator) else DIAMETERS
        others = *maps, diameters, self.noise_floor, *seconds
        judged = Judged(filled, self.truth, *images, *where, sampling, self.kspace, fill, *others)
        seed, warnings = setting_of(method, 'seed'), (*self.findings, *interpolator.warnings)
        lesions = [each.summary() for each in judged.lesions] if names is None else []
        others = lesions, self._tradeoff(method, interpolator, sampling) if names is None else [], busy
        row = Row(name, *labels, self.index, seed, figures_of(judged, names), warnings, str(device), *others)
        gfactors = None if judged.gfactors is None else judged.gfactors.cpu()
        return Cell(row, judged.image.cpu(), gfactors, None if retention is None else retention.retained.cpu())

    def _fitted(
        self, method: Method | Baseline, sampling: Pattern, kspace: Tensor, progress: Progress = silent
    ) -> Filler:
        if isinstance(method, Baseline):
            measured = measured_of(kspace, sampling)
            return MeasuredOnly(method.calibrate(sampling.acs_block(measured), sampling, measured), sampling)
        return Slab(kspace, sampling, None, self.seen.noise, self.plan.coils).fitted(method, progress)

    def _noise_map(self, method: Method | Baseline, interpolator: Filler, sampling: Pattern) -> NoiseMap | None:
        """None where none is asked for, there is no noise, or replicas of a slow outside reference would take hours."""
        if not self.plan.n_replicas or not bool(self.covariance.any()) or not isinstance(interpolator, Interpolator):
            return None

        def fill(kspace: Tensor) -> Tensor:
            fitted = self._fitted(method, sampling, kspace) if self.plan.is_refitted else interpolator
            return fitted.fill(kspace)

        noise = replica_noise_map(fill, self.kspace, sampling, self.covariance, n_replicas=self.plan.n_replicas)
        maps = {name: cropped(getattr(noise, name), self.scan.image_shape) for name in ('std', 'gfactor', 'bias')}
        return replace(noise, **maps)

    def _tradeoff(
        self, method: Method | Baseline, interpolator: Filler, sampling: Pattern
    ) -> list[Mapping[str, float]]:
        """Error and retained signal over the strength of a method that has one."""
        if not isinstance(interpolator, Interpolator) or bool(sampling.mask[sampling.inside].all()):
            return []
        found = []
        for strength, each in strengths(method, interpolator, self.kspace):
            push = derivative_of(each, self.kspace)
            retained = retention_map(push, sampling, self.truth, self.whole, n_probes=1).mean
            error = nrmse_object(self.magnitude(each.fill(self.kspace)), self.true_image, self.inside)
            found.append({'strength': strength, 'nrmse_object': error, 'retention_mean': retained})
        return found

    def _retention(self, interpolator: Filler, sampling: Pattern) -> RetentionMap:
        """By few probes of what is slow."""
        push, n_probes = derivative_of(interpolator, self.kspace), 2 if _is_slow(interpolator) else None
        found = retention_map(push, sampling, self.truth, self.whole, n_probes=n_probes)
        return replace(found, retained=cropped(found.retained, self.scan.image_shape))


def _is_slow(filler: Filler) -> bool:
    """Whether filling in solves for an image or for k-space anew."""
    return not isinstance(filler, Interpolator) or filler.refinement is not None


@dataclass(frozen=True, slots=True)
class Task:
    """What makes one cell."""

    name: str
    """Of the method."""
    method: Method | Baseline
    """With its seed."""
    asked: Asked
    """What is measured."""

    def done(self, bench: Bench, progress_for: ProgressFor) -> Cell:
        """Do it; `progress_for` is called with its name before it starts."""
        place = f'slice {bench.index}' if bench.scan.n_phase_axes == 1 else 'volume'
        labels, told = (self.asked.rate.label, self.asked.acs), progress_for(f'{place}, {self.asked}: {self.name}')
        return bench.cell(self.name, self.method, self.asked.pattern, labels, told)


def tasks(bench: Bench) -> Iterator[Task]:
    """All cells of a plan for one slab, in the order of results."""
    for asked in bench.plan.asked(bench.scan):
        for name, method in bench.plan.methods.items():
            for seed in bench.plan.seeds if has_seed(method) else (0,):
                yield Task(name, with_seed(method, seed), asked)


def compare_slab(bench: Bench, progress_for: ProgressFor) -> Iterator[Cell]:
    """Go through all cells of a plan for one slab; `progress_for` is called with each task's name before it starts."""
    return (task.done(bench, progress_for) for task in tasks(bench))


def with_seed(method: AnyMethod, seed: int) -> AnyMethod:
    """Change the seed of a method that has one, or that starts with one that has."""
    return with_setting(method, 'seed', seed)


def has_seed(method: Method | Baseline) -> bool:
    """Whether results of a method depend on a seed, or those of the method that it starts with."""
    return has_setting(method, 'seed')
