"""GRAPPA: the linear map, by regularised least squares."""

from dataclasses import dataclass
from typing import Literal

import torch

from raki.grappa.regularization import FIRST_RIDGE, tune
from raki.interpolation import Calibration, Learnt, Progress
from raki.kernel import Kernel
from raki.linear import LinearMap

KERNELS = (Kernel(lines=2, readout=5), Kernel(lines=2, readout=7))
"""Kernels to choose from, smallest first. With weighted equations, more lines do not pay for their unknowns."""

USUAL = Kernel(lines=4, readout=5)
"""The kernel of most implementations."""


@dataclass(frozen=True, slots=True)
class Grappa:
    """Ridge regression from the acquired neighbours of all coils to all missing lines of a gap at once.

    By default the ridge, the weight of each equation and the kernel are chosen from the scan's own ACS, see
    `raki.grappa.regularization`. With a ridge given, all equations count alike, as in the paper and in other tools.

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

    @property
    def volume_kernel(self) -> Kernel:
        """Extent of a patch where two axes are accelerated; nothing is chosen there yet."""
        return USUAL if self.kernel == 'auto' else self.kernel

    @property
    def volume_regularization(self) -> float:
        """Ridge weight where two axes are accelerated, relative to the mean energy of a source sample [1]."""
        return FIRST_RIDGE if self.regularization == 'auto' else self.regularization

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Solve the normal equations of the ACS once for all coils and offsets."""
        if self.regularization == 'auto':
            tuned = tune(calibration, self._kernels)
            kernel, weights, ridge = tuned.kernel, tuned.weights, min(tuned.regularization, FIRST_RIDGE)
        else:
            kernel, ridge = self.smallest_kernel, self.regularization
            weights = calibration.normal_equations(kernel).solve(ridge)
        progress(1, 1)
        n_equations = calibration.normal_equations(kernel).n_equations
        return Learnt(LinearMap(weights.to(torch.complex64), kernel), kernel, ridge, n_equations, len(weights))
