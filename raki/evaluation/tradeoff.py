"""Error against retained signal: the picture on which no regularisation can hide.

A method that regularises more has less noise and gives less signal back. Along its strength it draws a curve; another
method is better where it has less error at the same retained signal, not where it stands elsewhere on the same curve.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from raki.consistency.sparse import SparseImage
from raki.data.sampling import Sampling
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Calibration, PatchMap
from raki.interpolation.fit import InnerMap, Interpolator
from raki.interpolation.least_squares import LinearMap
from raki.interpolation.own import relearnt
from raki.interpolation.tuning import tune
from raki.networks.gated import Blend

FACTORS = tuple(10.0**exponent for exponent in range(-3, 4))
"""What the ridge of GRAPPA is multiplied with [1]."""

SHARES = tuple(step / 6 for step in range(7))
"""Of the way from one map to another [1]."""

THRESHOLDS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Parts of the thresholds of a sparse image [1]."""

LARGEST = 2**23
"""Samples, coils counted, above which no strength but the chosen one is tried."""


def strengths(method: object, fitted: Interpolator, kspace: Tensor) -> Iterator[tuple[float, Interpolator]]:
    """What a fitted method would be with other strengths than the one that it chose, from weak to strong.

    Of `Grappa` the ridge weight, for the kernel and the weights of equations that it chose; of a map that is a blend of
    two, its share; of a sparse image the part of its thresholds. Kernels at the edges stay. Of any other method, of
    lines whose gaps differ, and of k-space that is too large, nothing.

    Parameters
    ----------
    method, fitted
        The method, and what was fitted with it.
    kspace
        To what, axes (coil, phase axes, kx).
    """
    if not fitted.inner or not isinstance(fitted.sampling, Sampling) or kspace.numel() > LARGEST:
        return
    (inner,) = fitted.inner
    if isinstance(fitted.refinement, SparseImage):
        for strength in THRESHOLDS:
            yield strength, replace(fitted, refinement=replace(fitted.refinement, strength=strength))
    if fitted.refinement is not None:
        return
    if isinstance(method, Grappa):
        regularization, solve = _ridge(method, fitted, inner, kspace)
        maps = [(factor * regularization, solve(factor * regularization)) for factor in FACTORS]
    elif isinstance(inner.patch_map, Blend):
        maps = [(share, replace(inner.patch_map, share=share)) for share in SHARES]
    else:
        return
    for strength, patch_map in maps:
        yield strength, replace(fitted, inner=(replace(inner, patch_map=patch_map),))


def _ridge(
    method: Grappa, fitted: Interpolator, inner: InnerMap, kspace: Tensor
) -> tuple[float, Callable[[float], PatchMap]]:
    """The ridge weight of GRAPPA, and its map with any other."""
    assert isinstance(fitted.sampling, Sampling)  # or it could not have been filled in
    known = _calibration(fitted, fitted.sampling, kspace)
    if method.regularization == 'auto':
        tuned = tune(known, () if method.kernel == 'auto' else (method.kernel,))
        learnt = relearnt(known, tuned) if method.calibration == 'own' else tuned
        regularization, equations = learnt.regularization, learnt.total
    else:
        regularization, equations = method.regularization, known.normal_equations(inner.cells.neighbourhood)
    return regularization, lambda ridge: LinearMap(equations.solve(ridge).to(torch.complex64))


def _calibration(fitted: Interpolator, sampling: Sampling, kspace: Tensor) -> Calibration:
    """What it learnt from, in the coils that it learnt in."""
    transform = fitted.transform
    acs, lines = sampling.acs_block(kspace), torch.where(sampling.mask.to(kspace.device)[..., None], kspace, 0)
    acs, lines = (each if transform is None else transform.apply(each) for each in (acs, lines.flatten(1, -2)))
    return Calibration(acs, sampling.lattice, sampling, lines)
