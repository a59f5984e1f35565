"""How well the noise of a k-space sample is estimated from the ACS alone.

On simulations against the noise that was added; on fully sampled scans, one half of the readout against the other: of
the hybrid space (line, x), which the estimate sees as two scans of half the width.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/noise_estimate.py --scans DIR --json OUT.json
"""

import argparse
import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from raki.commands.origin import versions
from raki.data.load import open_scan
from raki.data.simulate import Simulation, simulate
from raki.interpolation.noise_power import noise_power

COILS, MATRICES, SNRS, ACS = (8, 16, 32), ((64, 64), (128, 160), (320, 320)), (5, 50, 500, 5000), (16, 24, 40)
VOLUMES = (((32, 96, 80), (12, 24)), ((16, 40, 32), (10, 20)))
"""Of 8 coils: matrix (kz, ky, kx) and ACS (kz, ky)."""
VOLUME_SNRS = (100 / 3, 100, 1000 / 3, 10000 / 3)


def central(kspace: Tensor, *n_lines: int) -> Tensor:
    """The middle lines of k-space (coil, phase axes, readout)."""
    for axis, n in enumerate(n_lines, start=1):
        kspace = kspace.narrow(axis, (kspace.shape[axis] - n + 1) // 2, n)
    return kspace


def simulated(
    coils: int, matrix: tuple[int, ...], snr: float, sizes: Sequence[tuple[int, ...]]
) -> list[dict[str, object]]:
    """Estimated over true standard deviation, one row per size of the ACS; SNR is that of the brightest voxel."""
    scan = simulate(Simulation(matrix, coils, 1, 1 / snr))
    kspace, truth = scan.kspace[0], scan.reference[0]  # type: ignore[index]
    true_power = float((kspace - truth).abs().square().mean())
    place = {'coils': coils, 'matrix': list(matrix), 'snr': snr}
    ratios = {acs: (noise_power(central(kspace, *acs)) / true_power) ** 0.5 for acs in sizes}
    return [place | {'acs': list(acs), 'ratio': ratio} for acs, ratio in ratios.items()]


def halves(path: Path) -> dict[str, object] | None:
    """Estimates of a fully sampled scan's left and right half of the field of view, and the ratio of the two."""
    file = open_scan(path)
    scan = file.read([file.shape[0] // 2])
    if not bool(scan.mask.all()) or file.n_frames > 1:
        return None
    hybrid = torch.fft.ifft(central(scan.kspace[0], 24), norm='ortho')
    parts = [torch.fft.fft(part, norm='ortho') for part in hybrid.chunk(2, dim=2)]
    left, right = (noise_power(part.contiguous()) ** 0.5 for part in parts)
    return {'scan': path.stem, 'left': left, 'right': right, 'ratio': left / right}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--scans', type=Path, help='folder with HDF5 scans; those fully sampled are used')
    parser.add_argument('--json', type=Path, help='where to store the result')
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = [row for case in product(COILS, MATRICES, SNRS) for row in simulated(*case, [(n,) for n in ACS])]
    for row in rows:
        print(row)
    ratios = torch.tensor([row['ratio'] for row in rows])
    summary = {'least': float(ratios.min()), 'largest': float(ratios.max()), 'cells': len(rows)}
    summary['beyond_10_percent'] = int(((ratios - 1).abs() > 0.1).sum())
    print(summary)
    volumes = [row for (matrix, acs), snr in product(VOLUMES, VOLUME_SNRS) for row in simulated(8, matrix, snr, [acs])]
    for row in volumes:
        print(row)
    found = [row for path in sorted(options.scans.glob('*.h5')) if (row := halves(path))] if options.scans else []
    for row in found:
        print(row)
    if options.json:
        content = {'summary': summary, 'versions': versions(), 'rows': rows, 'volumes': volumes, 'halves': found}
        options.json.write_text(json.dumps(content, indent=1))


if __name__ == '__main__':
    main()
