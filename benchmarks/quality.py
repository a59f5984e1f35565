"""How close every method comes to the best GRAPPA that hindsight could have chosen, on every fully sampled scan.

For each scan, axis, rate and ACS length: undersample, reconstruct with every method, and with GRAPPA over a grid of
ridge weights and kernels; print the ratio of each method's error to the least error of that grid, by the same metric.

    python benchmarks/quality.py --scans DIR --methods plain-grappa grappa gated --json OUT.json
"""

import argparse
import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import torch
from contestants import contestants, fitted
from hindsight import grappas
from torch import Tensor

from raki.coils.combine import root_sum_of_squares
from raki.commands.origin import versions
from raki.data.load import open_scan
from raki.data.sampling import Sampling, undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.errors import CalibrationError, SamplingError
from raki.evaluation.compare import has_seed, with_seed
from raki.evaluation.metrics import kspace_nrmse, nrmse_object, object_mask
from raki.evaluation.outside import Baseline
from raki.fourier import image_from_kspace
from raki.interpolation.calibration import Method
from raki.interpolation.neighbours import Kernel

METRICS = ('kspace_nrmse', 'nrmse_object')
KERNELS = tuple(Kernel(lines, readout) for readout, lines in ((5, 2), (5, 4), (7, 4), (3, 2)))
LAMBDAS = (*(10 ** (exponent / 2) for exponent in range(-14, 1)), 3.0)
SIMULATIONS = {
    f'simulated_{coils}_{lines}x{samples}_{noise:g}': Simulation((lines, samples), coils, 1, noise, seed)
    for seed, (coils, lines, samples, noise) in enumerate(
        [(8, 96, 128, 0.02), (8, 96, 128, 0.003), (16, 128, 160, 0.01), (16, 128, 160, 0.001), (32, 64, 96, 0.01)]
    )
}
SIMULATIONS |= {
    f'simulated_{phantom}_{coils}_{lines}x{samples}_{noise:g}': Simulation(
        (lines, samples), coils, 1, noise, seed, phantom
    )
    for seed, (phantom, coils, lines, samples, noise) in enumerate(
        [
            ('bars', 8, 96, 128, 0.02),
            ('bars', 12, 128, 160, 0.002),
            ('bars', 16, 96, 128, 0.0002),
            ('compartments', 16, 128, 160, 0.02),
            ('compartments', 8, 96, 128, 0.002),
            ('compartments', 12, 128, 160, 0.0002),
        ],
        start=len(SIMULATIONS),
    )
}
"""From noisy to clean (a signal-to-noise ratio of 50 to 5000), 8 to 32 coils; heads, then structured phantoms."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One slice, undersampled."""

    scan: str
    axis: str
    """`ky` as measured, `kx` with the axes exchanged."""
    acs: int
    """Lines asked for; the block may be longer by a lattice line."""
    sampling: Sampling
    kspace: Tensor
    """Axes (coil, line, readout), fully sampled."""
    truth: Tensor
    """What it is judged against, same axes."""
    image: Tensor
    """Image of the truth, axes (y, x)."""
    inside: Tensor
    """The object, boolean, same axes."""

    @property
    def measured(self) -> Tensor:
        """Undersampled k-space: nothing else may be looked at by a method."""
        return torch.where(self.sampling.mask[:, None], self.kspace, 0)

    def errors(self, filled: Tensor) -> dict[str, float]:
        """Every metric of filled k-space."""
        missed = kspace_nrmse(filled, self.truth, ~self.sampling.mask)
        return {'kspace_nrmse': missed, 'nrmse_object': nrmse_object(magnitude(filled), self.image, self.inside)}


def magnitude(kspace: Tensor) -> Tensor:
    """Image (y, x) of k-space (coil, line, readout)."""
    return root_sum_of_squares(image_from_kspace(kspace))


