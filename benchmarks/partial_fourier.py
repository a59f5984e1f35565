"""What partial Fourier costs, and what homodyne detection and POCS bring back, on every fully sampled scan.

Of each scan and axis, lines beyond one end are cut off, the first or the last ones; what is left at R = 1, or with an
ACS and filled in by `gated` at R = 3, is completed by every method. Printed are errors in the object over that of zero
filling. Methods stand there as published, too, without the weight that hidden samples of the scan tell. A warning is a
false alarm where the method, as published, is better than zero filling all the same, and missed where it is worse
without one.

    python benchmarks/partial_fourier.py --scans DIR --json OUT.json
"""

import argparse
import math
import platform
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import torch
from contestants import fitted
from quality import Cell, cells, magnitude, scans, stored
from torch import Tensor

from raki.commands.origin import versions
from raki.data.sampling import Sampling
from raki.evaluation.metrics import nrmse_object
from raki.networks.gated import Gated
from raki.partial_fourier.acquired import Acquired
from raki.partial_fourier.complete import complete
from raki.partial_fourier.methods import PARTIAL_FOURIER, ZeroFill

PARTS = (6, 5)
"""Eighths of the lines that are kept."""

ENDS = ('first', 'last')
"""Which lines are cut off."""

N_ACS, LEAST_LINES = 24, 96
"""ACS of undersampled cells, and how many lines a scan has at least for that."""


def measure(cell: Cell, rate: int, eighths: int, end: str) -> Iterator[dict[str, object]]:
    """A row per method."""
    sampling = Sampling.from_mask(cut(cell.sampling.mask, eighths, end))
    measured = torch.where(sampling.mask[:, None], cell.kspace, 0)
    filled = fitted(Gated(), measured, sampling).fill(measured) if rate > 1 else measured
    acquired, zero = Acquired.of(measured, sampling), error(cell, filled)
    about = {'scan': cell.scan, 'axis': cell.axis, 'rate': rate, 'eighths': eighths, 'end': end}
    for name, method in PARTIAL_FOURIER.items():
        start = time.perf_counter()
        completed, completion = complete(method, filled, acquired)
        seconds = time.perf_counter() - start
        found = error(cell, completed)
        plain = zero if isinstance(method, ZeroFill) else error(cell, method(filled, acquired))
        yield about | {
            'method': name,
            'nrmse_object': found,
            'ratio': found / zero,
            'ratio_unweighted': plain / zero,
            'weight': completion.weight,
            'is_warned': bool(completion.warnings),
            'seconds': seconds,
        }


def cut(mask: Tensor, eighths: int, end: str) -> Tensor:
    """Keep so many eighths of a mask (line,)."""
    kept = torch.zeros_like(mask)
    n_kept = len(mask) * eighths // 8
    kept[slice(len(mask) - n_kept, None) if end == 'first' else slice(n_kept)] = True
    return mask & kept


def error(cell: Cell, kspace: Tensor) -> float:
    """Error of the image in the object, against the fully sampled scan."""
    return nrmse_object(magnitude(kspace), cell.image, cell.inside)


def summary(rows: Sequence[dict[str, object]]) -> dict[str, dict[str, float]]:
    """By method, rate and part: mean ratio, how often it is better, and what the warnings are worth."""
    groups: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        groups.setdefault(f'{row["method"]}, R={row["rate"]}, {row["eighths"]}/8', []).append(row)
    return {name: judged(group) for name, group in groups.items() if not name.startswith('zero-fill')}


def judged(group: Sequence[dict[str, object]]) -> dict[str, float]:
    """Figures of one group."""
    ratios, plain = ([float(str(row[name])) for row in group] for name in ('ratio', 'ratio_unweighted'))
    warned = [bool(row['is_warned']) for row in group]
    return {
        'cells': len(group),
        'ratio': mean(ratios),
        'ratio_where_trusted': mean([ratio for ratio, is_warned in zip(ratios, warned, strict=True) if not is_warned]),
        'largest_ratio': max(ratios),
        'better_than_zero_filling': sum(ratio < 1 for ratio in ratios),
        'ratio_unweighted': mean(plain),
        'largest_ratio_unweighted': max(plain),
        'warned': sum(warned),
        'worse_although_trusted': sum(a >= 1 and not b for a, b in zip(ratios, warned, strict=True)),
        'false_alarms': sum(a < 1 and b for a, b in zip(plain, warned, strict=True)),
        'missed': sum(a >= 1 and not b for a, b in zip(plain, warned, strict=True)),
        'seconds': sum(float(str(row['seconds'])) for row in group) / len(group),
    }


def mean(ratios: Sequence[float]) -> float:
    """Geometric mean; 1 of nothing."""
    return math.exp(sum(map(math.log, ratios)) / max(1, len(ratios)))


def show(row: dict[str, object]) -> None:
    """One line."""
    place = f'{row["scan"]:38} {row["axis"]} R={row["rate"]} {row["eighths"]}/8 without {row["end"]:5}'
    figures = f'{row["nrmse_object"]:.4f} ({row["ratio"]:.3f}; unweighted {row["ratio_unweighted"]:.3f})'
    weight = '' if row['weight'] is None else f' weight {row["weight"]:.2f}{" warned" * bool(row["is_warned"])}'
    print(f'{place} {row["method"]:9} {figures}{weight}', flush=True)


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--scans', type=Path, help='folder with HDF5 scans; those fully sampled are used')
    parser.add_argument('--only', nargs='+', default=[], metavar='NAME', help='only scans of these names')
    parser.add_argument('--simulations', action='store_true', help='simulated scans, too')
    parser.add_argument('--rates', nargs='+', type=int, default=[1, 3])
    parser.add_argument('--json', type=Path, help='where to store every row')
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for (name, scan), rate in product(
        scans(options.scans, options.only, are_simulated=options.simulations), options.rates
    ):
        for cell in cells(name, scan, [rate], [N_ACS]):
            if rate > 1 and cell.kspace.shape[1] < LEAST_LINES:
                continue
            for eighths, end in product(PARTS, ENDS):
                for row in measure(cell, rate, eighths, end):
                    show(row)
                    rows.append(row)
    found = summary(rows)
    for name, figures in found.items():
        print(f'{name:20}', '  '.join(f'{label} {value:.3g}' for label, value in figures.items()))
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'threads': torch.get_num_threads()}
        settings = {'n_acs': N_ACS, 'filled_by': 'gated', 'image': 'root sum of squares'}
        content = {'summary': found, 'settings': settings, 'versions': versions(), 'machine': machine, 'rows': rows}
        options.json.write_text(stored(content), encoding='utf-8')


if __name__ == '__main__':
    main()
