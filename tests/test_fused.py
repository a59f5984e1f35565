"""Blocked networks are the networks of `raki.networks.layers`, and so are their gradients."""

import pytest
import torch
from torch import Tensor

from raki import fused as module
from raki.networks import layers as networks
from raki.networks.fused import fused
from raki.networks.layers import Shape

SHAPE = Shape(n_networks=3, n_inputs=4, widths=(6, 5), n_outputs=2)


def problem(dtype: torch.dtype = torch.float32) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Inputs (input, line, readout) and weights that want gradients."""
    channels = torch.randn(4, 12, 19, generator=torch.Generator().manual_seed(1)).to(dtype)
    weights = networks.initial_weights(SHAPE, 0.5, dtype, seed=2)
    return networks.first_patches(channels, 3), tuple(weight.requires_grad_() for weight in weights)


def direct(weights: tuple[Tensor, ...], inputs: Tensor, slope: float) -> Tensor:
    """The networks layer by layer."""
    return networks.forward(weights, inputs, lambda values: torch.nn.functional.leaky_relu(values, slope), 3)


@pytest.mark.parametrize('n_positions', [7, 60, 10_000])
@pytest.mark.parametrize('slope', [0.0, 0.5, 1.0])
def test_values_and_gradients_are_those_of_the_layers(
    slope: float, n_positions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'POSITIONS', n_positions)
    inputs, weights = problem(torch.float64)
    predict = fused(inputs, slope, 3, torch.float64)
    for _ in range(2):  # the second time in memory that has been used
        found, expected = predict(weights), direct(weights, inputs, slope)
        torch.testing.assert_close(found, expected)
        probe = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        gradients = [torch.autograd.grad((values * probe).sum(), weights) for values in (found, expected)]
        torch.testing.assert_close(gradients[0], gradients[1])


def test_bfloat16_rounds_products_and_keeps_sums() -> None:
    inputs, weights = problem()
    found, expected = fused(inputs, 0.0, 3, torch.bfloat16)(weights), direct(weights, inputs, 0.0)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02 * float(expected.detach().abs().max()))
