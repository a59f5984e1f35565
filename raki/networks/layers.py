"""The three-layer convolutional networks of the RAKI family, as one set of batched matrix products.

A convolution without padding over the lattice points around a cell and `readout` samples is a matrix product over
patches. All networks of a scan see the same input, so their first layers are ONE product; the later layers are batched
products, one per network. The last layer combines the first one's outputs at neighbouring cells.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from itertools import product

import torch
from torch import Tensor

from raki.data.lattice import Offset
from raki.interpolation.calibration import Calibration
from raki.interpolation.neighbours import Cells, Kernel, Neighbourhood

FIRST = Kernel(lines=2, readout=5)
"""Kernel of the first layer; the second is 1 x 1."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What a layer sees of the layer before."""

    lines: int
    """Neighbouring cells along the lines [1]."""

    readout: int
    """Readout samples [1]."""

    partitions: int = 1
    """Neighbouring cells along the partitions of a volume [1]; `benchmarks/volumes.py --extents` measures that more do
    not pay for their weights."""

    def __post_init__(self) -> None:
        if min(self.lines, self.readout, self.partitions) < 1:
            raise ValueError(f'the last layer must see at least 1 line x 1 sample, got {self}')


LAST = Extent(lines=2, readout=3)
"""Of the last layer."""

Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the layers of a network stand, on the lattice of a scan."""

    first: Neighbourhood
    """What the first layer sees of the lattice."""

    steps: tuple[Offset, ...]
    """From a cell to those whose first layers the last one combines."""

    n_samples: int
    """Readout samples that the last layer sees [1]."""

    @classmethod
    def around(cls, calibration: Calibration, first: Kernel, last: Extent) -> 'Stack':
        """Layers of these extents, as far as there is a readout."""
        seen = calibration.neighbourhood(first)
        n_samples = min(last.readout, calibration.acs.shape[-1] - len(seen.samples) + 1)
        below, above = (first.n_partitions, first.lines), (last.partitions, last.lines)
        n_axes = len(calibration.shape)
        starts = [size // 2 - (size + more - 1) // 2 for size, more in zip(below, above, strict=True)][-n_axes:]
        counts = [
            range(start, start + more) if length > 1 else (0,)
            for start, more, length in zip(starts, above[-n_axes:], calibration.shape, strict=True)
        ]
        steps = torch.tensor(list(product(*counts))) @ torch.tensor(calibration.lattice.steps)
        return cls(seen, tuple(map(tuple, steps.tolist())), n_samples)

    @property
    def receptive_field(self) -> Neighbourhood:
        """What one missing sample depends on."""
        first, width = self.first, len(self.first.samples) + self.n_samples - 1
        sources = {tuple(a + b for a, b in zip(s, t, strict=True)) for s in first.sources for t in self.steps}
        return Neighbourhood(tuple(sorted(sources)), first.targets, range(-(width // 2), width - width // 2))

    def hidden(self, cells: Cells) -> 'Hidden':
        """Where the first layer must be known for these cells."""
        wanted = cells.anchors[:, None] + torch.tensor(self.steps).view(1, -1, cells.anchors.shape[1])
        low, sizes = wanted.amin((0, 1)), wanted.amax((0, 1)) - wanted.amin((0, 1)) + 1
        own = cells.anchors.amax(0) - cells.anchors.amin(0) + 1
        if len(cells) == int(own.prod()):  # a block: the whole block around it, so that steps are the same everywhere
            every = torch.cartesian_prod(*(torch.arange(int(n)) for n in sizes)).view(-1, len(sizes)) + low
            strides = torch.tensor([int(sizes[axis + 1 :].prod()) for axis in range(len(sizes))])
            taps = ((wanted - low) * strides).sum(-1)
        else:
            every, taps = wanted.flatten(0, 1).unique(dim=0, return_inverse=True)
            taps = taps.view(wanted.shape[:2])
        return Hidden(Cells(self.first, every, cells.shape, cells.box), taps, self.n_samples)


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """Where the first layer stands, and what the last one takes from there."""

    cells: Cells
    """Of the first layer; some of a block may lack sources, and nothing depends on them."""

    taps: Tensor
    """Number of the hidden cell that a cell takes at each step, axes (cell, step)."""

    n_samples: int
    """Readout samples that the last layer sees [1]."""

    def inputs(self, channels: Tensor) -> Tensor:
        """Inputs of the first layer, channels (channel, line, readout) to (input, hidden cell, readout)."""
        sources, width = self.cells.sources.clamp(min=0).to(channels.device), len(self.cells.neighbourhood.samples)
        windows = channels[:, sources].unfold(-1, width, 1)
        return windows.permute(0, 2, 4, 1, 3).flatten(0, 2).contiguous()


def as_slice(numbers: Tensor) -> slice | Tensor:
    """A run of numbers as a slice, others as they are."""
    first = int(numbers[0])
    is_run = torch.equal(numbers, torch.arange(first, first + len(numbers)))
    return slice(first, first + len(numbers)) if is_run else numbers


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

    n_first: int
    """What the first layer sees of each channel: lattice points x samples."""

    n_last: int
    """What the last layer sees of each hidden channel: cells x samples."""

    @property
    def weights(self) -> tuple[tuple[int, int, int], ...]:
        """Shapes of the three layers' weights, each (network, output, input)."""
        wide, narrow = self.widths
        first, last = self.n_inputs * self.n_first, self.n_outputs * self.n_last
        return (self.n_networks, wide, first), (self.n_networks, narrow, wide), (self.n_networks, last, narrow)

    @property
    def n_weights(self) -> int:
        """Weights of one network."""
        return sum(rows * columns for _, rows, columns in self.weights)


