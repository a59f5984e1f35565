"""Undersample a fully sampled scan, reconstruct it with several methods, and measure."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from raki.coils import root_sum_of_squares
from raki.data.sampling import Sampling, undersample
from raki.data.scan import Scan
from raki.errors import CalibrationError
from raki.evaluation.metrics import energy_ratio, image_metrics, kspace_nrmse, object_mask
from raki.evaluation.noise_maps import NoiseMap, replica_noise_map
from raki.fourier import centre_crop, image_from_kspace
from raki.interpolation import Method, Progress, fit, leave_empty
from raki.noise import covariance_from_periphery, noise_covariance

ProgressFor = Callable[[str], Progress]
"""From the name of a task to what is told its progress."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compare."""

    methods: Mapping[str, Method | None]
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
    net_acceleration: float
    seconds_fit: float
    seconds_fill: float
    device: str


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One row with its pictures."""

    row: Row
    image: Tensor
    """Reconstructed magnitude image, axes (y, x)."""
    noise: NoiseMap | None


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What one slice is judged against."""

    kspace: Tensor
    """Reference k-space, axes (coil, ky, kx)."""

    image: Tensor
    """Its root sum of squares, axes (y, x)."""


def require_feasible(plan: Plan, measured: Tensor) -> None:
    """Raise before any work if a cell asks for more ACS than there is, or less than a kernel needs."""
    for rate, n_acs, (name, method) in product(plan.rates, plan.acs, plan.methods.items()):
        sampling = undersample(measured, rate, n_acs)
        if method is not None and rate > 1 and len(sampling.acs) < method.kernel.span(rate):
            raise CalibrationError(
                f'{name} at R={rate} needs at least {method.kernel.span(rate)} ACS lines for its kernel of '
                f'{method.kernel.lines} acquired lines, got {n_acs}: leave out that rate or acquire more ACS'
            )


def truth_of(scan: Scan, device: torch.device) -> Truth:
    """Reference of a scan with one slice: its noise-free truth if known, else the fully sampled scan itself."""
    kspace = (scan.kspace if scan.reference is None else scan.reference)[0].to(device)
    return Truth(kspace, magnitude(kspace, scan))


def magnitude(kspace: Tensor, scan: Scan) -> Tensor:
    """Root-sum-of-squares image of k-space (coil, ky, kx), cropped as the scan says."""
    image = root_sum_of_squares(image_from_kspace(kspace))
    return image if scan.image_shape is None else centre_crop(image, scan.image_shape)


def compare_slice(scan: Scan, index: int, plan: Plan, progress_for: ProgressFor) -> Iterator[Cell]:
    """Go through all cells of a plan for one slice.

    Parameters
    ----------
    scan
        Fully sampled, with one slice.
    index
        Number of that slice in its file, for the rows.
    plan
        What to compare.
    progress_for
        Called with a task's name before it starts.
    """
    truth = truth_of(scan, plan.device)
    kspace = scan.kspace[0].to(plan.device)
    for rate, n_acs in product(plan.rates, plan.acs):
        sampling = undersample(scan.mask, rate, n_acs)
        covariance = noise_of(scan, kspace, sampling) if plan.n_replicas else None
        for name, method in plan.methods.items():
            for seed in plan.seeds if has_seed(method) else (None,):
                progress = progress_for(f'slice {index}, R={rate}, ACS {n_acs}: {name}')
                labels = {'method': name, 'rate': rate, 'acs': n_acs, 'slice': index, 'seed': seed}
                yield _cell(scan, kspace, truth, sampling, with_seed(method, seed), covariance, labels, plan, progress)


def noise_of(scan: Scan, kspace: Tensor, sampling: Sampling) -> Tensor:
    """Noise covariance (coil, coil): from noise samples where there are, else estimated in the periphery of k-space."""
    if scan.noise is not None:
        return noise_covariance(scan.noise)
    return covariance_from_periphery(kspace, sampling).cpu()


def with_seed(method: Method | None, seed: int | None) -> Method | None:
    """Change the seed of a method that has one."""
    return method if method is None or not has_seed(method) else replace(method, seed=seed)


def has_seed(method: Method | None) -> bool:
    """Whether results of a method depend on a seed."""
    return method is not None and any(field.name == 'seed' for field in fields(method))


def _cell(
    scan: Scan,
    kspace: Tensor,
    truth: Truth,
    sampling: Sampling,
    method: Method | None,
    covariance: Tensor | None,
    labels: Mapping[str, Any],
    plan: Plan,
    progress: Progress,
) -> Cell:
    measured = sampling.mask.to(kspace.device)
    start = _now(kspace.device)
    acs = kspace[:, sampling.acs.start : sampling.acs.stop]
    interpolator = (
        leave_empty(sampling, kspace.shape[-1]) if method is None else fit(method, acs, sampling, kspace, progress)
    )
    fitted = _now(kspace.device)
    filled = interpolator.fill(kspace)
    done = _now(kspace.device)
    image = magnitude(filled, scan)
    noise = None
    if covariance is not None:
        noise = replica_noise_map(interpolator.fill, kspace, sampling, covariance, n_replicas=plan.n_replicas)
    missing = ~measured & scan.mask.to(kspace.device)
    figures: dict[str, Any] = {
        **image_metrics(image, truth.image),
        'kspace_nrmse': kspace_nrmse(filled, truth.kspace, missing),
        'energy_ratio': energy_ratio(filled, truth.kspace, missing),
        **_gfactors(noise, scan, truth),
        'net_acceleration': sampling.net_acceleration,
        'seconds_fit': fitted - start,
        'seconds_fill': done - fitted,
        'device': str(kspace.device),
    }
    return Cell(Row(**labels, **figures), image.cpu(), noise)


def _gfactors(noise: NoiseMap | None, scan: Scan, truth: Truth) -> dict[str, float | None]:
    names = ('gfactor_mean', 'gfactor_p95', 'gfactor_standard_error')
    if noise is None:
        return dict.fromkeys(names)
    gfactor = noise.gfactor if scan.image_shape is None else centre_crop(noise.gfactor, scan.image_shape)
    inside = gfactor[object_mask(truth.image)]
    return dict(
        zip(names, (float(inside.mean()), float(inside.quantile(0.95)), noise.relative_standard_error), strict=True)
    )


def _now(device: torch.device) -> float:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()
