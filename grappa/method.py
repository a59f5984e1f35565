"""GRAPPA: the linear map, by regularised least squares."""

from dataclasses import dataclass

import torch
from torch import Tensor

from raki.interpolation import Calibration, Learnt, Progress
from raki.kernel import Kernel
from raki.linear import LinearMap, NormalEquations


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

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Solve the normal equations of the ACS once for all coils and offsets."""
        equations = calibration.normal_equations
        weights = self.weights(equations)
        progress(1, 1)
        return Learnt(LinearMap(weights, self.kernel), equations.n_equations, len(weights))

    def weights(self, equations: NormalEquations) -> Tensor:
        """Solve one linear problem: weights (source, target), complex64."""
        return equations.solve(self.regularization).to(torch.complex64)
