"""The same bits from the same scan, and the same image from a scan of any scale."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from attacks.cases import Case, Verdict
from attacks.crafts import array, put
from attacks.folders import fault_of, state_of
from attacks.running import run
from attacks.scans import Clean, image_in, nrmse

NAME = 'steadiness'

COUNT = 10
"""Repetitions of every scan."""

POWERS = (-30, -25, -20, -15, -12, -10, -5, 5, 10, 12, 15, 18, 20, 25, 30)
"""Scales of k-space as powers of ten."""

CLOSE = 1e-4
"""An image of another scale may differ by so much [1]."""

SCALED = ('fastMRI', 'fastMRI, gated', 'volume')

METHODS = ('raki',)
"""Trained ones, which have a seed, beside grappa and gated."""


def cases(scans: Sequence[Clean], count: int, _seed: int) -> list[Case]:
    """Repetitions of every scan, and every scale of some."""
    found = [Case('repeated', f'{NAME}/repeated/{scan.name}', partial(_repeated, scan=scan, n=count)) for scan in scans]
    for method in METHODS:
        name = f'{NAME}/repeated/{method}'
        found.append(Case('repeated', name, partial(_repeated, scan=scans[0], n=min(count, 3), method=method)))
    for scan in scans:
        for power in POWERS if scan.name in SCALED else ():
            name = f'{NAME}/scaled/{scan.name}/1e{power}'
            found.append(Case(f'scaled {scan.name}', name, partial(_scaled, scan=scan, scale=10.0**power)))
    return found


def _repeated(folder: Path, scan: Clean, n: int, method: str = '') -> Verdict:
    """Bit by bit the same; the last one in a process started anew."""
    scan.copied(folder)
    images = []
    for number in range(n):
        words = ['--method', method] * bool(method)
        ending = run([*scan.command(), *words], folder, is_anew=number == n - 1, timeout=300)
        if ending.code:
            return Verdict(ending.fault or 'wrong code', ending.last)
        images.append(image_in(folder / 'out.h5'))
    return Verdict('same bits' if all(np.array_equal(images[0], image) for image in images) else 'wrong')


def _scaled(folder: Path, scan: Clean, scale: float) -> Verdict:
    """Scale k-space and noise in double precision, which takes what does not fit into single precision."""
    scan.copied(folder)
    with h5py.File(folder / scan.files[0].name, 'r+') as file:
        axes = dict(file['kspace'].attrs)
        for name in ('kspace', 'noise'):
            put(file, name, array(file, name).astype('c16') * scale)
        file['kspace'].attrs.update(axes)
    state = state_of(folder)
    ending = run(scan.command(), folder)
    fault = ending.fault or fault_of(state, state_of(folder), ending, ['out.h5'])
    if fault or ending.code:
        return Verdict(fault or 'refused', ending.last)
    error = nrmse(image_in(folder / 'out.h5').astype(np.float64) / scale, scan.image)
    return Verdict('right' if error < CLOSE else 'wrong', f'nrmse {error:.3g}')
