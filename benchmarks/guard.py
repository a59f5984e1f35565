"""Never worse than zero filling without a word: a grid of rates and ACS lengths, centred and beside the centre.

For each scan, rate, ACS and place of the ACS: undersample, fit with and without the guard, and compare both images with
zero filling by their error in the object. Prints per scan and method how many images are worse than that without and
with a warning, how many are given up that would have beaten it by a fifth, and the worst ratio before and after.

    python benchmarks/guard.py --scans SCANS/pulseq_brain16.h5 SCANS/pulseq_phantom16.h5 --json OUT.json
"""

import argparse
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from contestants import contestants
from quality import magnitude
from torch import Tensor

from raki.commands.origin import versions
from raki.data.load import open_scan
from raki.data.masks import pattern_of
from raki.data.sampling import undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.errors import CalibrationError, SamplingError
from raki.evaluation.metrics import nrmse_object, object_mask
from raki.interpolation.calibration import Method
from raki.interpolation.fit import Filler, ZeroFilling, fit
from raki.interpolation.harm import FALLBACK
from raki.pipeline import Slab

SIMULATIONS = {
    'head_0.003': Simulation((128, 96), 8, 1, 0.003, 1),
    'bars_0.03': Simulation((128, 96), 8, 1, 0.03, 2, 'bars'),
    'compartments_0.01': Simulation((144, 112), 12, 1, 0.01, 3, 'compartments'),
}
RATES, ACS, BESIDE = tuple(range(2, 11)), (0, 4, 8, 10, 12, 14, 16, 20, 24, 32, 40, 48), (0, 20)
HARMFUL = (FALLBACK, 'ghosts are possible')
"""What warnings that are about harm hold."""

CLEARLY_BETTER = 0.8
"""Ratio to the error of zero filling up to which a warning is a false one [1]."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One way to undersample."""

    rate: int
    acs: int
    """ACS lines asked for [line]."""
    beside: int
    """From the centre of k-space to that of the ACS [line]."""

    def mask(self, n_lines: int) -> Tensor:
        """Boolean, axes (ky,); a SamplingError where the ACS does not fit."""
        mask = undersample(torch.ones(n_lines, dtype=torch.bool), (self.rate,), (0,)).mask
        first = (n_lines - self.acs + 1) // 2 + self.beside
        if first + self.acs > n_lines:
            raise SamplingError(f'an ACS of {self.acs} lines does not fit into {n_lines}, {self.beside} off the centre')
        mask[first : first + self.acs] = True
        return mask


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """One fully sampled slice and what it is judged against."""

    scan: Scan
    image: Tensor
    """Image of the truth, axes (y, x)."""
    inside: Tensor
    """The object, boolean, same axes."""

    @classmethod
    def of(cls, scan: Scan) -> 'Truth':
        """The first slice of a scan."""
        image = magnitude((scan.kspace if scan.reference is None else scan.reference)[0])
        return cls(scan, image, object_mask(image))

    def error(self, fitted: Filler, measured: Tensor) -> float:
        """Error in the object."""
        return nrmse_object(magnitude(fitted.fill(measured)), self.image, self.inside)

    def ratios(self, method: Method, cell: Cell) -> dict[str, object]:
        """Errors over that of zero filling, without and with the guard, and what is told; or why there are none."""
        try:
            mask = cell.mask(self.scan.mask.shape[-1])
            measured = torch.where(mask[:, None], self.scan.kspace[0], 0)
            slab = Slab(measured, pattern_of(mask), None, self.scan.noise)
            guarded = slab.fitted(method)
        except (CalibrationError, SamplingError) as error:
            return {'refused': str(error)}
        zero, falls_back = self.error(slab.fitted(ZeroFilling()), measured), not guarded.inner
        after = self.error(guarded, measured) / zero
        alone = fit(method, measured, slab.sampling, transform=slab.transform) if falls_back else guarded
        before = self.error(alone, measured) / zero if falls_back else after
        told = [text for text in guarded.warnings if any(word in text for word in HARMFUL)]
        return {'zero': zero, 'before': before, 'after': after, 'falls_back': falls_back, 'warnings': told}


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """What counts, of one scan and method."""
    there = [row for row in rows if 'refused' not in row]
    worse = [row for row in there if row['before'] > 1]
    untold = [row for row in there if row['after'] > 1 and not row['warnings']]
    better = [row for row in there if row['before'] <= CLEARLY_BETTER]
    return {
        'images': len(there),
        'refused': len(rows) - len(there),
        'worse_before': len(worse),
        'worse_without_a_word': len(untold),
        'clearly_better': len(better),
        'false_warnings': sum(bool(row['warnings']) and row['after'] <= CLEARLY_BETTER for row in there),
        'given_up': sum(row['falls_back'] for row in better),
        'falls_back': sum(row['falls_back'] for row in there),
        'worst_before': max((row['before'] for row in there), default=0.0),
        'worst_after': max((row['after'] for row in there), default=0.0),
    }


def show(name: str, method: str, found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a summary, and the images that the guard gets wrong."""
    print(f'{name:16} {method:7} ' + ', '.join(f'{key} {value:.4g}' for key, value in found.items()))
    for row in rows:
        if 'refused' in row:
            continue
        is_lost = row['falls_back'] and row['before'] <= CLEARLY_BETTER
        if is_lost or (row['after'] > 1 and not row['warnings']):
            what = 'given up' if is_lost else 'without a word'
            print(f'    R={row["rate"]} ACS {row["acs"]} {row["beside"]} off: {row["before"]:.3f} {what}')


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--scans', type=Path, nargs='*', default=[], help='fully sampled scans; first slices')
    parser.add_argument('--methods', nargs='+', default=['grappa', 'gated'])
    parser.add_argument('--rates', nargs='+', type=int, default=RATES)
    parser.add_argument('--acs', nargs='+', type=int, default=ACS, help='lengths of the ACS [line]')
    parser.add_argument('--simulations', nargs='*', default=list(SIMULATIONS), choices=list(SIMULATIONS))
    parser.add_argument('--json', type=Path, help='where to store every row')
    options = parser.parse_args()
    methods: Mapping[str, Method] = contestants(options.methods)  # type: ignore[assignment]
    scans = {name: simulate(SIMULATIONS[name]) for name in options.simulations}
    scans |= {path.stem: open_scan(path).read([0]) for path in options.scans}
    every, summaries = [], []
    for (name, scan), (method_name, method) in product(scans.items(), methods.items()):
        truth, rows = Truth.of(scan), []
        for cell in map(Cell, *zip(*product(options.rates, options.acs, BESIDE), strict=True)):
            place = {'scan': name, 'method': method_name, **asdict(cell)}
            rows.append({**place, **truth.ratios(method, cell)})
        found = summary(rows)
        show(name, method_name, found, rows)
        every += rows
        summaries.append({'scan': name, 'method': method_name, **found})
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'threads': torch.get_num_threads()}
        settings = {'methods': {name: asdict(method) for name, method in methods.items()}}
        settings['simulations'] = {name: asdict(SIMULATIONS[name]) for name in options.simulations}
        content = {'settings': settings, 'versions': versions(), 'machine': machine, 'summaries': summaries}
        options.json.write_text(json.dumps({**content, 'rows': every}, indent=1) + '\n')


if __name__ == '__main__':
    main()
