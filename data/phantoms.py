"""What is simulated: a head or a structured phantom, and coils around it."""

from math import cos, pi, sin

import numpy as np
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


BAR_WIDTHS = (3, 4, 5, 6, 8)
"""Widths of resolution bars, from the top down [sample of the rendering, which is twice as fine as the matrix]; bars of
one pixel would oscillate at the last frequency that is measured, and ring all over the image."""

BAR_SIGNALS = (0.5, 1.0, 0.1)
"""Signal of the body around the bars, of a bar, and between two of them [1]."""


def bars(shape: tuple[int, int]) -> Tensor:
    """Resolution bars, axes (y, x): line pairs of BAR_WIDTHS side by side along y (left) and along x (right)."""
    y, x = (_positions(size) for size in shape)
    body, bar, gap = BAR_SIGNALS
    image = body * ((y.abs() <= 0.86)[:, None] & (x.abs() <= 0.78)).float()
    height = 1.6 / len(BAR_WIDTHS)
    for number, width in enumerate(BAR_WIDTHS):
        rows = _within(y, -0.8 + (number + 0.1) * height, -0.8 + (number + 0.9) * height)
        for columns, axis in ((_within(x, -0.7, -0.05), 0), (_within(x, 0.05, 0.7), 1)):
            group = image[rows, columns]
            is_bar = torch.arange(group.shape[axis]) // width % 2 == 0
            group.copy_(torch.where(is_bar, bar, gap).unsqueeze(1 - axis))
    return image


COMPARTMENTS = (
    (0.50, 0.00, 0.00, 0.78, 0.86, False),  # the body
    (0.60, -0.40, -0.50, 0.30, 0.28, True),  # +- 20 %, large
    (0.40, 0.40, -0.50, 0.30, 0.28, True),
    (1.00, -0.40, 0.12, 0.28, 0.22, False),  # strong
    (0.02, 0.40, 0.12, 0.28, 0.22, False),
    (0.60, -0.40, 0.12, 0.09, 0.09, True),  # in them
    (0.30, -0.40, -0.50, 0.10, 0.10, False),
    (1.00, 0.40, -0.50, 0.10, 0.10, True),
    (0.70, 0.40, 0.12, 0.05, 0.16, False),
    (0.80, 0.00, -0.20, 0.015, 0.55, False),  # thin
    (0.20, 0.00, 0.44, 0.70, 0.012, False),
    (0.60, -0.56, 0.64, 0.08, 0.08, True),  # +- 20 %, smaller and smaller
    (0.40, -0.30, 0.64, 0.06, 0.06, True),
    (0.60, -0.10, 0.64, 0.045, 0.045, True),
    (0.40, 0.06, 0.64, 0.03, 0.03, True),
    (0.60, 0.20, 0.64, 0.02, 0.02, True),
    (0.90, 0.36, 0.64, 0.04, 0.04, True),  # bright and dark
    (0.05, 0.54, 0.64, 0.05, 0.05, True),
)
"""Sharp shapes, each over those before: signal [1]; centre (x, y) and half sizes along x and y, in half fields of view;
whether it is a disc (an ellipse on matrices that are not square) rather than a rectangle."""


def compartments(shape: tuple[int, int]) -> Tensor:
    """Discs and rectangles of various contrast, axes (y, x): piecewise constant."""
    y, x = (_positions(size) for size in shape)
    image = torch.zeros(shape)
    for signal, x0, y0, width, length, is_disc in COMPARTMENTS:
        u, v = (x - x0).abs() / width, ((y - y0).abs() / length)[:, None]
        image[u.square() + v.square() <= 1 if is_disc else torch.maximum(u, v) <= 1] = signal
    return image


def _within(positions: Tensor, first: float, last: float) -> slice:
    """Samples between two positions."""
    inside = ((positions >= first) & (positions <= last)).nonzero().flatten()
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0)


def _positions(size: int) -> Tensor:
    """Positions of samples in half fields of view, 0 at n//2."""
    return 2 * (torch.arange(size) - size // 2) / size


RADIUS = 1.5
"""Of the rings that coils lie on [half field of view]."""


def birdcage_maps(n_coils: int, shape: tuple[int, ...]) -> Tensor:
    """Sensitivities of coils that are evenly spaced around the object, with unit root sum of squares.

    Each is the field of a straight wire along the bore: it falls as one over the distance, and is perpendicular to the
    way there (Biot and Savart). Phases are counted from the angle of the coil, as in the uniform mode of a birdcage.

    Parameters
    ----------
    n_coils
        Number of coils: on one ring around a slice; on two rings along y around a volume, along which coils differ
        least as they do along the bore of a scanner.
    shape
        Sizes (y, x) of a slice, or (z, y, x) of a volume.

    Returns
    -------
    Tensor
        complex64, axes (coil, y, x) or (coil, z, y, x).
    """
    number, *positions = np.ogrid[:n_coils, *(slice(size) for size in shape)]
    down, *bore, right = (2 * each / size - 1 for each, size in zip(positions, shape, strict=True))
    n_on_ring = -(-n_coils // (1 + len(bore)))
    ring, step = number // n_on_ring, 2 * pi / n_on_ring
    u, v = right - RADIUS * np.cos(number * step), down - RADIUS * np.sin(number * step)
    distance = np.sqrt(sum(((y - ring + 0.5 * ring.max()) ** 2 for y in bore), u**2 + v**2))
    fields = np.exp(1j * (np.arctan2(u, -v) - (number + ring) * step)) * (1 / distance)
    maps = fields / np.sqrt((np.abs(fields) ** 2).sum(0))
    return torch.from_numpy(maps).to(torch.complex64)
