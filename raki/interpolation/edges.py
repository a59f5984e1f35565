"""The edges of k-space, where a kernel lacks neighbours: a linear kernel of those that exist takes over.

Every such kernel is a part of the full one, so its normal equations are a block of the full ones and cost nothing
more to accumulate. Noise needs care. The ACS is bright, the edges are dim, and a kernel with sources on one side only
must extrapolate: fitted to the ACS alone it multiplies the noise. With noise power s2 and edge signal power P_edge
(against P_acs in the ACS) the mean square error at the edge is (P_edge / P_acs) ||S w - t||^2 / n + s2 ||w||^2, which
ridge regression with the weight n s2 P_acs / P_edge minimises. Both powers come from measured samples: s2 from the
quietest corner of k-space, but never more than what a kernel of these lines leaves unexplained on the ACS (in the units
of k-space, as separate calibration may have another gain), so that noise-free data stay exact.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from raki.data.sampling import Sampling
from raki.interpolation.kernel import Kernel
from raki.interpolation.linear import KernelPart, NormalEquations, Part

Run = tuple[range, range]
"""Neighbouring positions that share the same existing part of the kernel, and that part."""


@dataclass(frozen=True, slots=True, eq=False)
class EdgeMap:
    """A linear kernel for some gaps and readout samples."""

    gaps: range
    """Gaps it fills; gap j lies between lattice lines j and j + 1, the margins are -1 and n_lattice_lines - 1."""

    columns: range
    """Readout samples it fills."""

    part: KernelPart
    """The part of the kernel that exists there."""

    weights: Tensor
    """Complex, axes (source, target), as in `raki.interpolation.linear.LinearMap`."""

    def __call__(self, windows: Tensor) -> Tensor:
        """From `padded_windows` to missing samples, axes (coil, missing line, gap, column)."""
        around = windows[self.gaps.start + 1 : self.gaps.stop + 1, self.columns.start : self.columns.stop]
        missing = self.part.of(around).flatten(2) @ self.weights.to(windows.dtype)
        return missing.unflatten(-1, (windows.shape[2], -1)).permute(2, 3, 0, 1)


def padded_windows(lines: Tensor, kernel: Kernel) -> Tensor:
    """Every window of the zero-padded lattice lines (coil, line, readout), as a view.

    Returns
    -------
    Axes (gap, column, coil, kernel line, kernel sample); gap -1 comes first.
    """
    half = kernel.readout // 2
    padded = torch.nn.functional.pad(lines, (half, kernel.readout - 1 - half, kernel.before, kernel.after))
    return padded.unfold(1, kernel.lines, 1).unfold(2, kernel.readout, 1).permute(1, 2, 0, 3, 4)


def edge_maps(
    equations: NormalEquations, regularization: float, sampling: Sampling, n_readout: int, lines: Tensor | None
) -> tuple[EdgeMap, ...]:
    """Fit a linear kernel for every edge situation of a lattice.

    Parameters
    ----------
    equations
        The full kernel's linear problem on the ACS.
    regularization
        Least ridge weight, relative to the mean energy of a source sample [1].
    sampling
        The lattice.
    n_readout
        Length of its lines [sample].
    lines
        Its measured lattice lines, axes (coil, line, readout), for the powers at the edges; None for no more than
        `regularization`.
    """
    power = None if lines is None else EdgePower(lines.abs().square().mean(0), sampling.acceleration, equations)
    every_sample = range(equations.kernel.readout)
    maps: list[EdgeMap] = []
    for gaps, kernel_lines in _gap_runs(equations.kernel, sampling):
        noise = None if power is None else power.noise(regularization, KernelPart(kernel_lines, every_sample))
        for columns, samples in _column_runs(equations.kernel, n_readout):
            part = KernelPart(kernel_lines, samples)
            levels = None if power is None or noise is None else Levels(noise, power.around(gaps, columns))
            if part != _whole(equations.kernel):
                maps.append(EdgeMap(gaps, columns, part, edge_weights(equations, regularization, part, levels)))
    return tuple(maps)


@dataclass(frozen=True, slots=True)
class Levels:
    """Powers of measured samples that decide how strong an edge kernel may be; both per sample and coil."""

    noise: float
    """Power of noise."""

    around: float
    """Mean power of the samples that the kernel sees, noise included."""


@dataclass(frozen=True, eq=False)
class EdgePower:
    """How much signal and noise the measured lines of a lattice hold."""

    powers: Tensor
    """Mean |sample|^2 over coils, axes (line, readout)."""

    acceleration: int
    """Spacing R of these lines [line]."""

    equations: NormalEquations
    """The linear problem on the ACS."""

    @cached_property
    def corner(self) -> float:
        """Power in the quietest corner that holds anything."""
        rows, columns = min(2, len(self.powers)), min(self.equations.kernel.readout, self.powers.shape[1])
        ends = [self.powers[:rows], self.powers[-rows:]]
        corners = torch.stack([corner.mean() for end in ends for corner in (end[:, :columns], end[:, -columns:])])
        return float(corners[corners > 0].min()) if bool((corners > 0).any()) else 0.0

    @cached_property
    def gain(self) -> float:
        """Power of the brightest lattice lines, as many as the ACS spans, over that of the ACS.

        About 1 for an embedded ACS; separate calibration may have another receiver gain.
        """
        n_bright = max(1, round(self.equations.n_lines / self.acceleration))
        brightest = self.powers.mean(1).sort(descending=True).values[:n_bright]
        return float(brightest.mean()) / self.equations.source_power

    def noise(self, regularization: float, part: Part) -> float:
        """Power of noise, at most what this part of the kernel leaves unexplained on the ACS."""
        return noise_level(self.equations, regularization, part, self.corner, self.gain)

    def around(self, gaps: range, columns: range) -> float:
        """Mean power of the lattice samples that kernels of these gaps and columns see."""
        kernel = self.equations.kernel
        half = kernel.readout // 2
        rows = slice(max(0, gaps.start - kernel.before + 1), max(0, gaps.stop - 1 + kernel.after) + 1)
        return float(self.powers[rows, max(0, columns.start - half) : columns.stop + half].mean())


def _whole(kernel: Kernel) -> KernelPart:
    return KernelPart(range(kernel.lines), range(kernel.readout))


def noise_level(equations: NormalEquations, regularization: float, part: Part, corner: float, gain: float) -> float:
    """Power of noise in k-space: at most what part of a kernel leaves unexplained on the ACS.

    Parameters
    ----------
    equations
        The full kernel's linear problem on the ACS.
    regularization
        Ridge weight of the part, relative to the mean energy of a source sample [1].
    part
        The part of the kernel.
    corner
        Power in the quietest corner of k-space that holds anything.
    gain
        Power of k-space over that of the ACS, where both hold the same [1].
    """
    return min(corner, gain * equations.unexplained_power(equations.solve(regularization, part), part))


def edge_weights(equations: NormalEquations, regularization: float, part: Part | None, levels: Levels | None) -> Tensor:
    """Weights (source, target), complex64, of a part of the kernel, as strong against noise as the module says.

    Without `levels`, no stronger than `regularization`.
    """
    signal = math.inf if levels is None else levels.around - levels.noise
    if signal <= 0:
        return equations.cross.new_zeros(equations.n_sources(part), equations.cross.shape[1], dtype=torch.complex64)
    noise = 0.0 if levels is None else levels.noise
    return equations.solve(max(regularization, noise / signal), part).to(torch.complex64)


def _gap_runs(kernel: Kernel, sampling: Sampling) -> list[Run]:
    n_lattice = sampling.n_lattice_lines
    leading = 0 < sampling.first_line < sampling.acceleration
    trailing = sampling.lattice[-1] + 1 < sampling.filled_range.stop
    gaps = range(-1 if leading else 0, n_lattice if trailing else n_lattice - 1)
    return _runs(gaps, lambda gap: _existing(gap - kernel.before + 1, kernel.lines, n_lattice))


def _column_runs(kernel: Kernel, n_readout: int) -> list[Run]:
    half = kernel.readout // 2
    return _runs(range(n_readout), lambda column: _existing(column - half, kernel.readout, n_readout))


def _existing(start: int, length: int, size: int) -> range:
    """Which of `length` positions from `start` lie inside 0 to size - 1."""
    return range(max(0, -start), min(length, size - start))


def _runs(positions: range, existing: Callable[[int], range]) -> list[Run]:
    runs: list[Run] = []
    for position in positions:
        if runs and runs[-1][1] == existing(position):
            runs[-1] = (range(runs[-1][0].start, position + 1), runs[-1][1])
        else:
            runs.append((range(position, position + 1), existing(position)))
    return runs
