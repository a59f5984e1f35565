"""The three-layer convolutional networks of the RAKI family, as one set of batched matrix products.

A convolution without padding over `lines` acquired lines x `readout` samples is a matrix product over patches. All
networks of a scan see the same input, so their first layers are ONE product; the later layers are batched products,
one per network. Lines that a layer combines are `dilation` lines apart: R on the ACS, 1 on the lattice of acquired
lines.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from raki.interpolation.kernel import Kernel, patches

FIRST = Kernel(lines=2, readout=5)
"""Kernel of the first layer; the second is 1 x 1."""


class Extent(NamedTuple):
    """What a layer sees of the layer before."""

    lines: int
    """Acquired lines [1]."""

    readout: int
    """Readout samples [1]."""


LAST = Extent(lines=2, readout=3)
"""Of the last layer."""


def receptive_field(first: Kernel, last: Extent) -> Kernel:
    """What one missing sample depends on."""
    return Kernel(lines=first.lines + last.lines - 1, readout=first.readout + last.readout - 1)


RECEPTIVE_FIELD = receptive_field(FIRST, LAST)
"""What one missing sample depends on, with these layers."""

Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a set of equal networks that share their input."""

    n_networks: int
    """How many networks."""

    n_inputs: int
    """Channels of the shared input."""

    widths: tuple[int, int]
    """Hidden channels of each network."""

    n_outputs: int
    """Output channels of each network."""

    first: Kernel = FIRST
    """Kernel of the first layer."""

    last: Extent = LAST
    """What the last layer sees."""

    @property
    def weights(self) -> tuple[tuple[int, int, int], ...]:
        """Shapes of the three layers' weights, each (network, output, input)."""
        wide, narrow = self.widths
        first = self.n_inputs * self.first.lines * self.first.readout
        last = self.n_outputs * self.last.lines * self.last.readout
        return (self.n_networks, wide, first), (self.n_networks, narrow, wide), (self.n_networks, last, narrow)

    @property
    def n_weights(self) -> int:
        """Weights of one network."""
        return sum(rows * columns for _, rows, columns in self.weights)


def initial_weights(shape: Shape, std: float | None, dtype: torch.dtype, seed: int) -> tuple[Tensor, ...]:
    """Draw weights from a normal distribution cut off at two standard deviations, from a generator of their own.

    Parameters
    ----------
    shape
        Sizes of the networks.
    std
        Standard deviation [1]; None takes 1/sqrt(inputs of a unit) for each layer.
    dtype
        Real or complex floating point type of the weights; a complex weight has this deviation in total.
    seed
        Seed; the global random state is neither read nor changed.
    """
    generator = torch.Generator().manual_seed(seed)
    return tuple(_truncated_normal(size, std or size[-1] ** -0.5, dtype, generator) for size in shape.weights)


def _truncated_normal(size: tuple[int, ...], std: float, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    parts = 2 if dtype.is_complex else 1
    values = torch.empty(*size, parts)
    part_std = std / parts**0.5
    torch.nn.init.trunc_normal_(values, std=part_std, a=-2 * part_std, b=2 * part_std, generator=generator)
    return torch.view_as_complex(values) if dtype.is_complex else values[..., 0].to(dtype)


def first_patches(channels: Tensor, dilation: int, first: Kernel = FIRST) -> Tensor:
    """Inputs of the first layer: channels (channel, line, readout) to (input, line, readout)."""
    return patches(channels, first, dilation).movedim(-1, 0).contiguous()


def forward(
    weights: tuple[Tensor, ...], inputs: Tensor, activation: Activation, dilation: int, extent: Extent = LAST
) -> Tensor:
    """Run all networks.

    Parameters
    ----------
    weights
        Three tensors as `Shape.weights`.
    inputs
        Inputs of the first layer, axes (input, line, readout), see `first_patches`.
    activation
        Applied after the first and the second layer.
    dilation
        Distance of the lines that the last layer combines [line].
    extent
        What the last layer sees.

    Returns
    -------
    Axes (network, output, line, readout), one for every position of the last layer wholly inside `inputs`.
    """
    first, second, last = weights
    n_networks, wide, n_inputs = first.shape
    hidden = activation(first.view(n_networks * wide, n_inputs) @ inputs.flatten(1)).view(n_networks, wide, -1)
    narrow = activation(second @ hidden)
    taps = (last @ narrow).view(n_networks, -1, *extent, *inputs.shape[1:])
    return _sum_of_shifted(taps, dilation, extent)


def _sum_of_shifted(taps: Tensor, dilation: int, extent: Extent) -> Tensor:
    """Add up the contributions (network, output, tap line, tap sample, line, readout) of a layer's taps."""
    n_lines = taps.shape[-2] - dilation * (extent.lines - 1)
    n_readout = taps.shape[-1] - extent.readout + 1
    parts = [
        taps[:, :, line, sample, line * dilation :, sample:][..., :n_lines, :n_readout]
        for line in range(extent.lines)
        for sample in range(extent.readout)
    ]
    return reduce(torch.add, parts)
