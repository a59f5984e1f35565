"""What the commands do with files: read slice by slice, compute, write all or nothing."""

import json
import math
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from raki.commands.gfactor import cautions, gfactor_maps
from raki.data.sampling import Sampling
from raki.data.save import ReconstructionWriter, write_text
from raki.data.scan import Scan, ScanFile
from raki.data.volume import Volume
from raki.errors import SamplingError
from raki.evaluation.compare import Bench, Plan, ProgressFor, Row, compare_slice, require_feasible, with_seed
from raki.evaluation.metrics import OBJECT_THRESHOLD
from raki.evaluation.outside import BASELINES, Baseline
from raki.evaluation.report import Report, render_report, shown_cell, shown_slice
from raki.grappa.method import Grappa
from raki.interpolation.fit import Method
from raki.networks.iterative import IterativeRaki
from raki.networks.raki import Raki
from raki.networks.residual import ResidualRaki
from raki.pipeline import COMBINATION_WEIGHTS, COMBINATIONS, METHODS, reconstruct
from raki.volume_pipeline import reconstruct_volume


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

    coils: int | None = None
    """Number of virtual coils to learn in; None as many as there are."""

    gfactor: bool = False
    """Whether g-factor maps are written, too; of linear methods."""

    def __post_init__(self) -> None:
        _require_known(self.method, METHODS, 'method')
        _require_known(self.combine, COMBINATIONS, 'combination')
        if self.gfactor and not isinstance(METHODS[self.method], Grappa | None):
            raise ValueError(f'g-factors of {self.method} need replicas: use raki compare, or --method grappa')


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
    if n_iterations is None:
        return method
    if isinstance(method, IterativeRaki):
        method = replace(method, n_iterations=n_iterations)
    if isinstance(method, ResidualRaki | IterativeRaki):
        network = replace(method.network, recipe=replace(method.network.recipe, n_iterations=n_iterations))
        return replace(method, network=network)
    if not isinstance(method, Raki):
        return method
    return replace(method, recipe=replace(method.recipe, n_iterations=n_iterations))


def reconstruct_file(file: ScanFile, output: Path, job: Job, progress_for: ProgressFor) -> dict[str, object]:
    """Reconstruct into an HDF5 file, all or nothing; slice by slice, so that memory stays that of one slice.

    A volume is read whole. Where two axes are accelerated it is reconstructed whole, too; its filled k-space is written
    with kz transformed away, as slices.

    Returns
    -------
    The manifest that the file carries as attributes.
    """
    method = with_seed(METHODS[job.method], job.seed)
    slices = range(file.shape[0]) if job.slices is None else job.slices
    repetitions = range(file.n_repetitions) if job.repetitions is None else job.repetitions
    file.require_known(slices, repetitions)
    todo = [(repetition, index) for repetition in repetitions for index in slices]
    seconds, warnings, notes, energies = [0.0, 0.0], dict[str, None](), dict.fromkeys(file.notes), list[float]()
    n_done = 0
    with ReconstructionWriter(output, len(todo)) as writer:
        for name, part, wanted in _parts(file, slices, repetitions):
            settings = {'device': job.device, 'combine': COMBINATIONS[job.combine], 'coils': job.coils}
            progress = progress_for(f'{name}: {job.method}')
            if isinstance(part, Volume):
                result, readout_is_rows = reconstruct_volume(part, method, **settings, progress=progress), False
            else:
                result, readout_is_rows = reconstruct(part, method, **settings, progress=progress), part.readout_is_rows
            gfactors = gfactor_maps(part, result, COMBINATION_WEIGHTS[job.combine]) if job.gfactor else None
            notes |= dict.fromkeys(cautions(part) if job.gfactor else ())
            for index in wanted:
                kspace = result.kspace[index] if job.keep_kspace else None
                gfactor = None if gfactors is None else gfactors[index]
                writer.put(n_done, result.image[index], kspace, gfactor, readout_is_rows=readout_is_rows)
                n_done += 1
            seconds = [spent + more for spent, more in zip(seconds, result.seconds, strict=True)]
            warnings |= dict.fromkeys(result.interpolators[0].warnings)
            notes |= dict.fromkeys(result.notes)
            energies += [1.0 if each.transform is None else each.transform.energy for each in result.interpolators]
        manifest = {
            'repetition': [repetition for repetition, _ in todo],
            'slice': [index for _, index in todo],
            'method': job.method,
            'settings': asdict(method) if method is not None else {},
            'combine': job.combine,
            'virtual_coils': job.coils,
            'energy_in_virtual_coils': energies,
            'source_file': Path(file.path).name,
            'notes': list(notes),
            'warnings': list(warnings),
            'versions': versions(),
            'device': str(job.device),
            'n_threads': torch.get_num_threads(),
            'seconds_fit': seconds[0],
            'seconds_fill': seconds[1],
        }
        writer.describe(manifest)
    return manifest


def _parts(
    file: ScanFile, slices: Sequence[int], repetitions: Sequence[int]
) -> Iterator[tuple[str, Scan | Volume, Sequence[int]]]:
    """What is reconstructed at once, its name, and which of its images are wanted."""
    for repetition in repetitions:
        volume = None if file.read_volume is None else file.read_volume(repetition)
        if volume is not None and not volume.has_full_kz:
            yield f'volume, repetition {repetition}', volume, slices
            continue
        whole = None if volume is None else volume.as_slices()
        del volume
        for index in slices:
            scan = file.read([index], repetition) if whole is None else whole.only(index)
            yield f'slice {index}, repetition {repetition}', scan, [0]


def compare_file(
    file: ScanFile, folder: Path, plan: Plan, slices: Sequence[int], progress_for: ProgressFor
) -> list[Row]:
    """Compare methods on slices of a fully sampled file; write `results.json` and `report.html` into a folder.

    Slices are gone through one by one; of those before, only what the report carries is kept, compressed.

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
    rows, shown = [], {}
    for index in slices:
        bench = Bench(file.read([index]), index, plan)
        reference, cells = bench.true_image.cpu(), []
        for cell in compare_slice(bench, progress_for):
            rows.append(cell.row)
            cells.append(shown_cell(cell, reference))
        shown[index] = shown_slice(reference, cells)
    results = {
        'scan': _scan_summary(file, first),
        'versions': versions(),
        'settings': _settings(plan),
        'rows': [_json_row(row) for row in rows],
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / 'results.json', json.dumps(results, indent=1, allow_nan=False))
    write_text(folder / 'report.html', render_report(Report(results, shown, first.voxel_size)))
    return rows


def versions() -> dict[str, str]:
    """Versions of what decides a result."""
    packages = ('raki', 'torch', 'numpy', 'h5py', 'scikit-image')
    return {'python': platform.python_version()} | {name: version(name) for name in packages}


def _json_row(row: Row) -> dict[str, object]:
    """Figures of a row; JSON has neither infinity (PSNR without error) nor NaN (g-factor without noise): null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(row).items()
    }


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
        'weights_of_replicas': 'refitted' if plan.is_refitted else 'fixed',
        'n_threads': torch.get_num_threads(),
        'lattice': 'every R-th line from line 0 on; the ACS starts at (n - n_acs + 1) // 2',
        'image': 'root sum of squares',
        'coils': 'whitened where the scan has noise samples'
        + ('' if plan.coils is None else f' and compressed to {plan.coils} virtual coils of most energy in the ACS'),
        'object': f'where the reference exceeds {OBJECT_THRESHOLD:g} of its maximum',
    }
