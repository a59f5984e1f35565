"""Volumes with two accelerated axes: GRAPPA against hindsight, networks against GRAPPA, speed against an older commit.

1. Errors in the object of automatic GRAPPA against the best that hindsight could have chosen, over ridges and kernels.
2. `gated` over automatic GRAPPA, on 8 and 16 coils, three lattices and three noise levels; `raki-complex` and its time.
3. With `--against COMMIT`, how much faster automatic GRAPPA is calibrated than at that commit, both in this run.
4. With `--extents`, and nothing else: which extents networks should have, see volume_extents.py.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/volumes.py --against 0538c92 --json OUT.json
"""

import argparse
import json
import math
import os
import platform
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from time import process_time
from typing import Any

import torch
import volume_extents
from hindsight import grappas
from torch import Tensor
from volume_extents import image
from volume_speed import speeds

from raki.commands.catalogue import method_named
from raki.commands.origin import versions
from raki.data.sampling import Sampling, undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import nrmse_object, object_mask
from raki.grappa.method import USUAL, Grappa
from raki.interpolation.calibration import Method
from raki.interpolation.fit import fit
from raki.interpolation.neighbours import Kernel

FIXED = Grappa(USUAL, 1e-3)
KERNELS = (
    Kernel(2, 5),
    Kernel(3, 5),
    Kernel(2, 7),
    Kernel(4, 5),
    Kernel(2, 5, partitions=3),
    Kernel(3, 5, partitions=2),
)
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0)
PARTS = ('hindsight', 'networks')
MOST_MEAN, MOST_WORST, LEAST_FASTER = 0.97, 1.02, 3.0
"""What the design asks for: of gated over GRAPPA, geometric mean and worst cell, and of the speed of calibration."""

Pattern = tuple[tuple[int, int], int, tuple[int, int]]
"""Rates (Rz, Ry), CAIPI shift, ACS (kz, ky)."""

SCANS: dict[str, tuple[Simulation, tuple[Pattern, ...]]] = {
    '8 coils': (
        Simulation((32, 96, 80), 8, 1, 0.01, 5),
        (((2, 2), 1, (12, 24)), ((2, 2), 0, (12, 24)), ((1, 4), 0, (12, 24)), ((3, 2), 0, (14, 24))),
    ),
    '8 coils, low noise': (
        Simulation((32, 64, 48), 8, 1, 0.003, 5),
        (((2, 2), 1, (12, 20)), ((2, 2), 1, (8, 12)), ((2, 2), 0, (12, 20))),
    ),
    '16 coils': (Simulation((40, 80, 64), 16, 1, 0.005, 6), (((2, 2), 1, (12, 20)),)),
}
TIMED = {'8 coils': 4, '8 coils, low noise': 1, '16 coils': 1}
"""How many patterns of a scan are timed against an older commit."""

MATRIX, NETWORK_ACS = (32, 64, 48), (16, 24)
LATTICES = (((2, 2), 1), ((2, 3), 0), ((3, 2), 1))
COILS, NOISES = (8, 16), (0.003, 0.01, 0.03)


@cache
def scan_of(settings: Simulation) -> Scan:
    """The simulated volume."""
    return simulate(settings)


class Volume:
    """A simulated volume, undersampled."""

    def __init__(self, settings: Simulation, pattern: Pattern) -> None:
        self.rate, self.shift, self.acs = pattern
        self.scan = scan_of(settings)
        assert self.scan.reference is not None
        self.sampling: Sampling = undersample(self.scan.mask, self.rate, self.acs, self.shift)
        self.measured: Tensor = torch.where(self.sampling.mask[..., None], self.scan.kspace[0], 0)
        self.truth: Tensor = image(self.scan.reference[0])
        self.inside: Tensor = object_mask(self.truth)

    def error(self, filled: Tensor) -> float:
        """Of filled k-space, in the object."""
        return nrmse_object(image(filled), self.truth, self.inside)

    def run(self, method: Method) -> tuple[float, float]:
        """Error, and CPU time of fitting and filling [s]."""
        start = process_time()
        filled = fit(method, self.measured, self.sampling).fill(self.measured)
        return self.error(filled), process_time() - start