def initial_weights(shape: Shape, std: float | None, dtype: torch.dtype, seed: int) -> tuple[Tensor, ...]:
    """Draw weights from a normal distribution cut off at two standard deviations, from a generator of their own.

    The standard deviation `std` [1] is that of a complex weight in total; None takes 1/sqrt(inputs of a unit) for each
    layer. The global random state is neither read nor changed.
    """
    generator = torch.Generator().manual_seed(seed)
    return tuple(_truncated_normal(size, std or size[-1] ** -0.5, dtype, generator) for size in shape.weights)


def _truncated_normal(size: tuple[int, ...], std: float, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    parts = 2 if dtype.is_complex else 1
    values = torch.empty(*size, parts)
    part_std = std / parts**0.5
    torch.nn.init.trunc_normal_(values, std=part_std, a=-2 * part_std, b=2 * part_std, generator=generator)
    return torch.view_as_complex(values) if dtype.is_complex else values[..., 0].to(dtype)


def forward(weights: tuple[Tensor, ...], inputs: Tensor, activation: Activation, hidden: Hidden) -> Tensor:
    """Run all networks, with weights as `Shape.weights`, on inputs as `Hidden.inputs`.

    Axes (network, output, cell, readout), one for every position of the last layer wholly inside `inputs`.
    """
    first, second, last = weights
    n_networks, wide, n_inputs = first.shape
    units = activation(first.view(n_networks * wide, n_inputs) @ inputs.flatten(1)).view(n_networks, wide, -1)
    narrow = activation(second @ units)
    n_steps, width = hidden.taps.shape[1], hidden.n_samples
    taps = (last @ narrow).view(n_networks, -1, n_steps, width, *inputs.shape[1:])
    n_readout = inputs.shape[2] - width + 1
    parts = [
        taps[:, :, step, sample][:, :, as_slice(hidden.taps[:, step]), sample : sample + n_readout]
        for step in range(n_steps)
        for sample in range(width)
    ]
    return reduce(torch.add, parts)


def inverse_root(gram: Tensor, ridge: float) -> Tensor:
    """Inverse square root of a Gram matrix, axes (input, input), and a ridge relative to its mean energy [1]."""
    energy, basis = torch.linalg.eigh(gram)
    damped = energy.clamp(min=0) + ridge * energy.mean()
    return (basis * damped.rsqrt()) @ basis.mH
