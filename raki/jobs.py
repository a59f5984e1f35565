"""What the commands do with files: read slice by slice, compute, write all or nothing."""

import json
import math
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from raki.baselines import BASELINES, Baseline
from raki.data.sampling import Sampling, undersample
from raki.data.save import ReconstructionWriter, write_scan, write_text
from raki.data.scan import Scan, ScanFile
from raki.data.simulate import Simulation, simulate
from raki.errors import CalibrationError, SamplingError
from raki.evaluation.compare import Bench, Cell, Plan, ProgressFor, Row, compare_slice, require_feasible, with_seed
from raki.evaluation.metrics import OBJECT_THRESHOLD
from raki.evaluation.report import Report, render
from raki.grappa.method import KERNELS
from raki.grappa.regularization import noise_power, tune
from raki.interpolation import Calibration, Method
from raki.methods import Raki
from raki.noise import noise_covariance
from raki.pipeline import COMBINATIONS, METHODS, calibration_lines, reconstruct


@dataclass(frozen=True, slots=True)
class Job:
    """What `raki reconstruct` does with a file."""

    method: str
    """One of METHODS."""

    combine: str = 'rss'
    """One of COMBINATIONS."""

    slices: Sequence[int] | None = None
    """Which slices; None for all."""

    repetitions: Sequence[int] | None = None
    """Which repetitions; None for all."""

    keep_kspace: bool = False
    """Whether the filled k-space is written too."""

    seed: int = 0
    """Seed of methods that have one."""

    device: torch.device = torch.device('cpu')
    """Where to compute."""

    def __post_init__(self) -> None:
        _require_known(self.method, METHODS, 'method')
        _require_known(self.combine, COMBINATIONS, 'combination')


def _require_known(name: str, known: Iterable[str], kind: str) -> None:
    if name not in known:
        raise ValueError(f'no {kind} {name!r}: choose from {", ".join(known)}')


def methods_by_name(names: Sequence[str], n_iterations: int | None = None) -> dict[str, Method | Baseline | None]:
    """Look methods and outside references up, with another number of training iterations if given."""
    every = {**METHODS, **BASELINES}
    for name in names:
        _require_known(name, every, 'method')
    return {name: _with_iterations(every[name], n_iterations) for name in names}


def _with_iterations(method: Method | Baseline | None, n_iterations: int | None) -> Method | Baseline | None:
    if n_iterations is None or not isinstance(method, Raki):
        return method
    return replace(method, recipe=replace(method.recipe, n_iterations=n_iterations))


def simulate_file(output: Path, settings: Simulation, rate: int, n_acs: int) -> None:
    """Simulate a scan, undersample it if `rate` is above 1, and write it in fastMRI layout."""
    if rate < 1:
        raise ValueError(f'the rate must be 1 or more, got {rate}')
    scan = simulate(settings)
    if rate > 1:
        scan = replace(scan, mask=undersample(scan.mask, rate, n_acs).mask)
    write_scan(output, scan, {'source': 'raki simulate', 'notes': f'simulated: {settings}', 'acceleration': rate})


def reconstruct_file(file: ScanFile, output: Path, job: Job, progress_for: ProgressFor) -> dict[str, object]:
    """Reconstruct slice by slice into an HDF5 file, all or nothing; memory stays that of one slice.

    Returns
    -------
    The manifest that the file carries as attributes.
    """
    method = with_seed(METHODS[job.method], job.seed)
    slices = range(file.shape[0]) if job.slices is None else job.slices
    repetitions = range(file.n_repetitions) if job.repetitions is None else job.repetitions
    file.require_known(slices, repetitions)
    todo = [(repetition, index) for repetition in repetitions for index in slices]
    seconds, warnings = [0.0, 0.0], dict[str, None]()
    with ReconstructionWriter(output, len(todo)) as writer:
        for position, (repetition, index) in enumerate(todo):
            scan = file.read([index], repetition)
            progress = progress_for(f'slice {index}, repetition {repetition}: {job.method}')
            result = reconstruct(scan, method, device=job.device, combine=COMBINATIONS[job.combine], progress=progress)
            kspace = result.kspace[0] if job.keep_kspace else None
            writer.put(position, result.image[0], kspace, readout_is_rows=scan.readout_is_rows)
            seconds = [spent + more for spent, more in zip(seconds, result.seconds, strict=True)]
            warnings |= dict.fromkeys(result.interpolators[0].warnings)
        manifest = {
            'repetition': [repetition for repetition, _ in todo],
            'slice': [index for _, index in todo],
            'method': job.method,
            'settings': asdict(method) if method is not None else {},
            'combine': job.combine,
            'source_file': Path(file.path).name,
            'notes': list(file.notes),
            'warnings': list(warnings),
            'versions': versions(),
            'device': str(job.device),
            'n_threads': torch.get_num_threads(),
            'seconds_fit': seconds[0],
            'seconds_fill': seconds[1],
        }
        writer.describe(manifest)
    return manifest


