"""What is simulated: a head, and coils around it. The one place that knows sigpy (coil sensitivities)."""

from math import cos, pi, sin

import torch
from torch import Tensor

HEAD = (
    (0.55, 0.0, 0.0, 0.0, 0.70, 0.90, 0.80, 0, 0, 0.0),  # skin and fat
    (0.04, 0.0, 0.0, 0.0, 0.66, 0.86, 0.76, 0, 0, 0.0),  # skull
    (0.22, 0.0, 0.0, 0.0, 0.61, 0.81, 0.71, 0, 0, 0.0),  # cerebrospinal fluid
    (0.68, 0.0, 0.0, 0.0, 0.575, 0.77, 0.68, 0, 24, 0.025),  # grey matter
    (1.00, -0.255, 0.0, -0.02, 0.235, 0.61, 0.54, 5, 15, 0.07),  # white matter, left and right
    (1.00, 0.255, 0.0, -0.02, 0.235, 0.61, 0.54, -5, 15, 0.07),
    (0.95, 0.0, -0.04, 0.0, 0.16, 0.22, 0.12, 0, 0, 0.0),  # corpus callosum
    (0.22, 0.0, -0.45, 0.0, 0.012, 0.34, 0.60, 0, 0, 0.0),  # fissure between the hemispheres
    (0.22, 0.0, 0.53, 0.0, 0.012, 0.26, 0.60, 0, 0, 0.0),
    (0.74, -0.16, 0.10, 0.06, 0.085, 0.15, 0.12, 12, 0, 0.0),  # thalamus
    (0.74, 0.16, 0.10, 0.06, 0.085, 0.15, 0.12, -12, 0, 0.0),
    (0.62, -0.26, -0.06, 0.06, 0.055, 0.17, 0.12, 14, 0, 0.0),  # putamen
    (0.62, 0.26, -0.06, 0.06, 0.055, 0.17, 0.12, -14, 0, 0.0),
    (0.18, -0.085, -0.15, -0.04, 0.04, 0.17, 0.14, -16, 0, 0.0),  # ventricles
    (0.18, 0.085, -0.15, -0.04, 0.04, 0.17, 0.14, 16, 0, 0.0),
    (0.18, -0.12, 0.28, -0.02, 0.035, 0.14, 0.12, 20, 0, 0.0),
    (0.18, 0.12, 0.28, -0.02, 0.035, 0.14, 0.12, -20, 0, 0.0),
    (0.18, 0.0, 0.08, 0.06, 0.012, 0.10, 0.10, 0, 0, 0.0),
    (0.40, -0.33, 0.30, 0.0, 0.030, 0.035, 0.09, 0, 0, 0.0),  # lesions
    (0.45, 0.28, -0.36, -0.04, 0.022, 0.022, 0.08, 0, 0, 0.0),
    (0.50, 0.36, 0.22, 0.04, 0.014, 0.014, 0.07, 0, 0, 0.0),
    (0.10, -0.30, -0.32, 0.0, 0.009, 0.009, 0.50, 0, 0, 0.0),  # vessels
    (0.10, -0.25, -0.38, 0.0, 0.009, 0.009, 0.50, 0, 0, 0.0),
    (0.10, -0.20, -0.43, 0.0, 0.009, 0.009, 0.50, 0, 0, 0.0),
    (0.10, 0.36, 0.02, 0.0, 0.006, 0.10, 0.30, 30, 0, 0.0),
)
"""Ellipsoids, each over those before: signal [1]; centre and semi-axes (x, y, z), in half fields of view; rotation in
the plane (x, y) [degree]; number and relative depth of folds of its surface. x points to the right, y to the back of
the head, z to the feet. As T1-weighted: white matter bright, fluid dark."""


def head(shape: tuple[int, ...], height: float = 0.0) -> Tensor:
    """Head with brain, upright, axes (y, x) of an axial slice at z = -`height`, or (z, y, x); real, 0 to 1."""
    z, y, x = (_positions(size) for size in (1, *shape)[-3:])
    z, y = z[:, None, None] - (height if len(shape) == 2 else 0), y[:, None]
    image = torch.zeros(len(z), len(y), len(x))
    for signal, x0, y0, z0, width, length, depth, degrees, n_folds, folding in HEAD:
        c, s = cos(pi * degrees / 180), sin(pi * degrees / 180)
        u, v = (c * (x - x0) + s * (y - y0)) / width, (c * (y - y0) - s * (x - x0)) / length
        folds = 1 + folding * torch.cos(n_folds * torch.atan2(v, u))
        image[(u.square() + v.square()) / folds.square() + ((z - z0) / depth).square() <= 1] = signal
    return image[0] if len(shape) == 2 else image


def _positions(size: int) -> Tensor:
    """Positions of samples in half fields of view, 0 at n//2."""
    return 2 * (torch.arange(size) - size // 2) / size


def birdcage_maps(n_coils: int, shape: tuple[int, ...]) -> Tensor:
    """Sensitivities with unit root sum of squares, complex64, axes (coil, y, x) of a birdcage around the slice.

    Or axes (coil, z, y, x) of two rings along y, along which coils differ least as they do along the bore of a scanner.
    """
    from sigpy.mri import birdcage_maps as maps  # its import takes seconds

    if len(shape) == 2:
        return torch.from_numpy(maps((n_coils, *shape))).to(torch.complex64)
    n_partitions, n_lines, n_columns = shape
    around_first_axis = maps((n_coils, n_lines, n_partitions, n_columns), nzz=-(-n_coils // 2))
    return torch.from_numpy(around_first_axis).to(torch.complex64).transpose(1, 2)