def in_hindsight(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Automatic and usual GRAPPA, and the best of the grid, one row per scan and pattern."""
    for name in names:
        settings, patterns = SCANS[name]
        for pattern in patterns:
            volume = Volume(settings, pattern)
            every = {
                f'{kernel} ridge {ridge:g}': volume.error(fitted.fill(volume.measured))
                for kernel, ridge, fitted in grappas(volume.measured, volume.sampling, KERNELS, RIDGES)
            }
            best, automatic = min(every, key=every.__getitem__), volume.run(Grappa())[0]
            row = {'scan': name, 'lattice': str(volume.sampling.lattice), 'acs': pattern[2], 'automatic': automatic}
            row |= {'best': best, 'hindsight': every[best], 'over_hindsight': automatic / every[best]}
            yield row | {'fixed': volume.run(FIXED)[0]}


def of_networks(methods: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Errors of networks over that of automatic GRAPPA, one row per cell."""
    for n_coils, noise, (rate, shift) in product(COILS, NOISES, LATTICES):
        volume = Volume(Simulation(MATRIX, n_coils, 1, noise, 5), (rate, shift, NETWORK_ACS))
        row: dict[str, Any] = {'coils': n_coils, 'noise': noise, 'lattice': str(volume.sampling.lattice)}
        row['grappa'], row['grappa_seconds'] = volume.run(Grappa())
        for name in methods:
            error, row[f'{name}_seconds'] = volume.run(method_named(name))
            row[f'{name}_over_grappa'] = error / row['grappa']
        yield row


def timed(commit: str, names: Sequence[str], n_rounds: int) -> Iterator[dict[str, Any]]:
    """Calibration against another commit."""
    cases = []
    for name in names:
        settings, patterns = SCANS[name]
        for rate, shift, acs in patterns[: TIMED[name]]:
            scan = scan_of(settings)
            label = f'{name}, R={rate[0]}x{rate[1]} shift {shift}'
            assert scan.reference is not None
            case = {'kspace': scan.kspace[0], 'truth': image(scan.reference[0]), 'mask': scan.mask, 'label': label}
            cases.append(case | {'rate': rate, 'shift': shift, 'acs': acs})
    return speeds(commit, cases, n_rounds)


def shown(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows, each printed as soon as it is there."""
    found = []
    for row in rows:
        values = (
            f'{name} {value:.4g}' if isinstance(value, float) else f'{name} {value}' for name, value in row.items()
        )
        print('  ' + ', '.join(values), flush=True)
        found.append(row)
    return found


def summary(parts: dict[str, list[dict[str, Any]]]) -> dict[str, float]:
    """Geometric means, worst cells and the least speed."""
    found: dict[str, float] = {}
    columns = [
        ('hindsight', 'over_hindsight'),
        ('networks', 'gated_over_grappa'),
        ('networks', 'raki-complex_over_grappa'),
        ('speed', 'error_over_old'),
    ]
    for part, column in columns:
        values = [row[column] for row in parts.get(part, []) if column in row]
        if values:
            found[f'{column}_mean'] = math.exp(sum(map(math.log, values)) / len(values))
            found[f'{column}_worst'] = max(values)
    if parts.get('speed'):
        found['least_faster'] = min(row['faster'] for row in parts['speed'])
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--scans', nargs='+', choices=SCANS, default=list(SCANS))
    parser.add_argument('--parts', nargs='*', choices=PARTS, default=list(PARTS))
    parser.add_argument('--methods', nargs='+', default=['gated', 'raki-complex'], help='networks')
    parser.add_argument('--against', metavar='COMMIT', help='time calibration against this commit, too')
    parser.add_argument('--rounds', type=int, default=3, help='of timing')
    parser.add_argument('--extents', action='store_true', help='compare extents of networks, and nothing else')
    parser.add_argument('--json', type=Path, help='where to store the result')
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    todo: dict[str, Iterator[dict[str, Any]]] = {}
    if options.extents:
        todo['extents'] = volume_extents.extents(options.methods)
    else:
        if options.against:  # first, while this process holds little
            todo['speed'] = timed(options.against, options.scans, options.rounds)
        every = {'hindsight': in_hindsight(options.scans), 'networks': of_networks(options.methods)}
        todo |= {part: every[part] for part in options.parts}
    parts = {}
    for part, rows in todo.items():
        print(part)
        parts[part] = shown(rows)
    found = summary(parts)
    targets = {
        'gated_over_grappa_mean': f'at most {MOST_MEAN}',
        'gated_over_grappa_worst': f'at most {MOST_WORST}',
        'least_faster': f'at least {LEAST_FASTER:g}',
    }
    for name, value in found.items():
        print(f'{name:32} {value:.3f}  {targets.get(name, "")}')
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'cores': os.cpu_count(), 'threads': 1}
        content = {'summary': found, 'versions': versions(), 'machine': machine, **parts}
        options.json.write_text(json.dumps(content, indent=1) + '\n')


if __name__ == '__main__':
    main()
