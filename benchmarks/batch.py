"""What workers gain: scans of `raki batch`, or slices of one file of `raki reconstruct`, with one worker and with two.

Interleaved runs, one thread in each worker; the outputs of all runs must be the same bytes, or nothing is written.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 python benchmarks/batch.py --json OUT.json
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from raki.commands.origin import versions
from raki.data.sampling import undersample
from raki.data.save import write_scan
from raki.data.simulate import Simulation, simulate

MATRIX, N_COILS, RATE, N_ACS = (160, 128), 8, 2, 24
"""Lines x samples, coils, acceleration, lines of the ACS."""

SLICE_MATRIX = (256, 256)
"""Lines x samples of the file of many slices."""

WORKERS = (1, 2)


def write_scans(folder: Path, n_scans: int) -> None:
    """Simulated scans of one slice."""
    folder.mkdir()
    for seed in range(n_scans):
        scan = simulate(Simulation(matrix=MATRIX, n_coils=N_COILS, seed=seed))
        sampling = undersample(scan.mask, (RATE,), (N_ACS,))
        write_scan(folder / f'scan{seed:03d}.h5', replace(scan, mask=sampling.mask), {})


def seconds_of(scans: Path, folder: Path, n_workers: int, *more: str) -> float:
    """Time of a batch from the command to its end [s]."""
    words = ['batch', str(scans), '-o', str(folder), '--workers', str(n_workers), '--device', 'cpu', *more]
    start = perf_counter()
    subprocess.run([sys.executable, '-m', 'raki.cli', *words], check=True, capture_output=True)
    return perf_counter() - start


def sum_of(folder: Path) -> str:
    """Sum of all files that people see of a batch."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob('[!.]*')):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def measured_slices(n_slices: int, n_repeats: int) -> dict[str, Any]:
    """Times of one file with so many slices, interleaved; a ValueError if two runs wrote different bytes."""
    times: dict[str, list[float]] = {f'{n}_workers': [] for n in WORKERS}
    sums = set()
    with tempfile.TemporaryDirectory() as name:
        scan, output = Path(name) / 'scan.h5', Path(name) / 'images.h5'
        simulated = simulate(Simulation(matrix=SLICE_MATRIX, n_coils=N_COILS, n_slices=n_slices))
        mask = undersample(simulated.mask, (RATE,), (N_ACS,)).mask
        write_scan(scan, replace(simulated, mask=mask), {})
        for n_workers in WORKERS * n_repeats:
            words = ['reconstruct', str(scan), '-o', str(output), '--device', 'cpu', '--workers', str(n_workers)]
            start = perf_counter()
            subprocess.run([sys.executable, '-m', 'raki.cli', *words], check=True, capture_output=True)
            times[f'{n_workers}_workers'].append(perf_counter() - start)
            sums.add(hashlib.sha256(output.read_bytes()).hexdigest())
    if len(sums) != 1:
        raise ValueError(f'{len(sums)} different outputs came of the same scan')
    each = median(a / b for a, b in zip(*(times[f'{n}_workers'] for n in WORKERS), strict=True))
    return {'n_slices': n_slices, 'matrix': SLICE_MATRIX, 'seconds': times, 'speed_up_median': each}


def measured(n_scans: int, n_repeats: int) -> dict[str, Any]:
    """Times of interleaved runs; a ValueError if two wrote different bytes."""
    times: dict[str, list[float]] = {f'{n}_workers': [] for n in WORKERS} | {'nothing_to_do': []}
    sums, load = set(), []
    with tempfile.TemporaryDirectory() as name:
        scans = Path(name) / 'scans'
        write_scans(scans, n_scans)
        for repeat in range(n_repeats):
            for n_workers in WORKERS:
                folder = Path(name) / f'out{repeat}' / str(n_workers) / 'out'
                load.append(os.getloadavg()[0])
                times[f'{n_workers}_workers'].append(seconds_of(scans, folder, n_workers))
                sums.add(sum_of(folder))
            times['nothing_to_do'].append(seconds_of(scans, folder, WORKERS[-1], '--resume'))
            sums.add(sum_of(folder))
    if len(sums) != 1:
        raise ValueError(f'{len(sums)} different sets of outputs came of the same scans')
    one, two = (min(times[f'{n}_workers']) for n in WORKERS)
    each = median(a / b for a, b in zip(*(times[f'{n}_workers'] for n in WORKERS), strict=True))
    return {'seconds': times, 'speed_up': one / two, 'speed_up_median': each, 'load_before': load}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', type=Path, help='file to write')
    parser.add_argument('--scans', type=int, default=60)
    parser.add_argument('--slices', type=int, default=32, help='of the one file')
    parser.add_argument('--repeats', type=int, default=3)
    options = parser.parse_args()
    machine = {'processor': platform.processor() or platform.machine(), 'cores': len(os.sched_getaffinity(0))}
    setting = {'n_scans': options.scans, 'matrix': MATRIX, 'coils': N_COILS, 'rate': RATE, 'acs': N_ACS}
    setting |= {'method': 'gated', 'threads': 1}
    found = {'machine': machine, 'versions': versions(), 'setting': setting, **measured(options.scans, options.repeats)}
    found['slices'] = measured_slices(options.slices, options.repeats)
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
