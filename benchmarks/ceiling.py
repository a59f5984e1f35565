"""How close every method comes to what other ideas reach, some of them in hindsight, on every fully sampled scan.

For each scan, axis, rate and ACS length of `benchmarks/quality.py`: undersample, reconstruct with every method and
every reference, and divide the error inside the object by that of plain automatic GRAPPA in the same cell. There are

- espirit, l1-wavelet, bart-pics: image-space reconstructions, whose strength follows from the scan's own noise;
- pygrappa: GRAPPA of another package with its own default ridge, where it is installed;
- spirit-hindsight, ac-loraks-hindsight: the least error over a grid of settings, which nobody could have chosen without
  the truth (`constraints.py`); marked `hindsight` in the rows.

With --masks, masks at R = 4 that are no lattice come in addition, for methods that take any; there is no GRAPPA for
them, so ratios are taken to l1-wavelet, and a summary of their own holds them.

    OMP_NUM_THREADS=1 python benchmarks/ceiling.py --scans DIR --methods grappa gated --json OUT.json
"""

import argparse
import math
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from constraints import CONSTRAINTS, best_solution
from contestants import PLAIN_NAME, contestants, fitted
from quality import Cell, cells, scans, stored
from torch import Tensor

from raki.commands.origin import versions
from raki.data.masks import MASKS, Irregular
from raki.data.sampling import Sampling
from raki.errors import CalibrationError, SamplingError
from raki.evaluation.compare import has_seed, with_seed
from raki.evaluation.outside import BASELINES, Baseline
from raki.interpolation.calibration import Method
from raki.interpolation.neighbours import Kernel

MASK_RATE = 4
"""Acceleration of masks that are no lattice."""

OTHERWISE = 'l1-wavelet'
"""What ratios are taken to where there is no lattice, and so no GRAPPA."""

EITHER = 'gated', 'l1-wavelet'
"""What nothing should be much worse than: the better of the two."""

HINDSIGHT = {f'{name}-hindsight': name for name in CONSTRAINTS}
KERNEL = Kernel(4, 5)
"""Of pygrappa, which counts lines of the full matrix."""

REFERENCES = (*BASELINES, *HINDSIGHT, 'pygrappa')
INSTALLED = {'bart-pics': shutil.which('bart') is not None, 'pygrappa': find_spec('pygrappa') is not None}

Reconstruct = Callable[[Cell], tuple[Tensor, dict[str, Any]]]
"""From a cell to filled k-space (coil, ky, kx), and what there is to say about it."""


def by_method(method: Method | Baseline, cell: Cell) -> tuple[Tensor, dict[str, Any]]:
    """A method, or an image-space reference."""
    return fitted(method, cell.measured, cell.sampling).fill(cell.measured), {}


def in_hindsight(name: str, cell: Cell) -> tuple[Tensor, dict[str, Any]]:
    """The setting of SPIRiT or AC-LORAKS with the least error inside the object."""
    acs = cell.sampling.acs_block(cell.measured)
    filled, setting = best_solution(
        CONSTRAINTS[name], acs, cell.measured, cell.sampling.mask, lambda filled: cell.errors(filled)['nrmse_object']
    )
    return filled, {'hindsight': True, 'setting': asdict(setting)}


def by_pygrappa(cell: Cell) -> tuple[Tensor, dict[str, Any]]:
    """GRAPPA of pygrappa, 4 lines x 5 samples, its default ridge."""
    if not isinstance(cell.sampling, Sampling):
        raise CalibrationError('needs a lattice')
    import pygrappa

    extent = (KERNEL.lines - 1) * cell.sampling.acceleration + 1
    measured, acs = cell.measured.numpy().copy(), cell.sampling.acs_block(cell.measured).contiguous().numpy()
    if acs.shape[1] < extent:
        raise CalibrationError(f'pygrappa needs {extent} ACS lines for a kernel of {KERNEL}, got {acs.shape[1]}')
    filled = torch.from_numpy(pygrappa.mdgrappa(measured, acs, kernel_size=(extent, KERNEL.readout), coil_axis=0))
    return torch.where(cell.sampling.mask[:, None], cell.measured, filled.to(torch.complex64)), {}


