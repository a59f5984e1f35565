"""What networks cost: against a loop over them, against the machine's own matrix product, and `gated` against them.

1. One iteration of `raki` in float32 and bfloat16, of a plain loop over its networks (convolutions of torch, one
   after the other), and of nothing but matrix products of the same FLOPs in each precision, in turn.
2. What `gated` costs, its choices included, against 1000 iterations of `raki`, and the error of both.
3. How all this grows with coils, matrix, rate and ACS, and with slices.

Iterations are alike, so that a few tell what 1000 cost; `--quick` takes fewer and one case, and leaves the errors out.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 python benchmarks/raki.py --json OUT.json
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from raki.coils.combine import root_sum_of_squares
from raki.commands.origin import versions
from raki.data.sampling import Sampling, undersample
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import image_metrics, kspace_nrmse
from raki.fourier import image_from_kspace
from raki.interpolation.calibration import Calibration, Method
from raki.interpolation.fit import fit
from raki.networks import layers as networks
from raki.networks.gated import Gated
from raki.networks.layers import FIRST, LAST
from raki.networks.raki import RAKI_2019
from raki.networks.training import Recipe

ITERATIONS = 1000
"""Of the paper's recipe."""


@dataclass(frozen=True, slots=True)
class Case:
    """One size."""

    n_coils: int = 16
    matrix: int = 320
    rate: int = 4
    n_acs: int = 24
    n_slices: int = 1

    def __str__(self) -> str:
        size = f'{self.matrix}x{self.matrix}x{self.n_coils}'
        return f'{size} R={self.rate} ACS {self.n_acs}' + (f' {self.n_slices} slices' if self.n_slices > 1 else '')


MAIN = Case()
GROWTH = (Case(8), Case(32), Case(matrix=256), Case(rate=3), Case(rate=6), Case(n_acs=40), Case(n_slices=4))

Run = Callable[[], object]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Scans of one size, undersampled, axes (coil, ky, kx) each."""

    scans: tuple[Tensor, ...]
    truths: tuple[Tensor, ...]
    sampling: Sampling

    @classmethod
    def of(cls, case: Case, device: str) -> 'Problem':
        """Simulated."""
        size = (case.matrix, case.matrix)
        made = [simulate(Simulation(size, case.n_coils, 1, 0.01, seed)) for seed in range(case.n_slices)]
        sampling = undersample(made[0].mask, (case.rate,), (case.n_acs,))
        truths = [scan.reference[0] for scan in made if scan.reference is not None]
        return cls(tuple(scan.kspace[0].to(device) for scan in made), tuple(truths), sampling)

    def acs(self, kspace: Tensor) -> Tensor:
        """Axes (coil, line, readout)."""
        return self.sampling.acs_block(kspace)

    def fitted(self, method: Method) -> list[Tensor]:
        """Every slice, reconstructed."""
        return [fit(method, scan, self.sampling).fill(scan) for scan in self.scans]

    def learnt(self, method: Method) -> None:
        """Every slice, trained only."""
        for scan in self.scans:
            fit(method, scan, self.sampling)


def raki_2019(n_iterations: int, *, is_bfloat16: bool = False) -> Method:
    """The paper's networks for some iterations."""
    return replace(RAKI_2019, recipe=Recipe(n_iterations, 3e-3), is_bfloat16=is_bfloat16)


def loop(problem: Problem, n_iterations: int) -> None:
    """Train every network of every slice by itself, as one writes it first: three convolutions, autograd, Adam."""
    for scan in problem.scans:
        acs, rate = problem.acs(scan), problem.sampling.acceleration
        channels = torch.cat([acs.real, acs.imag]) * (0.015 / acs.abs().max())
        for _ in range(len(channels)):
            _train_one(channels[None], rate, n_iterations)


def _train_one(channels: Tensor, rate: int, n_iterations: int) -> None:
    seen = FIRST.lines * FIRST.readout, LAST.lines * LAST.readout
    shape = networks.Shape(1, channels.shape[1], (32, 8), rate - 1, *seen)
    first, second, last = networks.initial_weights(shape, 0.1, torch.float32, seed=0)
    layers = [
        first.view(32, -1, FIRST.lines, FIRST.readout),
        second.view(8, 32, 1, 1),
        last.view(rate - 1, LAST.lines, LAST.readout, 8).permute(0, 3, 1, 2),
    ]
    weights = [layer.to(channels.device).contiguous().requires_grad_() for layer in layers]
    optimiser = torch.optim.Adam(weights, lr=3e-3)
    height, width = channels.shape[2] - 2 * rate, channels.shape[3] - 6
    targets = torch.stack([channels[0, 0, line : line + height, 3 : 3 + width] for line in range(1, rate)])[None]
    for _ in range(n_iterations):
        optimiser.zero_grad()
        hidden = conv2d(channels, weights[0], dilation=(rate, 1)).relu()
        outputs = conv2d(conv2d(hidden, weights[1]).relu(), weights[2], dilation=(rate, 1))
        torch.linalg.vector_norm(outputs - targets).backward()
        optimiser.step()


