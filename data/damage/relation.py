"""What coils tell about each other on one line: each is nearly a linear combination of the neighbouring samples of all.

The relation that GRAPPA fills in lines by (Griswold et al. 2002, Magn Reson Med 47:1202), without the missing lines.
"""

import torch
from torch import Tensor

RIDGE = 1e-4
"""Relative to the mean power of a source [1]."""

MOST_PLACES = 4096
"""Places that are enough to learn from."""

STEPS = (-1, 0, 1)
"""Samples of other coils that predict one [sample]."""


def relation(samples: Tensor) -> Tensor:
    """Weights that leave of every coil what the others do not predict, from samples (coil, line, kx).

    Axes (coil, coil and step). By the inverse of the Gram matrix, whose rows are the residuals of what is predicted.
    """
    n_coils, n_steps, sources = len(samples), len(STEPS), _sources(samples)
    known = sources[:, :: max(1, sources.shape[1] // MOST_PLACES) | 1].to(torch.complex128)
    gram = known @ known.mH
    ridge = RIDGE * gram.diagonal().real.mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    inverse = torch.linalg.inv(gram + ridge).unflatten(0, (n_coils, n_steps))
    own = torch.stack([inverse[coil, :, coil * n_steps : (coil + 1) * n_steps] for coil in range(n_coils)])
    return torch.linalg.solve(own, inverse)[:, STEPS.index(0)]


def left_of(samples: Tensor, weights: Tensor) -> Tensor:
    """What a relation leaves of samples, axes (coil, line, kx)."""
    return (weights.to(samples) @ _sources(samples)).view_as(samples)


def _sources(samples: Tensor) -> Tensor:
    """The neighbours of every sample along the readout, axes (coil and step, place)."""
    return torch.stack([_moved(samples, step) for step in STEPS], 1).flatten(0, 1).flatten(1)


def _moved(values: Tensor, step: int) -> Tensor:
    moved, size = torch.zeros_like(values), values.shape[-1]
    moved[..., max(0, -step) : size - max(0, step)] = values[..., max(0, step) : size - max(0, -step)]
    return moved
