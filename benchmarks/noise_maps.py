"""Do the noise maps agree, and what do they cost: analytic, pseudo replicas and derivatives.

Agreement is the median over the object of |ratio of standard deviations - 1|: of GRAPPA's exact map against replicas,
of a slice and of volumes, and against probes, and of a ReLU network's probes against replicas of vanishing noise with
other draws. Cost is CPU time of a map of 64 probes over that of one filling, both measured around each other, for the
published networks.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/noise_maps.py --threads 1 --json OUT.json
"""

import argparse
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import mean, median
from time import process_time

import torch
from torch import Tensor

from raki.coils.combine import matched_weights, root_sum_of_squares
from raki.coils.noise import noise_covariance
from raki.commands.origin import versions
from raki.data.sampling import undersample
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import object_mask
from raki.evaluation.noise_maps import analytic_noise_map, jvp_noise_map, replica_noise_map
from raki.fourier import image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method
from raki.interpolation.fit import Interpolator, fit
from raki.networks.raki import RAKI_2019, RAKI_COMPLEX
from raki.networks.training import Recipe

RATE, N_ACS, N_PROBES = 4, 24, 64
SPACE = (-3, -2, -1)
LATTICES = (((1, 2), 1), ((1, 3), 1), ((2, 2), 0), ((2, 2), 1), ((1, 5), 2))
"""Of volumes: rates (Rz, Ry) and CAIPI shift."""
VANISHING = 1e-3
"""Standard deviation of the noise of vanishing replicas over that of the scan [1]."""


@dataclass(frozen=True, slots=True)
class Case:
    """What to measure on."""

    agreement: Simulation
    cost: Simulation
    n_replicas: int
    n_iterations: int
    """Training iterations of the networks; they cost the same trained and untrained."""

    volume: Simulation
    """For the agreement where two axes are accelerated."""


COSTLY = Simulation((320, 320), 16, 1, 0.01)
FULL = Case(Simulation((160, 128), 8, 1, 0.01), COSTLY, 1000, 200, Simulation((36, 72, 64), 8, 1, 0.01))
QUICK = Case(Simulation((96, 80), 8, 1, 0.01), COSTLY, 1000, 30, Simulation((20, 40, 32), 8, 1, 0.01))


@dataclass(frozen=True, eq=False)
class Slice:
    """One undersampled slice with the covariance of its noise."""

    settings: Simulation

    @cached_property
    def _scan(self) -> tuple[Tensor, Tensor, Tensor]:
        scan = simulate(self.settings)
        noise, reference = scan.noise, scan.reference
        assert noise is not None
        assert reference is not None
        return scan.kspace[0], torch.cov(noise).to(torch.complex128), reference[0]

    @property
    def kspace(self) -> Tensor:
        """Axes (coil, ky, kx)."""
        return self._scan[0]

    @property
    def covariance(self) -> Tensor:
        """Axes (coil, coil)."""
        return self._scan[1]

    @cached_property
    def inside(self) -> Tensor:
        """The object, axes (y, x)."""
        return object_mask(root_sum_of_squares(image_from_kspace(self._scan[2])))

    def fitted(self, method: Method) -> Interpolator:
        """Fit to the ACS."""
        sampling = undersample(torch.ones(self.kspace.shape[1], dtype=torch.bool), (RATE,), (N_ACS,))
        return fit(method, self.kspace, sampling)

    def disagreement(self, one: Tensor, other: Tensor) -> float:
        """Median |ratio - 1| of two maps (y, x) inside the object."""
        return float(((one / other)[self.inside] - 1).abs().median())


def agreement(case: Case) -> dict[str, float]:
    """Of all three maps of GRAPPA, and of two of a network."""
    scan, n = Slice(case.agreement), case.n_replicas
    grappa = scan.fitted(Grappa())
    weights = matched_weights(image_from_kspace(grappa.fill(scan.kspace))).conj()
    exact = analytic_noise_map(grappa, scan.covariance, weights).std
    replicas = replica_noise_map(grappa.fill, scan.kspace, grappa.sampling, scan.covariance, n_replicas=n)
    probes = jvp_noise_map(grappa, scan.kspace, scan.covariance, n_probes=n, seed=1)
    network = scan.fitted(replace(RAKI_2019, recipe=Recipe(case.n_iterations, 3e-3)))
    vanishing = VANISHING**2 * scan.covariance
    small = replica_noise_map(network.fill, scan.kspace, network.sampling, vanishing, n_replicas=n)
    pushed = jvp_noise_map(network, scan.kspace, scan.covariance, n_probes=n, seed=1)
    whole = replica_noise_map(network.fill, scan.kspace, network.sampling, scan.covariance, n_replicas=n)
    return {
        'analytic_vs_replica': scan.disagreement(replicas.std, exact),
        'analytic_vs_jvp': scan.disagreement(probes.std, exact),
        'jvp_vs_replica': scan.disagreement(small.std / VANISHING, pushed.std),
        'jvp_vs_replica_at_the_scans_noise': scan.disagreement(whole.std, pushed.std),
        'relative_standard_error': replicas.relative_standard_error,
    }


