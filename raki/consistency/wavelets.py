"""Orthonormal wavelets of images on any number of axes, cyclic at the ends.

Daubechies 1988, Commun Pure Appl Math 41:909 (https://doi.org/10.1002/cpa.3160410705): four vanishing moments.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

LOW = (
    0.23037781330885523,
    0.7148465705525415,
    0.6308807679295904,
    -0.02798376941698385,
    -0.18703481171888114,
    0.030841381835986965,
    0.032883011666982945,
    -0.010597401784997278,
)
"""Taps of the scaling filter."""

HIGH = tuple((-1) ** index * tap for index, tap in enumerate(reversed(LOW)))
"""Taps of the wavelet filter."""


def decomposed(image: Tensor, depth: Sequence[int]) -> list[Tensor]:
    """Coefficients of all bands, fine ones first, the coarse image last.

    The last axes of the image, one for each entry of `depth`, are halved that many times; their sizes must allow it.
    """
    bands, coarse = list[Tensor](), image
    for level in range(max(depth)):
        parts = [coarse]
        for axis in _halved(depth, level):
            parts = [half for part in parts for half in _split(part, axis)]
        coarse, details = parts[0], parts[1:]
        bands += details
    return [*bands, coarse]


def composed(bands: Sequence[Tensor], depth: Sequence[int]) -> Tensor:
    """The image of these bands, as `decomposed` gives them."""
    left, coarse = list(bands[:-1]), bands[-1]
    for level in reversed(range(max(depth))):
        axes = _halved(depth, level)
        n_details = 2 ** len(axes) - 1
        parts, left = [coarse, *left[len(left) - n_details :]], left[: len(left) - n_details]
        for axis in reversed(axes):
            parts = [_joined(low, high, axis) for low, high in zip(parts[::2], parts[1::2], strict=True)]
        coarse = parts[0]
    return coarse


def _halved(depth: Sequence[int], level: int) -> list[int]:
    return [axis - len(depth) for axis, most in enumerate(depth) if most > level]


def _split(image: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Low and high half along an axis."""
    at = axis % image.ndim
    even, odd = image.unflatten(at, (-1, 2)).unbind(at + 1)
    return _filtered(even, odd, axis, LOW), _filtered(even, odd, axis, HIGH)


def _filtered(even: Tensor, odd: Tensor, axis: int, taps: Sequence[float]) -> Tensor:
    pairs = range(len(taps) // 2)
    return torch.stack([taps[2 * n] * even.roll(-n, axis) + taps[2 * n + 1] * odd.roll(-n, axis) for n in pairs]).sum(0)


def _joined(low: Tensor, high: Tensor, axis: int) -> Tensor:
    """The adjoint of `_split`, and its inverse."""
    halves = []
    for parity in (0, 1):
        terms = [
            LOW[2 * n + parity] * low.roll(n, axis) + HIGH[2 * n + parity] * high.roll(n, axis)
            for n in range(len(LOW) // 2)
        ]
        halves.append(torch.stack(terms).sum(0))
    at = axis % low.ndim
    return torch.stack(halves, dim=at + 1).flatten(at, at + 1)
