"""Which missing samples a measured one helps to fill, and by which weights: the situations that samples are in.

Lines are the case of one partition: every missing line of a gap gets a map of its own, as a missing position of a
volume has, and what follows knows no difference. Along the readout all is measured or nothing, and all positions meet
the same two edges, so situations are patterns of (kz, ky) positions times patterns of columns: a handful of each.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from raki.interpolation.edges import EdgeMap
from raki.interpolation.fit import Interpolator
from raki.interpolation.kernel import Kernel
from raki.interpolation.linear import KernelPart, LinearMap
from raki.interpolation.neighbourhood import Sources, at
from raki.interpolation.volume import VolumeInterpolator, VolumeMap


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
    def of(cls, maps: tuple[VolumeMap, ...], n_coils: int) -> 'Taps':
        """Of all maps of a reconstruction in this number of (virtual) coils."""
        steps = [(*zip(*part.sources.offsets, strict=True), part.sources.samples) for part in maps]
        every = [{0, *(-step for own in steps for step in own[axis])} for axis in range(3)]
        sides = tuple(range(min(found), max(found) + 1) for found in every)
        weights = [torch.zeros(1, n_coils, n_coils, dtype=torch.complex64)]
        number, n_taps = torch.zeros(1 + len(maps), *map(len, sides), dtype=torch.int64), 1
        for own, part in zip(number[1:], maps, strict=True):
            offsets = torch.tensor(part.sources.offsets)
            samples = sides[2].index(0) - torch.tensor(part.sources.samples)
            z, y = (side.index(0) - offset[:, None] for side, offset in zip(sides, offsets.mT, strict=False))
            taps = part.weights.cpu().unflatten(0, (n_coils, -1)).permute(1, 2, 0)
            own[z, y, samples] = torch.arange(n_taps, n_taps + len(taps)).view(len(offsets), -1)
            weights.append(taps)
            n_taps += len(taps)
        return cls(sides, torch.cat(weights), number)


def linear_maps(interpolator: Interpolator | VolumeInterpolator) -> tuple[VolumeMap, ...]:
    """All kernels of a reconstruction with the positions that they fill, those of lines as of one partition.

    Raises
    ------
    ValueError
        If its map is not linear.
    """
    if isinstance(interpolator, VolumeInterpolator):
        return interpolator.maps
    kernel, inner = interpolator.kernel, interpolator.patch_map
    if kernel is None or inner is None:
        return ()
    if not isinstance(inner, LinearMap):
        raise ValueError(
            f'an analytic noise map needs weights, a raki.interpolation.linear.LinearMap, got a {type(inner).__name__}: '
            'use replica_noise_map, which takes any method'
        )
    every = (_inner(interpolator, kernel, inner.weights), *interpolator.edges)
    maps = (part for edge in every for part in _maps_of_gaps(interpolator, kernel, edge))
    return tuple(part for part in maps if all(part.regions[0]))


def _inner(interpolator: Interpolator, kernel: Kernel, weights: Tensor) -> EdgeMap:
    """The whole kernel as one for gaps and columns where all of it exists."""
    half, n_readout = kernel.readout // 2, interpolator.n_readout
    gaps = range(kernel.before - 1, interpolator.sampling.n_lattice_lines - kernel.after)
    columns = range(half, half + n_readout - kernel.readout + 1)
    return EdgeMap(gaps, columns, KernelPart(range(kernel.lines), range(kernel.readout)), weights)


def _maps_of_gaps(interpolator: Interpolator, kernel: Kernel, edge: EdgeMap) -> Iterator[VolumeMap]:
    """One map for each missing line of some gaps; regions may be empty."""
    sampling, half = interpolator.sampling, kernel.readout // 2
    rate, samples = sampling.acceleration, range(edge.part.samples.start - half, edge.part.samples.stop - half)
    weights = edge.weights.unflatten(1, (-1, rate - 1))
    for missing in range(1, rate):
        offsets = tuple((0, (line - kernel.before + 1) * rate - missing) for line in edge.part.lines)
        lines = [sampling.first_line + gap * rate + missing for gap in edge.gaps]
        inside = [line for line in lines if line in sampling.filled_range]
        filled = range(inside[0], inside[-1] + 1, rate) if inside else range(0)
        region = range(1), filled, edge.columns
        yield VolumeMap(Sources(offsets, samples), (region,), weights[..., missing - 1])


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
    def of(cls, taps: Taps, maps: tuple[VolumeMap, ...], mask: Tensor, n_readout: int) -> 'Situations':
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


def _map_of_missing(maps: tuple[VolumeMap, ...], mask: Tensor, n_readout: int, sides: tuple[range, ...]) -> Tensor:
    """Which map fills a sample, counted from 1, axes (kz, ky, kx); 0 where none does, as all around k-space.

    Wide enough for all distances from every sample.
    """
    numbers = torch.zeros(*mask.shape, n_readout, dtype=torch.int64)
    for number, part in enumerate(maps, start=1):
        for region in part.regions:
            numbers[at(region)[1:]] = number
    numbers[mask] = 0
    return pad(numbers, [margin for side in reversed(sides) for margin in (-side.start, side.stop - 1)])