def volumes(case: Case) -> list[dict[str, object]]:
    """Of GRAPPA's exact map and replicas where two axes are accelerated, with embedded ACS, one row per lattice."""
    scan = simulate(case.volume)
    kspace = scan.kspace[0]
    assert scan.noise is not None
    covariance, rows = noise_covariance(scan.noise), list[dict[str, object]]()
    for rate, shift in LATTICES:
        sampling = undersample(scan.mask, rate, (12, 24), shift)
        fitted = fit(Grappa(), kspace, sampling)
        images = image_from_kspace(fitted.fill(kspace), SPACE)
        start = process_time()
        exact = analytic_noise_map(fitted, covariance, matched_weights(images).conj())
        seconds = process_time() - start
        replicas = replica_noise_map(fitted.fill, kspace, sampling, covariance, n_replicas=case.n_replicas)
        inside = object_mask(root_sum_of_squares(images))
        ratio = (replicas.gfactor / exact.gfactor)[inside]
        row: dict[str, object] = {'lattice': str(sampling.lattice), 'gfactor_mean': float(exact.gfactor[inside].mean())}
        row |= {'analytic_vs_replica': float((ratio - 1).abs().median()), 'ratio_median': float(ratio.median())}
        rows.append(row | {'seconds_analytic': seconds})
        print(rows[-1], flush=True)
    return rows


def cost(case: Case, n_rounds: int) -> list[dict[str, object]]:
    """A map of 64 probes over one filling, for every kind of map."""
    scan, recipe = Slice(case.cost), Recipe(20, 3e-3)
    methods: dict[str, Method] = {
        'raki': replace(RAKI_2019, recipe=recipe),
        'raki-complex': replace(RAKI_COMPLEX, recipe=recipe),
        'grappa': Grappa(),
    }
    return [_cost(name, scan, scan.fitted(method), n_rounds) for name, method in methods.items()]


def _cost(name: str, scan: Slice, fitted: Interpolator, n_rounds: int) -> dict[str, object]:
    fitted.fill(scan.kspace)
    ratios, fills = [], []
    for _ in range(n_rounds):
        around = [_seconds(lambda: fitted.fill(scan.kspace)) for _ in range(8)]
        whole = _seconds(lambda: jvp_noise_map(fitted, scan.kspace, scan.covariance, n_probes=N_PROBES))
        around += [_seconds(lambda: fitted.fill(scan.kspace)) for _ in range(8)]
        ratios.append(whole / mean(around))
        fills.append(mean(around))
    return {'method': name, 'jvp64_over_fill': median(ratios), 'rounds': ratios, 'seconds_fill': median(fills)}


def _seconds(run: Callable[[], object]) -> float:
    start = process_time()
    run()
    return process_time() - start


def memory(case: Case) -> dict[str, float]:
    """What few and many replicas add to the memory of the process at their peaks, in slices (Linux only)."""
    scan = Slice(case.cost)
    fitted = scan.fitted(Grappa())
    fitted.fill(scan.kspace)

    def replicas(n_replicas: int) -> object:
        return replica_noise_map(fitted.fill, scan.kspace, fitted.sampling, scan.covariance, n_replicas=n_replicas)

    runs = {f'slices_of_{n}_replicas': partial(replicas, n) for n in (2, 200)}
    return {name: _peak_bytes(run) / scan.kspace.nbytes for name, run in runs.items()}


def _peak_bytes(run: Callable[[], object]) -> int:
    """How far the peak memory during a run lies above the memory before it."""
    Path('/proc/self/clear_refs').write_text('5', encoding='ascii')  # the peak starts anew from what is held now
    before = _peak_of_process()
    run()
    return _peak_of_process() - before


def _peak_of_process() -> int:
    status = Path('/proc/self/status').read_text(encoding='ascii')
    return 1024 * int(status.partition('VmHWM:')[2].split()[0])


def show(content: Mapping[str, object]) -> None:
    """Print everything but the settings."""
    for name in ('agreement', 'memory'):
        for label, value in content[name].items():  # type: ignore[attr-defined]
            print(f'  {label:36} {value:.4f}')
    for row in content['cost']:  # type: ignore[attr-defined]
        print(
            f'  {row["method"]:14} fill {row["seconds_fill"]:.3f} CPU-s, 64 probes {row["jvp64_over_fill"]:.1f} fills'
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='smaller matrix for the agreement, one round for the cost')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--json', type=Path, help='where to store the result')
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    case = QUICK if options.quick else FULL
    content: dict[str, object] = {'memory': memory(case), 'cost': cost(case, 1 if options.quick else 3)}
    content['agreement'] = found = agreement(case)
    content['volumes'] = of_volumes = volumes(case)
    network = next(row for row in content['cost'] if row['method'] == 'raki')  # type: ignore[attr-defined]
    summary = {name: found[name] for name in ('analytic_vs_replica', 'jvp_vs_replica')}
    summary['analytic_vs_replica_volumes'] = max(row['analytic_vs_replica'] for row in of_volumes)  # type: ignore[type-var, assignment]
    summary['jvp64_over_fill'] = network['jvp64_over_fill']
    machine = {'processor': platform.processor() or platform.machine(), 'threads': options.threads}
    show(content)
    print('  ' + ', '.join(f'{name} {value:.4g}' for name, value in summary.items()))
    if options.json:
        whole = {'summary': summary, 'versions': versions(), 'machine': machine, **content}
        options.json.write_text(json.dumps(whole, indent=1))


if __name__ == '__main__':
    main()
