"""One of the paper's networks and its scan as a function of one vector of weights, in float64."""

import dataclasses
import math

import torch
from torch import Tensor

import raki
from raki.evaluation.metrics import nrmse
from raki.interpolation.calibration import Calibration
from raki.interpolation.neighbours import Cells
from raki.networks.layers import Hidden, Shape, forward, initial_weights
from raki.networks.training import Recipe


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where the network predicts, and what is right there."""

    hidden: Hidden
    """Where the first layer stands."""

    inputs: Tensor
    """Of the first layer, axes (input, hidden cell, readout)."""

    targets: Tensor
    """What it should predict, axes (output, cell, readout)."""

    judged: Tensor
    """Which of them count, boolean, same axes."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One network and its scan. Weights are one vector of all layers, axes (weight,)."""

    shape: Shape
    """Sizes of the network."""

    acs: Places
    """Where it is trained. A *window* is one position there, with all of its missing lines."""

    missing: Places
    """Where it is judged."""

    @property
    def n_windows(self) -> int:
        """Positions in the ACS."""
        return self.acs.targets[0].numel()

    @property
    def per_equation(self) -> float:
        """Weights per equation."""
        return self.shape.n_weights / self.acs.targets.numel()

    def start(self, seed: int, scale: float = 1.0) -> Tensor:
        """Random weights of standard deviation 1/sqrt(inputs of a unit), times a scale."""
        drawn = initial_weights(self.shape, None, torch.float64, seed)
        return scale * torch.cat([layer.flatten() for layer in drawn])

    def predict(self, weights: Tensor, inputs: Tensor, hidden: Hidden) -> Tensor:
        """The library's network, axes (output, cell, readout)."""
        parts = weights.split([math.prod(size) for size in self.shape.weights])
        layers = tuple(part.view(size) for part, size in zip(parts, self.shape.weights, strict=True))
        return forward(layers, inputs, torch.relu, hidden)[0]

    def loss(self, weights: Tensor) -> Tensor:
        """Squared error on the ACS over that of zero weights [1]."""
        missed = self.predict(weights, self.acs.inputs, self.acs.hidden) - self.acs.targets
        return missed.square().sum() / self.acs.targets.square().sum()

    def error(self, weights: Tensor) -> float:
        """NRMSE on missing lines."""
        there = self.missing
        predicted = self.predict(weights, there.inputs, there.hidden)[there.judged]
        return nrmse(predicted, there.targets[there.judged])

    @property
    def windows(self) -> tuple[Tensor, Tensor]:
        """Inputs (window, input, step, sample) and targets (window, output)."""
        hidden, targets = self.acs.hidden, self.acs.targets
        seen = self.acs.inputs.unfold(2, hidden.n_samples, 1)[:, hidden.taps]
        inputs = seen.permute(1, 3, 0, 2, 4).flatten(0, 1)
        return inputs.contiguous(), targets.permute(1, 2, 0).flatten(0, 1).contiguous()

    def loss_of(self, weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of some windows, so scaled that it is `loss` for all of them."""
        number, _, n_steps, n_samples = inputs.shape
        taps = torch.arange(number * n_steps).view(number, n_steps)
        side_by_side = inputs.permute(1, 0, 2, 3).reshape(inputs.shape[1], number * n_steps, n_samples)
        predicted = self.predict(weights, side_by_side, Hidden(self.acs.hidden.cells, taps, n_samples))
        per_window = self.acs.targets.square().sum() / self.n_windows
        return (predicted[:, :, 0].T - targets).square().sum() / number / per_window


def network(width: int) -> raki.Raki:
    """The paper's, with another number of channels in the first layer, for k-space scaled to 1."""
    recipe = Recipe(1, 1e-3)
    return dataclasses.replace(raki.RAKI_2019, widths=(width, 8), peak=None, initial_std=None, recipe=recipe)


def problem_of(known: Calibration, truth: Tensor, width: int, noise: float = 0.0) -> Problem:
    """The network for the real part of the first coil.

    Parameters
    ----------
    known
        What was measured.
    truth
        What it is judged against, axes (coil, line, readout).
    width
        Channels of the first layer.
    noise
        Added to the ACS, relative to its root mean square [1].
    """
    method, generator = network(width), torch.Generator().manual_seed(1)
    stack, scale = method.stack(known), method.scale(known.acs)
    lines = scale * known.acs_lines
    lines = lines + noise * torch.randn(lines.shape, dtype=lines.dtype, generator=generator)

    def places(cells: Cells, seen: Tensor, right: Tensor, judged: Tensor) -> Places:
        hidden = stack.hidden(cells)
        inputs, targets = hidden.inputs(method.channels(seen)), method.channels(cells.values(right))[0]
        return Places(hidden, inputs.double(), targets.double(), judged[..., None].expand(targets.shape))

    inside, between = known.cells(stack.receptive_field), known.lattice_cells(stack.receptive_field)
    acs = places(inside, lines, lines, torch.ones_like(inside.targets.T, dtype=torch.bool))
    missing = places(between, scale * known.measured, scale * truth, ~known.known[between.targets.T])
    return Problem(dataclasses.replace(method.shape(known), n_networks=1), acs, missing)
