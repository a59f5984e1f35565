"""GRAPPA: the linear map, by regularised least squares."""

from dataclasses import dataclass
from typing import Literal

import torch

from raki.interpolation.fit import Calibration, Learnt, Progress
from raki.interpolation.kernel import Kernel
from raki.interpolation.linear import LinearMap
from raki.interpolation.tuning import FIRST_RIDGE, tune
from raki.interpolation.tuning_volume import tune_position
from raki.interpolation.volume import LearntPosition, PositionCalibration

KERNELS = (Kernel(lines=2, readout=5), Kernel(lines=2, readout=7))
"""Kernels to choose from, smallest first. With weighted equations, more lines do not pay for their unknowns."""

VOLUME_KERNELS = (Kernel(2, 5, partitions=2), Kernel(2, 5, partitions=3), Kernel(4, 5, partitions=3))
"""Kernels to choose from where two axes are accelerated, smallest first."""

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
    """Acquired lines x readout samples; `auto` chooses one of KERNELS, or takes the USUAL one if a ridge is given."""

    regularization: float | Literal['auto'] = 'auto'
    """Ridge weight relative to the mean energy of a source sample [1]."""

    def __post_init__(self) -> None:
        if self.regularization != 'auto' and not self.regularization > 0:
            raise ValueError(f'regularization must be positive, got {self.regularization}')

    @property
    def smallest_kernel(self) -> Kernel:
        """The first kernel of those to choose from."""
        return self._kernels[0]

    @property
    def _kernels(self) -> tuple[Kernel, ...]:
        if self.kernel != 'auto':
            return (self.kernel,)
        return KERNELS if self.regularization == 'auto' else (USUAL,)

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Solve the normal equations of the ACS once for all coils and offsets."""
        progress(1, 1)
        if self.regularization == 'auto':
            tuned = tune(calibration, self._kernels)
            return tuned.learnt(tuned.linear)
        kernel, ridge = self.smallest_kernel, self.regularization
        equations = calibration.normal_equations(kernel)
        weights = equations.solve(ridge).to(torch.complex64)
        return Learnt(LinearMap(weights, kernel), kernel, ridge, equations.n_equations, len(weights))

    def learn_position(self, calibration: PositionCalibration) -> LearntPosition:
        """Solve the normal equations of the ACS block once for all coils."""
        if self.regularization == 'auto':
            kernels = VOLUME_KERNELS if self.kernel == 'auto' else (self.kernel,)
            around, tuned = tune_position(calibration, kernels)
            return LearntPosition(around, tuned.weights, min(tuned.regularization, FIRST_RIDGE))
        around = calibration.neighbourhood(self.smallest_kernel)
        weights = calibration.normal_equations(around).solve(self.regularization)
        return LearntPosition(around, weights, self.regularization)
