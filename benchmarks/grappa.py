"""What GRAPPA costs: against the machine's own matrix product and against pygrappa, interleaved in one run.

Then how time and memory of `raki reconstruct` grow with the number of slices, and the same on a GPU where there is one.

The limit is the time of complex matrix products with the shapes of calibration (normal equations in complex128) and of
filling in (complex64), of the usual kernel of 4 x 5 from 24 ACS lines at R = 4, and nothing else.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/grappa.py --json OUT.json
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import torch
from torch import Tensor

from raki.commands.origin import versions
from raki.data.sampling import Sampling, undersample
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import kspace_nrmse
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method
from raki.interpolation.fit import fit
from raki.interpolation.neighbours import Kernel

RATE, N_ACS, KERNEL = 4, 24, Kernel(4, 5)
SPAN = (KERNEL.lines - 1) * RATE + 1
"""Lines of the full matrix that the kernel reaches over."""
RIDGE = 1e-2  # the number that both peers take, each in its own unit
CASES = {
    '256x256x8': Simulation((256, 256), 8, 1, 0.01),
    '320x320x16': Simulation((320, 320), 16, 1, 0.01),
    '320x320x32': Simulation((320, 320), 32, 1, 0.01),
}
QUICK = ('320x320x16',)
GROWTH = ('--coils', '8', '--matrix', '192x160', '--noise', '0.01', '--rate', str(RATE), '--acs', str(N_ACS))
N_SLICES = (8, 32, 128)

Contestant = Callable[[], Tensor | None]


def limit(kspace: Tensor, sampling: Sampling) -> Contestant:
    """Matrix products of calibration and filling in, each with its own precision, where k-space is."""
    n_coils, _, n_readout = kspace.shape
    n_sources, n_targets = n_coils * KERNEL.lines * KERNEL.readout, n_coils * (RATE - 1)
    n_columns = n_readout - KERNEL.readout + 1
    n_equations = (len(sampling.acs[0]) - SPAN + 1) * n_columns
    n_patches = (int(sampling.points.sum()) - KERNEL.lines + 1) * n_columns
    equations = torch.randn(n_equations, n_sources + n_targets, dtype=torch.complex128, device=kspace.device)
    patches = torch.randn(n_patches, n_sources, dtype=torch.complex64, device=kspace.device)
    weights = torch.randn(n_sources, n_targets, dtype=torch.complex64, device=kspace.device)

    def products() -> None:
        equations[:, :n_sources].mH @ equations
        patches @ weights

    return products


def ours(method: Method, kspace: Tensor, sampling: Sampling) -> Contestant:
    """Calibration and filling in by this package."""
    return lambda: fit(method, kspace, sampling).fill(kspace)


def peers(kspace: Tensor, sampling: Sampling) -> dict[str, Contestant]:
    """Both GRAPPAs of pygrappa, where it is installed; its kernel counts lines of the full matrix."""
    try:
        import pygrappa
    except ImportError:
        return {}
    precise = kspace.to(torch.complex128)
    measured = torch.where(sampling.mask[:, None], precise, 0).numpy()
    acs = sampling.acs_block(precise).contiguous().numpy()
    size = (SPAN, KERNEL.readout)

    def run(function: Callable[..., object]) -> Contestant:
        return lambda: torch.as_tensor(function(measured.copy(), acs, kernel_size=size, coil_axis=0))

    return {'pygrappa.mdgrappa': run(pygrappa.mdgrappa), 'pygrappa.cgrappa': run(pygrappa.cgrappa)}


def measure(contestants: Mapping[str, Contestant], n_rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Median time of each, taken in turn [s]; the slow peers twice."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(n_rounds + 1):
        for name, run in contestants.items():
            if turn > 1 and name.startswith('pygrappa'):
                continue
            start = clock()
            run()
            times[name].append(clock() - start)
    return {name: median(spent[1:]) for name, spent in times.items()}


def case(name: str, n_rounds: int, n_threads: int, with_peers: bool) -> dict[str, object]:
    """One matrix: CPU times, ratios to the limit, errors."""
    torch.set_num_threads(n_threads)
    scan = simulate(CASES[name])
    kspace, truth = scan.kspace[0], scan.reference[0]  # type: ignore[index]
    sampling = undersample(scan.mask, (RATE,), (N_ACS,))
    contestants = own(kspace, sampling) | (peers(kspace, sampling) if with_peers else {})
    seconds = measure(contestants, n_rounds, process_time)
    errors = {}
    for label, run in contestants.items():
        filled = run()
        if filled is not None:
            errors[label] = kspace_nrmse(filled.to(torch.complex64), truth, ~sampling.mask)
    return {'case': name, 'threads': n_threads, 'clock': 'CPU', 'seconds': seconds, 'kspace_nrmse': errors}


def own(kspace: Tensor, sampling: Sampling) -> dict[str, Contestant]:
    """The limit and this package."""
    return {
        'limit': limit(kspace, sampling),
        'grappa, fixed': ours(Grappa(KERNEL, RIDGE), kspace, sampling),
        'grappa, automatic': ours(Grappa(), kspace, sampling),
    }


def gpu_case(name: str, n_rounds: int) -> dict[str, object]:
    """One matrix on the GPU: wall times, with everything finished."""
    scan = simulate(CASES[name])
    sampling = undersample(scan.mask, (RATE,), (N_ACS,))

    def clock() -> float:
        torch.cuda.synchronize()
        return perf_counter()

    seconds = measure(own(scan.kspace[0].to('cuda'), sampling), n_rounds, clock)
    return {
        'case': name,
        'device': torch.cuda.get_device_name(),
        'clock': 'wall',
        'seconds': seconds,
        'kspace_nrmse': {},
    }


def growth(n_slices: int) -> dict[str, float]:
    """CPU time and peak memory of `raki reconstruct` on a file of so many slices, in a process of its own."""
    raki = (sys.executable, '-m', 'raki.cli')
    environment = os.environ | {'OMP_NUM_THREADS': '1', 'OMP_WAIT_POLICY': 'PASSIVE'}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'scan.h5'
        make = (*raki, 'simulate', '-o', str(path), '--slices', str(n_slices), *GROWTH)
        subprocess.run(make, env=environment, check=True, stdout=subprocess.DEVNULL)
        size = path.stat().st_size
        command = (*raki, 'reconstruct', str(path), '-o', str(path.with_suffix('.out.h5')), '--method', 'grappa')
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f'{" ".join(command)} ended with {process.returncode}')
    seconds = usage.ru_utime + usage.ru_stime
    return {'slices': n_slices, 'file_mb': size / 2**20, 'cpu_seconds': seconds, 'peak_mb': usage.ru_maxrss / 1024}


def summary(result: Mapping[str, object]) -> dict[str, float]:
    """Ratios of CPU times that the design asks for."""
    seconds: Mapping[str, float] = result['seconds']  # type: ignore[assignment]
    found = {
        'over_limit': seconds['grappa, fixed'] / seconds['limit'],
        'auto_over_limit': seconds['grappa, automatic'] / seconds['limit'],
    }
    for peer in ('mdgrappa', 'cgrappa'):
        if f'pygrappa.{peer}' in seconds:
            found[f'faster_than_{peer}'] = seconds[f'pygrappa.{peer}'] / seconds['grappa, fixed']
    return found


def show(result: Mapping[str, object]) -> None:
    """Print a table."""
    where = result.get('device', f'{result.get("threads")} thread(s)')
    print(f'\n{result["case"]}, R={RATE}, {N_ACS} ACS lines, {where}')
    errors: Mapping[str, float] = result['kspace_nrmse']  # type: ignore[assignment]
    for name, seconds in result['seconds'].items():  # type: ignore[attr-defined]
        error = f'k-space NRMSE {errors[name]:.4f}' if name in errors else ''
        print(f'  {name:20} {seconds:8.4f} s ({result["clock"]})  {error}')
    print('  ' + ', '.join(f'{name} {value:.2f}' for name, value in summary(result).items()), flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='320x320x16 with one thread only')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--json', type=Path, help='where to store the result')
    options = parser.parse_args(argv)
    names = QUICK if options.quick else tuple(CASES)
    threads = (1,) if options.quick else tuple(dict.fromkeys((1, torch.get_num_threads())))
    # before anything big: the peak of a new process counts what this one holds
    slices = [] if options.quick else [growth(n_slices) for n_slices in N_SLICES]
    for row in slices:
        print(', '.join(f'{name} {value:.4g}' for name, value in row.items()))
    results = [case(name, options.rounds, n, with_peers=n == 1 and name in QUICK) for n in threads for name in names]
    results += [gpu_case(name, options.rounds) for name in names if torch.cuda.is_available()]
    for result in results:
        show(result)
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'cores': os.cpu_count()}
        machine['peak_memory_mb'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        quick = next(result for result in results if result['case'] in QUICK)
        content = {'summary': summary(quick), 'versions': versions(), 'machine': machine, 'results': results}
        options.json.write_text(json.dumps(content | {'growth': slices}, indent=1))


if __name__ == '__main__':
    main()
