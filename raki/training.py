"""Full-batch training of tiny networks on the ACS of one scan."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from raki.errors import TrainingError
from raki.interpolation import Progress

Loss = Callable[[Tensor, Tensor], Tensor]
Weights = tuple[Tensor, ...]

REPORT_EVERY = 25
"""Iterations between two looks at the loss; each look waits for the device."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train."""

    n_iterations: int
    """Full-batch iterations."""

    learning_rate: float
    """Step size of Adam."""

    def __post_init__(self) -> None:
        if self.n_iterations < 1 or not self.learning_rate > 0:
            raise ValueError(f'need at least one iteration and a positive learning rate, got {self}')


def norm_loss(predicted: Tensor, targets: Tensor) -> Tensor:
    """Sum over networks of the un-squared norm of each one's error, axes (network, ...).

    No weight is shared between networks and Adam works weight by weight, so the sum trains each of them as if alone.
    """
    return network_norms(predicted - targets).sum()


def network_norms(values: Tensor) -> Tensor:
    """Norm of each network's part of (network, ...), axes (network,)."""
    return torch.linalg.vector_norm(values.flatten(1), dim=1)


def train(
    predict: Callable[[Weights], Tensor], targets: Tensor, start: Weights, recipe: Recipe, progress: Progress
) -> Weights:
    """Minimise the norm loss of `predict(weights)` against `targets`, axes (network, ...), with Adam.

    Raises
    ------
    TrainingError
        If the loss becomes infinite or NaN, or in the end predicting zero would do better.
    """
    weights = tuple(weight.clone().requires_grad_() for weight in start)
    optimiser = torch.optim.Adam(weights, lr=recipe.learning_rate)
    loss = targets.new_zeros(())
    with torch.enable_grad():
        for done in range(1, recipe.n_iterations + 1):
            optimiser.zero_grad()
            loss = norm_loss(predict(weights), targets)
            loss.backward()
            optimiser.step()
            if done % REPORT_EVERY == 0 or done == recipe.n_iterations:
                _require_finite(loss, weights, done, recipe)
                progress(done, recipe.n_iterations)
    _require_learnt(loss, targets, recipe)
    return tuple(weight.detach() for weight in weights)


def _require_finite(loss: Tensor, weights: Weights, done: int, recipe: Recipe) -> None:
    if not bool(loss.isfinite()) or not all(bool(weight.isfinite().all()) for weight in weights):
        raise TrainingError(
            f'training left the finite range within {done} of {recipe.n_iterations} iterations at learning rate '
            f'{recipe.learning_rate:g}: use a smaller one'
        )


def _require_learnt(loss: Tensor, targets: Tensor, recipe: Recipe) -> None:
    nothing = float(network_norms(targets).sum())
    reached = float(loss.detach())
    if reached >= nothing > 0:
        raise TrainingError(
            f'after {recipe.n_iterations} iterations at learning rate {recipe.learning_rate:g} the networks predict '
            f'the ACS no better than zero does (loss {reached:.3g} against {nothing:.3g}): '
            'use a smaller rate or more iterations'
        )
