"""Which missing samples a measured one helps to fill, and by which weights: the situations that samples are in.

Slices are the case of one partition. Along the readout all is measured or nothing, and all positions meet the same two
edges, so situations are patterns of (kz, ky) positions times patterns of columns: a handful of each.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from raki.interpolation.edges import EdgeMap
from raki.interpolation.fit import InnerMap, Interpolator
from raki.interpolation.least_squares import LinearMap


@dataclass(frozen=True, slots=True, eq=False)
class Filling:
    """A linear kernel for those samples that have the same sources."""

    offsets: Tensor
    """From a sample to its source lines, integers, axes (source line, (kz, ky))."""

    samples: range
    """From a sample to its sources along kx."""

    weights: Tensor
    """Complex, axes (source, coil); a source is (coil, source line, sample)."""

    lines: Tensor
    """Numbers of the lines it fills, axes (line,)."""

    columns: range
    """Readout samples it fills."""


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """All weights of a reconstruction, each by the distance from a source to the missing sample that it serves."""

    sides: tuple[range, ...]
    """Distances (kz, ky, kx) that occur, and 0."""

    weights: Tensor
    """Complex64, axes (tap, target coil, source coil); tap 0 is none and zero."""

    number: Tensor
    """Which tap, axes (map, kz distance, ky distance, kx distance); 0 where there is no such source. Map 0 has none."""

    @classmethod
    def of(cls, maps: tuple[Filling, ...], n_coils: int) -> 'Taps':
        """Of all maps of a reconstruction in this number of (virtual) coils."""
        steps = [(*part.offsets.mT.tolist(), part.samples) for part in maps]
        every = [{0, *(-step for own in steps for step in own[axis])} for axis in range(3)]
        sides = tuple(range(min(found), max(found) + 1) for found in every)
        weights = [torch.zeros(1, n_coils, n_coils, dtype=torch.complex64)]
        number, n_taps = torch.zeros(1 + len(maps), *map(len, sides), dtype=torch.int64), 1
        for own, part in zip(number[1:], maps, strict=True):
            samples = sides[2].index(0) - torch.tensor(part.samples)
            z, y = (side.index(0) - step[:, None] for side, step in zip(sides, part.offsets.mT, strict=False))
            taps = part.weights.cpu().unflatten(0, (n_coils, -1)).permute(1, 2, 0)
            own[z, y, samples] = torch.arange(n_taps, n_taps + len(taps)).view(len(part.offsets), -1)
            weights.append(taps)
            n_taps += len(taps)
        return cls(sides, torch.cat(weights), number)


def fillings(interpolator: Interpolator) -> tuple[Filling, ...]:
    """All kernels of a reconstruction with the samples that they fill.

    Raises
    ------
    ValueError
        If its map is not linear.
    """
    if interpolator.refinement is not None:
        raise ValueError(
            f'an analytic noise map needs weights and nothing else, got a {type(interpolator.refinement).__name__}: '
            'use jvp_noise_map or replica_noise_map, which take any method'
        )
    whole = (_as_edge(inner, interpolator.n_readout) for inner in interpolator.inner)
    every = (part for edge in (*whole, *interpolator.edges) for part in _of_targets(edge))
    return tuple(part for part in every if len(part.lines) and part.columns)


def _as_edge(inner: InnerMap, n_readout: int) -> EdgeMap:
    linear = inner.patch_map if isinstance(inner.patch_map, LinearMap) else getattr(inner.patch_map, 'linear', None)
    if linear is None:
        raise ValueError(
            f'an analytic noise map needs weights, a LinearMap, got a {type(inner.patch_map).__name__}: '
            'use replica_noise_map, which takes any method'
        )
    return EdgeMap(inner.cells, inner.cells.neighbourhood.columns(n_readout), linear.weights)


def _of_targets(edge: EdgeMap) -> Iterator[Filling]:
    """One for each target of a neighbourhood."""
    around = edge.cells.neighbourhood
    weights = edge.weights.unflatten(1, (-1, len(around.targets)))
    for number, target in enumerate(around.targets):
        offsets = torch.tensor(around.sources) - torch.tensor(target)
        lines = edge.cells.targets[:, number]
        plane = pad(offsets, (2 - offsets.shape[1], 0))
        yield Filling(plane, around.samples, weights[..., number], lines[lines >= 0], edge.columns)


@dataclass(frozen=True, slots=True, eq=False)
class Situations:
    """Every situation that a measured sample is in: by which taps it serves the samples around it."""

    taps: Taps
    """The weights."""

    rows: Tensor
    """Maps that fill the samples of a position, axes (kind of position, kind of column); kind 0 is not filled."""

    around: Tensor
    """Kinds of the positions around a measured one, axes (pattern, kz distance * ky distance)."""

    n_positions: Tensor
    """Measured positions with each pattern, axes (pattern,)."""

    columns: Tensor
    """Kinds of the columns around a sample, axes (pattern of columns, kx distance)."""

    n_columns: Tensor
    """Columns with each pattern, axes (pattern of columns,)."""

    @classmethod
    def of(cls, taps: Taps, maps: tuple[Filling, ...], mask: Tensor, n_readout: int) -> 'Situations':
        """Of all measured positions, boolean, axes (kz, ky)."""
        numbers = _map_of_missing(maps, mask, n_readout, taps.sides)
        planes, kind_of_column = numbers.flatten(0, 1).unique(dim=1, return_inverse=True)
        rows, kind = planes.unique(dim=0, return_inverse=True)
        partitions, lines, samples = map(len, taps.sides)
        windows = kind.view(numbers.shape[:2]).unfold(0, partitions, 1).unfold(1, lines, 1)
        around = windows[mask].flatten(1)
        is_source = taps.number.any(-1).flatten(1)[rows].any(1)
        around = torch.where(is_source[around, torch.arange(around.shape[1])], around, 0)
        patterns = around.unique(dim=0, return_counts=True)
        columns = kind_of_column.unfold(0, samples, 1).unique(dim=0, return_counts=True)
        return cls(taps, rows, *patterns, *columns)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Taps, axes (situation, kz distance, ky distance, kx distance), and number of samples, axes (situation,)."""
        number = self.taps.number.flatten(1, 2)
        position, sample = torch.arange(number.shape[1])[:, None, None], torch.arange(number.shape[2])
        for around, n_positions in zip(self.around, self.n_positions, strict=True):
            found = number[self.rows[around][:, self.columns], position, sample].movedim(1, 0)
            yield found.unflatten(1, self.taps.number.shape[1:3]), n_positions * self.n_columns


def _map_of_missing(maps: tuple[Filling, ...], mask: Tensor, n_readout: int, sides: tuple[range, ...]) -> Tensor:
    """Which map fills a sample, counted from 1, axes (kz, ky, kx); 0 where none does, as all around k-space.

    Wide enough for all distances from every sample.
    """
    numbers = torch.zeros(mask.numel(), n_readout, dtype=torch.int64)
    for number, part in enumerate(maps, start=1):
        numbers[part.lines, part.columns.start : part.columns.stop] = number
    numbers = numbers.view(*mask.shape, n_readout)
    numbers[mask] = 0
    return pad(numbers, [margin for side in reversed(sides) for margin in (-side.start, side.stop - 1)])
