"""The edges of k-space, where a neighbourhood lacks sources: a linear kernel of those that exist takes over.

Every such kernel is a part of the full one, so its normal equations are a block of the full ones and cost nothing
more to accumulate. Noise needs care. The ACS is bright, the edges are dim, and a kernel with sources on one side only
must extrapolate: fitted to the ACS alone it multiplies the noise. With noise power s2 and edge signal power P_edge
(against P_acs in the ACS) the mean square error at the edge is (P_edge / P_acs) ||S w - t||^2 / n + s2 ||w||^2, which
ridge regression with the weight n s2 P_acs / P_edge minimises. Both powers come from measured samples: s2 from the
quietest corner of k-space, but never more than what a kernel of these lines leaves unexplained on the ACS (in the units
of k-space, as separate calibration may have another gain), so that noise-free data stay exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, product

import torch
from torch import Tensor

from raki.interpolation.calibration import Calibration, Learnt
from raki.interpolation.least_squares import NormalEquations, Part
from raki.interpolation.neighbours import Cells

CORNER = 2
"""Lattice points along every phase axis that count as a corner of k-space."""


@dataclass(frozen=True, slots=True, eq=False)
class EdgeMap:
    """A linear kernel for some cells and readout samples, with the sources that exist there."""

    cells: Cells
    """With no other sources than there are."""

    columns: range
    """Readout samples it fills."""

    weights: Tensor
    """Complex, axes (source, target), as in `raki.interpolation.least_squares.LinearMap`."""

    def fill(self, lines: Tensor, target: Tensor) -> None:
        """Write what it predicts from lines (coil, line, readout) into others."""
        for cells in self.cells.chunks(len(self.columns) * len(self.weights)):
            missing = cells.patches(lines, self.columns) @ self.weights.to(lines.dtype)
            cells.put(target, missing.unflatten(-1, (len(lines), -1)).permute(2, 3, 0, 1), self.columns)


def edge_maps(calibration: Calibration, learnt: Learnt, every: Cells, n_readout: int) -> tuple[EdgeMap, ...]:
    """Fit a linear kernel for every edge situation of all cells of a lattice, whose lines have `n_readout` samples."""
    equations, maps = calibration.normal_equations(learnt.neighbourhood), list[EdgeMap]()
    power, around = EdgePower(calibration, equations), learnt.neighbourhood
    samples = range(len(around.samples))
    for sources, cells in _by_sources(every):
        noise = power.noise(learnt.regularization, Part(sources, samples))
        for columns, existing in _by_samples(around.samples, n_readout):
            if len(sources) == len(around.sources) and existing == samples:
                continue
            part = Part(sources, existing)
            weights = _weights(equations, learnt.regularization, part, noise, power.seen(cells, sources, columns))
            own = around.part(sources, around.samples[existing.start : existing.stop])
            kept = cells.at(needed(cells, calibration))
            if len(kept):
                maps.append(EdgeMap(kept.moved(own), columns, weights))
    return tuple(maps)


def needed(cells: Cells, calibration: Calibration) -> Tensor:
    """Whether a cell has anything to fill in that was not measured, boolean, axes (cell,)."""
    measured = calibration.pattern.mask.flatten().cpu()
    return ((cells.targets >= 0) & ~measured[cells.targets.clamp(min=0)]).any(1)


@dataclass(frozen=True, eq=False)
class EdgePower:
    """How much signal and noise the measured samples of a lattice hold."""

    calibration: Calibration
    equations: NormalEquations
    """The linear problem on the ACS."""

    @cached_property
    def powers(self) -> Tensor:
        """Mean |sample|^2 over coils, axes (line, readout)."""
        return self.calibration.measured.abs().square().mean(0)

    @cached_property
    def corner(self) -> float:
        """Power in the quietest corner that holds anything."""
        sampling, n_columns = self.calibration.pattern, len(self.equations.neighbourhood.samples)
        grid = self.powers.unflatten(0, sampling.mask.shape)
        ends = []
        for side, step in zip(sampling.filled, sampling.lattice.spacing, strict=True):
            size = min(CORNER * step, len(side))
            ends.append((slice(side.start, side.start + size), slice(side.stop - size, side.stop)))
        points = sampling.points.to(grid.device)
        corners = [grid[box][points[box]] for box in product(*ends)]
        means = torch.stack([end.mean() for each in corners for end in (each[:, :n_columns], each[:, -n_columns:])])
        return float(means[means > 0].min()) if bool((means > 0).any()) else 0.0

    @cached_property
    def gain(self) -> float:
        """Power of the brightest lattice points, as many as the ACS spans, over that of the ACS.

        About 1 for an embedded ACS; separate calibration may have another receiver gain.
        """
        calibration = self.calibration
        n_bright = max(1, round(calibration.acs_lines.shape[1] / calibration.lattice.rate))
        return float(calibration.point_powers[-n_bright:].mean()) / self.equations.source_power

    def noise(self, regularization: float, part: Part) -> float:
        """Power of noise, at most what this part of the kernel leaves unexplained on the ACS."""
        weights = self.equations.solve(regularization, part)
        return min(self.corner, self.gain * self.equations.unexplained_power(weights, part))

    def seen(self, cells: Cells, sources: tuple[int, ...], columns: range) -> float:
        """Mean power of the samples that the sources of these cells are, for these columns."""
        samples = self.equations.neighbourhood.samples
        rows = cells.sources[:, list(sources)].unique().to(self.powers.device)
        return float(self.powers[rows, max(0, columns.start + samples.start) : columns.stop + samples[-1]].mean())


def _weights(equations: NormalEquations, regularization: float, part: Part, noise: float, seen: float) -> Tensor:
    """Weights (source, target), complex64, of a part of the kernel, as strong against noise as the module says."""
    signal = seen - noise
    if signal <= 0:
        n_sources = len(equations._sources(part))
        return equations.cross.new_zeros(n_sources, equations.cross.shape[1], dtype=torch.complex64)
    return equations.solve(max(regularization, noise / signal), part).to(torch.complex64)


def _by_sources(cells: Cells) -> Iterator[tuple[tuple[int, ...], Cells]]:
    """Cells by which of their sources exist; those without any are left empty."""
    patterns, number = (cells.sources >= 0).unique(dim=0, return_inverse=True)
    for index, exists in enumerate(patterns):
        if bool(exists.any()):
            yield tuple(exists.nonzero().flatten().tolist()), cells.at(number == index)


def _by_samples(samples: range, n_readout: int) -> list[tuple[range, range]]:
    """Runs of neighbouring columns by which samples, by number, exist there."""
    width = len(samples)

    def existing(column: int) -> range:
        return range(max(0, -column - samples.start), min(width, n_readout - column - samples.start))

    groups = [(part, list(columns)) for part, columns in groupby(range(n_readout), existing)]
    return [(range(columns[0], columns[-1] + 1), part) for part, columns in groups]