def reconstructions(
    methods: Mapping[str, Method | Baseline], references: Sequence[str], seeds: Sequence[int]
) -> Iterator[tuple[str, int, Reconstruct]]:
    """Name, seed and reconstruction of all that is measured."""
    for name, method in {**methods, **contestants([each for each in references if each in BASELINES])}.items():
        for seed in seeds if has_seed(method) else (0,):
            yield name, seed, partial(by_method, with_seed(method, seed))
    yield from ((name, 0, partial(in_hindsight, HINDSIGHT[name])) for name in references if name in HINDSIGHT)
    if 'pygrappa' in references:
        yield 'pygrappa', 0, by_pygrappa


def every_cell(options: argparse.Namespace) -> Iterator[tuple[str, Cell]]:
    """Name of the mask, and cell: lattices, then masks that are none."""
    for name, scan in scans(options.scans, options.only, are_simulated=options.simulations):
        yield from (('lattice', cell) for cell in cells(name, scan, options.rates, options.acs))
        for cell in cells(name, scan, (MASK_RATE,), (2,)) if options.masks else ():
            patterns = {mask: Irregular(MASKS[mask](len(cell.sampling.mask), MASK_RATE)) for mask in options.masks}
            yield from (
                (mask, replace(cell, acs=len(pattern.acs[0]), sampling=pattern)) for mask, pattern in patterns.items()
            )


def measure(mask: str, cell: Cell, every: Sequence[tuple[str, int, Reconstruct]]) -> list[dict[str, Any]]:
    """One row per method and seed of a cell; none where that is refused which ratios are taken to."""
    rate = cell.sampling.acceleration if isinstance(cell.sampling, Sampling) else MASK_RATE
    place = {'scan': cell.scan, 'axis': cell.axis, 'mask': mask, 'rate': rate, 'acs': cell.acs}
    rows = [{**place, 'method': name, 'seed': seed, **judged(cell, run)} for name, seed, run in every]
    over = PLAIN_NAME if mask == 'lattice' else OTHERWISE
    unit = next((row['nrmse_object'] for row in rows if row['method'] == over and 'refused' not in row), None)
    if unit is None:
        return []
    ratios = [{} if 'refused' in row else {'nrmse_object_ratio': row['nrmse_object'] / unit} for row in rows]
    return [row | ratio for row, ratio in zip(rows, ratios, strict=True)]


def judged(cell: Cell, run: Reconstruct) -> dict[str, Any]:
    """Errors, and CPU time of everything that it takes [s], or why it was refused."""
    start = cpu_seconds()
    try:
        filled, told = run(cell)
    except (CalibrationError, SamplingError) as error:
        return {'refused': str(error)}
    return {**cell.errors(filled), 'seconds': round(cpu_seconds() - start, 3), **told}


def cpu_seconds() -> float:
    """CPU time so far, of this process and the programs that it ran [s]."""
    return sum(os.times()[:4])


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Of every method over all cells and seeds: geometric mean and worst of the ratios, and mean CPU time [s]."""
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(row['method'] for row in rows):
        own = [row for row in rows if row['method'] == name and 'refused' not in row]
        if own:
            ratios = [row['nrmse_object_ratio'] for row in own]
            found[name] = {
                'geomean_nrmse_object': math.exp(mean(map(math.log, ratios))),
                'worst_nrmse_object': max(ratios),
                'n_cells': len(own),
                'mean_seconds': mean(row['seconds'] for row in own),
            }
    return found


def duels(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Of every method over each other in the same cell: geometric mean and worst of the ratios of their errors.

    A method's seeds all count, against the first of the other; `gated or l1-wavelet` is the better of the two.
    """
    errors: dict[str, dict[tuple[Any, ...], list[float]]] = {}
    for row in rows:
        if 'refused' not in row:
            cell = row['scan'], row['axis'], row['rate'], row['acs']
            errors.setdefault(row['method'], {}).setdefault(cell, []).append(row['nrmse_object'])
    others = {name: {cell: each[0] for cell, each in own.items()} for name, own in errors.items()}
    if set(EITHER) <= set(others):
        first, second = (others[name] for name in EITHER)
        others[' or '.join(EITHER)] = {cell: min(first[cell], second[cell]) for cell in first.keys() & second.keys()}
    return {name: {other: _duel(own, theirs) for other, theirs in others.items()} for name, own in errors.items()}


