"""How long idle threads should wait before they sleep: times of `raki reconstruct` on a free and on a busy machine.

Two threads; busy means that three other programs want each core. Runs of the policies are interleaved. `spinning` is
what the GNU library of OpenMP does by itself, `sleeping` is OMP_WAIT_POLICY=PASSIVE, `raki` what the command line sets.

    python benchmarks/idle_threads.py --json OUT.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from raki.commands.idle import POLICIES, brief_waits
from raki.commands.machine import load, machine
from raki.commands.origin import versions
from raki.data.sampling import undersample
from raki.data.save import write_scan
from raki.data.simulate import Simulation, simulate

MATRIX, N_COILS, RATE, N_ACS = (96, 64), 6, 3, 24
"""Lines x samples, coils, acceleration, lines of the ACS."""

POLICY = {
    'spinning': {'GOMP_SPINCOUNT': '300000'},
    'sleeping': {'OMP_WAIT_POLICY': 'PASSIVE'},
    'raki': brief_waits({}),
}
"""What the environment is given."""

METHODS = ('gated', 'raki')
N_PROGRAMS = {'free': 0, 'busy': 3 * (os.cpu_count() or 1)}
"""Others that want to compute."""


@contextmanager
def busy(n_programs: int) -> Iterator[None]:
    """Let so many programs compute meanwhile."""
    programs = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(n_programs)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def seconds(scan: Path, method: str, policy: str) -> float:
    """Time of one reconstruction, from the command to its end [s]."""
    inherited = {name: value for name, value in os.environ.items() if name not in POLICIES}
    words = ['reconstruct', str(scan), '-o', str(scan.with_name('images.h5')), '--method', method, '--device', 'cpu']
    start = perf_counter()
    environment = inherited | {'OMP_NUM_THREADS': '2'} | POLICY[policy]
    subprocess.run([sys.executable, '-m', 'raki.cli', *words], check=True, capture_output=True, env=environment)
    return perf_counter() - start


def measured(n_repeats: int) -> dict[str, dict[str, dict[str, float]]]:
    """Median times by load, method and policy [s]."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        scan = simulate(Simulation(matrix=MATRIX, n_coils=N_COILS))
        path = Path(folder) / 'scan.h5'
        write_scan(path, replace(scan, mask=undersample(scan.mask, (RATE,), (N_ACS,)).mask), {})
        for name, n_programs in N_PROGRAMS.items():
            with busy(n_programs):
                found[name] = {method: medians(path, method, n_repeats) for method in METHODS}
    return found


def medians(scan: Path, method: str, n_repeats: int) -> dict[str, float]:
    """Median time of each policy, interleaved [s]."""
    times = [{policy: seconds(scan, method, policy) for policy in POLICY} for _ in range(n_repeats)]
    return {policy: round(median(time[policy] for time in times), 2) for policy in POLICY}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', type=Path, help='file to write')
    parser.add_argument('--repeats', type=int, default=3)
    options = parser.parse_args()
    told = {'machine': machine(torch.device('cpu')), 'load_before': load(), 'versions': versions()}
    setting = {'matrix': MATRIX, 'coils': N_COILS, 'rate': RATE, 'acs': N_ACS, 'threads': 2, 'programs': N_PROGRAMS}
    found = {**told, 'setting': setting, 'policies': POLICY, 'seconds': measured(options.repeats)}
    print(f'{"":12}' + ''.join(f'{policy:>10}' for policy in POLICY) + '  [s]')
    for name, by_method in found['seconds'].items():
        for method, times in by_method.items():
            print(f'{name:6}{method:6}' + ''.join(f'{times[policy]:10.2f}' for policy in POLICY))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
