"""What `raki compare` does: every method on every cell, and what came of it as JSON and as a page."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from raki.commands.inputs import UsageError, by, sizes_by_axis
from raki.commands.origin import versions
from raki.data.masks import Drawn
from raki.data.sampling import Sampling
from raki.data.save import write_text
from raki.data.scan import Scan, ScanFile
from raki.errors import SamplingError
from raki.evaluation.compare import Bench, ProgressFor, compare_slab
from raki.evaluation.metrics import OBJECT
from raki.evaluation.plan import Plan, require_feasible
from raki.evaluation.report import Report, render_report, shown_cell, shown_slice
from raki.evaluation.rows import Row

LATTICE = {
    1: 'every R-th line from line 0 on; the ACS starts at (n - n_acs + 1) // 2',
    2: 'every Rz-th partition and Ry-th line from 0 on, s lines further from one such partition to the next; the ACS '
    'starts at (n - n_acs + 1) // 2 on both axes',
}


def compare_file(
    file: ScanFile, folder: Path, plan: Plan, slices: Sequence[int], progress_for: ProgressFor
) -> list[Row]:
    """Compare methods on slices, or on the volume, of a fully sampled file; write `results.json` and `report.html`.

    A plan's own object has the orientation of the file, and so has the report. Slices are gone through one by one; of
    those before, only what the report carries is kept, compressed. A volume is judged whole and shown in one slice.

    Raises
    ------
    UsageError, SamplingError, CalibrationError
        If more than one slice of a volume is to be shown, the scan is not fully sampled, a cell's ACS is smaller than a
        kernel, or a method does not take its pattern.
    """
    file.require_known(slices)
    is_volume = len(file.shape) > 4
    if is_volume and len(slices) > 1:
        raise UsageError(f'a volume is compared as a whole and shown in one slice, got --slices {by(slices)}')
    first = file.read([0 if is_volume else slices[0]])
    _require_full(first, file.path)
    require_feasible(plan, first)
    rows, shown, turn = list[Row](), {}, {'readout_is_rows': file.readout_is_rows}
    if plan.object_mask is not None and file.readout_is_rows:
        plan = replace(plan, object_mask=plan.object_mask.mT)
    for index in slices:
        bench = Bench(first if index == slices[0] else file.read([index]), index, plan)
        reference, inside = bench.true_image.cpu(), bench.inside.cpu()
        cells = []
        for cell in compare_slab(bench, progress_for):
            rows.append(cell.row)
            cells.append(shown_cell(cell, reference, **turn))
        reference, inside = (each[index] if is_volume else each for each in (reference, inside))
        shown[index] = shown_slice(reference, inside, cells, **turn)
    results = {
        'scan': _scan_summary(file, first),
        'versions': versions(),
        'settings': _settings(plan, first),
        'rows': [row.flat() for row in rows],
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / 'results.json', json.dumps(results, indent=1, allow_nan=False))
    report = Report(results, shown, first.voxel_size and first.voxel_size[-2:], **turn)
    write_text(folder / 'report.html', render_report(report))
    return rows


def _require_full(scan: Scan, path: str) -> None:
    if Sampling.from_mask(scan.mask).acceleration > 1:
        raise SamplingError(
            f'{path}: comparing needs a fully sampled scan as the truth, but only {int(scan.mask.sum())} of '
            f'{scan.mask.numel()} lines were measured: use raki reconstruct'
        )


def _scan_summary(file: ScanFile, scan: Scan) -> dict[str, object]:
    return {
        'file': Path(file.path).name,
        'format': file.format,
        'shape': sizes_by_axis(file),
        'facts': dict(file.facts),
        'notes': list(file.notes),
        'reference': 'the fully sampled scan' if scan.reference is None else 'the noise-free truth in the file',
        'noise': 'its power from the ACS, its correlations from the periphery of k-space'
        if scan.noise is None
        else 'noise samples',
    }


def _words(drawn: Drawn) -> str:
    return (
        f"lines drawn as {drawn.name} of fastMRI's code, seed {drawn.seed}, with a centre of 0.32 / R of all lines, "
        'which starts at (n - n_centre + 1) // 2'
    )


def _described(drawn: Drawn, plan: Plan) -> dict[str, object]:
    fractions = {str(rate): drawn.centre_fraction(rate.spacing[0]) for rate in plan.rates}
    return {'name': drawn.name, 'seed': drawn.seed, 'centre_fractions': fractions}


def _settings(plan: Plan, scan: Scan) -> dict[str, object]:
    return {
        'methods': {name: asdict(method) for name, method in plan.methods.items()},
        'rates': [rate.label for rate in plan.rates],
        'acs': list(dict.fromkeys(asked.acs for asked in plan.asked(scan))),
        'seeds': list(plan.seeds),
        'n_replicas': plan.n_replicas,
        'weights_of_replicas': 'refitted' if plan.is_refitted else 'fixed',
        'n_threads': torch.get_num_threads(),
        'lattice': LATTICE[len(plan.acs[0])] if plan.drawn is None else _words(plan.drawn),
        'mask': None if plan.drawn is None else _described(plan.drawn, plan),
        'image': 'root sum of squares',
        'coils': 'whitened where the scan has noise samples'
        + ('' if plan.coils is None else f' and compressed to {plan.coils} virtual coils of most energy in the ACS'),
        'object': OBJECT if plan.object_mask is None else "a mask of the user's own",
    }
