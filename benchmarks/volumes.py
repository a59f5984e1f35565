"""GRAPPA with two accelerated axes against the best in hindsight, over ridges and kernels, on simulated volumes.

OMP_WAIT_POLICY=PASSIVE python benchmarks/volumes.py --json OUT.json
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from raki.commands.jobs import versions
from raki.data.lattice import undersample_volume
from raki.data.simulate_volume import VolumeSimulation, simulate_volume
from raki.evaluation.metrics import nrmse_object
from raki.fourier import image_from_kspace
from raki.grappa.method import USUAL, VOLUME_KERNELS, Grappa
from raki.interpolation.volume import fit_volume

FIXED = Grappa(USUAL, 1e-3)
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0)
SCANS = {
    '8 coils': (
        VolumeSimulation((32, 96, 80), 8, 0.01, 5),
        (((2, 2), 1, (12, 24)), ((2, 2), 0, (12, 24)), ((1, 4), 0, (12, 24)), ((3, 2), 0, (14, 24))),
    ),
    '8 coils, low noise': (
        VolumeSimulation((32, 64, 48), 8, 0.003, 5),
        (((2, 2), 1, (12, 20)), ((2, 2), 1, (8, 12)), ((2, 2), 0, (12, 20))),
    ),
    '16 coils': (VolumeSimulation((40, 80, 64), 16, 0.005, 6), (((2, 2), 1, (12, 20)),)),
}
"""Scans, and their lattices: rates (Rz, Ry), CAIPI shift, ACS (kz, ky)."""


def image(kspace: Tensor) -> Tensor:
    """Root sum of squares of k-space (coil, kz, ky, kx), axes (z, y, x)."""
    return image_from_kspace(kspace, (-3, -2, -1)).abs().square().sum(0).sqrt()


def cells(name: str) -> list[dict[str, object]]:
    """Errors in the object of a simulated scan, one row per lattice."""
    settings, patterns = SCANS[name]
    volume = simulate_volume(settings)
    assert volume.reference is not None
    truth, rows = image(volume.reference), list[dict[str, object]]()
    for rate, shift, acs in patterns:
        sampling = undersample_volume(volume.mask, rate, shift, acs)
        block = sampling.acs_block(volume.kspace)

        def error(method: Grappa) -> float:
            filled = fit_volume(method, block, sampling, volume.kspace).fill(volume.kspace)  # noqa: B023
            return nrmse_object(image(filled), truth)

        sweep = {f'{kernel} ridge {ridge:g}': Grappa(kernel, ridge) for kernel in VOLUME_KERNELS for ridge in RIDGES}
        hindsight = {label: error(method) for label, method in sweep.items()}
        best = min(hindsight, key=hindsight.__getitem__)
        row = {'scan': name, 'lattice': str(sampling.lattice), 'acs': acs, 'best': best, 'hindsight': hindsight[best]}
        rows.append(row | {'automatic': error(Grappa()), 'fixed': error(FIXED)})
        print(rows[-1], flush=True)
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--scans', nargs='+', choices=SCANS, default=list(SCANS))
    parser.add_argument('--json', type=Path, help='where to store the result')
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = [row for name in options.scans for row in cells(name)]
    if options.json:
        options.json.write_text(json.dumps({'versions': versions(), 'rows': rows}, indent=1))


if __name__ == '__main__':
    main()
