"""Linear maps from source patches to missing samples: one set of normal equations, any part of the neighbourhood.

GRAPPA is this and nothing else; every method uses it at the edges of k-space, where its own neighbourhood is not whole.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import torch
from torch import Tensor

from raki.errors import CalibrationError
from raki.interpolation.neighbours import ELEMENTS_AT_ONCE, Cells, Neighbourhood

Weighting = Callable[[Tensor], Tensor]
"""From the mean power of a patch's sources to how much its equation counts, axes (patch,) both."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Those sources of a neighbourhood that exist near an edge of k-space."""

    sources: tuple[int, ...]
    """Which source lines, by number."""

    samples: range
    """Which samples of the kernel, by number."""

    def of(self, every: Tensor) -> Tensor:
        """Choose this part of something with axes (..., source line, sample)."""
        return every[..., list(self.sources), self.samples.start : self.samples.stop]


@dataclass(frozen=True, slots=True, eq=False)
class NormalEquations:
    """Second moments of source patches of an ACS and of the samples they should predict, in complex128."""

    gram: Tensor
    """Axes (source, source): sum over patches of conj(source) source; a source is (coil, source line, sample)."""

    cross: Tensor
    """Axes (source, target): sum over patches of conj(source) target; a target is (coil, target line)."""

    energy: Tensor
    """Axes (target,): sum over patches of |target|^2."""

    n_equations: int
    """Number of patches, and so of equations per target."""

    neighbourhood: Neighbourhood
    """Where sources and targets are."""

    @classmethod
    def of(cls, lines: Tensor, cells: Cells, weighting: Weighting | None = None) -> 'NormalEquations':
        """Accumulate over cells of lines (coil, line, readout) whose sources and targets were all measured.

        Equations count as much as `weighting` says; by default all alike.

        Raises
        ------
        CalibrationError
            If there is no cell, or nothing but zeros.

        References
        ----------
        Griswold et al. 2002, Magn Reson Med 47:1202 (https://doi.org/10.1002/mrm.10171).
        """
        around = cells.neighbourhood
        n_elements = len(lines) * len(around.sources) * lines.shape[-1]
        if weighting is None:
            return reduce(add, (_shifted_moments(lines, chunk) for chunk in cells.chunks(n_elements))).checked()
        chunks = cells.chunks(n_elements * len(around.samples))
        return cls.from_pairs((_weighted(*pairs(lines, chunk), weighting) for chunk in chunks), around)

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[Tensor, Tensor]], neighbourhood: Neighbourhood) -> 'NormalEquations':
        """Accumulate over pairs of sources (patch, source) and targets (patch, target), multiplied as precise as given.

        Raises
        ------
        CalibrationError
            If all sources are zero.
        """
        return reduce(add, (_moments(*pair, neighbourhood) for pair in pairs)).checked()

    def checked(self) -> 'NormalEquations':
        """Raise a CalibrationError if all sources are zero."""
        if not bool(self.gram.diagonal().real.any()):
            raise CalibrationError('the ACS holds nothing but zeros: nothing can be learnt from it')
        return self

    def __add__(self, other: 'NormalEquations') -> 'NormalEquations':
        """Equations of both."""
        return self._with(other, 1)

    def __sub__(self, other: 'NormalEquations') -> 'NormalEquations':
        """Equations of this one that are not among the others."""
        return self._with(other, -1)

    def _with(self, other: 'NormalEquations', sign: int) -> 'NormalEquations':
        names = 'gram', 'cross', 'energy', 'n_equations'
        return replace(self, **{name: getattr(self, name) + sign * getattr(other, name) for name in names})

    @property
    def source_power(self) -> float:
        """Mean |k-space sample|^2 of the sources."""
        return float(self.gram.diagonal().real.mean()) / self.n_equations

    def solve(self, regularization: float, part: Part | None = None) -> Tensor:
        """Ridge regression from those sources that lie in `part` of the neighbourhood (default: all of it).

        Weights, complex128, axes (source, target), that minimise ||S w - t||^2 + ridge ||w||^2; `regularization` is the
        ridge relative to the mean energy of a source sample [1].
        """
        return torch.cholesky_solve(self.cross[self._sources(part)], self.factor(regularization, part))

    def factor(self, regularization: float, part: Part | None = None) -> Tensor:
        """Lower Cholesky factor of the regularised Gram matrix, axes (source, source), see `solve`."""
        gram, ridge = self.part_of_gram(part), self._ridge(regularization)
        shifted = gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        factor, failed = torch.linalg.cholesky_ex(shifted)
        if bool(failed):
            raise CalibrationError(
                f'the ACS does not determine weights of {len(gram)} sources (normal equations singular at '
                f'regularization {regularization:.2g}): learn in fewer virtual coils (--coils), or from measured lines '
                'only (--calibration measured), take another --method, or leave these slices out (--slices)'
            )
        return factor

    def part_of_gram(self, part: Part | None) -> Tensor:
        """Gram matrix of a part of the sources (default: all of them)."""
        chosen = self._sources(part)
        return self.gram if part is None else self.gram[chosen][:, chosen]

    def unexplained(self, weights: Tensor, part: Part | None = None) -> Tensor:
        """Energy of each target that these weights leave unexplained, axes (target,)."""
        cross, gram = self.cross[self._sources(part)], self.part_of_gram(part)
        explained = (weights.conj() * (2 * cross - gram @ weights)).real.sum(0)
        return (self.energy - explained).clamp(min=0)

    def unexplained_power(self, weights: Tensor, part: Part | None = None) -> float:
        """Mean |target - prediction|^2 on the ACS per degree of freedom, over one plus the mean noise gain.

        On average no less than the noise power of a sample, for a prediction from noisy sources misses a noisy target
        by at least (1 + ||w||^2) times it. Infinite where the sources could explain anything.
        """
        if self.n_equations <= len(weights):
            return math.inf
        missed = self.unexplained(weights, part).mean() / (self.n_equations - len(weights))
        return float(missed / (1 + weights.abs().square().sum(0).mean()))

    def residual(self, weights: Tensor, regularization: float) -> float:
        """What these weights, as solved, leave unexplained: norm of what is missed over that of the targets [1].

        Over the equations that were learnt from, as much as each of them counts.
        """
        explained = (weights.conj() * (self.cross + self._ridge(regularization) * weights)).real.sum()
        return math.sqrt(max(0.0, 1 - float(explained / self.energy.sum()))) if bool(self.energy.any()) else 0.0

    def _ridge(self, regularization: float) -> float:
        return regularization * self.n_equations * self.source_power

    def _sources(self, part: Part | None) -> Tensor:
        around = self.neighbourhood
        index = torch.arange(len(self.gram), device=self.gram.device)
        every = index.view(-1, len(around.sources), len(around.samples))
        return (every if part is None else part.of(every)).flatten()


