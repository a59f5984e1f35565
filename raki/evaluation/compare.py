"""Undersample a fully sampled scan, reconstruct it with several methods, and measure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import product
from typing import Any, TypeVar

import torch
from torch import Tensor

from raki.coils.combine import root_sum_of_squares
from raki.coils.noise import noise_covariance
from raki.coils.transform import coil_transform
from raki.data.sampling import Sampling, longest_run, undersample
from raki.data.scan import Scan
from raki.device import now
from raki.errors import CalibrationError
from raki.evaluation.fidelity import ghost_index, noise_figures, point_response
from raki.evaluation.metrics import energy_ratio, image_metrics, kspace_nrmse, object_mask
from raki.evaluation.noise_maps import NoiseMap, covariance_without_noise_scan, replica_noise_map
from raki.evaluation.outside import Baseline, Filler
from raki.fourier import cropped, image_from_kspace
from raki.interpolation.fit import Interpolator, Method, Progress, fit, leave_empty, silent

NOISE_LINES = 32
"""Central lines from which the noise power is estimated where there are no noise samples."""

AnyMethod = TypeVar('AnyMethod', Method, Method | None, Method | Baseline | None)

ProgressFor = Callable[[str], Progress]
"""From the name of a task to what is told its progress."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compare."""

    methods: Mapping[str, Method | Baseline | None]
    """Methods by name; None is zero filling."""

    rates: Sequence[int] = (2, 3, 4, 5)
    """Accelerations R."""

    acs: Sequence[int] = (24,)
    """Lengths of the ACS block [line]."""

    seeds: Sequence[int] = (0,)
    """Seeds of methods that have one."""

    n_replicas: int = 100
    """Replicas of each noise map; 0 for no noise maps."""

    device: torch.device = torch.device('cpu')
    """Where to compute."""

    coils: int | None = None
    """Number of virtual coils to learn in; None as many as there are."""

    is_refitted: bool = False
    """Whether weights are learnt anew from every replica, and so vary with it."""

    def __post_init__(self) -> None:
        if not (self.methods and self.rates and self.acs and self.seeds):
            raise ValueError('a comparison needs at least one method, rate, ACS length and seed')
        if min(self.rates) < 1 or min(self.acs) < 0 or self.n_replicas < 0 or self.n_replicas == 1:
            raise ValueError(
                f'rates must be 1 or more, ACS lengths 0 or more, replicas 0 or at least 2, '
                f'got {self.rates}, {self.acs}, {self.n_replicas}'
            )


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured in one cell of the comparison."""

    method: str
    rate: int
    acs: int
    slice: int
    seed: int | None
    nrmse: float
    nrmse_object: float
    kspace_nrmse: float
    ssim: float
    psnr: float
    energy_ratio: float
    gfactor_mean: float | None
    gfactor_p95: float | None
    gfactor_standard_error: float | None
    noise_std: float | None
    noise_bias: float | None
    ghost_index: float
    point_peak: float
    point_peak_min: float
    point_width: float | None
    net_acceleration: float
    acs_used: int
    warnings: tuple[str, ...]
    seconds_fit: float
    seconds_fill: float
    device: str


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One row with its pictures."""

    row: Row
    image: Tensor
    """Reconstructed magnitude image, axes (y, x)."""
    gfactor: Tensor | None
    """Its g-factor map, axes (y, x) [1]."""


def require_feasible(plan: Plan, measured: Tensor) -> None:
    """Raise before any work if a cell asks for more ACS than there is, or less than a kernel needs."""
    for rate, n_acs, (name, method) in product(plan.rates, plan.acs, plan.methods.items()):
        sampling = undersample(measured, rate, n_acs)
        if method is None or rate == 1:
            continue
        kernel = method.smallest_kernel
        if len(sampling.acs) < kernel.span(rate):
            raise CalibrationError(
                f'{name} at R={rate} needs at least {kernel.span(rate)} ACS lines for its kernel of '
                f'{kernel.lines} acquired lines, got {n_acs}: leave out that rate or acquire more ACS'
            )


