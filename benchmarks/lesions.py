"""How well small lesions are seen, against plain automatic GRAPPA, on every fully sampled scan.

For each scan, axis, rate and ACS length of `benchmarks/quality.py`: undersample, fit every method, add discs of 3, 4
and 5 pixels, 20 % brighter and darker, in 48 places of the object, and reconstruct again. The contrast that comes back
and the matched-filter SNR over the total error (`raki.evaluation.lesions`) are averaged over places, diameters, signs,
and divided by what plain automatic GRAPPA makes of the same cell. Only such ratios of the SNR mean something.

    python benchmarks/lesions.py --scans DIR --methods grappa gated --rates 4 5 6 --json OUT.json
"""

import argparse
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from contestants import PLAIN, contestants, fitted
from quality import Cell, cells, scans, stored

from raki.commands.origin import versions
from raki.errors import CalibrationError, SamplingError
from raki.evaluation.compare import has_seed, with_seed
from raki.evaluation.lesions import CONTRAST, N_SPOTS, lesion_responses
from raki.evaluation.outside import Baseline
from raki.interpolation.calibration import Method

DIAMETERS = (3.0, 4.0, 5.0)
"""Of the discs [pixel]."""

FIGURES = ('snr', 'snr_min', 'contrast', 'contrast_min')


def figures(cell: Cell, method: Method | Baseline) -> dict[str, float]:
    """Mean and least over all places, diameters and signs of what a method makes of discs in a cell."""
    interpolator = fitted(method, cell.measured, cell.sampling)
    filled = interpolator.fill(cell.measured)
    found = lesion_responses(interpolator.fill, cell.kspace, filled, cell.truth, cell.inside, DIAMETERS)
    snr, kept = (torch.cat([getattr(each, name) for each in found]) for name in ('snr', 'kept'))
    values = snr.mean(), snr.min(), kept.mean(), kept.min()
    return dict(zip(FIGURES, map(float, values), strict=True)) | cell.errors(filled)


def measure(cell: Cell, methods: Mapping[str, Method | Baseline], seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """One row per method and seed: figures and their ratios to those of plain GRAPPA."""
    place = {'scan': cell.scan, 'axis': cell.axis, 'rate': cell.sampling.acceleration, 'acs': cell.acs}
    try:
        plain = figures(cell, PLAIN)
    except (CalibrationError, SamplingError):
        return
    for name, method in methods.items():
        for seed in seeds if has_seed(method) else (0,):
            row = {**place, 'method': name, 'seed': seed}
            try:
                own = plain if method == PLAIN else figures(cell, with_seed(method, seed))
            except (CalibrationError, SamplingError) as error:
                yield row | {'refused': str(error)}
                continue
            yield row | own | {f'{figure}_ratio': own[figure] / plain[figure] for figure in own}


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Of every method over all cells and seeds: means and least of the ratios to plain GRAPPA in the same cell."""
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(row['method'] for row in rows):
        own = [row for row in rows if row['method'] == name and 'refused' not in row]
        if own:
            snr, contrast = ([row[f'{figure}_ratio'] for row in own] for figure in ('snr', 'contrast'))
            found[name] = {
                'geomean_snr': math.exp(mean(map(math.log, snr))),
                'worst_snr': min(snr),
                'mean_contrast': mean(contrast),
                'worst_contrast': min(contrast),
            }
    return found


def show(row: Mapping[str, Any]) -> None:
    """Print a cell."""
    place = f'{row["scan"]:28} {row["axis"]} R={row["rate"]} ACS {row["acs"]:2} {row["method"]:14} seed {row["seed"]}'
    if 'refused' in row:
        print(f'{place}  refused: {row["refused"]}')
        return
    values = ' '.join(f'{figure} {row[figure]:7.3f} ({row[f"{figure}_ratio"]:.3f})' for figure in FIGURES)
    print(f'{place}  {values}  NRMSE object {row["nrmse_object_ratio"]:.3f}', flush=True)


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--scans', type=Path, help='folder with HDF5 scans; those fully sampled are used')
    parser.add_argument('--methods', nargs='+', default=['grappa', 'gated'])
    parser.add_argument('--json', type=Path, help='where to store every row')
    parser.add_argument('--rates', nargs='+', type=int, default=[4, 5, 6])
    parser.add_argument('--acs', nargs='+', type=int, default=[16, 24, 32])
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument('--only', nargs='+', default=[], metavar='NAME', help='only scans of these names')
    parser.add_argument('--simulations', action='store_true', help='simulated scans, too')
    options = parser.parse_args()
    methods = contestants(options.methods)
    rows: list[dict[str, Any]] = []
    for name, scan in scans(options.scans, options.only, are_simulated=options.simulations):
        for cell in cells(name, scan, options.rates, options.acs):
            for row in measure(cell, methods, options.seeds):
                show(row)
                rows.append(row)
    found = summary(rows)
    print(f'\nratio to plain automatic GRAPPA in the same cell, {len(rows)} rows')
    for name, values in found.items():
        print(f'{name:14}', '  '.join(f'{label} {value:.3f}' for label, value in values.items()))
    if options.json:
        settings = {
            'methods': {name: asdict(method) for name, method in methods.items()},
            'plain': asdict(PLAIN),
            'diameters': DIAMETERS,
            'contrast': CONTRAST,
            'n_spots': N_SPOTS,
        }
        machine = {'processor': platform.processor() or platform.machine(), 'threads': torch.get_num_threads()}
        content = {'summary': found, 'settings': settings, 'versions': versions(), 'machine': machine, 'rows': rows}
        options.json.write_text(stored(content), encoding='utf-8')


if __name__ == '__main__':
    main()
