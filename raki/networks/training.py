"""Full-batch training of tiny networks on the ACS of one scan."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from raki.errors import TrainingError
from raki.interpolation.calibration import Progress

Weights = tuple[Tensor, ...]

REPORT_EVERY = 25
"""Iterations between two looks at the loss; each look waits for the device."""

N_RESTARTS, SLOWER = 3, 10.0
"""Most times that training starts again after it failed, and how much slower each time [1]."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train."""

    n_iterations: int
    """Full-batch iterations."""

    learning_rate: float
    """Step size of Adam."""

    loss: Literal['norm', 'mean square'] = 'norm'
    """Of each network's error: its un-squared norm, as in the authors' recipe, or its mean square, as in the paper."""

    is_annealed: bool = False
    """Whether the step size falls to zero along half a cosine, so that noise of the last steps does not stay."""

    def __post_init__(self) -> None:
        if self.loss not in ('norm', 'mean square'):
            raise ValueError(f"loss must be 'norm' or 'mean square', got {self.loss!r}")
        if self.n_iterations < 1 or not self.learning_rate > 0:
            raise ValueError(f'need at least one iteration and a positive learning rate, got {self}')


def norm_loss(predicted: Tensor, targets: Tensor) -> Tensor:
    """Sum over networks of the un-squared norm of each one's error, axes (network, ...).

    No weight is shared between networks and Adam works weight by weight, so the sum trains each of them as if alone.
    """
    return torch.linalg.vector_norm((predicted - targets).flatten(1), dim=1).sum()


def mean_square_loss(predicted: Tensor, targets: Tensor) -> Tensor:
    """Sum over networks of the mean |error|^2 of each one, axes (network, ...)."""
    return torch.linalg.vector_norm((predicted - targets).flatten(1), dim=1).square().sum() / targets[0].numel()


LOSSES = {'norm': norm_loss, 'mean square': mean_square_loss}


def train(
    predict: Callable[[Weights], Tensor], targets: Tensor, start: Weights, recipe: Recipe, progress: Progress
) -> tuple[Weights, tuple[str, ...]]:
    """Minimise the loss of `predict(weights)` against `targets`, axes (network, ...), with Adam.

    If the loss becomes infinite or NaN, or predicting zero would do as well in the end, training starts again with a
    learning rate SLOWER times lower, N_RESTARTS times at most; a warning, in what is returned besides the weights, says
    so. Another one says of how many networks alone predicting zero would do as well.

    Raises
    ------
    TrainingError
        If it fails every time.
    """
    failures: list[str] = []  # errors would keep all that led here, scan and file, until they are collected
    for _ in range(1 + N_RESTARTS):
        try:
            weights, doubts = _descend(predict, targets, start, recipe, progress)
        except TrainingError as error:
            failures.append(str(error))
            recipe = replace(recipe, learning_rate=recipe.learning_rate / SLOWER)
        else:
            rate = f'training restarted at learning rate {recipe.learning_rate:g}'
            return weights, (*(f'{rate}: {failure}' for failure in failures[:1]), *doubts)
    raise TrainingError(
        f'{failures[0]}; {N_RESTARTS} restarts, each {SLOWER:g} times slower, did not help: use another --method, a '
        'smaller learning rate, or more iterations'
    )


def _descend(
    predict: Callable[[Weights], Tensor], targets: Tensor, start: Weights, recipe: Recipe, progress: Progress
) -> tuple[Weights, tuple[str, ...]]:
    weights = tuple(weight.clone().requires_grad_() for weight in start)
    optimiser = torch.optim.Adam(weights, lr=recipe.learning_rate)
    pace = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.n_iterations) if recipe.is_annealed else None
    loss_of = LOSSES[recipe.loss]
    predicted = every_loss = torch.zeros((), device=targets.device)
    with torch.enable_grad():
        for done in range(1, recipe.n_iterations + 1):
            optimiser.zero_grad()
            predicted = predict(weights)
            loss = loss_of(predicted, targets)
            loss.backward()
            optimiser.step()
            if pace:
                pace.step()
            every_loss = every_loss + loss.detach()
            if done % REPORT_EVERY == 0 or done == recipe.n_iterations:
                moments = (state['exp_avg_sq'] for state in optimiser.state.values())  # infinite, they stop a weight
                _require_finite([every_loss, *weights, *moments], done, recipe)
                progress(done, recipe.n_iterations)
    return tuple(weight.detach() for weight in weights), _doubts(predicted.detach(), targets, recipe)


def _require_finite(values: Sequence[Tensor], done: int, recipe: Recipe) -> None:
    if not all(bool(value.isfinite().all()) for value in values):
        raise TrainingError(
            f'training left the finite range within {done} of {recipe.n_iterations} iterations at learning rate '
            f'{recipe.learning_rate:g}'
        )


def _doubts(predicted: Tensor, targets: Tensor, recipe: Recipe) -> tuple[str, ...]:
    """Say of how many networks predicting zero would do as well; a TrainingError if of all of them together."""
    zeros = torch.zeros_like(targets)
    how = f'{recipe.n_iterations} iterations at learning rate {recipe.learning_rate:g}'
    reached, nothing = (float(LOSSES[recipe.loss](each, targets)) for each in (predicted, zeros))
    if reached >= nothing > 0:
        raise TrainingError(
            f'after {how} the networks predict the ACS no better than zero does (loss {reached:.3g} against '
            f'{nothing:.3g})'
        )
    error, of_zero = (torch.linalg.vector_norm((each - targets).flatten(1), dim=1) for each in (predicted, zeros))
    n_idle = int(((error >= of_zero) & (of_zero > 0)).sum())
    told = f'after {how} {n_idle} of {len(targets)} networks predict the ACS no better than zero does'
    return (f'{told}: lines that they fill in are not to be trusted',) if n_idle else ()