@dataclass(frozen=True, eq=False)
class Bench:
    """One slice of a fully sampled scan, ready to be undersampled and judged."""

    scan: Scan
    """With one slice."""

    index: int
    """Number of that slice in its file."""

    plan: Plan
    """What to compare."""

    @cached_property
    def kspace(self) -> Tensor:
        """Measured k-space, axes (coil, ky, kx), on the plan's device."""
        return self.scan.kspace[0].to(self.plan.device)

    @cached_property
    def truth(self) -> Tensor:
        """Reference k-space, axes (coil, ky, kx): the noise-free truth if known, else the fully sampled scan itself."""
        return self.kspace if self.scan.reference is None else self.scan.reference[0].to(self.plan.device)

    @cached_property
    def true_image(self) -> Tensor:
        """Image of the reference, axes (y, x)."""
        return self.magnitude(self.truth)

    @cached_property
    def covariance(self) -> Tensor:
        """Noise covariance (coil, coil): of noise samples where there are, else estimated from periphery and ACS."""
        if self.scan.noise is not None:
            return noise_covariance(self.scan.noise)
        lines = longest_run(self.scan.mask)
        start = max(lines.start, (len(self.scan.mask) - NOISE_LINES) // 2)
        kspace = self.scan.kspace[0]
        acs = kspace[:, start : min(start + NOISE_LINES, lines.stop)]
        return covariance_without_noise_scan(kspace, self.scan.mask, acs)

    def magnitude(self, kspace: Tensor) -> Tensor:
        """Root-sum-of-squares image of k-space (coil, ky, kx), cropped as the scan says."""
        return cropped(root_sum_of_squares(image_from_kspace(kspace)), self.scan.image_shape)

    def cell(
        self, name: str, method: Method | Baseline | None, sampling: Sampling, n_acs: int, progress: Progress
    ) -> Cell:
        """Reconstruct one cell and measure."""
        device = self.kspace.device
        start = now(device)
        interpolator = self._fitted(method, sampling, self.kspace, progress)
        fitted = now(device)
        filled = interpolator.fill(self.kspace)
        done = now(device)
        image = self.magnitude(filled)
        noise = self._noise_map(method, interpolator, sampling)
        gfactor = None if noise is None else cropped(noise.gfactor, self.scan.image_shape)
        missing = self._missing(sampling)
        figures: dict[str, Any] = {
            **image_metrics(image, self.true_image),
            'kspace_nrmse': kspace_nrmse(filled, self.truth, missing),
            'energy_ratio': energy_ratio(filled, self.truth, missing),
            **gfactor_statistics(gfactor, object_mask(self.true_image)),
            **self._price(interpolator, filled, noise, sampling),
            'gfactor_standard_error': None if noise is None else noise.relative_standard_error,
        }
        row = Row(
            method=name,
            rate=sampling.acceleration,
            acs=n_acs,
            slice=self.index,
            seed=getattr(method, 'seed', None),
            **figures,
            net_acceleration=sampling.net_acceleration,
            acs_used=len(sampling.acs),
            warnings=interpolator.warnings,
            seconds_fit=fitted - start,
            seconds_fill=done - fitted,
            device=str(device),
        )
        return Cell(row, image.cpu(), None if gfactor is None else gfactor.cpu())

    def _price(
        self, filler: Filler, filled: Tensor, noise: NoiseMap | None, sampling: Sampling
    ) -> dict[str, float | None]:
        """What stands beside a noise map so that lost signal cannot pass as low noise."""
        points = point_response(filler.fill, self.kspace, filled, self.truth)
        whole = root_sum_of_squares(image_from_kspace(self.truth))
        widths = points.width[points.width.isfinite()]
        return {
            **noise_figures(noise, whole, object_mask(whole)),
            'ghost_index': ghost_index(filled, self.truth, sampling),
            'point_peak': float(points.peak.mean()),
            'point_peak_min': float(points.peak.min()),
            'point_width': float(widths.mean()) if len(widths) else None,
        }

    def _fitted(
        self, method: Method | Baseline | None, sampling: Sampling, kspace: Tensor, progress: Progress = silent
    ) -> Filler:
        if method is None or sampling.acceleration == 1:
            return leave_empty(sampling, kspace.shape[-1])
        acs = kspace[:, sampling.acs.start : sampling.acs.stop]
        if isinstance(method, Baseline):
            return method.calibrate(acs, sampling, kspace)
        transform = coil_transform(acs, self.scan.noise, self.plan.coils)
        return fit(method, acs, sampling, kspace, progress, transform)

    def _noise_map(self, method: Method | Baseline | None, interpolator: Filler, sampling: Sampling) -> NoiseMap | None:
        """None where none is asked for, there is no noise, or replicas of a slow outside reference would take hours."""
        if not self.plan.n_replicas or not bool(self.covariance.any()) or not isinstance(interpolator, Interpolator):
            return None

        def refitted(kspace: Tensor) -> Tensor:
            return self._fitted(method, sampling, kspace).fill(kspace)

        fill, n_replicas = refitted if self.plan.is_refitted else interpolator.fill, self.plan.n_replicas
        return replica_noise_map(fill, self.kspace, sampling, self.covariance, n_replicas=n_replicas)

    def _missing(self, sampling: Sampling) -> Tensor:
        """Lines that were measured once and are to be filled in now, axes (ky,)."""
        filled = torch.zeros_like(sampling.mask)
        filled[sampling.filled_range.start : sampling.filled_range.stop] = True
        return (filled & ~sampling.mask & self.scan.mask).to(self.kspace.device)


def compare_slice(bench: Bench, progress_for: ProgressFor) -> Iterator[Cell]:
    """Go through all cells of a plan for one slice; `progress_for` is called with each task's name before it starts."""
    plan = bench.plan
    for rate, n_acs in product(plan.rates, plan.acs):
        sampling = undersample(bench.scan.mask, rate, n_acs)
        for name, method in plan.methods.items():
            for seed in plan.seeds if has_seed(method) else (0,):
                progress = progress_for(f'slice {bench.index}, R={rate}, ACS {n_acs}: {name}')
                yield bench.cell(name, with_seed(method, seed), sampling, n_acs, progress)


def gfactor_statistics(gfactor: Tensor | None, inside: Tensor) -> dict[str, float | None]:
    """Mean and 95th percentile of a g-factor map (y, x) inside the object."""
    if gfactor is None:
        return {'gfactor_mean': None, 'gfactor_p95': None}
    values = gfactor[inside]
    return {'gfactor_mean': float(values.mean()), 'gfactor_p95': float(values.quantile(0.95))}


def with_seed(method: AnyMethod, seed: int) -> AnyMethod:
    """Change the seed of a method that has one."""
    return method if method is None or not has_seed(method) else replace(method, seed=seed)


def has_seed(method: Method | Baseline | None) -> bool:
    """Whether results of a method depend on a seed."""
    return method is not None and any(field.name == 'seed' for field in fields(method))
