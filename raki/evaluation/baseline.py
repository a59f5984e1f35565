"""What others have made, as comparisons take it: anything that learns from measured lines how to fill in the others."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from raki.data.masks import Pattern
from raki.interpolation.calibration import Calibration
from raki.interpolation.fit import Filler
from raki.interpolation.neighbours import Neighbourhood


@dataclass(frozen=True, slots=True)
class Baseline(ABC):
    """A whole reconstruction from outside, for comparisons: a frozen dataclass of its settings."""

    def require_installed(self, name: str) -> None:
        """Raise an ExtraError or a ResourceError, in which it is called so, unless what it needs is installed."""
        del name

    def smallest(self, calibration: Calibration) -> Neighbourhood | None:
        """What an ACS must hold; None where only `calibrate` can tell."""
        del calibration

    @abstractmethod
    def calibrate(self, acs: Tensor, sampling: Pattern, kspace: Tensor) -> Filler:
        """Learn what can be learnt before anything is filled in.

        Parameters
        ----------
        acs
            Autocalibration lines in the centre of k-space, axes (coil, phase axes, readout).
        sampling
            The pattern of the k-space to fill: a lattice, or any mask.
        kspace
            The k-space to fill, axes (coil, phase axes, kx), complex64, zero where nothing was measured.

        Raises
        ------
        CalibrationError
            If it cannot be learnt from this ACS, or the pattern is none that it takes.
        ResourceError
            If a program that is needed is not installed.
        """


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredOnly:
    """Shows nothing but measured lines to what fills in, whatever it looks at: the rest of a full scan is the truth."""

    filler: Filler
    sampling: Pattern

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of what fills in."""
        return self.filler.warnings

    def fill(self, kspace: Tensor) -> Tensor:
        """Filled k-space, axes as `kspace`."""
        return self.filler.fill(measured_of(kspace, self.sampling))


def measured_of(kspace: Tensor, sampling: Pattern) -> Tensor:
    """K-space (coil, phase axes, kx) with zeros where nothing was measured."""
    return torch.where(sampling.mask.to(kspace.device)[..., None], kspace, 0)
