"""What is known of each sample before coils are asked to agree: measured, interpolated, or only how bright it may be.

All coils see one object, so that errors of what is interpolated, and signal, lie along its sensitivities: a single
direction between coils holds what all of them have together, n_coils times the variance of a sample of one coil.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raki.consistency.grid import Grid
from raki.interpolation.calibration import Calibration, Learnt
from raki.interpolation.noise_power import noise_neighbourhood, noise_power
from raki.interpolation.points import predicted
from raki.interpolation.powers import power_everywhere
from raki.interpolation.tuning import estimated_misfit

LEAST_NOISE = 1e-10
"""Least noise power, relative to that of the ACS [1]."""

LEAST_ERROR = 0.05
"""Least error of an interpolated sample, relative to the noise [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """K-space on a grid, and how much each sample of it is worth."""

    grid: Grid

    noise: float
    """Noise power of a sample [unit of k-space squared]."""

    lines: Tensor
    """What was measured, and what was filled in before, axes (coil, line, readout); zero where nothing was."""

    trust: Tensor
    """Noise power over the variance of what is known of a sample, 0 to 1, float32, axes as the grid's size; 1 where it
    was measured, 0 in the margins [1]."""

    @classmethod
    def of(cls, calibration: Calibration, start: Learnt | None) -> 'Evidence':
        """For lines measured, or filled in by `start`; without it missing lines are zero, give or take signal.

        The error of what is filled in is its expected misfit on the ACS, less the noise that is in its targets alone.
        """
        known, noise, n_coils = calibration.known, _noise(calibration), len(calibration.measured)
        power, lines = power_everywhere(calibration), filled(calibration, start)
        if start is None:
            variance = power / noise
        else:
            misfit, n_targets = estimated_misfit(calibration, start.neighbourhood), len(start.neighbourhood.targets)
            variance = misfit.at(power) / (n_targets * n_coils * noise) - 1
        grid = Grid((*calibration.matrix, lines.shape[-1]))
        trust = (1 / (n_coils * variance.clamp(min=LEAST_ERROR))).clamp(max=1)
        return cls(grid, noise, lines, grid.embedded(torch.where(known[:, None], 1.0, trust.float())))

    @property
    def kspace(self) -> Tensor:
        """Those lines on the grid, axes (coil, *size)."""
        return self.grid.embedded(self.lines)

    @property
    def image(self) -> Tensor:
        """Of those lines, axes (coil, *size)."""
        return self.grid.image(self.kspace)

    def with_less_trust(self, factor: float) -> 'Evidence':
        """Only a part of it in what was not measured."""
        return replace(self, trust=torch.where(self.trust < 1, factor * self.trust, self.trust))


def filled(calibration: Calibration, start: Learnt | None) -> Tensor:
    """Lines as measured, and as a learnt map fills them in where its neighbourhood is whole."""
    lines = calibration.measured
    if start is None:
        return lines
    return torch.where(calibration.known[:, None], lines, predicted(calibration, start.neighbourhood, start.patch_map))


def _noise(calibration: Calibration) -> float:
    """Noise power of a sample, as the ACS tells it where it is large enough."""
    acs = calibration.acs
    least = LEAST_NOISE * float(acs.abs().square().mean())
    extent = noise_neighbourhood(acs).extent
    fits = all(wanted <= there for wanted, there in zip(extent, acs.shape[1:], strict=True))
    return _unit(calibration) * max(noise_power(acs) if fits else 0.0, least)


def _unit(calibration: Calibration) -> float:
    """Power of the brightest lines, as many as the ACS would have, over that of an ACS that was measured apart."""
    if not calibration.is_separate:
        return 1.0
    powers = calibration.measured[:, calibration.known].abs().square().double().mean((0, 2)).sort().values
    n_bright = max(1, round(calibration.acs_lines.shape[1] * len(powers) / calibration.mask.numel()))
    return float(powers[-n_bright:].mean()) / float(calibration.acs.abs().square().double().mean())