def pairs(lines: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
    """Patches (patch, source) of lines (coil, line, readout), and the targets (patch, target) that belong to them."""
    targets = cells.values(lines).permute(2, 3, 0, 1)
    return cells.patches(lines).flatten(0, 1), targets.flatten(0, 1).flatten(1)


def mean_power(sources: Tensor) -> Tensor:
    """Mean |source|^2 of patches (patch, source), float64, axes (patch,)."""
    norms = torch.linalg.vector_norm(torch.view_as_real(sources).flatten(1), dim=1)
    return norms.double().square() / sources.shape[1]


def energies(columns: Tensor) -> Tensor:
    """Sum of |value|^2 over the first of two axes."""
    return torch.view_as_real(columns).flatten(1).square().sum(0).view(-1, 2).sum(1)


def _weighted(sources: Tensor, targets: Tensor, weighting: Weighting) -> tuple[Tensor, Tensor]:
    scale = weighting(mean_power(sources)).sqrt()[:, None]
    return scale * sources, scale * targets


def _moments(sources: Tensor, targets: Tensor, neighbourhood: Neighbourhood) -> NormalEquations:
    found = _gram(sources), sources.mH @ targets, energies(targets)
    gram, cross, energy = (moment.to(torch.promote_types(moment.dtype, torch.float64)) for moment in found)
    return NormalEquations(gram, cross, energy, len(sources), neighbourhood)


def _shifted_moments(lines: Tensor, cells: Cells) -> NormalEquations:
    """Of every position of the cells along the readout, without cutting out a patch.

    Columns of a patch are shifted copies of each other, so that sums over patches of neighbouring pairs of columns
    differ by one column at either end of the readout: a fifth of the operations, for a kernel of five samples.
    """
    lines, around = lines.to(torch.complex128), cells.neighbourhood
    columns = lines[:, cells.sources.to(lines.device)].permute(3, 1, 0, 2).flatten(2).contiguous()
    targets = cells.values(lines).permute(3, 2, 0, 1).flatten(2).contiguous()
    width, n_runs = len(around.samples), len(targets)
    cross = torch.stack([_product(columns[s : s + n_runs], targets) for s in range(width)], dim=1).flatten(0, 1)
    n_equations = targets.shape[:2].numel()
    return NormalEquations(_shifted_gram(columns, width), cross, energies(targets.flatten(0, 1)), n_equations, around)


def _shifted_gram(columns: Tensor, width: int) -> Tensor:
    """Gram matrix of all runs of `width` neighbouring columns (column, row, source), axes twice (source, column)."""
    n_runs, n_sources = len(columns) - width + 1, columns.shape[2]
    gram = columns.new_empty(width, width, n_sources, n_sources)
    head, tail = columns[: width - 1], columns[n_runs:]
    step = _column_products(tail) - _column_products(head)
    for shift in range(width):
        gram[0, shift] = _product(columns[:n_runs], columns[shift : shift + n_runs])
    gram[1:, 0] = gram[0, 1:].mH
    for column in range(1, width):
        gram[column, 1:] = gram[column - 1, :-1] + step[column - 1]
    return gram.permute(2, 0, 3, 1).flatten(2).flatten(0, 1)


def _column_products(columns: Tensor) -> Tensor:
    """Products of every column with every other, axes (column, column, source, source)."""
    n_columns, _, n_sources = columns.shape
    flat = columns.transpose(0, 1).flatten(1)
    return (flat.mH @ flat).view(n_columns, n_sources, n_columns, n_sources).transpose(1, 2)


def _product(first: Tensor, second: Tensor) -> Tensor:
    return first.flatten(0, 1).mH @ second.flatten(0, 1)


def _gram(sources: Tensor, n_halvings: int = 3) -> Tensor:
    """Of patches (patch, source): Hermitian, so that half of what is off its diagonal blocks need not be computed."""
    if not n_halvings:
        return sources.mH @ sources
    left, right = sources.tensor_split(2, dim=1)
    across = left.mH @ right
    upper = torch.cat([_gram(left, n_halvings - 1), across], dim=1)
    return torch.cat([upper, torch.cat([across.mH, _gram(right, n_halvings - 1)], dim=1)])


def joined(parts: Iterable[Tensor], length: int, dim: int) -> Tensor:
    """Concatenate parts as they come, so that none of them is in memory longer than it must be."""
    whole, start = None, 0
    for part in parts:
        if part.shape[dim] == length:
            return part
        if whole is None:
            whole = part.new_empty(*part.shape[:dim], length, *part.shape[dim + 1 :])
        whole.narrow(dim, start, part.shape[dim]).copy_(part)
        start += part.shape[dim]
    assert whole is not None
    return whole


@dataclass(frozen=True, slots=True, eq=False)
class LinearMap:
    """Missing samples as fixed linear combinations of a source patch."""

    weights: Tensor
    """Complex, axes (source, target); a source is (coil, source line, sample), a target (coil, target line)."""

    residual: float | None = None
    """What its own equations leave unexplained, see `NormalEquations.residual`; None where nobody asked [1]."""

    condition: float | None = None
    """Largest over smallest eigenvalue of the matrix that was solved, ridge included; likewise [1]."""

    def __call__(self, lines: Tensor, cells: Cells) -> Tensor:
        """Predict, see `raki.interpolation.calibration.PatchMap`.

        Along the readout the map is a convolution, which a Fourier transform turns into one small product per column;
        what it wraps around is beyond the positions inside.
        """
        used, table = (numbers.to(lines.device) for numbers in cells.used)
        columns = torch.fft.fft(lines[:, used]).permute(2, 1, 0).contiguous()
        spectra = self._spectra(len(lines), columns.shape[0], cells.neighbourhood)
        step = max(1, ELEMENTS_AT_ONCE // max(1, spectra.shape[:2].numel()))
        n_columns = len(cells.neighbourhood.columns(lines.shape[-1]))
        products = ((columns[:, rows].flatten(2) @ spectra).permute(2, 1, 0) for rows in table.split(step))
        missing = joined((torch.fft.ifft(each)[..., :n_columns] for each in products), len(table), dim=1)
        return missing.unflatten(0, (len(lines), -1))

    def _spectra(self, n_coils: int, n_readout: int, around: Neighbourhood) -> Tensor:
        """Weights of every column of the Fourier transform, axes (column, (source line, coil), target)."""
        weights, width = self.weights.to(torch.complex64), len(around.samples)
        turns = torch.outer(torch.arange(n_readout), torch.arange(width)).double() / n_readout
        waves = torch.polar(torch.ones_like(turns), 2 * math.pi * turns).to(weights)
        samples = weights.unflatten(0, (n_coils, len(around.sources), width)).permute(2, 1, 0, 3)
        return (waves @ samples.flatten(1)).unflatten(1, (-1, weights.shape[1]))
