"""How much signal and noise a volume holds, where edge kernels need to know."""

from dataclasses import dataclass
from itertools import product
from math import prod

import torch
from torch import Tensor

from raki.data.lattice import VolumeSampling
from raki.interpolation.edges import Levels, noise_level
from raki.interpolation.linear import NormalEquations
from raki.interpolation.neighbourhood import Part, Region, Sources


@dataclass(frozen=True, slots=True, eq=False)
class VolumePower:
    """How much signal and noise the lattice points of a volume hold, as `raki.interpolation.edges.EdgePower` for lines."""

    powers: Tensor
    """Mean |sample|^2 over coils, axes (1, kz, ky, kx)."""

    brightest: Tensor
    """Its mean along the readout for every measured lattice point, axes (point,), descending."""

    corner: float
    """Power in the quietest corner that holds anything."""

    n_positions: int
    """Positions R of a cell [1]."""

    @classmethod
    def of(cls, kspace: Tensor, sampling: VolumeSampling, n_columns: int) -> 'VolumePower':
        """Measure k-space, axes (coil, kz, ky, kx); `n_columns` samples count as an end of the readout."""
        powers = kspace.abs().square().mean(0)
        partitions, lines = (slice(side.start, side.stop) for side in sampling.filled)
        points = sampling.lattice.on(sampling.shape).to(kspace.device)[partitions, lines]
        inside = powers[partitions, lines]
        corner = _quietest_corner(inside, points, [2 * step for step in sampling.acceleration], n_columns)
        return cls(
            powers[None], inside[points].mean(-1).sort(descending=True).values, corner, prod(sampling.acceleration)
        )

    def missing(self, n_acs_lines: int) -> float:
        """Mean |k-space sample|^2 around missing positions: of lattice points that an ACS does not outshine."""
        n_inside = min(n_acs_lines // self.n_positions, len(self.brightest) - 1)
        return float(self.brightest[n_inside:].mean())

    def levels(
        self, equations: NormalEquations, regularization: float, part: Part, sources: Sources, regions: list[Region]
    ) -> Levels:
        """Everything that `raki.interpolation.edges.edge_weights` needs to know of some positions."""
        n_bright = max(1, round(equations.n_lines / self.n_positions))
        seen = torch.cat([sources.patches(self.powers, region).flatten() for region in regions])
        gain = float(self.brightest[:n_bright].mean()) / equations.source_power
        return Levels(noise_level(equations, regularization, part, self.corner, gain), float(seen.mean()))


def _quietest_corner(powers: Tensor, points: Tensor, size: list[int], n_columns: int) -> float:
    """Least mean power, axes (kz, ky, kx), of lattice `points`, axes (kz, ky), in a corner that is not all zero."""
    ends = [[slice(None, length), slice(-length, None)] for length in (*size, n_columns)]
    corners = [powers[z, y, x][points[z, y]] for z, y, x in product(*ends)]
    means = [float(corner.mean()) for corner in corners if bool(corner.any())]
    return min(means, default=0.0)