def scans(folder: Path | None, only: Sequence[str], *, are_simulated: bool) -> Iterator[tuple[str, Scan]]:
    """Fully sampled slices of a folder, and simulations; only those of these names, if there are any."""
    for path in sorted(folder.glob('*.h5')) if folder else ():
        if only and path.stem not in only:
            continue
        file = open_scan(path)
        if len(file.shape) > 4:
            continue
        scan = file.read([file.shape[0] // 2])
        if bool(scan.mask.all()) and file.n_frames == 1:
            yield path.stem, scan
    for name, settings in SIMULATIONS.items():
        if are_simulated and (not only or name in only):
            yield name, simulate(settings)


def cells(
    name: str, scan: Scan, rates: Sequence[int], acs: Sequence[int], threshold: float | None = None
) -> Iterator[Cell]:
    """Every cell of one scan that its matrix allows: the lattice must leave out lines beside the ACS.

    The object is what `object_mask` finds, or where the image exceeds a part of its maximum.
    """
    truth = scan.kspace if scan.reference is None else scan.reference
    for axis, rate, n_acs in product(('ky', 'kx'), rates, acs):
        kspace, wanted = (array[0] if axis == 'ky' else array[0].mT.contiguous() for array in (scan.kspace, truth))
        if n_acs > 2 * kspace.shape[1] // 3:
            continue
        sampling = undersample(torch.ones(kspace.shape[1], dtype=torch.bool), (rate,), (n_acs,))
        image = magnitude(wanted)
        inside = object_mask(image) if threshold is None else image > threshold * image.max()
        yield Cell(name, axis, n_acs, sampling, kspace, wanted, image, inside)


def best_grappa(cell: Cell) -> dict[str, dict[str, object]]:
    """Least error by each metric over the grid, and where it is."""
    best: dict[str, dict[str, object]] = {}
    for kernel, regularization, errors in grappa_grid(cell):
        for name, error in errors.items():
            if name not in best or error < best[name]['error']:  # type: ignore[operator]
                best[name] = {'error': error, 'kernel': str(kernel), 'regularization': regularization}
    return best


def grappa_grid(cell: Cell) -> Iterator[tuple[Kernel, float, dict[str, float]]]:
    """Errors of every kernel that the ACS holds and every ridge weight; edges as the package fills them."""
    for kernel, ridge, interpolator in grappas(cell.measured, cell.sampling, KERNELS, LAMBDAS):
        yield kernel, ridge, cell.errors(interpolator.fill(cell.measured))


def measure(cell: Cell, methods: Mapping[str, Method | Baseline], seeds: Sequence[int]) -> list[dict[str, object]]:
    """One row per method and seed: errors and their ratios to the best GRAPPA."""
    best, rows = best_grappa(cell), []
    if not best:
        return rows
    place = {'scan': cell.scan, 'axis': cell.axis, 'rate': cell.sampling.acceleration, 'acs': cell.acs}
    for name, method in methods.items():
        for seed in seeds if has_seed(method) else (0,):
            try:
                errors = cell.errors(fitted(with_seed(method, seed), cell.measured, cell.sampling).fill(cell.measured))
            except (CalibrationError, SamplingError) as error:
                rows.append({**place, 'method': name, 'seed': seed, 'refused': str(error)})
                continue
            ratios = {f'{metric}_ratio': errors[metric] / best[metric]['error'] for metric in METRICS}  # type: ignore[operator]
            rows.append({**place, 'method': name, 'seed': seed, **errors, **ratios, 'best': best})
    return rows


def summary(rows: Sequence[Mapping[str, object]]) -> dict[str, dict[str, float]]:
    """Geometric mean and worst ratio of every method, over all cells and seeds."""
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(str(row['method']) for row in rows):
        ratios = {
            metric: [float(row[f'{metric}_ratio']) for row in rows if row['method'] == name and 'refused' not in row]  # type: ignore[arg-type]
            for metric in METRICS
        }
        found[name] = {f'geomean_{metric}': _geometric_mean(values) for metric, values in ratios.items() if values}
        found[name] |= {f'worst_{metric}': max(values) for metric, values in ratios.items() if values}
    return found


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))


def show(row: Mapping[str, object]) -> None:
    """Print a cell."""
    place = f'{row["scan"]:28} {row["axis"]} R={row["rate"]} ACS {row["acs"]:2} {row["method"]:12} seed {row["seed"]}'
    if 'refused' in row:
        print(f'{place}  refused: {row["refused"]}')
        return
    best: Mapping[str, Mapping[str, float]] = row['best']  # type: ignore[assignment]
    figures = ' '.join(f'{metric} {row[metric]:.4f} ({row[f"{metric}_ratio"]:.3f})' for metric in METRICS)
    chosen = best['nrmse_object']
    print(f'{place}  {figures}  best {chosen["kernel"]} {chosen["regularization"]:.0e}', flush=True)


def stored(content: Mapping[str, object]) -> str:
    """JSON with a line per row."""
    rows: Sequence[object] = content['rows']  # type: ignore[assignment]
    head = json.dumps({name: value for name, value in content.items() if name != 'rows'}, indent=1)
    lines = ',\n'.join(f'  {json.dumps(row)}' for row in rows)
    return f'{head[:-2]},\n "rows": [\n{lines}\n ]\n}}\n'


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--scans', type=Path, help='folder with HDF5 scans; those fully sampled are used')
    parser.add_argument('--methods', nargs='+', default=['grappa'])
    parser.add_argument('--json', type=Path, help='where to store every row')
    parser.add_argument('--rates', nargs='+', type=int, default=[2, 3, 4, 5, 6])
    parser.add_argument('--acs', nargs='+', type=int, default=[16, 24, 32, 40])
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument('--only', nargs='+', default=[], metavar='NAME', help='only scans of these names')
    parser.add_argument('--object', type=float, metavar='THRESHOLD', help='the object is brighter than this [maximum]')
    parser.add_argument('--simulations', action='store_true', help='simulated scans, too')
    options = parser.parse_args()
    methods = contestants(options.methods)
    rows: list[dict[str, object]] = []
    for name, scan in scans(options.scans, options.only, are_simulated=options.simulations):
        for cell in cells(name, scan, options.rates, options.acs, options.object):
            for row in measure(cell, methods, options.seeds):
                show(row)
                rows.append(row)
    found = summary(rows)
    print(f'\nratio to the best GRAPPA in hindsight, {len(rows)} rows')
    for name, figures in found.items():
        print(f'{name:14}', '  '.join(f'{label} {value:.3f}' for label, value in figures.items()))
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'threads': torch.get_num_threads()}
        settings = {'methods': {name: asdict(method) for name, method in methods.items()}, 'object': options.object}
        content = {'summary': found, 'settings': settings, 'versions': versions(), 'machine': machine, 'rows': rows}
        options.json.write_text(stored(content))


if __name__ == '__main__':
    main()
