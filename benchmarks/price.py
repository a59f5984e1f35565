"""What less error costs: points, ghosts, bias, noise and retained signal of every method, on every fully sampled scan.

The middle slice of every scan, undersampled along its phase axis, is judged as `raki compare` judges it. Printed and
stored are all rows, and of every method the mean over scans and the worst scan.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 python benchmarks/price.py --scans DIR --json OUT.json
"""

import argparse
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from contestants import contestants
from quality import scans, stored

from raki.commands.origin import versions
from raki.data.scan import Scan
from raki.errors import CalibrationError, SamplingError
from raki.evaluation.compare import Bench, compare_slab
from raki.evaluation.plan import Plan, Rate
from raki.interpolation.calibration import silent

METHODS = ('plain-grappa', 'grappa', 'gated', 'spirit', 'sparse', 'rraki')

WORSE = {'retention_mean': min, 'point_peak': min, 'ghost_index': max, 'noise_bias': max, 'gfactor_mean': max}
"""What is summed up, and which end of it is the worst scan."""


def rows_of(name: str, scan: Scan, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every method on the middle slice of a scan, at every rate."""
    plan = Plan(
        contestants(options.methods),
        [Rate((rate,)) for rate in options.rates],
        [(options.acs,)],
        n_replicas=options.replicas,
    )
    cells = compare_slab(Bench(scan, 0, plan), lambda _name: silent)
    return [{'scan': name, **{key: value for key, value in cell.row.flat().items() if _is_kept(key)}} for cell in cells]


def _is_kept(key: str) -> bool:
    return key not in ('lesions', 'tradeoff', 'device')


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and worst over scans that are filled in, by rate and method; the guard leaves others as they are."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for rate, method in dict.fromkeys((row['rate'], row['method']) for row in rows):
        own = [row for row in rows if (row['rate'], row['method']) == (rate, method) and row['energy_ratio'] > 0]
        told: dict[str, float] = {'n_scans': len(own)}
        for figure, worst in WORSE.items():
            known = [row[figure] for row in own if row[figure] is not None]
            if known:
                told |= {f'mean_{figure}': mean(known), f'worst_{figure}': worst(known)}
        found.setdefault(str(rate), {})[method] = told
    return found


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--scans', type=Path, required=True, help='folder with HDF5 scans; those fully sampled are used'
    )
    parser.add_argument('--methods', nargs='+', default=METHODS)
    parser.add_argument('--rates', nargs='+', type=int, default=[4, 5])
    parser.add_argument('--acs', type=int, default=24)
    parser.add_argument('--replicas', type=int, default=50)
    parser.add_argument('--only', nargs='+', default=[], metavar='NAME', help='only scans of these names')
    parser.add_argument('--json', type=Path, help='where to store every row')
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, scan in scans(options.scans, options.only, are_simulated=False):
        try:
            found = rows_of(name, scan, options)
        except (CalibrationError, SamplingError) as error:
            print(f'{name}: {error}')
            continue
        for row in found:
            told = ' '.join(f'{figure} {row[figure]:.3f}' for figure in WORSE if row[figure] is not None)
            print(f'{name:28} R={row["rate"]} {row["method"]:14} {told}', flush=True)
        rows += found
    totals = summary(rows)
    for rate, methods in totals.items():
        for method, told in methods.items():
            known = [figure for figure in WORSE if f'mean_{figure}' in told]
            values = (f'{figure} {told[f"mean_{figure}"]:.3f} ({told[f"worst_{figure}"]:.3f})' for figure in known)
            print(f'all R={rate} {method:14} {" ".join(values)}')
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'cores': os.cpu_count()}
        settings = {name: getattr(options, name) for name in ('methods', 'rates', 'acs', 'replicas')}
        content = {'summary': totals, 'settings': settings, 'versions': versions(), 'machine': machine, 'rows': rows}
        options.json.write_text(stored({**content, 'threads': torch.get_num_threads()}), encoding='utf-8')


if __name__ == '__main__':
    main()
