"""Linear maps from source patches to missing samples: one set of normal equations, any part of the kernel.

GRAPPA is this and nothing else; every method uses it at the edges of k-space, where its own kernel does not fit.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Protocol

import torch
from torch import Tensor

from raki.errors import CalibrationError
from raki.interpolation.kernel import Kernel, patches
from raki.interpolation.moments import Moments, added, calibration_targets, mean_power

Weighting = Callable[[Tensor], Tensor]
"""From the mean power of a patch's sources to how much its equation counts, axes (patch,) both."""


class Part(Protocol):
    """Those sources of a patch that exist near an edge of k-space."""

    def of(self, sources: Tensor) -> Tensor:
        """Choose this part of sources with axes (..., kernel line, kernel sample)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class NormalEquations:
    """Second moments of source patches of an ACS and of the samples they should predict, in complex128."""

    gram: Tensor
    """Axes (source, source): sum over patches of conj(source) source; a source is (coil, line, readout)."""

    cross: Tensor
    """Axes (source, target): sum over patches of conj(source) target; a target is (coil, missing line)."""

    energy: Tensor
    """Axes (target,): sum over patches of |target|^2."""

    n_equations: int
    """Number of patches, and so of equations per target."""

    kernel: Kernel
    """The extent of a patch."""

    n_coils: int
    """Number of coils."""

    n_lines: int
    """Number of ACS lines."""

    @classmethod
    def from_acs(
        cls, acs: Tensor, acceleration: int, kernel: Kernel, weighting: Weighting | None = None
    ) -> 'NormalEquations':
        """Accumulate over every position of the kernel inside the ACS.

        Parameters
        ----------
        acs
            Axes (coil, line, readout).
        acceleration
            Spacing R of the lines of a patch [line].
        kernel
            The extent of a patch.
        weighting
            How much each equation counts; by default all alike.

        Raises
        ------
        CalibrationError
            If the ACS is smaller than one kernel, or holds nothing but zeros.

        References
        ----------
        Griswold et al. 2002, Magn Reson Med 47:1202 (https://doi.org/10.1002/mrm.10171).
        """
        kernel.require_fits(acs.shape[1], acs.shape[2], acceleration)
        if weighting is None:
            return cls.from_moments(Moments.of_acs(acs, acceleration, kernel), kernel, *acs.shape[:2])
        sources = patches(acs, kernel, dilation=acceleration).flatten(0, 1)
        targets = calibration_targets(acs, acceleration, kernel).flatten(0, 1).flatten(1)
        scale = weighting(mean_power(sources)).sqrt()[:, None]
        return cls.from_pairs([(scale * sources, scale * targets)], kernel, *acs.shape[:2])

    @classmethod
    def from_pairs(
        cls, pairs: Iterable[tuple[Tensor, Tensor]], kernel: Kernel, n_coils: int, n_lines: int
    ) -> 'NormalEquations':
        """Accumulate over pairs of sources (patch, source) and targets (patch, target).

        Raises
        ------
        CalibrationError
            If all sources are zero.
        """
        return cls.from_moments(reduce(added, (Moments.of(*pair) for pair in pairs)), kernel, n_coils, n_lines)

    @classmethod
    def from_moments(cls, moments: Moments, kernel: Kernel, n_coils: int, n_lines: int) -> 'NormalEquations':
        """From what was accumulated.

        Raises
        ------
        CalibrationError
            If all sources are zero.
        """
        if not bool(moments.gram.diagonal().real.any()):
            raise CalibrationError('the ACS holds nothing but zeros: nothing can be learnt from it')
        return cls(*moments, kernel, n_coils, n_lines)

    def __add__(self, other: 'NormalEquations') -> 'NormalEquations':
        """Equations of both."""
        return self._with(other, 1)

    def __sub__(self, other: 'NormalEquations') -> 'NormalEquations':
        """Equations of this one that are not among the others."""
        return self._with(other, -1)

    def _with(self, other: 'NormalEquations', sign: int) -> 'NormalEquations':
        return replace(
            self,
            gram=self.gram + sign * other.gram,
            cross=self.cross + sign * other.cross,
            energy=self.energy + sign * other.energy,
            n_equations=self.n_equations + sign * other.n_equations,
        )

    @property
    def source_power(self) -> float:
        """Mean |k-space sample|^2 of the sources."""
        return float(self.gram.diagonal().real.mean()) / self.n_equations

    def solve(self, regularization: float, part: Part | None = None) -> Tensor:
        """Ridge regression from those sources that lie in `part` of the kernel (default: all of it).

        Parameters
        ----------
        regularization
            Ridge weight relative to the mean energy of a source sample [1].
        part
            The kernel lines and samples to use.

        Returns
        -------
        Weights, complex128, axes (source, target); they minimise ||S w - t||^2 + ridge ||w||^2.
        """
        return torch.cholesky_solve(self.cross[self._sources(part)], self.factor(regularization, part))

    def factor(self, regularization: float, part: Part | None = None) -> Tensor:
        """Lower Cholesky factor of the regularised Gram matrix, axes (source, source), see `solve`."""
        chosen = self._sources(part)
        gram = self.gram[chosen][:, chosen]
        ridge = regularization * self.n_equations * self.source_power
        factor, failed = torch.linalg.cholesky_ex(
            gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        )
        if bool(failed):
            raise CalibrationError(
                f'the normal equations of a {self.kernel} kernel are singular at regularization '
                f'{regularization:g}: increase it'
            )
        return factor

    def unexplained(self, weights: Tensor, part: Part | None = None) -> Tensor:
        """Energy of each target that these weights leave unexplained, axes (target,)."""
        chosen = self._sources(part)
        explained = (weights.conj() * (2 * self.cross[chosen] - self.gram[chosen][:, chosen] @ weights)).real.sum(0)
        return (self.energy - explained).clamp(min=0)

    def unexplained_power(self, weights: Tensor, part: Part | None = None) -> float:
        """Mean |target - prediction|^2 on the ACS per degree of freedom, over one plus the mean noise gain.

        On average no less than the noise power of a sample, for a prediction from noisy sources misses a noisy target
        by at least (1 + ||w||^2) times it. Infinite where the sources could explain anything.
        """
        chosen = self._sources(part)
        if self.n_equations <= len(chosen):
            return math.inf
        missed = self.unexplained(weights, part).mean() / (self.n_equations - len(chosen))
        return float(missed / (1 + weights.abs().square().sum(0).mean()))

    def n_sources(self, part: Part | None = None) -> int:
        """Number of sources that lie in `part` of the kernel (default: all of it)."""
        return len(self._sources(part))

    def _sources(self, part: Part | None) -> Tensor:
        kernel = self.kernel
        index = torch.arange(len(self.gram), device=self.gram.device).view(self.n_coils, kernel.lines, kernel.readout)
        return (index if part is None else part.of(index)).flatten()


@dataclass(frozen=True, slots=True)
class KernelPart:
    """Those lines and samples of a kernel that exist near an edge of k-space."""

    lines: range
    """Kernel lines."""

    samples: range
    """Kernel readout samples."""

    def of(self, sources: Tensor) -> Tensor:
        """Choose this part of sources with axes (..., kernel line, kernel sample)."""
        return sources[..., self.lines.start : self.lines.stop, self.samples.start : self.samples.stop]


@dataclass(frozen=True, slots=True, eq=False)
class LinearMap:
    """Missing samples as fixed linear combinations of a source patch."""

    weights: Tensor
    """Complex, axes (source, target); a source is (coil, line, readout), a target (coil, missing line)."""

    kernel: Kernel
    """The extent of a patch."""

    def __call__(self, kspace: Tensor, dilation: int = 1) -> Tensor:
        """Predict, see `raki.interpolation.fit.PatchMap`.

        Along the readout the map is a convolution, which a Fourier transform turns into one small product per column;
        what it wraps around is beyond the positions inside.
        """
        n_coils, _, n_readout = kspace.shape
        columns = torch.fft.fft(kspace).permute(2, 1, 0).contiguous()
        sources = columns.unfold(1, self.kernel.span(dilation), 1)[..., ::dilation].flatten(2)
        missing = torch.fft.ifft((sources @ self._spectra(n_coils, n_readout)).permute(2, 1, 0))
        return missing[..., : n_readout - self.kernel.readout + 1].unflatten(0, (n_coils, -1))

    def _spectra(self, n_coils: int, n_readout: int) -> Tensor:
        """Weights of every column of the Fourier transform, axes (column, source line, target)."""
        kernel, weights = self.kernel, self.weights.to(torch.complex64)
        turns = torch.outer(torch.arange(n_readout), torch.arange(kernel.readout)).double() / n_readout
        waves = torch.polar(torch.ones_like(turns), 2 * math.pi * turns).to(weights)
        samples = weights.unflatten(0, (n_coils * kernel.lines, kernel.readout)).transpose(0, 1)
        return (waves @ samples.flatten(1)).unflatten(1, samples.shape[1:])