def compare_file(
    file: ScanFile, folder: Path, plan: Plan, slices: Sequence[int], progress_for: ProgressFor
) -> list[Cell]:
    """Compare methods on slices of a fully sampled file; write `results.json` and `report.html` into a folder.

    Raises
    ------
    SamplingError
        If the scan is not fully sampled.
    CalibrationError
        If a cell's ACS is smaller than a kernel.
    """
    file.require_known(slices)
    first = file.read([slices[0]])
    if Sampling.from_mask(first.mask).acceleration > 1:
        raise SamplingError(
            f'{file.path}: comparing needs a fully sampled scan as the truth, but only {int(first.mask.sum())} of '
            f'{first.n_lines} lines were measured: use raki reconstruct'
        )
    require_feasible(plan, first.mask)
    benches = [Bench(file.read([index]), index, plan) for index in slices]
    cells = [cell for bench in benches for cell in compare_slice(bench, progress_for)]
    results = {
        'scan': _scan_summary(file, first),
        'versions': versions(),
        'settings': _settings(plan),
        'rows': [_json_row(cell.row) for cell in cells],
    }
    shown = [cell for cell in cells if cell.row.slice == slices[0]]
    report = Report(results, benches[0].true_image.cpu(), shown)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / 'results.json', json.dumps(results, indent=1, allow_nan=False))
    write_text(folder / 'report.html', render(report))
    return cells


def versions() -> dict[str, str]:
    """Versions of what decides a result."""
    packages = ('raki', 'torch', 'numpy', 'h5py', 'scikit-image')
    return {'python': platform.python_version()} | {name: version(name) for name in packages}


def _json_row(row: Row) -> dict[str, object]:
    """Figures of a row; JSON has no infinity, so an infinite one (PSNR without error) becomes null."""
    return {name: None if value in (math.inf, -math.inf) else value for name, value in asdict(row).items()}


def _scan_summary(file: ScanFile, scan: Scan) -> dict[str, object]:
    return {
        'file': Path(file.path).name,
        'format': file.format,
        'shape': dict(zip(('slice', 'coil', 'ky', 'kx'), file.shape, strict=True)),
        'facts': dict(file.facts),
        'notes': list(file.notes),
        'reference': 'the fully sampled scan' if scan.reference is None else 'the noise-free truth in the file',
        'noise': 'its power from the ACS, its correlations from the periphery of k-space'
        if scan.noise is None
        else 'noise samples',
    }


def _settings(plan: Plan) -> dict[str, object]:
    return {
        'methods': {name: asdict(method) if method else {} for name, method in plan.methods.items()},
        'rates': list(plan.rates),
        'acs': list(plan.acs),
        'seeds': list(plan.seeds),
        'n_replicas': plan.n_replicas,
        'n_threads': torch.get_num_threads(),
        'lattice': 'every R-th line from line 0 on; the ACS starts at (n - n_acs + 1) // 2',
        'image': 'root sum of squares',
        'object': f'where the reference exceeds {OBJECT_THRESHOLD:g} of its maximum',
    }


def describe(file: ScanFile) -> dict[str, object]:
    """What is in a file; for every repetition the lattice of its first slice, and what stands in its way."""
    repetitions = [file.read([0], repetition) for repetition in range(file.n_repetitions)]
    first = repetitions[0]
    chosen = _chosen_for(first)
    return {
        'file': file.path,
        'format': file.format,
        'shape': dict(zip(('slice', 'coil', 'ky', 'kx'), file.shape, strict=True)),
        'voxel_size_mm': None if first.voxel_size is None else [round(1000 * size, 4) for size in first.voxel_size],
        'image_shape': list(first.image_shape or first.kspace.shape[2:]),
        'noise_samples': 0 if first.noise is None else first.noise.shape[1],
        'has_reference': first.reference is not None,
        **chosen,
        'repetitions': [_describe_sampling(scan) for scan in repetitions],
        'facts': dict(file.facts),
        'notes': list(file.notes),
    }


def _chosen_for(scan: Scan) -> dict[str, object]:
    """Noise estimated from the ACS, and what GRAPPA chooses for it; nothing where there is no ACS to learn from."""
    try:
        sampling = Sampling.from_mask(scan.mask)
        if sampling.acceleration == 1:
            return {}
        acs = calibration_lines(scan, sampling, 0)
        tuned = tune(Calibration(acs, sampling.acceleration, sampling.lattice_lines(scan.kspace[0])), KERNELS)
        noise = noise_power(acs) ** 0.5
    except (SamplingError, CalibrationError):
        return {}
    measured = None if scan.noise is None else float(noise_covariance(scan.noise).diagonal().real.mean()) ** 0.5
    return {
        'noise_of_acs': float(f'{noise:.4g}'),
        'noise_of_samples': None if measured is None else float(f'{measured:.4g}'),
        'grappa_kernel': str(tuned.kernel),
        'grappa_regularization': float(f'{tuned.regularization:.3g}'),
    }


def _describe_sampling(scan: Scan) -> dict[str, object]:
    try:
        sampling = Sampling.from_mask(scan.mask)
    except SamplingError as error:
        return {'measured_lines': int(scan.mask.sum()), 'problem': str(error)}
    separate = scan.calibration is not None
    n_acs = len(sampling.acs) if scan.calibration is None else scan.calibration.shape[2]
    filled = sampling.filled_range
    return {
        'measured_lines': int(scan.mask.sum()),
        'acceleration': sampling.acceleration,
        'net_acceleration': round(sampling.net_acceleration, 3),
        'first_line': sampling.first_line,
        'acs_lines': n_acs,
        'acs': 'separate'
        if separate
        else f'lines {sampling.acs.start} to {sampling.acs.stop - 1}'
        if n_acs
        else 'none',
        'empty_lines': len(scan.mask) - len(filled),
        'problem': None if n_acs or sampling.acceleration == 1 else 'no ACS: nothing can be learnt',
    }
