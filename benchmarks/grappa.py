"""What GRAPPA costs: against the machine's own matrix product and against pygrappa, interleaved in one run.

The limit is the time of complex matrix products with the shapes of calibration (normal equations in complex128) and of
filling in (complex64), of the usual kernel of 4 x 5 from 24 ACS lines at R = 4, and nothing else.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/grappa.py --threads 1 --json OUT.json
"""

import argparse
import json
import platform
import resource
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import process_time

import torch
from torch import Tensor

from raki.data.sampling import Sampling, undersample
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import kspace_nrmse
from raki.grappa.method import Grappa
from raki.interpolation import Method, fit
from raki.jobs import versions
from raki.kernel import Kernel

RATE, N_ACS, KERNEL = 4, 24, Kernel(4, 5)
CASES = {
    '256x256x8': Simulation((256, 256), 8, 1, 0.01),
    '320x320x16': Simulation((320, 320), 16, 1, 0.01),
    '320x320x32': Simulation((320, 320), 32, 1, 0.01),
}
QUICK = ('320x320x16',)

Contestant = Callable[[], Tensor | None]


def limit(kspace: Tensor, sampling: Sampling) -> Contestant:
    """Matrix products of calibration and filling in, each with its own precision."""
    n_coils, _, n_readout = kspace.shape
    n_sources, n_targets = n_coils * KERNEL.lines * KERNEL.readout, n_coils * (RATE - 1)
    n_columns = n_readout - KERNEL.readout + 1
    n_equations = (len(sampling.acs) - KERNEL.span(RATE) + 1) * n_columns
    n_patches = (sampling.n_lattice_lines - KERNEL.lines + 1) * n_columns
    equations = torch.randn(n_equations, n_sources + n_targets, dtype=torch.complex128)
    patches = torch.randn(n_patches, n_sources, dtype=torch.complex64)
    weights = torch.randn(n_sources, n_targets, dtype=torch.complex64)

    def products() -> None:
        equations[:, :n_sources].mH @ equations
        patches @ weights

    return products


def ours(method: Method, kspace: Tensor, sampling: Sampling) -> Contestant:
    """Calibration and filling in by this package."""
    acs = kspace[:, sampling.acs.start : sampling.acs.stop]
    return lambda: fit(method, acs, sampling, kspace).fill(kspace)


def peers(kspace: Tensor, sampling: Sampling) -> dict[str, Contestant]:
    """Both GRAPPAs of pygrappa, where it is installed; its kernel counts lines of the full matrix."""
    try:
        import pygrappa
    except ImportError:
        return {}
    precise = kspace.to(torch.complex128)
    measured = torch.where(sampling.mask[:, None], precise, 0).numpy()
    acs = precise[:, sampling.acs.start : sampling.acs.stop].contiguous().numpy()
    size = (KERNEL.span(RATE), KERNEL.readout)

    def run(function: Callable[..., object]) -> Contestant:
        return lambda: torch.as_tensor(function(measured.copy(), acs, kernel_size=size, coil_axis=0))

    return {'pygrappa.mdgrappa': run(pygrappa.mdgrappa), 'pygrappa.cgrappa': run(pygrappa.cgrappa)}


def measure(contestants: Mapping[str, Contestant], n_rounds: int) -> dict[str, float]:
    """Median CPU time of each, taken in turn [s]; the slow peers once."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(n_rounds + 1):
        for name, run in contestants.items():
            if turn > 1 and name.startswith('pygrappa'):
                continue
            start = process_time()
            run()
            times[name].append(process_time() - start)
    return {name: median(spent[1:]) for name, spent in times.items()}


def case(name: str, n_rounds: int) -> dict[str, object]:
    """One matrix: times, ratios to the limit, errors."""
    scan = simulate(CASES[name])
    kspace, truth = scan.kspace[0], scan.reference[0]  # type: ignore[index]
    sampling = undersample(scan.mask, RATE, N_ACS)
    fixed, auto = ours(Grappa(KERNEL, 1e-3), kspace, sampling), ours(Grappa(), kspace, sampling)
    contestants = {'limit': limit(kspace, sampling), 'grappa, fixed': fixed, 'grappa, automatic': auto}
    contestants |= peers(kspace, sampling)
    seconds = measure(contestants, n_rounds)
    errors = {}
    for label, run in contestants.items():
        filled = run()
        if filled is not None:
            errors[label] = kspace_nrmse(filled.to(torch.complex64), truth, ~sampling.mask)
    return {'case': name, 'seconds': seconds, 'kspace_nrmse': errors}


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
    print(f'\n{result["case"]}, R={RATE}, {N_ACS} ACS lines, {torch.get_num_threads()} thread(s)')
    errors: Mapping[str, float] = result['kspace_nrmse']  # type: ignore[assignment]
    for name, seconds in result['seconds'].items():  # type: ignore[attr-defined]
        error = f'k-space NRMSE {errors[name]:.4f}' if name in errors else ''
        print(f'  {name:20} {seconds:8.3f} CPU-s  {error}')
    print('  ' + ', '.join(f'{name} {value:.2f}' for name, value in summary(result).items()))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='320x320x16 only')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--json', type=Path, help='where to store the result')
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    results = [case(name, options.rounds) for name in (QUICK if options.quick else CASES)]
    for result in results:
        show(result)
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'threads': options.threads}
        machine['peak_memory_mb'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        quick = next(result for result in results if result['case'] in QUICK)
        content = {'summary': summary(quick), 'versions': versions(), 'machine': machine, 'results': results}
        options.json.write_text(json.dumps(content, indent=1))


if __name__ == '__main__':
    main()
