"""Blocked networks are the networks of `raki.networks.layers`, and so are their gradients."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from raki.data.lattice import Lattice
from raki.interpolation.calibration import Calibration
from raki.networks import fused as module
from raki.networks import layers as networks
from raki.networks.fused import fused
from raki.networks.layers import FIRST, LAST, Hidden, Shape, Stack
from tests.toys import random_kspace

LINES = Calibration(random_kspace(4, 12, 19), Lattice.of((3,)))
VOLUME = Calibration(random_kspace(4, 9, 11, 9), Lattice.of((2, 2), 1))


class Problem(NamedTuple):
    """Inputs (input, cell, readout), where the first layer stands, and weights that want gradients."""

    inputs: Tensor
    hidden: Hidden
    weights: tuple[Tensor, ...]


def problem(calibration: Calibration, dtype: torch.dtype = torch.float32) -> Problem:
    stack = Stack.around(calibration, FIRST, LAST)
    hidden = stack.hidden(calibration.cells(stack.receptive_field))
    seen = len(stack.first.sources) * len(stack.first.samples), len(stack.steps) * stack.n_samples
    weights = networks.initial_weights(Shape(3, 4, (6, 5), 2, *seen), 0.5, dtype, seed=2)
    inputs = hidden.inputs(calibration.acs_lines.real.to(dtype))
    return Problem(inputs, hidden, tuple(weight.requires_grad_() for weight in weights))


def direct(weights: tuple[Tensor, ...], inputs: Tensor, slope: float, hidden: Hidden) -> Tensor:
    """The networks layer by layer."""
    return networks.forward(weights, inputs, lambda values: torch.nn.functional.leaky_relu(values, slope), hidden)


@pytest.mark.parametrize('calibration', [LINES, VOLUME], ids=['lines', 'volume'])
@pytest.mark.parametrize('n_positions', [7, 60, 10_000])
@pytest.mark.parametrize('slope', [0.0, 0.5, 1.0])
def test_values_and_gradients_are_those_of_the_layers(
    slope: float, n_positions: int, calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'POSITIONS', n_positions)
    inputs, hidden, weights = problem(calibration, torch.float64)
    predict = fused(inputs, slope, hidden, torch.float64)
    for _ in range(2):  # the second time in memory that has been used
        found, expected = predict(weights), direct(weights, inputs, slope, hidden)
        torch.testing.assert_close(found, expected)
        probe = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        gradients = [torch.autograd.grad((values * probe).sum(), weights) for values in (found, expected)]
        torch.testing.assert_close(gradients[0], gradients[1])


def test_bfloat16_rounds_products_and_keeps_sums() -> None:
    inputs, hidden, weights = problem(LINES)
    found, expected = fused(inputs, 0.0, hidden, torch.bfloat16)(weights), direct(weights, inputs, 0.0, hidden)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02 * float(expected.detach().abs().max()))
