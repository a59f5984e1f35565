"""Whether reconstructions are still those of version 0.1, but for what was changed on purpose.

    OMP_NUM_THREADS=1 python benchmarks/references.py --against benchmarks/results/references_0.1.json

Prints the relative deviation of every case; exits with 1 if one exceeds the limit and is not among CHANGED. References
also tell how far the result of 0.1 itself moves if every input sample changes by its last bit.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import torch
from reference_cases import (
    KERNELS,
    Case,
    covariance,
    deviation,
    digest,
    kernels,
    noise_case,
    random_kspace,
    scans,
    toys,
    volumes,
)
from torch import Tensor

from raki.coils.transform import coil_transform
from raki.data.load import open_scan
from raki.data.sampling import Sampling
from raki.evaluation.noise_maps import replica_noise_map
from raki.grappa.gfactor import coil_noise
from raki.grappa.method import Grappa
from raki.interpolation.fit import Interpolator, Method, fit
from raki.interpolation.neighbours import Kernel
from raki.networks.gated import Gated
from raki.networks.iterative import IterativeRaki
from raki.networks.raki import RAKI_2019, RAKI_COMPLEX, Raki
from raki.networks.residual import ResidualRaki
from raki.networks.training import Recipe
from raki.pipeline import reconstruct

LIMIT = 1e-5
"""Largest relative deviation that is a matter of rounding [1]."""
CHANGED = {
    'kernel 5x4 *': 'power at the edges counts what the kernel sees; with an even readout 0.1 took one column more',
    'pulseq_brain16 rraki*': 'training amplifies that products which tell the misfit are rounded to single precision',
    'volume *': 'all missing positions of a cell share one system of normal equations, and so their sources',
}
"""Patterns of names of cases, and why their results differ from the references."""
SCANS = Path(__file__).resolve().parents[2] / 'shared' / 'data'
PHANTOM = 'ismrmrd_phantom8_R3_acs24'
IRAKI, RESIDUAL = IterativeRaki(), ResidualRaki()
QUICK = Recipe(n_iterations=60, learning_rate=3e-3)
RAKI_QUICK, COMPLEX_QUICK = replace(RAKI_2019, recipe=QUICK), replace(RAKI_COMPLEX, widths=(16, 8), recipe=QUICK)
VOLUME_KERNEL = Kernel(2, 3, partitions=2)


def trained(network: Raki, n_iterations: int) -> Raki:
    """Train for so long and no longer."""
    return replace(network, recipe=replace(network.recipe, n_iterations=n_iterations))


def iterative(widths: tuple[int, int], recipe: Recipe) -> IterativeRaki:
    """Two short rounds."""
    return replace(IRAKI, network=replace(IRAKI.network, widths=widths, recipe=recipe), n_rounds=2, n_iterations=20)


METHODS: Mapping[str, Method] = {
    'toy grappa': Grappa(),
    'toy grappa-2x3': Grappa(Kernel(2, 3)),
    'toy gated': Gated(),
    'toy raki': RAKI_QUICK,
    'toy raki-complex': COMPLEX_QUICK,
    'toy raki-high-pass': replace(COMPLEX_QUICK, is_high_pass=True),
    'toy rraki': ResidualRaki(replace(COMPLEX_QUICK, recipe=Recipe(n_iterations=20, learning_rate=1e-3))),
    'toy iraki': iterative((16, 8), replace(QUICK, loss='mean square')),
    'toy raki-brief': trained(RAKI_QUICK, 10),
    'toy raki-complex-brief': trained(COMPLEX_QUICK, 10),
    'toy raki-high-pass-brief': trained(replace(COMPLEX_QUICK, is_high_pass=True), 10),
    'toy rraki-brief': ResidualRaki(replace(COMPLEX_QUICK, recipe=Recipe(n_iterations=10, learning_rate=1e-3))),
    'scan grappa': Grappa(),
    'scan gated': Gated(),
    'scan raki': trained(RAKI_2019, 50),
    'scan raki-complex': trained(RAKI_COMPLEX, 30),
    'scan rraki': ResidualRaki(trained(RESIDUAL.network, 20)),
    'scan raki-brief': trained(RAKI_2019, 10),
    'scan raki-complex-brief': trained(RAKI_COMPLEX, 10),
    'scan rraki-brief': ResidualRaki(trained(RESIDUAL.network, 10)),
    'scan iraki': iterative((32, 16), replace(IRAKI.network.recipe, n_iterations=20)),
    'volume grappa': Grappa(),
    'volume grappa-2x2x3': Grappa(VOLUME_KERNEL),
    'volume grappa-2x2x3-ridge': Grappa(VOLUME_KERNEL, 1e-3),
} | {f'kernel {lines}x{samples}': Grappa(Kernel(lines, samples), 1e-3) for lines, samples in KERNELS}


def central_slice(folder: Path, name: str) -> Tensor:
    """Axes (coil, ky, kx)."""
    file = open_scan(folder / f'{name}.h5')
    return file.read_slab(file.shape[0] // 2, 0).kspace[0]


def acs_of(kspace: Tensor, sampling: Sampling) -> Tensor:
    """The ACS block of k-space, axes (coil, *phase, kx)."""
    return kspace[(slice(None), *(slice(side.start, side.stop) for side in sampling.acs))]


def fitted(case: Case) -> Interpolator:
    """The method of a case, fitted to it."""
    sampling, acs, transform = Sampling.from_mask(case.mask), case.calibration, None
    if case.coils is not None:
        transform = coil_transform(acs_of(case.kspace, sampling) if acs is None else acs, None, case.coils)
    return fit(METHODS[case.method], case.kspace, sampling, acs, transform=transform)


def filled(case: Case) -> Tensor:
    """K-space (coil, *phase, kx) as the method of a case fills it."""
    return fitted(case).fill(case.kspace)


def from_file(folder: Path, method: str) -> dict[str, Tensor]:
    """The whole way from a file with noise samples: filled k-space and images."""
    scan = open_scan(folder / f'{PHANTOM}.h5').read(frame=1)
    found = reconstruct(scan, METHODS[f'scan {method}'], device=torch.device('cpu'))
    return {f'pipeline {method} kspace': found.kspace, f'pipeline {method} image': found.image}


def analytic_noise(case: Case) -> Tensor:
    """Standard deviation (y, x) of the noise of a linear map, with some weights of the combination."""
    weights = random_kspace(*case.kspace.shape, seed=5)
    return coil_noise(fitted(case), covariance(len(case.kspace))).std(weights)


def replica_noise(case: Case) -> Tensor:
    """Standard deviation (y, x) of five replicas."""
    fill, sampling = fitted(case).fill, Sampling.from_mask(case.mask)
    return replica_noise_map(fill, case.kspace, sampling, covariance(len(case.kspace)), n_replicas=5).std


def results(folder: Path, wanted: str) -> Iterator[tuple[str, Tensor]]:
    """Name and result of every case whose name matches."""
    for cases in (toys(), kernels(), volumes(), scans(partial(central_slice, folder))):
        yield from ((case.name, filled(case)) for case in cases if fnmatch(case.name, wanted))
    for method, noise in (('grappa', analytic_noise), ('raki', replica_noise)):
        if fnmatch(f'noise {method}', wanted):
            yield f'noise {method}', noise(noise_case(method))
    for method in ('grappa', 'gated'):
        if any(fnmatch(f'pipeline {method} {what}', wanted) for what in ('kspace', 'image')):
            yield from from_file(folder, method).items()


def reason(name: str) -> str | None:
    """Why a case may differ; None where it may not."""
    return next((why for pattern, why in CHANGED.items() if fnmatch(name, pattern)), None)


def _note(name: str, value: float, rounding: float) -> str:
    if value <= LIMIT:
        return ''
    if reason(name) is not None:
        return '  changed on purpose'
    return '  differs, as rounding may make it' if value <= 10 * rounding else '  differs'


def compared(found: Mapping[str, Any], references: Mapping[str, Any]) -> bool:
    """Print the deviation of every case; whether all are within the limit or changed on purpose."""
    deviations = {name: deviation(each, references[name]) for name, each in found.items()}
    print(f'{"case":44} {"deviation":>10} {"last bit":>10}')
    for name, value in deviations.items():
        rounding = references[name]['rounding']
        print(f'{name:44} {value:10.1e} {rounding:10.1e}{_note(name, value, rounding)}')
    unchanged = {name: value for name, value in deviations.items() if reason(name) is None}
    wrong = [name for name, value in unchanged.items() if not value <= LIMIT]
    for pattern, why in CHANGED.items():
        print(f'changed on purpose: {pattern}: {why}')
    if unchanged:
        worst = max(unchanged, key=lambda name: (unchanged[name] != unchanged[name], unchanged[name]))
        print(f'worst of the others: {worst}, {unchanged[worst]:.1e}')
    print(f'{len(wrong)} of {len(unchanged)} differ by more than {LIMIT:g}')
    return not wrong


def main(argv: Sequence[str] | None = None) -> int:
    """Compute, compare, and say whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--against', type=Path, required=True, help='references, a JSON file')
    parser.add_argument('--scans', type=Path, default=SCANS, help='folder of the real scans')
    parser.add_argument('--only', default='*', help='pattern of the names of cases, as "toy gated *"')
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    references = json.loads(options.against.read_text())['cases']
    found = {name: digest(values) for name, values in results(options.scans, options.only)}
    missing = [name for name in references if fnmatch(name, options.only) and name not in found]
    if missing or not found:
        print(f'cases that were not computed: {", ".join(missing) or "all"}')
        return 1
    return 0 if compared(found, references) else 1


if __name__ == '__main__':
    sys.exit(main())
