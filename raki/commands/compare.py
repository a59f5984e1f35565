"""What `raki compare` does: every method on every cell, and what came of it as JSON and as a page."""

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from math import prod
from pathlib import Path
from shutil import disk_usage

import torch

from raki.commands.costs import OTHER_FILLS, Size, cost_of
from raki.commands.figures import draw_figures
from raki.commands.inputs import UsageError, by, require_ours, sizes_by_axis
from raki.commands.inputs import shown as printable
from raki.commands.origin import versions
from raki.commands.progress import Course, Watch
from raki.data.masks import Drawn
from raki.data.sampling import Sampling
from raki.data.save import kind_of, replacing_all
from raki.data.scan import Scan, ScanFile
from raki.errors import SamplingError
from raki.evaluation.compare import Bench, ProgressFor, Task, tasks
from raki.evaluation.kept import FOLDER as KEPT
from raki.evaluation.kept import Found, Kept, cell_digest, keeping, slab_digest
from raki.evaluation.metrics import OBJECT
from raki.evaluation.plan import Plan, require_feasible
from raki.evaluation.report import Report, ShownSlice, render_report, shown_cell, shown_slice
from raki.evaluation.rows import Row

LATTICE = {
    1: 'every R-th line from line 0 on; the ACS starts at (n - n_acs + 1) // 2',
    2: 'every Rz-th partition and Ry-th line from 0 on, s lines further from one such partition to the next; the ACS '
    'starts at (n - n_acs + 1) // 2 on both axes',
}


FILES = ('report.html', 'results.json')
"""What is written. The second is the manifest of both: where it is, both are whole."""

PAGE_BYTES, ROW_BYTES, PICTURE_BYTES = 8e6, 2e5, 3.0
"""The most that a report takes: without pictures, for a cell, and for a pixel of a picture (16 bit in base64)."""

PICTURES = 3
"""Of a cell: image, g-factors, retention."""


def require_folder(folder: Path, files: Sequence[str] = FILES) -> None:
    """Raise before any work unless these files can be put into a folder, which is made if there is none.

    Raises
    ------
    UsageError
        If it is not a folder, or something other than files is in their place, or a manifest, the last, of others.
    OSError
        If it may not be written.
    """
    if not folder.is_dir() and (kind := kind_of(folder) or ('a file' if folder.exists() else '')):
        raise UsageError(f'-o must name a folder, but {folder} is {kind}')
    for path in (folder / name for name in files):
        if kind := kind_of(path):
            raise UsageError(f'{path} is {kind}, which is never replaced: choose another folder for -o')
    require_ours(folder / files[-1])
    if (kind := kind_of(folder / KEPT)) not in ('', 'a folder') or (not kind and (folder / KEPT).exists()):
        raise UsageError(f'{folder / KEPT} is {kind or "a file"}, but cells are kept there: remove it')
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UsageError(f'-o must name a folder, but {there} is a file')
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f'{there} may not be written: choose another folder for -o')


def require_room(folder: Path, n_cells: int, n_slices: int, n_pixels: int) -> None:
    """Raise an OSError if cells and report may find no room on the disk."""
    pictures = PICTURE_BYTES * n_pixels * (PICTURES * n_cells + 2 * n_slices)
    wanted, there = PAGE_BYTES + 2 * (pictures + ROW_BYTES * n_cells), disk_usage(folder).free
    if there < wanted:
        raise OSError(
            f'{folder} has room for {there / 1e6:.0f} MB, but {n_cells} cells may need {wanted / 1e6:.0f} MB: '
            'choose another folder for -o, or fewer slices, rates or methods'
        )


def compare_file(
    file: ScanFile,
    folder: Path,
    plan: Plan,
    slices: Sequence[int],
    progress_for: ProgressFor,
    figures: Sequence[Path] = (),
) -> list[Row]:
    """Compare methods on slices, or on the volume, of a fully sampled file; write `results.json` and `report.html`.

    With them go figures, by paths as `raki.commands.figures.require_figures` gives them.

    A plan's own object has the orientation of the file, and so has the report. Slices are gone through one by one; of
    those before, only what the report carries is kept, compressed. A volume is judged whole and shown in one slice.
    Cells that are done are kept in the folder until both files are in place: after an interruption the same call goes
    on from there, with equal results.

    Raises
    ------
    UsageError, SamplingError, CalibrationError
        If more than one slice of a volume is to be shown, the scan is not fully sampled, a cell's ACS is smaller than a
        kernel, or a method does not take its pattern.
    OSError
        If the folder may not be written, has too little room, or another comparison is being written there.
    """
    require_folder(folder)
    plan, first = feasible(file, plan, slices)
    n_cells = len(slices) * sum(1 for _ in tasks(Bench(first, slices[0], plan)))
    with keeping(folder, n_cells) as kept:
        require_room(folder, n_cells, len(slices), prod(first.kspace.shape[-2:]))
        rows, report = compared(file, plan, slices, first, progress_for, kept)
        write_report(folder, report, figures)
    return rows


