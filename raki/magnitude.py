"""Samples of any size: a power of two near their largest magnitude, by which dividing and multiplying is exact.

Squares of samples leave the range of single precision below 1e-19 and above 1e19, so whatever squares works in this
unit, and gives its results back in that of the file.
"""

import math

import torch
from torch import Tensor

from raki.errors import ScanError, TrainingError

LARGEST_EXPONENT = 126
"""Of a unit: 2^126 and its inverse are both normal numbers in single precision."""

LEAST_SAMPLE, LARGEST_SAMPLE = 1e-30, 1e30
"""Largest sample of k-space for which images have room within single precision."""


def largest(samples: Tensor) -> float:
    """Largest real or imaginary part, as a magnitude; 0 without samples."""
    if not samples.numel():
        return 0.0
    parts = torch.view_as_real(samples) if samples.is_complex() else samples
    least, most = torch.aminmax(parts)
    return max(-float(least), float(most))


def in_range(samples: Tensor, name: str) -> Tensor:
    """Give samples back; a ScanError if all are too small for the full precision of single precision."""
    most = largest(samples)
    if 0 < most < torch.finfo(torch.float32).tiny:
        raise ScanError(
            f'{name}: the largest sample is {most:.1e}, which single precision (full from 1.2e-38 on) holds with few '
            'digits: multiply all samples by a constant, such as 1e30'
        )
    return samples


def unit_of(samples: Tensor) -> float:
    """Power of two just above the largest real or imaginary part; 1 where that is zero or not finite."""
    most = largest(samples)
    if not 0 < most < math.inf:
        return 1.0
    exponent = math.frexp(most)[1]
    return math.ldexp(1.0, max(-LARGEST_EXPONENT, min(LARGEST_EXPONENT, exponent)))


def in_unit(samples: Tensor, unit: float) -> Tensor:
    """Samples divided by a power of two: exact but for those that become subnormal."""
    return samples if unit == 1 else samples * (1 / unit)


def out_of_unit(samples: Tensor, unit: float) -> Tensor:
    """Undo `in_unit`; infinite where the result is too large for single precision."""
    return samples if unit == 1 else samples * unit


def usable(image: Tensor, kspace: Tensor, name: str) -> Tensor:
    """Give an image back that is finite, and zero only where k-space is.

    Raises
    ------
    ScanError
        If it would be too large or too small for single precision.
    TrainingError
        If the numbers left the finite range.
    """
    if bool(image.isfinite().all()) and (bool(image.any()) or not bool(kspace.any())):
        return image
    most = largest(kspace)
    if not math.isfinite(most):
        raise TrainingError(f'{name}: what was filled in is not finite: use another --method, or leave the slice out')
    if LEAST_SAMPLE < most < LARGEST_SAMPLE:
        raise TrainingError(
            f'{name} {"is not finite" if bool(image.any()) else "is zero"} although k-space is not (samples up to '
            f'{most:.1e}): use another --method or --combine, or leave the slice out'
        )
    change = 'divide' if most > 1 else 'multiply'
    raise ScanError(
        f'{name}: its values leave the range of single precision (1.2e-38 to 3.4e38), k-space has samples up to '
        f'{most:.1e}: {change} all samples, those of noise too, by a constant such as 1e30'
    )
