"""Which extents networks should have on two phase axes: errors, seconds and equations per weight on a volume.

The first layer sees 2 lattice lines x 2 partitions x 5 samples; the last one combines neighbouring cells, as many along
lines and partitions as the extent says, by 3 samples.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/volumes.py --extents --methods raki-complex --json OUT.json
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from time import process_time

import torch
from torch import Tensor

from raki.data.sampling import Sampling, undersample
from raki.data.simulate import Simulation, simulate
from raki.errors import CalibrationError, TrainingError
from raki.evaluation.metrics import nrmse_object, object_mask
from raki.fourier import image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Calibration, Method
from raki.interpolation.fit import fit
from raki.networks.layers import Extent
from raki.networks.raki import RAKI_2019, RAKI_COMPLEX, Raki

EXTENTS = ((1, 1), (2, 1), (1, 2), (2, 2))
"""Of the last layer, cells along (lines, partitions)."""
ACS = ((8, 12), (12, 20), (16, 24))
NOISES = (0.003, 0.02)
MATRIX, N_COILS, RATE, SHIFT = (32, 64, 48), 8, (2, 2), 1
NETWORKS = {'raki-complex': RAKI_COMPLEX, 'raki': RAKI_2019.with_iterations(250)}
"""A quarter of the iterations of `raki`, which would take an hour."""


def image(kspace: Tensor) -> Tensor:
    """Root sum of squares of k-space (coil, kz, ky, kx), axes (z, y, x)."""
    return image_from_kspace(kspace, (-3, -2, -1)).abs().square().sum(0).sqrt()


def equations_per_weight(method: Raki, kspace: Tensor, sampling: Sampling) -> float:
    """Of one network, on this ACS."""
    known = Calibration(sampling.acs_block(kspace), sampling.lattice, sampling)
    return method.targets(known, 1.0)[0].numel() / method.shape(known).n_weights


def extents(names: Sequence[str] = tuple(NETWORKS)) -> Iterator[dict[str, object]]:
    """One row per noise, ACS, network of these names and extent; errors in the object over that of automatic GRAPPA."""
    networks = {name: network for name, network in NETWORKS.items() if name in names}
    for noise, acs in product(NOISES, ACS):
        scan = simulate(Simulation(MATRIX, N_COILS, 1, noise, 5))
        assert scan.reference is not None
        kspace, sampling = scan.kspace[0], undersample(scan.mask, RATE, acs, SHIFT)
        truth = image(scan.reference[0])
        inside = object_mask(truth)

        def measured(method: Method) -> tuple[float, float]:
            start = process_time()
            filled = fit(method, kspace, sampling).fill(kspace)  # noqa: B023
            seconds = process_time() - start
            return nrmse_object(image(filled), truth, inside), seconds  # noqa: B023

        linear = measured(Grappa())[0]
        for (name, network), (lines, partitions) in product(networks.items(), EXTENTS):
            method = replace(network, last=Extent(lines, 3, partitions))
            row = {'method': name, 'noise': noise, 'acs': acs, 'last': (lines, partitions), 'grappa': linear}
            try:
                error, seconds = measured(method)
            except (CalibrationError, TrainingError) as refusal:
                yield row | {'refused': str(refusal)}
                continue
            ratio = equations_per_weight(method, kspace, sampling)
            yield row | {'error': error, 'over_grappa': error / linear, 'seconds': seconds, 'equations': ratio}


def show(row: Mapping[str, object]) -> None:
    """Print a row."""
    lines, partitions = row['last']  # type: ignore[misc]
    size = 'x'.join(map(str, row['acs']))  # type: ignore[call-overload]
    place = f'{row["method"]:12} noise {row["noise"]:<5g} ACS {size:5} last {lines} lines x {partitions} partitions'
    if 'refused' in row:
        print(f'{place}  refused: {row["refused"]}', flush=True)
        return
    print(
        f'{place}  over grappa {row["over_grappa"]:.3f} ({row["error"]:.4f} / {row["grappa"]:.4f}), '
        f'{row["seconds"]:.1f} CPU-s, {row["equations"]:.2f} equations per weight',
        flush=True,
    )


if __name__ == '__main__':
    torch.set_num_threads(1)
    for found in extents():
        show(found)
