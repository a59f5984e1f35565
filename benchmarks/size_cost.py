"""CPU time of methods that need no training, over sizes, coils and patterns, beside what commands announce for them.

Simulated slices and volumes, one thread, fitting and filling in; `none` stands for lines or positions without a
lattice, which only `spirit` and `sparse` take.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE python benchmarks/size_cost.py --json OUT.json
"""

import argparse
import os
from collections.abc import Iterator
from math import prod
from pathlib import Path
from time import process_time
from typing import Any

import torch
from quality import stored

from raki.commands.catalogue import METHODS
from raki.commands.costs import Cost, Size, cost_of
from raki.commands.inputs import by
from raki.commands.machine import processor
from raki.commands.origin import versions
from raki.data.blocks import slices
from raki.data.masks import Irregular, Pattern
from raki.data.sampling import undersample
from raki.data.simulate import Simulation, simulate
from raki.interpolation.fit import fit

CASES = (
    ((96, 80), 4),
    ((96, 80), 8),
    ((96, 80), 16),
    ((96, 80), 32),
    ((192, 160), 8),
    ((192, 160), 16),
    ((320, 320), 16),
    ((16, 48, 40), 4),
    ((24, 64, 56), 8),
)
"""Matrix and coils."""

RATES, ACS = {1: (4,), 2: (2, 2)}, {1: (24,), 2: (10, 16)}
"""By the number of phase axes."""

PART = 0.3
"""Of all lines or positions that are measured without a lattice [1]."""


def patterns(mask: torch.Tensor) -> Iterator[tuple[str, Pattern]]:
    """A lattice, and without one as many lines at random, both with the same ACS."""
    lattice = undersample(mask, RATES[mask.ndim], ACS[mask.ndim])
    yield 'lattice', lattice
    free = torch.rand(mask.shape, generator=torch.Generator().manual_seed(0)) < PART
    free[slices(lattice.acs)] = True
    yield 'none', Irregular(free)


def written(cost: Cost) -> str:
    """To learn and to fill in."""
    return f'{cost.learn:7.2f} + {cost.fill:6.2f}'


def rows(matrix: tuple[int, ...], n_coils: int, methods: list[str]) -> Iterator[dict[str, Any]]:
    """What every method that takes a pattern needs."""
    scan = simulate(Simulation(matrix, n_coils, noise=0.01))
    for kind, pattern in patterns(scan.mask):
        measured = torch.where(pattern.mask[..., None], scan.kspace[0], 0)
        for name in methods:
            told = cost_of(METHODS[name], Size.of(scan, pattern, None))
            if told is None:
                continue
            start = process_time()
            filler = fit(METHODS[name], measured, pattern)
            learnt = process_time()
            filler.fill(measured)
            seconds = Cost(learnt - start, process_time() - learnt)
            n_acs = prod(map(len, pattern.acs))
            case = {'matrix': by(matrix), 'coils': n_coils, 'acs': n_acs, 'pattern': kind, 'method': name}
            print(
                f'{" ".join(map(str, case.values())):40} {written(seconds)} CPU-s, announced {written(told)}',
                flush=True,
            )
            yield case | seconds._asdict()


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--methods', nargs='+', default=['grappa', 'gated', 'spirit', 'sparse'])
    parser.add_argument('--json', type=Path, help='where to store it')
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = [row for matrix, n_coils in CASES for row in rows(matrix, n_coils, options.methods)]
    if options.json:
        machine = {'processor': processor(), 'cores': os.cpu_count(), 'threads': torch.get_num_threads()}
        options.json.write_text(stored({'versions': versions(), 'machine': machine, 'rows': found}))


if __name__ == '__main__':
    main()
