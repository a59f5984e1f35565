"""Real networks and their gradients, in blocks of positions that stay in the processor's cache.

Training is a handful of matrix products on activations that are larger than any cache: written and read back for every
elementwise step, they cost half as much time again. Here each block of positions goes through the first two layers at
once, forwards and backwards, into memory that is allocated once. Results are those of `raki.networks.layers.forward`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from raki.networks.layers import Hidden, as_slice
from raki.networks.training import Weights

POSITIONS = 1024
"""Positions in a block on a processor: the activations of a thousand units fill 4 MiB."""


def fused(inputs: Tensor, slope: float, hidden: Hidden, dtype: torch.dtype) -> Callable[[Weights], Tensor]:
    """Real networks with a leaky rectifier as a function of their weights, with gradients for the weights alone.

    As `raki.networks.layers.forward`, where the first layer stands on a block of cells. Products with the first two
    layers' weights are of this `dtype`, float32 or bfloat16; weights and sums stay in float32.
    """
    positions = _Positions.of(inputs, slope, hidden, dtype)
    return lambda weights: _Network.apply(positions, *weights)  # type: ignore[return-value]


@dataclass(frozen=True, slots=True, eq=False)
class _Positions:
    """What stays the same from one iteration to the next."""

    blocks: tuple[Tensor, ...]
    """Inputs, axes (input, position)."""

    hidden: list[Tensor]
    """Activations of the first layer, axes (unit, position); written by every forward pass."""

    slope: float
    shape: tuple[int, int]
    """Hidden cells and readout samples."""

    steps: list[int]
    """Hidden cells from the first of those that the last layer combines to each of them."""

    rows: slice | Tensor
    """The first of them, for every cell."""

    n_samples: int
    """Readout samples that the last layer sees."""

    @classmethod
    def of(cls, inputs: Tensor, slope: float, hidden: Hidden, dtype: torch.dtype) -> '_Positions':
        flat = inputs.detach().flatten(1).to(dtype)
        size = POSITIONS if flat.device.type == 'cpu' else flat.shape[1]
        blocks = tuple(block.contiguous() for block in flat.split(size, dim=1))
        first = hidden.taps.min(1).values
        steps, rows = (hidden.taps - first[:, None])[0].tolist(), as_slice(first)
        shape = inputs.shape[1], inputs.shape[2]
        return cls(blocks, [], slope, shape, steps, rows, hidden.n_samples)

    @property
    def number(self) -> int:
        """Positions."""
        return self.shape[0] * self.shape[1]

    def memory(self, n_units: int) -> list[Tensor]:
        """Where activations go, allocated once."""
        if not self.hidden:
            self.hidden.extend(block.new_empty(n_units, block.shape[1]) for block in self.blocks)
        return self.hidden

    def split(self, values: Tensor) -> tuple[Tensor, ...]:
        """Those of every block, of values (network, channel, position)."""
        return values.split(self.blocks[0].shape[1], dim=2)

    @property
    def taps(self) -> list[slice]:
        """Positions that each tap of the last layer sees; all but the last columns of a cell are its outputs."""
        offsets = [step * self.shape[1] + sample for step in self.steps for sample in range(self.n_samples)]
        length = self.number - max(offsets)
        return [slice(offset, offset + length) for offset in offsets]

    def cropped(self, outputs: Tensor) -> Tensor:
        """Outputs (network, output, position) where all taps exist, axes (network, output, cell, readout)."""
        whole = torch.nn.functional.pad(outputs, (0, self.number - outputs.shape[2]))
        return whole.unflatten(2, self.shape)[:, :, self.rows, : self.shape[1] - self.n_samples + 1]

    def spread(self, gradient: Tensor) -> Tensor:
        """The transpose of `cropped`."""
        whole = gradient.new_zeros(*gradient.shape[:2], *self.shape)
        whole[:, :, self.rows, : gradient.shape[3]] = gradient
        return whole.flatten(2)[..., : self.taps[0].stop - self.taps[0].start]


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, positions: _Positions, first: Tensor, second: Tensor, last: Tensor) -> Tensor:
        n_networks, n_units, n_inputs = first.shape
        rows, dtype = first.reshape(n_networks * n_units, n_inputs), positions.blocks[0].dtype
        rows, mixing = rows.to(dtype), second.to(dtype)
        narrow = first.new_empty(n_networks, second.shape[1], positions.number)
        memory, parts = positions.memory(len(rows)), positions.split(narrow)
        for block, hidden, part in zip(positions.blocks, memory, parts, strict=True):
            torch.nn.functional.leaky_relu_(torch.mm(rows, block, out=hidden), positions.slope)
            part.copy_(mixing @ hidden.view(n_networks, n_units, -1))
        torch.nn.functional.leaky_relu_(narrow, positions.slope)
        by_tap = last.unflatten(1, (-1, len(positions.taps))).unbind(2)
        outputs = by_tap[0] @ narrow[:, :, positions.taps[0]]
        for tap, where in zip(by_tap[1:], positions.taps[1:], strict=True):
            outputs.baddbmm_(tap, narrow[:, :, where])
        ctx.save_for_backward(first, second, last, narrow)
        ctx.positions = positions  # type: ignore[attr-defined]
        return positions.cropped(outputs)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        first, second, last, narrow = ctx.saved_tensors  # type: ignore[attr-defined]
        positions: _Positions = ctx.positions  # type: ignore[attr-defined]
        towards_last, towards_narrow = _through_last(positions, gradients[0], last, narrow)
        return None, *_through_first(positions, towards_narrow, first, second), towards_last


def _through_last(positions: _Positions, gradient: Tensor, last: Tensor, narrow: Tensor) -> tuple[Tensor, Tensor]:
    outputs = positions.spread(gradient)
    by_tap = last.unflatten(1, (-1, len(positions.taps))).unbind(2)
    towards_narrow, towards_taps = torch.zeros_like(narrow), []
    for tap, where in zip(by_tap, positions.taps, strict=True):
        towards_taps.append(outputs @ narrow[:, :, where].mT)
        towards_narrow[:, :, where].baddbmm_(tap.mT, outputs)
    return torch.stack(towards_taps, dim=2).flatten(1, 2), _gated(towards_narrow, narrow, positions.slope)


def _through_first(positions: _Positions, narrow: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    n_networks, n_units, n_inputs = first.shape
    dtype = positions.blocks[0].dtype
    towards_rows, towards_mixing = first.new_zeros(n_networks * n_units, n_inputs), torch.zeros_like(second)
    mixing, memory = second.mT.to(dtype), torch.empty_like(positions.hidden[0])
    for block, hidden, outputs in zip(positions.blocks, positions.hidden, positions.split(narrow), strict=True):
        part = outputs.to(dtype)
        towards_mixing += part @ hidden.view(n_networks, n_units, -1).mT
        units = memory.view(-1)[: hidden.numel()].view(n_networks, n_units, -1)
        rows = _gated(torch.bmm(mixing, part, out=units).view_as(hidden), hidden, positions.slope)
        if dtype == towards_rows.dtype:
            towards_rows.addmm_(rows, block.mT)
        else:
            towards_rows += rows @ block.mT
    return towards_rows.view_as(first), towards_mixing


def _gated(gradient: Tensor, activated: Tensor, slope: float) -> Tensor:
    """In place: the gradient before a leaky rectifier, from what came out of it."""
    backward = torch.ops.aten.leaky_relu_backward.grad_input
    return backward(gradient, activated, slope, self_is_result=True, grad_input=gradient)