def feasible(file: ScanFile, plan: Plan, slices: Sequence[int]) -> tuple[Plan, Scan]:
    """Give the plan, its own object oriented as k-space, and the first slab; raises what `compare_file` does."""
    file.require_known(slices)
    if len(file.shape) > 4 and len(slices) > 1:
        raise UsageError(f'a volume is compared as a whole and shown in one slice, got --slices {by(slices)}')
    first = file.read([0 if len(file.shape) > 4 else slices[0]])
    require_full(first, file.path)
    require_feasible(plan, first)
    if plan.object_mask is not None and file.readout_is_rows:
        plan = replace(plan, object_mask=plan.object_mask.mT)
    return plan, first


def compared(
    file: ScanFile, plan: Plan, slices: Sequence[int], first: Scan, progress_for: ProgressFor, kept: Kept | None = None
) -> tuple[list[Row], Report]:
    """Compare methods on what is `feasible`, whose first slab is given; cells that are kept are not done again."""
    is_volume, turn = len(file.shape) > 4, {'readout_is_rows': file.readout_is_rows}
    watch, every = Watch.of(progress_for), list(tasks(Bench(first, slices[0], plan)))
    kinds, n_fits = [task.name for task in every] * len(slices), 1 + plan.n_replicas * plan.is_refitted
    watch.expect(Course('cell', kinds, n_fits, _guesses(plan, first, every, n_fits)))
    rows, shown = list[Row](), dict[int, ShownSlice]()
    for index in slices:
        bench = Bench(first if index == slices[0] else file.read([index]), index, plan)
        found = _cells(bench, kept, watch, **turn)
        rows += [row for row, _ in found]
        reference, inside = bench.true_image.cpu(), bench.inside.cpu()
        reference, inside = (each[index] if is_volume else each for each in (reference, inside))
        shown[index] = shown_slice(reference, inside, [cell for _, cell in found], **turn)
    results = {
        'scan': _scan_summary(file, first),
        'versions': versions(),
        'settings': _settings(plan, first),
        'rows': [row.flat() for row in rows],
    }
    return rows, Report(results, shown, first.voxel_size and first.voxel_size[-2:], **turn)


def _guesses(plan: Plan, first: Scan, every: Sequence[Task], n_fits: int) -> dict[str, float]:
    """What cells may cost on a core, by the names of those methods of which anything tells [s]."""
    found = dict[str, float]()
    for task in every if plan.device.type == 'cpu' else ():
        cost = cost_of(task.method, Size.of(replace(first, calibration=None), task.asked.pattern, plan.coils))
        if cost is not None:
            found[task.name] = cost.of(n_fits, plan.n_replicas + OTHER_FILLS[type(task.method)])
    return found


def _cells(bench: Bench, kept: Kept | None, watch: Watch, **turn: bool) -> list[Found]:
    """All cells of a slab, those that are kept as they are."""

    def made(task: Task) -> Found:
        cell = task.done(bench, watch)
        return cell.row, shown_cell(cell, bench.true_image.cpu(), **turn)

    if kept is None:
        return [made(task) for task in tasks(bench)]
    slab, found = slab_digest(bench, versions=versions(), **turn), list[Found]()
    for task in tasks(bench):
        key = cell_digest(slab, task)
        if (done := kept.get(key)) is not None:
            watch.skip()
        else:
            done = made(task)
            kept.put(key, done)
        found.append(done)
    return found


def write_report(folder: Path, report: Report, figures: Sequence[Path] = ()) -> None:
    """Write all files, which appear together, into a folder that is there; figures may lie elsewhere.

    Those do not belong to the set that `results.json` names.
    """
    page, results = (folder / name for name in FILES)
    inside = [path for path in figures if path.parent.resolve() == folder.resolve()]
    with replacing_all(results) as new_files:
        new_files(page).write_text(render_report(report), encoding='utf-8')
        draw_figures(new_files, report, inside)
        new_files.describe(results, report.results)
        draw_figures(new_files, report, [path for path in figures if path not in inside])


def require_full(scan: Scan, path: str) -> None:
    """Raise a SamplingError unless a scan can be the truth."""
    if Sampling.from_mask(scan.mask).acceleration > 1:
        raise SamplingError(
            f'{path}: comparing needs a fully sampled scan as the truth, but only {int(scan.mask.sum())} of '
            f'{scan.mask.numel()} lines were measured: use raki reconstruct'
        )


def _scan_summary(file: ScanFile, scan: Scan) -> dict[str, object]:
    return {
        'file': printable(Path(file.path).name),
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