def products(problem: Problem, n_iterations: int, dtype: torch.dtype) -> Run:
    """Matrix products of the first layers, forwards and backwards, and as many more as the other layers have FLOPs."""
    scan, rate = problem.scans[0], problem.sampling.acceleration
    acs = problem.acs(scan)
    shape = RAKI_2019.shape(Calibration(acs, problem.sampling.lattice, problem.sampling))
    n_lines, n_columns = acs.shape[1] - (FIRST.lines - 1) * rate, acs.shape[2] - FIRST.readout + 1
    n_units, n_inputs = shape.n_networks * shape.widths[0], shape.weights[0][2]
    kinds = {'dtype': dtype, 'device': scan.device}
    weights, inputs = torch.randn(n_units, n_inputs, **kinds), torch.randn(n_inputs, n_lines * n_columns, **kinds)
    gradient = torch.randn(n_units, n_lines * n_columns, **kinds)
    of_first = 2 * shape.weights[0][1] * shape.weights[0][2]
    others = sum(3 * rows * columns for _, rows, columns in shape.weights[1:])
    more = torch.randn(n_units, max(1, round(n_inputs * others / of_first)), **kinds)

    def run() -> None:
        for _ in range(n_iterations * len(problem.scans)):
            weights @ inputs
            gradient @ inputs.mT
            more.mT @ gradient

    return run


def contestants(problem: Problem, n_iterations: int) -> dict[str, Run]:
    """What is measured in turn; iterations twice, so that what a fit costs beside them drops out."""
    found: dict[str, Run] = {
        'limit float32': products(problem, n_iterations, torch.float32),
        'limit bfloat16': products(problem, n_iterations, torch.bfloat16),
        'loop': lambda: loop(problem, n_iterations),
        'gated': lambda: problem.fitted(Gated()),
    }
    for label, is_bfloat16 in (('float32', False), ('bfloat16', True)):
        for times in (1, 2):
            method = raki_2019(times * n_iterations, is_bfloat16=is_bfloat16)
            found[f'raki {label} {times}'] = lambda method=method: problem.learnt(method)
    return found


def measure(runs: Mapping[str, Run], n_rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Median time of each, taken in turn after a first round that does not count [s]."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(n_rounds + 1):
        for name, run in runs.items():
            start = clock()
            run()
            times[name].append(clock() - start)
    return {name: median(spent[1:]) for name, spent in times.items()}


def case(size: Case, n_iterations: int, n_rounds: int, device: str) -> dict[str, object]:
    """Seconds of one size, extrapolated to ITERATIONS, of all slices."""
    problem = Problem.of(size, device)

    def clock() -> float:
        if device == 'cpu':
            return process_time()
        torch.cuda.synchronize()
        return perf_counter()

    spent = measure(contestants(problem, n_iterations), n_rounds, clock)
    factor = ITERATIONS / n_iterations
    seconds = {name: spent[name] * factor for name in ('limit float32', 'limit bfloat16', 'loop')}
    for label in ('float32', 'bfloat16'):
        once, twice = spent[f'raki {label} 1'], spent[f'raki {label} 2']
        seconds[f'raki {label}'] = (twice - once) * factor + max(0.0, 2 * once - twice)
    seconds['gated'] = spent['gated']
    where = 'CPU' if device == 'cpu' else torch.cuda.get_device_name()
    return {'case': str(size), 'device': where, 'seconds': seconds, 'ratios': summary(seconds)}


def summary(seconds: Mapping[str, float]) -> dict[str, float]:
    """Ratios that the design asks for, and two more."""
    return {
        'raki_2019_over_limit': seconds['raki float32'] / seconds['limit float32'],
        'loop_over_raki_2019_bf16': seconds['loop'] / seconds['raki bfloat16'],
        'raki_2019_over_raki': seconds['raki float32'] / seconds['gated'],
        'bf16_over_its_limit': seconds['raki bfloat16'] / seconds['limit bfloat16'],
        'loop_over_raki_2019': seconds['loop'] / seconds['raki float32'],
    }


def errors(size: Case, device: str) -> dict[str, dict[str, float]]:
    """Errors of the whole recipe in both precisions, and of `gated`."""
    problem = Problem.of(size, device)
    methods = {
        'gated': Gated(),
        'raki float32': raki_2019(ITERATIONS),
        'raki bfloat16': raki_2019(ITERATIONS, is_bfloat16=True),
    }
    found = {}
    for name, method in methods.items():
        filled, truth = problem.fitted(method)[0].cpu(), problem.truths[0]
        image, wanted = (root_sum_of_squares(image_from_kspace(kspace)) for kspace in (filled, truth))
        in_object = image_metrics(image, wanted)['nrmse_object']
        missing = kspace_nrmse(filled, truth, ~problem.sampling.mask)
        found[name] = {'nrmse_object': in_object, 'kspace_nrmse': missing}
    return found


def show(result: Mapping[str, object]) -> None:
    """Print one case."""
    print(f'\n{result["case"]}, {result["device"]}: seconds for {ITERATIONS} iterations, extrapolated; gated in full')
    for name in ('seconds', 'ratios'):
        values: Mapping[str, float] = result[name]  # type: ignore[assignment]
        print('  ' + ', '.join(f'{label} {value:.3g}' for label, value in values.items()), flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='one case, fewer iterations, no errors')
    parser.add_argument('--json', type=Path, help='where to store the result')
    options = parser.parse_args(argv)
    n_iterations, n_rounds = (2, 3) if options.quick else (4, 5)
    devices = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]
    results = []
    for device in devices:
        for size in (MAIN,) if options.quick else (MAIN, *GROWTH):
            results.append(case(size, n_iterations, n_rounds if size == MAIN else 2, device))
            show(results[-1])
    found = {} if options.quick else errors(MAIN, devices[-1])
    for name, values in found.items():
        print(f'{name:20}', ', '.join(f'{label} {value:.4f}' for label, value in values.items()))
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'cores': os.cpu_count()}
        settings = {'threads': torch.get_num_threads(), 'iterations_measured': n_iterations, 'extrapolated': ITERATIONS}
        content = {'summary': results[0]['ratios'], 'settings': settings, 'machine': machine, 'versions': versions()}
        options.json.write_text(json.dumps(content | {'results': results, 'errors': found}, indent=1) + '\n')


if __name__ == '__main__':
    main()
