"""What benchmarks know by name: all that `raki compare` knows, and what every ratio is taken to."""

from collections.abc import Sequence

from torch import Tensor

from raki.commands.catalogue import methods_named
from raki.data.masks import Pattern
from raki.evaluation.outside import Baseline
from raki.interpolation.calibration import Method
from raki.interpolation.fit import Filler, fit

PLAIN_NAME = 'plain-grappa'
PLAIN = methods_named([PLAIN_NAME])[PLAIN_NAME]
"""Automatic GRAPPA that learns from the measured ACS alone."""


def contestants(names: Sequence[str]) -> dict[str, Method | Baseline]:
    """Look methods and outside references up, ValueError if there is none of a name."""
    return methods_named(names)


def fitted(method: Method | Baseline, measured: Tensor, pattern: Pattern) -> Filler:
    """Learn from undersampled k-space (coil, phase axes, kx) how to fill it in.

    Raises
    ------
    CalibrationError
        If the ACS is too small.
    SamplingError
        If the method needs a lattice where there is none.
    """
    if isinstance(method, Baseline):
        return method.calibrate(pattern.acs_block(measured), pattern, measured)
    return fit(method, measured, pattern)
