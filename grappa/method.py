"""GRAPPA: the linear map, by regularised least squares."""

from dataclasses import dataclass
from typing import Literal

import torch

from raki.interpolation.calibration import Calibration, Learnt, Progress
from raki.interpolation.least_squares import LinearMap
from raki.interpolation.neighbours import Kernel, Neighbourhood
from raki.interpolation.own import CalibrationFrom, learn_linear
from raki.interpolation.tuning import kernels_for

USUAL = Kernel(lines=4, readout=5)
"""The kernel of most implementations."""


@dataclass(frozen=True, slots=True)
class Grappa:
    """Ridge regression from the acquired neighbours of all coils to all missing lines of a gap at once.

    By default the ridge, the weight of each equation and the kernel are chosen from the scan's own ACS, see
    `raki.interpolation.tuning`. With a ridge given, all equations count alike, as in the paper and in other tools.

    References
    ----------
    Griswold et al. 2002, Magn Reson Med 47:1202 (https://doi.org/10.1002/mrm.10171).
    """

    kernel: Kernel | Literal['auto'] = 'auto'
    """What a cell sees; `auto` chooses, see `raki.interpolation.tuning`, or takes the USUAL one if a ridge is given."""

    regularization: float | Literal['auto'] = 'auto'
    """Ridge weight relative to the mean energy of a source sample [1]."""

    calibration: CalibrationFrom = 'own'
    """Whether to learn once more from the `own` reconstruction, see `raki.interpolation.own`, or from `measured` lines
    only. With a ridge given, always from these."""

    def __post_init__(self) -> None:
        if self.regularization != 'auto' and not self.regularization > 0:
            raise ValueError(f'regularization must be positive, got {self.regularization}')

    def smallest(self, calibration: Calibration) -> Neighbourhood | None:
        """That of the first kernel of those to choose from."""
        return calibration.neighbourhood(self.choices(calibration)[0])

    def choices(self, calibration: Calibration) -> tuple[Kernel, ...]:
        """Kernels to choose from, smallest first."""
        if self.kernel != 'auto':
            return (self.kernel,)
        return kernels_for(calibration) if self.regularization == 'auto' else (USUAL,)

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Solve the normal equations of the ACS once for all coils and offsets."""
        progress(1, 1)
        kernels, ridge = self.choices(calibration), self.regularization
        if ridge == 'auto':
            return learn_linear(calibration, kernels, self.calibration)
        around = calibration.neighbourhood(kernels[0])
        equations = calibration.normal_equations(around)
        weights = equations.solve(ridge)
        found = LinearMap(weights.to(torch.complex64), equations.residual(weights, ridge))
        return Learnt(found, around, ridge, equations.n_equations, len(weights))
