"""Whether what a file says of an interpolator fits together, so that it fills k-space in, or is refused beforehand.

Classes check themselves as far as they know their own fields, and types and numbers are known to be right
(`raki.fits.known`); what is left is what one part must know of another: places within the matrix, and sizes of weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from raki.coils.transform import CoilTransform
from raki.consistency.sparse import SparseImage
from raki.consistency.spirit import Consistent
from raki.data.blocks import Box
from raki.data.equispaced import Equispaced
from raki.data.sampling import Sampling
from raki.interpolation.calibration import PatchMap, Refinement
from raki.interpolation.edges import EdgeMap
from raki.interpolation.fit import InnerMap, Interpolator
from raki.interpolation.least_squares import LinearMap
from raki.interpolation.neighbours import Cells, Neighbourhood
from raki.networks.gated import Blend, GatedNetwork
from raki.networks.high_pass import HighPassMap
from raki.networks.raki import NetworkMap
from raki.networks.residual import ResidualMap

FARTHEST = 8
"""Offsets and places reach no further than so many times the size of the matrix [1]."""

MOST_STEPS = 10_000
"""Of a solution by refinement."""


def require_sound(interpolator: Interpolator) -> None:
    """Raise a ValueError unless all parts of an interpolator fit each other, whose fields have the right types."""
    shape = tuple(interpolator.sampling.mask.shape)
    _require_pattern(interpolator, shape)
    n_coils, transform = interpolator.n_coils, interpolator.transform
    if n_coils is None:
        nothing = not interpolator.inner and not interpolator.edges
        _require(nothing and interpolator.refinement is None and transform is None, 'maps for no coils')
        return
    _require(n_coils >= 1, f'{n_coils} coils')
    if transform is not None:
        _require_transform(transform, n_coils)
    sizes = _Sizes(n_coils if transform is None else transform.n_virtual, shape, interpolator.n_readout)
    for inner in interpolator.inner:
        sizes.require_inner(inner)
    for edge in interpolator.edges:
        sizes.require_edge(edge)
    if interpolator.refinement is not None:
        sizes.require_refinement(interpolator.refinement)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(f'the parts of an interpolator do not fit together: {what}')


def _require_array(values: Tensor, shape: Sequence[int], kinds: Sequence[torch.dtype], name: str) -> None:
    wanted = tuple(shape)
    _require(
        tuple(values.shape) == wanted and values.dtype in kinds,
        f'{name} must be {kinds[0]} of {wanted}, got {values.dtype} of {tuple(values.shape)}',
    )


def _require_pattern(interpolator: Interpolator, shape: tuple[int, ...]) -> None:
    sampling, n_readout = interpolator.sampling, interpolator.n_readout
    is_mask = sampling.mask.dtype == torch.bool and len(shape) in (1, 2) and prod(shape) > 0
    _require(is_mask, f'a mask of {sampling.mask.dtype} {shape}')
    _require(1 <= n_readout < 2**31, f'a readout of {n_readout} samples')
    if isinstance(sampling, Sampling):
        _require_within(sampling.filled, shape)
    if isinstance(sampling, Equispaced):
        lines = sampling.lines
        is_ordered = len(lines) > 0 and list(lines) == sorted(set(lines)) and lines[0] >= 0 and lines[-1] < shape[0]
        _require(is_ordered and 1 <= sampling.widest <= shape[0], f'lines {lines} of {shape}')


def _require_within(box: Box, shape: tuple[int, ...]) -> None:
    sides = zip(box, shape, strict=False)
    inside = len(box) == len(shape) and all(0 <= b.start < b.stop <= size and b.step == 1 for b, size in sides)
    _require(inside, f'a block {box} of a matrix {shape}')


def _require_transform(transform: CoilTransform, n_coils: int) -> None:
    both = (transform.matrix, transform.inverse)
    _require(all(each.is_complex() and each.ndim == 2 for each in both), 'coils that are mixed with real numbers')
    _require(transform.matrix.shape[1] == n_coils, f'a transform of {transform.matrix.shape[1]} of {n_coils} coils')
    _require(1 <= transform.n_virtual <= n_coils, f'{transform.n_virtual} virtual coils of {n_coils}')


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What all parts must agree on."""

    n_coils: int
    """Virtual coils."""
    shape: tuple[int, ...]
    """Of the matrix on the phase axes."""
    n_readout: int

    def require_inner(self, inner: InnerMap) -> None:
        around = inner.cells.neighbourhood
        self.require_cells(inner.cells)
        columns = around.columns(self.n_readout)
        _require(0 <= columns.start < columns.stop <= self.n_readout, f'no columns of {self.n_readout} samples')
        self.require_map(inner.patch_map, inner.cells)

    def require_edge(self, edge: EdgeMap) -> None:
        columns, around = edge.columns, edge.cells.neighbourhood
        self.require_cells(edge.cells)
        first, last = columns.start + around.samples.start, columns.stop - 1 + around.samples[-1]
        is_inside = 0 <= columns.start < columns.stop <= self.n_readout and columns.step == 1
        _require(is_inside and first >= 0 and last < self.n_readout, f'columns {columns} of {self.n_readout} samples')
        self.require_linear(edge.weights, around)

    def require_cells(self, cells: Cells) -> None:
        """All sources of which exist."""
        self.require_neighbourhood(cells.neighbourhood)
        _require(cells.shape == self.shape, f'cells of a matrix {cells.shape}, not {self.shape}')
        _require_within(cells.box, self.shape)
        anchors, n_axes = cells.anchors, len(self.shape)
        _require_array(anchors, (len(anchors) if anchors.ndim else 0, n_axes), (torch.int64,), 'places of cells')
        self.require_near([ends.tolist() for ends in anchors.aminmax(dim=0)] if len(anchors) else [])
        _require(bool(cells.is_whole.all()), 'cells with sources beyond the matrix')

    def require_neighbourhood(self, around: Neighbourhood) -> None:
        _require(bool(around.sources and around.targets), 'a neighbourhood without sources or targets')
        self.require_near((*around.sources, *around.targets))
        samples = around.samples
        _require(0 < len(samples) <= self.n_readout and samples.step == 1, f'samples {samples} of {self.n_readout}')
        _require(samples.start <= 0 <= samples[-1], f'samples {samples} without their middle')

    def require_near(self, offsets: Sequence[Sequence[int]]) -> None:
        """Places and offsets on the phase axes, in the neighbourhood of the matrix."""
        for offset in offsets:
            is_near = all(abs(step) <= FARTHEST * size for step, size in zip(offset, self.shape, strict=False))
            _require(len(offset) == len(self.shape) and is_near, f'an offset {tuple(offset)} of a matrix {self.shape}')

    def require_linear(self, weights: Tensor, around: Neighbourhood) -> None:
        n_sources = self.n_coils * len(around.sources) * len(around.samples)
        shape = n_sources, self.n_coils * len(around.targets)
        _require_array(weights, shape, (torch.complex64, torch.complex128), 'weights')

    def require_map(self, patch_map: PatchMap, cells: Cells) -> None:
        match patch_map:
            case LinearMap():
                self.require_linear(patch_map.weights, cells.neighbourhood)
            case Blend():
                _require(0 <= patch_map.share <= 1, f'a share of {patch_map.share}')
                self.require_map(patch_map.start, cells)
                self.require_map(patch_map.goal, cells)
            case GatedNetwork():
                self.require_gated(patch_map, cells.neighbourhood)
            case ResidualMap():
                self.require_residual(patch_map, cells)
            case HighPassMap():
                weights, lines = patch_map.weights, prod(self.shape)
                _require_array(weights, (lines, self.n_readout), (torch.float32, torch.float64), 'high-pass weights')
                _require(bool((weights > 0).all()), 'high-pass weights that are not positive')
                self.require_map(patch_map.patch_map, cells)
            case NetworkMap():
                self.require_network(patch_map, cells.neighbourhood)

    def require_gated(self, network: GatedNetwork, around: Neighbourhood) -> None:
        n_channels, n_axes = network.energy.numel(), len(self.shape)
        n_sources = self.n_coils * len(around.sources) * len(around.samples)
        _require_array(network.analysis, (n_sources, n_channels), (torch.complex64,), 'analysis')
        _require_array(network.energy, (n_channels,), (torch.float32,), 'energies of channels')
        shape = n_channels, self.n_coils * len(around.targets)
        _require_array(network.synthesis, shape, (torch.complex64,), 'synthesis')
        is_positive = n_channels > 0 and network.noise > 0 and bool((network.energy >= 0).all())
        _require(is_positive and 1 <= len(network.steps) <= n_axes, 'gates without channels, noise or steps')
        self.require_near(network.steps)

    def require_residual(self, residual: ResidualMap, cells: Cells) -> None:
        field, around = residual.receptive_field, cells.neighbourhood
        self.require_neighbourhood(field)
        sees = set(around.samples) <= set(field.samples) and len(field.targets) == len(around.targets)
        _require(sees and 0 <= residual.share <= 1, 'a correction of another neighbourhood')
        own = cells.moved(field)
        self.require_map(residual.start, cells)
        self.require_map(residual.network, own.at(own.is_whole))

    def require_network(self, network: NetworkMap, around: Neighbourhood) -> None:
        stack, method = network.stack, network.method
        self.require_neighbourhood(stack.first)
        _require(bool(stack.steps) and 1 <= stack.n_samples <= self.n_readout, 'a last layer that sees nothing')
        self.require_near(stack.steps)
        axes = zip(zip(*stack.steps, strict=True), self.shape, strict=True)
        _require(all(max(own) - min(own) < size for own, size in axes), 'layers wider than the matrix')
        width = len(stack.first.samples) + stack.n_samples - 1
        is_seen = len(around.samples) == width and len(around.targets) == len(stack.first.targets)
        _require(is_seen and network.scale > 0, 'a network of another neighbourhood')
        n_coils, n_targets = self.n_coils, len(stack.first.targets)
        number, channels = (1, n_coils) if method.is_complex else (2 * n_coils, 2 * n_coils)
        outputs = (n_coils if method.is_complex else 1) * n_targets * len(stack.steps) * stack.n_samples
        n_inputs, (wide, narrow) = channels * len(stack.first.sources) * len(stack.first.samples), method.widths
        shapes = (number, wide, n_inputs), (number, narrow, wide), (number, outputs, narrow)
        kind = torch.complex64 if method.is_complex else torch.float32
        _require(len(network.weights) == len(shapes), f'{len(network.weights)} layers')
        for weights, shape in zip(network.weights, shapes, strict=True):
            _require_array(weights, shape, (kind,), 'weights of a layer')
        if network.whitening is not None:
            _require_array(network.whitening, (n_inputs, n_inputs), (kind,), 'whitening')

    def require_refinement(self, refinement: Refinement) -> None:
        assert isinstance(refinement, Consistent | SparseImage)  # others are not known
        grid, evidence = refinement.evidence.grid, refinement.evidence
        _require(grid.shape == (*self.shape, self.n_readout), f'a grid of {grid.shape}')
        _require(1 <= refinement.n_steps <= MOST_STEPS and evidence.noise > 0, f'{refinement.n_steps} steps')
        _require_array(evidence.trust, grid.size, (torch.float32,), 'trust')
        if isinstance(refinement, Consistent):
            shape = prod(grid.size), self.n_coils, self.n_coils
            _require_array(refinement.projection, shape, (torch.complex64,), 'projections')
        else:
            _require_array(refinement.sensitivities, (self.n_coils, *grid.size), (torch.complex64,), 'sensitivities')
            _require_array(refinement.reference, grid.size, (torch.complex64,), 'the image of thresholds')
