"""The optimisers of the theory of interpolation and saddles, as steps from weights to weights.

A step also says what it cost in gradients of the whole ACS; a product with the Hessian counts as two.
"""

from collections.abc import Callable

import torch
from laboratory.problem import Problem
from torch import Tensor

Step = Callable[[Tensor], tuple[Tensor, float]]
"""From weights (weight,) to the next ones, and what that cost."""

Loss = Callable[[Tensor], Tensor]
"""Of weights."""

PER_PRODUCT = 2.0
"""Gradients that a product with the Hessian costs [1]."""


def gradient(loss: Loss, weights: Tensor) -> tuple[Tensor, float]:
    """Of a loss, and the loss."""
    weights = weights.detach().requires_grad_()
    value = loss(weights)
    return torch.autograd.grad(value, weights)[0], float(value.detach())


def descent(problem: Problem, rate: float) -> Step:
    """Gradient descent."""
    return lambda weights: (weights - rate * gradient(problem.loss, weights)[0], 1.0)


def stochastic(problem: Problem, rate: float, batch: int, seed: int = 0, radius: float = 0.0) -> Step:
    """SGD on windows drawn at random; perturbed by normal noise of this norm if there is a radius.

    References
    ----------
    Jin et al. 2021, J ACM 68:11 (https://doi.org/10.1145/3418526).
    """
    generator, (inputs, targets) = torch.Generator().manual_seed(seed), problem.windows

    def step(weights: Tensor) -> tuple[Tensor, float]:
        chosen = torch.randint(problem.n_windows, (batch,), generator=generator)
        found, _ = gradient(lambda each: problem.loss_of(each, inputs[chosen], targets[chosen]), weights)
        if radius:
            kick = torch.randn(found.shape, dtype=found.dtype, generator=generator)
            found = found + radius / len(found) ** 0.5 * kick
        return weights - rate * found, batch / problem.n_windows

    return step


def adam(problem: Problem, rate: float) -> Step:
    """Adam with its usual constants."""
    mean = square = torch.zeros((), dtype=torch.float64)
    n_steps = 0

    def step(weights: Tensor) -> tuple[Tensor, float]:
        nonlocal mean, square, n_steps
        found, n_steps = gradient(problem.loss, weights)[0], n_steps + 1
        mean, square = 0.9 * mean + 0.1 * found, 0.999 * square + 0.001 * found.square()
        scaled = (mean / (1 - 0.9**n_steps)) / ((square / (1 - 0.999**n_steps)).sqrt() + 1e-8)
        return weights - rate * scaled, 1.0

    return step


def curvature(loss: Loss, weights: Tensor) -> Callable[[Tensor], Tensor]:
    """Products with the exact Hessian."""
    product = torch.func.vjp(torch.func.grad(loss), weights)[1]  # the Hessian is symmetric
    return lambda vector: product(vector)[0]


def exact_hessian(loss: Loss, weights: Tensor) -> Tensor:
    """All second derivatives, axes (weight, weight)."""
    found = torch.func.vmap(curvature(loss, weights), chunk_size=64)(torch.eye(len(weights), dtype=weights.dtype))
    return (found + found.T) / 2


def krylov(apply: Callable[[Tensor], Tensor], start: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Lanczos: a symmetric operator in an orthonormal basis (vector, weight) of its Krylov space."""
    basis, image = (start / start.norm())[None], apply(start / start.norm())[None]
    while len(basis) < min(size, len(start)):
        rest = image[-1]
        for _ in range(2):  # twice is enough
            rest = rest - basis.T @ (basis @ rest)
        if float(rest.norm()) < 1e-10 * float(image[-1].norm()):
            break
        basis = torch.cat([basis, (rest / rest.norm())[None]])
        image = torch.cat([image, apply(basis[-1])[None]])
    reduced = basis @ image.T
    return (reduced + reduced.T) / 2, basis


def cubic_step(hessian: Tensor, slope: Tensor, cubic: float) -> tuple[Tensor, float]:
    """Minimise slope s + s hessian s / 2 + cubic |s|^3 / 6: the step s, and the change that this promises.

    In eigenvectors s = -slope / (energy + shift), where the shift is half of cubic times |s| and makes all positive.

    References
    ----------
    Nesterov and Polyak 2006, Math Program 108:177 (https://doi.org/10.1007/s10107-006-0706-8).
    """
    energy, basis = torch.linalg.eigh(hessian)
    along = basis.T @ slope
    low, width = max(0.0, -float(energy[0])), 1.0
    while float((along / (energy + low + width)).norm()) > 2 * (low + width) / cubic:
        width *= 2
    high = low + width
    for _ in range(100):
        middle = (low + high) / 2
        is_long = float((along / (energy + middle)).norm()) > 2 * middle / cubic
        low, high = (middle, high) if is_long else (low, middle)
    step = -basis @ (along / (energy + high))
    return step, float(slope @ step + step @ hessian @ step / 2 + cubic * step.norm() ** 3 / 6)


def cubic_newton(problem: Problem, size: int = 30) -> Step:
    """Newton with cubic regularisation in Krylov spaces of this size of the exact Hessian.

    The cubic constant falls after steps that keep what they promised, and grows until one keeps a tenth of it.

    References
    ----------
    Cartis et al. 2011, Math Program 127:245 (https://doi.org/10.1007/s10107-009-0286-5).
    """
    cubic = 1.0

    def step(weights: Tensor) -> tuple[Tensor, float]:
        nonlocal cubic
        slope, before = gradient(problem.loss, weights)
        hessian, basis = krylov(curvature(problem.loss, weights), slope, size)
        cost, within = 1 + PER_PRODUCT * len(basis), basis @ slope
        while cubic < 1e12:
            move, promised = cubic_step(hessian, within, cubic)
            after = weights + move @ basis
            kept = (float(problem.loss(after)) - before) / promised if promised < 0 else 0.0
            cost, cubic = cost + 1 / 3, cubic / 3 if kept > 0.9 else cubic if kept > 0.1 else 3 * cubic
            if kept > 0.1:
                return after, cost
        return weights, cost

    return step
