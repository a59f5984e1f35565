"""Weighted least squares with a prior that is simple in the image: accelerated forward-backward steps, so many.

What is sought is the image x of all coils that minimises sum of trust |F x - k|^2 plus what the prior holds against
it. As no sample is trusted more than fully, a step along the negative gradient needs no other length than one.

References
----------
Beck and Teboulle 2009, SIAM J Imaging Sci 2:183 (https://doi.org/10.1137/080716542).
"""

from collections.abc import Callable

from torch import Tensor

from raki.consistency.grid import Grid

Prior = Callable[[Tensor, int], Tensor]
"""From an image, and the number of the step, to the image that the prior moves it to (its proximal map)."""


def solved(grid: Grid, trust: Tensor, kspace: Tensor, prior: Prior, n_steps: int) -> Tensor:
    """K-space (coil, *size) of the image, from k-space as far as it is trusted; linear in it if the prior is."""
    image = extrapolated = grid.image(kspace)
    momentum = 1.0
    for step in range(n_steps):
        moved = extrapolated + grid.image(trust * (kspace - grid.kspace(extrapolated)))
        previous, image = image, prior(moved, step)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        extrapolated = image + (momentum - 1) / following * (image - previous)
        momentum = following
    return grid.kspace(image)
