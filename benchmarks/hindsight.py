"""GRAPPA over a grid of kernels and ridge weights, for benchmarks that ask what hindsight would have chosen."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from raki.data.sampling import Sampling
from raki.errors import CalibrationError
from raki.interpolation.calibration import Calibration, Learnt
from raki.interpolation.edges import edge_maps
from raki.interpolation.fit import InnerMap, Interpolator
from raki.interpolation.least_squares import LinearMap
from raki.interpolation.neighbours import Cells, Kernel

EDGE_RIDGE = 1e-3
"""Least ridge weight at the edges of k-space, whatever it is elsewhere [1]."""


def grappas(
    measured: Tensor, sampling: Sampling, kernels: Sequence[Kernel], ridges: Sequence[float]
) -> Iterator[tuple[Kernel, float, Interpolator]]:
    """Every kernel that the ACS holds with every ridge weight; edges as the package fills them.

    Parameters
    ----------
    measured
        Undersampled k-space, axes (coil, phase axes, kx).
    sampling
        Its pattern.
    kernels, ridges
        The grid; all equations count alike.
    """
    n_coils, n_readout, lines = len(measured), measured.shape[-1], measured.flatten(1, -2)
    known = Calibration(sampling.acs_block(measured), sampling.lattice, sampling, lines)
    for kernel in kernels:
        around = known.neighbourhood(kernel)
        try:
            equations = known.normal_equations(around)
        except CalibrationError:
            continue
        every = Cells.on(around, sampling)
        learnt = Learnt(LinearMap(equations.cross), around, EDGE_RIDGE, equations.n_equations, len(equations.gram))
        edges = edge_maps(known, learnt, every, n_readout)
        for ridge in ridges:
            try:
                patch_map = LinearMap(equations.solve(ridge).to(torch.complex64))
            except CalibrationError:
                continue
            inner = InnerMap(every.at(every.is_whole), patch_map)
            yield kernel, ridge, Interpolator(sampling, n_readout, n_coils, (inner,), edges)
