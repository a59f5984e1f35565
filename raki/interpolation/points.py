"""How much of small points comes back, on the scan's own lines: what a bound on regularisation is about.

Noise is saved by giving signal up. Small details lose it first, for what is not larger than the noise around it looks
like noise. So points of a part of the local signal are added to what was measured, the scan's own image standing for
object and coils, and k-space is filled in with and without them: the diagonal of the derivative, as far as points are
small. Along the way from one map to another it is affine in the share of the way.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Tensor

from raki.data.equispaced import Gaps
from raki.fourier import image_from_kspace, kspace_from_image, spatial_axes
from raki.interpolation.calibration import Calibration, PatchMap
from raki.interpolation.neighbours import Cells, Neighbourhood
from raki.interpolation.tuning import tune

POINTS, CONTRAST, OBJECT = 1 / 64, 0.2, 0.1
"""Points per pixel, their height relative to the image, and the least magnitude of the object, to its largest [1]."""

ENOUGH, MOST_DRAWS = 512, 16
"""Points that tell the part to about one per cent, and most draws of them; one draw of a small image has few."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Small points in the object, seen by the coils, in several draws."""

    calibration: Calibration
    neighbourhood: Neighbourhood
    """Of the maps that are asked how much they give back."""
    image: Tensor
    """What the points are a part of, axes (coil, image axes)."""
    is_filled: Tensor
    """Which samples the maps fill in, boolean, axes (line, readout)."""
    seed: int = 0
    """Of the first draw."""

    @classmethod
    def of(cls, calibration: Calibration, neighbourhood: Neighbourhood, patch_map: PatchMap, seed: int = 0) -> 'Points':
        """In the image that a map fills in, and linear ones of the other kinds of cells where there are any."""
        lines, known = calibration.measured, calibration.known[:, None]
        predictions = predicted(calibration, neighbourhood, patch_map)
        for kind in calibration.kinds if isinstance(calibration.lattice, Gaps) else ():
            if kind.lattice != calibration.lattice:
                tuned = tune(kind)
                predictions += predicted(kind, tuned.neighbourhood, tuned.linear)
        filled = torch.where(known, lines, predictions)
        kspace = filled.unflatten(1, calibration.matrix)
        is_filled = (predicted(calibration, neighbourhood, _ones)[0].abs() > 0) & ~known
        return cls(calibration, neighbourhood, image_from_kspace(kspace, spatial_axes(kspace)), is_filled, seed)

    def retained(self, patch_map: PatchMap) -> float:
        """Part of what a map is to fill in that it gives back [1]."""
        lines, known = self.calibration.measured, self.calibration.known[:, None]
        before, sums = predicted(self.calibration, self.neighbourhood, patch_map), (0.0, 0.0)
        for added in self._draws():
            with_points = replace(self.calibration, lines=lines + added * known)
            change = predicted(with_points, self.neighbourhood, patch_map) - before
            back, energy = overlap(added * self.is_filled, change)
            sums = sums[0] + back, sums[1] + energy
        return sums[0] / sums[1] if sums[1] > 0 else 1.0

    def _draws(self) -> Iterator[Tensor]:
        """K-space of points, axes (coil, line, readout); in larger images fewer times."""
        magnitude, axes = torch.linalg.vector_norm(self.image, dim=0), spatial_axes(self.image)
        n_points = POINTS * int(_object(magnitude).sum())
        for number in range(min(MOST_DRAWS, ceil(ENOUGH / max(n_points, 1)))):
            chosen = chosen_points(magnitude, self.seed + number)
            yield kspace_from_image(torch.where(chosen, CONTRAST * self.image, 0), axes).flatten(1, -2)


def bounded_share(
    calibration: Calibration,
    neighbourhood: Neighbourhood,
    start: PatchMap,
    goal: PatchMap | None,
    share: float,
    faithful: float | None,
) -> tuple[float, float]:
    """How much of a share of the way from one map to another keeps a bound on what comes back of points.

    Returns
    -------
    share
        As it was where the bound allows it, or is None, or the goal gives back more than the start; else less.
    retained
        Part that comes back then, less than the bound only where that of the start is; 1 where the bound is None.
    """
    if faithful is None:
        return share, 1.0
    points = Points.of(calibration, neighbourhood, start)
    first = points.retained(start)
    last = first if goal is None else points.retained(goal)
    if last < first:
        share = min(share, max(0.0, (first - faithful) / (first - last)))
    return share, max(min(first, faithful), first + share * (last - first))


def chosen_points(magnitude: Tensor, seed: int = 0) -> Tensor:
    """Random pixels of the object of an image, boolean, axes of its magnitude; the same on every device."""
    chosen = torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(seed)).to(magnitude) < POINTS
    return chosen & _object(magnitude)


def _object(magnitude: Tensor) -> Tensor:
    return magnitude > OBJECT * magnitude.max()


def overlap(missing: Tensor, change: Tensor) -> tuple[float, float]:
    """Of what was missing with a change of k-space, and with itself; their ratio is the part that came back."""
    return float((missing.conj() * change).real.sum()), float(missing.abs().square().sum())


def predicted(calibration: Calibration, neighbourhood: Neighbourhood, patch_map: PatchMap) -> Tensor:
    """What a map makes of the measured lines where its neighbourhood is whole, (coil, line, readout); else zero."""
    cells, lines = calibration.lattice_cells(neighbourhood), calibration.measured
    target = torch.zeros_like(lines)
    if len(cells):
        cells.put(target, patch_map(lines, cells), neighbourhood.columns(lines.shape[-1]))
    return target


def require_part(faithful: float | None) -> None:
    """Raise a ValueError unless a bound, if there is one, is a part."""
    if faithful is not None and not 0 <= faithful <= 1:
        raise ValueError(f'faithful must be between 0 and 1, got {faithful}')


def too_little(what: str, part: float, faithful: float, instead: str = 'a lower bound') -> tuple[str, ...]:
    """A warning where less comes back than must."""
    wanted = f'{100 * part:.0f} % of what was not measured of small points, not {100 * faithful:.0f} %'
    return (f'{what} gives back {wanted}: use {instead}',) if part < faithful else ()


def _ones(lines: Tensor, cells: Cells) -> Tensor:
    """A map that tells which samples a map fills in."""
    columns = cells.neighbourhood.columns(lines.shape[-1])
    return lines.new_ones(len(lines), len(cells.neighbourhood.targets), len(cells), len(columns))
