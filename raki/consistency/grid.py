"""A grid somewhat finer than the image's, so that k-space beyond its edges is unknown rather than wrapped around.

Sensitivities multiply the image, so every sample of k-space is a sum over those around it, at the edges over some that
nobody measured. On a grid with a margin of k-space these are unknowns like others; without one, a Fourier transform
takes them from the opposite edge, and the first and last lines of clean scans are wrong by many times their noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import torch
from torch import Tensor
from torch.fft import fftfreq, fftn, fftshift, ifftn, ifftshift
from torch.nn.functional import pad

MARGIN = 2
"""Least number of samples beyond either edge of k-space, along every axis that has more than one."""

MAX_DEPTH, LEAST_BAND = 4, 8
"""Most halvings of an axis by a wavelet transform, and the least size that they leave."""


@dataclass(frozen=True)
class Grid:
    """K-space with margins, in the order of a plain Fourier transform: DC first."""

    shape: tuple[int, ...]
    """Size of k-space on the phase axes and the readout."""

    @cached_property
    def depth(self) -> tuple[int, ...]:
        """How often each axis may be halved."""
        sizes = [size + 2 * MARGIN for size in self.shape]
        depths = [max(d for d in range(MAX_DEPTH + 1) if not d or size >= LEAST_BAND * 2**d) for size in sizes]
        return tuple(depth if size > 1 else 0 for size, depth in zip(self.shape, depths, strict=True))

    @cached_property
    def size(self) -> tuple[int, ...]:
        """With margins."""
        pairs = zip(self.shape, self.depth, strict=True)
        return tuple(size if size == 1 else ceil((size + 2 * MARGIN) / 2**depth) * 2**depth for size, depth in pairs)

    @property
    def axes(self) -> tuple[int, ...]:
        """All but the coils, counted from the last."""
        return tuple(range(-len(self.shape), 0))

    def embedded(self, lines: Tensor) -> Tensor:
        """From lines (..., line, readout) to the grid (..., *size), zero in its margins."""
        array, margins = lines.unflatten(-2, self.shape[:-1]), list[int]()
        for size, whole in zip(reversed(self.shape), reversed(self.size), strict=True):
            before = whole // 2 - size // 2
            margins += [before, whole - size - before]
        return ifftshift(pad(array, margins), dim=self.axes)

    def cropped(self, kspace: Tensor) -> Tensor:
        """Back from the grid (..., *size) to lines (..., line, readout)."""
        array = fftshift(kspace, dim=self.axes)
        for axis, size, whole in zip(self.axes, self.shape, self.size, strict=True):
            array = array.narrow(axis, whole // 2 - size // 2, size)
        return array.flatten(-len(self.shape), -2)

    def image(self, kspace: Tensor) -> Tensor:
        """Orthonormal inverse Fourier transform."""
        return ifftn(kspace, dim=self.axes, norm='ortho')

    def kspace(self, image: Tensor) -> Tensor:
        """Orthonormal Fourier transform."""
        return fftn(image, dim=self.axes, norm='ortho')

    def low_pass(self, kspace: Tensor, width: int) -> Tensor:
        """With a Hann window of this width around DC along every axis, less where k-space has less."""
        for axis, size in zip(self.axes, self.size, strict=True):
            steps = fftfreq(size, 1 / size, device=kspace.device) / min(width, size)
            window = torch.cos(torch.pi * steps.clamp(-0.5, 0.5)).square()
            kspace = kspace * window.view(-1, *(1,) * (-1 - axis))
        return kspace


def smoothed(values: Tensor, axes: Sequence[int], width: int) -> Tensor:
    """Mean over `width` neighbours along each of these axes, which are cyclic."""
    half = width // 2
    for axis in axes:
        if values.shape[axis] >= width:
            values = torch.stack([values.roll(step, axis) for step in range(-half, half + 1)]).mean(0)
    return values