def _duel(own: Mapping[tuple[Any, ...], Sequence[float]], others: Mapping[tuple[Any, ...], float]) -> list[float]:
    ratios = [error / others[cell] for cell in own.keys() & others.keys() for error in own[cell]]
    return [math.exp(mean(map(math.log, ratios))), max(ratios)] if ratios else []


def show(row: Mapping[str, Any]) -> None:
    """Print a row."""
    place = f'{row["scan"]:28} {row["axis"]} {row["mask"]:8} R={row["rate"]} ACS {row["acs"]:2} {row["method"]:19}'
    if 'refused' in row:
        print(f'{place}  refused: {row["refused"]}')
        return
    setting = ', '.join(f'{name} {value:g}' for name, value in row.get('setting', {}).items())
    print(
        f'{place}  seed {row["seed"]}  NRMSE object {row["nrmse_object"]:.4f} ({row["nrmse_object_ratio"]:.3f})  '
        f'{row["seconds"]:5.1f} s  {setting}'.rstrip(),
        flush=True,
    )


def show_summary(title: str, found: Mapping[str, Mapping[str, float]]) -> None:
    """Print a table."""
    print(f'\n{title:50} geomean   worst  cells  CPU s')
    for name, figures in found.items():
        mean_ratio, worst, n_cells, seconds = figures.values()
        print(f'{name:50} {mean_ratio:7.3f} {worst:7.3f} {n_cells:6} {seconds:6.1f}')


def parser() -> argparse.ArgumentParser:
    """Options."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument('--scans', type=Path, help='folder with HDF5 scans; those fully sampled are used')
    found.add_argument('--methods', nargs='+', default=['grappa', 'gated'])
    found.add_argument('--references', nargs='*', default=REFERENCES, choices=REFERENCES, help='default: all')
    found.add_argument('--json', type=Path, help='where to store every row')
    found.add_argument('--rates', nargs='+', type=int, default=[3, 4, 5, 6])
    found.add_argument('--acs', nargs='+', type=int, default=[16, 24, 32])
    found.add_argument('--seeds', nargs='+', type=int, default=[0])
    found.add_argument('--only', nargs='+', default=[], metavar='NAME', help='only scans of these names')
    found.add_argument('--simulations', action='store_true', help='simulated scans, too')
    found.add_argument('--masks', nargs='+', default=[], choices=MASKS, help=f'masks at R = {MASK_RATE}, too')
    return found


def main() -> None:
    """Measure, print, store."""
    options = parser().parse_args()
    torch.set_num_threads(1)
    methods = contestants([PLAIN_NAME, *options.methods])
    references = [name for name in options.references if INSTALLED.get(name, True)]
    every = list(reconstructions(methods, references, options.seeds))
    rows: list[dict[str, Any]] = []
    for mask, cell in every_cell(options):
        for row in measure(mask, cell, every):
            show(row)
            rows.append(row)
    found = {mask: summary([row for row in rows if row['mask'] == mask]) for mask in ('lattice', *options.masks)}
    for mask, figures in found.items():
        show_summary(f'{mask}: error over {PLAIN_NAME if mask == "lattice" else OTHERWISE}', figures)
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'threads': torch.get_num_threads()}
        settings = {name: asdict(method) for name, method in methods.items()}
        over = duels([row for row in rows if row['mask'] == 'lattice'])
        content = {'summary': found.pop('lattice'), 'summary_of_masks': found, 'duels': over, 'settings': settings}
        options.json.write_text(stored({**content, 'versions': versions(), 'machine': machine, 'rows': rows}))


if __name__ == '__main__':
    main()
