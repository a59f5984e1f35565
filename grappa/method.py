"""GRAPPA: the linear map, by regularised least squares."""

from dataclasses import dataclass

import torch

from raki.interpolation import Calibration, Learnt, Progress
from raki.kernel import Kernel
from raki.linear import LinearMap


@dataclass(frozen=True, slots=True)
class Grappa:
    """Ridge regression from the acquired neighbours of all coils to all missing lines of a gap at once.

    References
    ----------
    Griswold et al. 2002, Magn Reson Med 47:1202 (https://doi.org/10.1002/mrm.10171).
    """

    kernel: Kernel = Kernel(lines=4, readout=5)
    """Acquired lines x readout samples."""

    regularization: float = 1e-3
    """Ridge weight relative to the mean energy of a source sample [1]."""

    def __post_init__(self) -> None:
        if not self.regularization > 0:
            raise ValueError(f'regularization must be positive, got {self.regularization}')

    @property
    def volume_kernel(self) -> Kernel:
        """Extent of a patch where two axes are accelerated."""
        return self.kernel

    @property
    def volume_regularization(self) -> float:
        """Ridge weight where two axes are accelerated, relative to the mean energy of a source sample [1]."""
        return self.regularization

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Solve the normal equations of the ACS once for all coils and offsets."""
        equations = calibration.normal_equations
        weights = equations.solve(self.regularization).to(torch.complex64)
        progress(1, 1)
        return Learnt(LinearMap(weights, self.kernel), equations.n_equations, len(weights))
