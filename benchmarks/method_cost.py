"""CPU time of methods on one slice of 320 x 320 x 16 at R = 4 with 24 ACS lines, beside plain automatic GRAPPA.

Interleaved, one thread, medians; fitting and filling in.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE python benchmarks/method_cost.py --json OUT.json
"""

import argparse
import platform
from pathlib import Path
from statistics import median
from time import process_time

import torch
from contestants import PLAIN_NAME, contestants, fitted
from quality import stored

from raki.commands.origin import versions
from raki.data.sampling import undersample
from raki.data.simulate import Simulation, simulate

RATE, N_ACS = 4, 24
CASE = Simulation((320, 320), 16, 1, 0.01, 0)


def seconds_of(names: list[str], n_repeats: int) -> dict[str, list[float]]:
    """CPU seconds of every repeat of every method."""
    scan = simulate(CASE)
    sampling = undersample(scan.mask, (RATE,), (N_ACS,))
    measured = torch.where(sampling.mask[:, None], scan.kspace[0], 0)
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(n_repeats):
        for name, method in contestants(names).items():
            start = process_time()
            fitted(method, measured, sampling).fill(measured)
            found[name].append(process_time() - start)
    return found


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--methods', nargs='+', default=['grappa', 'gated', 'spirit', 'sparse', 'rraki'])
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--json', type=Path, help='where to store it')
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = seconds_of([PLAIN_NAME, *options.methods], options.repeats)
    middle = {name: median(seconds) for name, seconds in found.items()}
    for name, seconds in middle.items():
        print(f'{name:14} {seconds:8.2f} CPU-s  {seconds / middle[PLAIN_NAME]:7.2f} x {PLAIN_NAME}')
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'threads': torch.get_num_threads()}
        rows = [{'method': name, 'seconds': seconds} for name, seconds in found.items()]
        options.json.write_text(stored({'summary': middle, 'versions': versions(), 'machine': machine, 'rows': rows}))


if __name__ == '__main__':
    main()
