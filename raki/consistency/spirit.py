"""Self-consistency: k-space that its own neighbours explain as they do in the ACS."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raki.consistency.evidence import Evidence
from raki.consistency.grid import Grid, smoothed
from raki.consistency.kernel import SelfConsistency, require_neighbours
from raki.consistency.solve import solved
from raki.interpolation.calibration import Calibration, Learnt, Method, Progress
from raki.interpolation.neighbours import Neighbourhood

SMOOTHED_PIXELS = 5
"""Pixels along every axis over which the power of the image is averaged."""

LEAST_SIGNAL = 0.01
"""Least signal power of a pixel, relative to the noise of a coil [1]."""


@dataclass(frozen=True, slots=True)
class Spirit:
    """Iterative self-consistency (SPIRiT), linear, and as strong as the scan's own noise makes it.

    Lines that another method has filled in are corrected as far as its error allows, until every sample agrees with
    its neighbours in all coils. Without a lattice it starts from zero. With noise power n per sample and n_coils coils,
    the image x of all coils minimises the sum of

    - |F x - k|^2 / n over measured samples, and over interpolated ones with their own variance in place of n,
    - |(G - 1) x|^2 / n, what self-consistency leaves, which is allowed to be as large as the noise; n_coils times that
      without a lattice, as consistency then is all there is,
    - |x|^2 / S in every pixel, where S is the signal power of the coils together, as filled k-space shows it.

    References
    ----------
    Lustig and Pauly 2010, Magn Reson Med 64:457 (https://doi.org/10.1002/mrm.22428).
    """

    start: Method
    """What fills in first, where there is a lattice."""

    n_steps: int = 20
    """Steps from what is filled in; twice as many from nothing."""

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise ValueError(f'need at least one step, got {self}')

    def smallest(self, calibration: Calibration) -> Neighbourhood | None:
        """That of the method to start with."""
        return self.start.smallest(calibration)

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Learn to fill in, and what is consistent."""
        learnt = self.start.learn(calibration, progress)
        return replace(learnt, refinement=self.refinement(calibration, learnt))

    def refinement(self, calibration: Calibration, start: Learnt | None) -> 'Consistent':
        """Learn what is consistent, and how strong each part of the image is.

        Raises
        ------
        CalibrationError
            If nothing was filled in before, and the ACS is too short to tell how lines follow from their neighbours.
        """
        if start is None:
            require_neighbours(calibration)
        evidence, kernel = Evidence.of(calibration, start), SelfConsistency.learnt(calibration, start)
        grid, pixels = evidence.grid, evidence.trust.numel()
        n_coils, n_steps = len(calibration.measured), self.n_steps if start else 2 * self.n_steps
        weight, image = 1.0 if start else float(n_coils), evidence.image
        if start is None:
            unlimited = torch.full((pixels,), torch.inf).to(evidence.trust)
            first = Consistent(evidence, _projection(kernel, grid, weight, unlimited), n_steps)
            image = grid.image(first.solved(evidence.lines))
        power = smoothed(image.abs().square().sum(0), grid.axes, SMOOTHED_PIXELS)
        excess = power / evidence.noise - n_coils * float(calibration.known.float().mean())
        signal = excess.clamp(min=LEAST_SIGNAL).flatten()
        return Consistent(evidence, _projection(kernel, grid, weight, signal), n_steps)


def _projection(kernel: SelfConsistency, grid: Grid, weight: float, signal: Tensor) -> Tensor:
    """Proximal map of the prior in every pixel, axes (pixel, coil, coil); `signal` is its power over the noise."""
    runs, first = list[Tensor](), 0
    for squared in kernel.squared(grid):
        diagonal = 1 + 1 / signal[first : first + len(squared), None, None]
        runs.append(torch.linalg.inv(weight * squared + diagonal * torch.eye(squared.shape[-1]).to(squared)))
        first += len(squared)
    return torch.cat(runs)


@dataclass(frozen=True, slots=True, eq=False)
class Consistent:
    """The linear map from lines to consistent lines."""

    evidence: Evidence

    projection: Tensor
    """What the prior makes of the coils' values in a pixel, complex64, axes (pixel, coil, coil)."""

    n_steps: int

    def __call__(self, lines: Tensor) -> Tensor:
        """See `raki.interpolation.calibration.Refinement`."""
        return self.evidence.grid.cropped(self.solved(lines))

    def solved(self, lines: Tensor) -> Tensor:
        """The same on the grid, axes (coil, *size)."""
        grid = self.evidence.grid
        return solved(grid, self.evidence.trust, grid.embedded(lines), self._projected, self.n_steps)

    def derivative(self, lines: Tensor) -> Callable[[Tensor], Tensor]:
        """Itself."""
        del lines
        return self

    def _projected(self, image: Tensor, step: int) -> Tensor:
        del step
        return (self.projection @ image.flatten(1).mT[..., None])[..., 0].mT.view(image.shape)
