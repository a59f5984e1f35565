"""Time and memory of reading ISMRMRD files: beside a bulk read by h5py, and over the number of slices.

Generated files with a chunk per readout, as converters write them. Interleaved runs, one thread, best of several.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE python benchmarks/reading.py --json OUT.json
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import h5py
import numpy as np
import torch
from quality import stored

from raki.commands.origin import versions
from raki.data.load import open_scan
from raki.data.mrd.layout import ACQUISITION, bit

MEASURED = (
    sys.executable,
    '-c',
    """
import sys
from raki.cli import main
code = main(sys.argv[1:])
peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))
print(peak.split()[1], file=sys.stderr)
sys.exit(code)
""",
)
"""The command line, and then the largest memory of its own that it had [KiB], as Linux keeps it."""

N_READOUTS, N_COILS, N_SAMPLES = 1024, 16, 710
"""93 MB of samples."""

INTERLEAVED = 8
"""Slices that the same readouts are in turn of."""

SLICES = (4, 16, 64)
MEMORY_SHAPE = (16, 96, 192)
"""Coils, lines and samples of a slice whose reconstruction is watched."""

HEADER = """<ismrmrdHeader><encoding><encodedSpace><matrixSize><x>{x}</x><y>{y}</y><z>1</z></matrixSize></encodedSpace>
<trajectory>cartesian</trajectory><parallelImaging><accelerationFactor><kspace_encoding_step_1>{rate}
</kspace_encoding_step_1></accelerationFactor><calibrationMode>embedded</calibrationMode></parallelImaging></encoding>
</ismrmrdHeader>"""


def written(path: Path, lines: list[int], n_slices: int, shape: tuple[int, int, int], rate: int) -> Path:
    """A file whose slices take turns line by line."""
    n_coils, n_lines, n_samples = shape
    kind = np.dtype([('head', ACQUISITION), ('traj', h5py.vlen_dtype('<f4')), ('data', h5py.vlen_dtype('<f4'))])
    generator, record = np.random.default_rng(0), np.zeros(1, kind)
    with h5py.File(path, 'w') as file:
        file['dataset/xml'] = [HEADER.format(x=n_samples, y=n_lines, rate=rate).encode()]
        data = file.create_dataset('dataset/data', (len(lines) * n_slices,), kind, chunks=(1,), maxshape=(None,))
        for number in range(len(data)):
            head, line = record[0]['head'], lines[number // n_slices]
            head['number_of_samples'], head['active_channels'], head['center_sample'] = (
                n_samples,
                n_coils,
                n_samples // 2,
            )
            head['idx']['kspace_encode_step_1'], head['idx']['slice'] = line, number % n_slices
            head['flags'] = bit('calibration and image') if abs(line - n_lines // 2) < n_lines // 8 else 0
            decay = 1 / (1 + abs(line - n_lines // 2))
            record[0]['data'] = decay * generator.standard_normal(2 * n_coils * n_samples, np.float32)
            record[0]['traj'] = np.zeros(0, np.float32)
            data[number] = record[0]
    return path


def bulk(path: Path) -> np.ndarray:
    """All records as h5py gives them."""
    with h5py.File(path, 'r') as file:
        data: Any = file['dataset/data']
        return data[:]


def times(kinds: dict[str, Callable[[], object]], n_repeats: int) -> dict[str, dict[str, float]]:
    """Best CPU and wall time of each, taken in turn [s]."""
    found: dict[str, dict[str, float]] = {name: {'cpu': np.inf, 'wall': np.inf} for name in kinds}
    for _ in range(n_repeats):
        for name, run in kinds.items():
            started = process_time(), perf_counter()
            result = run()
            took = {'cpu': process_time() - started[0], 'wall': perf_counter() - started[1]}
            del result
            found[name] = {clock: min(seconds, found[name][clock]) for clock, seconds in took.items()}
    return found


def reading(folder: Path, n_repeats: int) -> list[dict[str, Any]]:
    """Of one slice of all readouts, and of one of several slices in turn."""
    rows = []
    for n_slices in (1, INTERLEAVED):
        n_lines = N_READOUTS // n_slices
        path = written(folder / f'{n_slices}.h5', list(range(n_lines)), n_slices, (N_COILS, n_lines, N_SAMPLES), 1)
        kinds = {'bulk': lambda path=path: bulk(path), 'one slice': lambda path=path: open_scan(path).read([0])}
        rows.append({'readouts': N_READOUTS, 'slices': n_slices, **times(kinds, n_repeats)})
    return rows


def memory(folder: Path, n_slices: int) -> dict[str, Any]:
    """Largest memory of a process that reconstructs all slices."""
    _, n_lines, _ = MEMORY_SHAPE
    centre = range(n_lines * 3 // 8 + 1, n_lines * 5 // 8)
    lines = [line for line in range(n_lines) if line % 3 == 0 or line in centre]
    path = written(folder / f'memory{n_slices}.h5', lines, n_slices, MEMORY_SHAPE, 3)
    command = (*MEASURED, 'reconstruct', str(path), '-o', str(folder / 'out.h5'), '--method', 'grappa', '--json')
    environment = os.environ | {'OMP_NUM_THREADS': '1'}
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stderr.splitlines()[-1]
    return {'slices': n_slices, 'file_mb': path.stat().st_size / 1e6, 'peak_mb': int(told) * 1024 / 1e6}


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--slices', type=int, nargs='*', default=SLICES, help='for memory')
    parser.add_argument('--json', type=Path, help='where to store it')
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        rows = reading(Path(name), options.repeats)
        for row in rows:
            ratios = {clock: row['one slice'][clock] / row['bulk'][clock] for clock in ('cpu', 'wall')}
            print(f'1 of {row["slices"]} slices of {N_READOUTS} readouts: {ratios["cpu"]:.2f} x the CPU time of a bulk')
            print(
                f'  read of all, {ratios["wall"]:.2f} x its wall time, {1000 * row["one slice"]["cpu"]:.0f} ms of CPU'
            )
        peaks = [memory(Path(name), n_slices) for n_slices in options.slices]
    for row in peaks:
        print(f'{row["slices"]:3} slices, file of {row["file_mb"]:.0f} MB: peak memory {row["peak_mb"]:.0f} MB')
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'threads': torch.get_num_threads()}
        found = {'versions': versions(), 'machine': machine, 'rows': [*rows, *peaks]}
        options.json.write_text(stored(found))


if __name__ == '__main__':
    main()
