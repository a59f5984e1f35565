"""Second moments of source patches and targets: all that least squares needs to know of the ACS."""

from typing import NamedTuple

import torch
from torch import Tensor

from raki.interpolation.kernel import Kernel, patches


class Moments(NamedTuple):
    """Sums over some patches, in complex128."""

    gram: Tensor
    """Axes (source, source): conj(source) source; a source is (coil, line, readout)."""

    cross: Tensor
    """Axes (source, target): conj(source) target; a target is (coil, missing line)."""

    energy: Tensor
    """Axes (target,): |target|^2."""

    n_equations: int
    """Number of patches, and so of equations per target."""

    @classmethod
    def of(cls, sources: Tensor, targets: Tensor) -> 'Moments':
        """Of patches (patch, source) and their targets (patch, target)."""
        sources, targets = sources.to(torch.complex128), targets.to(torch.complex128)
        return cls(_gram(sources), sources.mH @ targets, energies(targets), len(sources))

    @classmethod
    def of_acs(cls, acs: Tensor, acceleration: int, kernel: Kernel) -> 'Moments':
        """Of every position of the kernel inside an ACS, axes (coil, line, readout), without cutting out a patch.

        Columns of a patch are shifted copies of each other, so that sums over patches of neighbouring pairs of columns
        differ by one column at either end of the readout: a fifth of the operations, for a kernel of five samples.
        """
        acs = acs.to(torch.complex128)
        columns = patches(acs, Kernel(kernel.lines, 1), acceleration).transpose(0, 1).contiguous()
        targets = calibration_targets(acs, acceleration, kernel).permute(1, 0, 2, 3).flatten(2).contiguous()
        gram = _shifted_gram(columns, kernel.readout)
        width = len(targets)
        cross = torch.stack([_product(columns[s : s + width], targets) for s in range(kernel.readout)], dim=1)
        return cls(gram, cross.flatten(0, 1), energies(targets.flatten(0, 1)), targets.shape[:2].numel())


def added(first: Moments, second: Moments) -> Moments:
    """Of the patches of both."""
    return Moments(
        first.gram + second.gram,
        first.cross + second.cross,
        first.energy + second.energy,
        first.n_equations + second.n_equations,
    )


def calibration_targets(acs: Tensor, acceleration: int, kernel: Kernel) -> Tensor:
    """Samples that the patches of an ACS (coil, line, readout) should predict: (line, readout, coil, missing line)."""
    n_lines = acs.shape[1] - kernel.span(acceleration) + 1
    n_columns = acs.shape[2] - kernel.readout + 1
    first, column = (kernel.before - 1) * acceleration, kernel.readout // 2
    inside = acs[:, first + 1 :, column : column + n_columns]
    return inside.unfold(1, acceleration - 1, 1)[:, :n_lines].permute(1, 2, 0, 3)


def mean_power(sources: Tensor) -> Tensor:
    """Mean |source|^2 of patches (patch, source), float64, axes (patch,)."""
    norms = torch.linalg.vector_norm(torch.view_as_real(sources).flatten(1), dim=1)
    return norms.double().square() / sources.shape[1]


def energies(columns: Tensor) -> Tensor:
    """Sum of |value|^2 over the first of two axes."""
    return torch.view_as_real(columns).flatten(1).square().sum(0).view(-1, 2).sum(1)


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


def _gram(sources: Tensor, n_halvings: int = 2) -> Tensor:
    """Of patches (patch, source): Hermitian, so that half of what is off its diagonal blocks need not be computed."""
    if not n_halvings:
        return sources.mH @ sources
    left, right = sources.tensor_split(2, dim=1)
    across = left.mH @ right
    upper = torch.cat([_gram(left, n_halvings - 1), across], dim=1)
    return torch.cat([upper, torch.cat([across.mH, _gram(right, n_halvings - 1)], dim=1)])
