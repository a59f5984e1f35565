"""Regular lattices of phase-encoding positions: lines (ky,), or (kz, ky) with a CAIPI shift.

Breuer et al. 2006, Magn Reson Med 55:549 (https://doi.org/10.1002/mrm.20787).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd, prod

import torch
from torch import Tensor

from raki.errors import SamplingError

Offset = tuple[int, ...]
"""Distance along the phase axes, (ky,) or (kz, ky) [line]."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """All positions first + i b_1 + j b_2 with whole numbers i, j and the rows b of an upper triangular basis."""

    basis: tuple[Offset, ...]
    """((R,),) for lines; ((Rz, shift), (0, Ry)) where every Rz-th partition has every Ry-th line, `shift` lines further
    from one such partition to the next [line]."""

    first: Offset
    """One of its points."""

    def __post_init__(self) -> None:
        shift, spacing = self.shift, self.spacing
        if min(spacing) < 1 or not 0 <= shift < spacing[-1] or min(self.first) < 0 or len(self.first) != len(spacing):
            raise SamplingError(f'a lattice needs R >= 1, 0 <= shift < Ry and a first point >= 0, got {self.basis}')

    def __str__(self) -> str:
        shift = f' shift {self.shift}' if len(self.basis) > 1 else ''
        return f'R={"x".join(map(str, self.spacing))}{shift}'

    @classmethod
    def of(cls, spacing: Sequence[int], shift: int = 0, first: Offset | None = None) -> 'Lattice':
        """Every R-th line, or every Rz-th partition and Ry-th line with a CAIPI shift."""
        rows = ((spacing[0],),) if len(spacing) == 1 else ((spacing[0], shift), (0, spacing[1]))
        return cls(rows, first or (0,) * len(spacing))

    @property
    def spacing(self) -> Offset:
        """Size (R,) or (Rz, Ry) of a cell along the axes [line]."""
        return tuple(row[axis] for axis, row in enumerate(self.basis))

    @property
    def shift(self) -> int:
        """CAIPI shift [line]."""
        return self.basis[0][1] if len(self.basis) > 1 else 0

    @property
    def rate(self) -> int:
        """Acceleration R: positions per lattice point."""
        return prod(self.spacing)

    @property
    def missing(self) -> tuple[Offset, ...]:
        """Offsets of the R - 1 positions of a cell that are not measured, from the lattice point that is."""
        return tuple(product(*map(range, self.spacing)))[1:]

    @property
    def cell(self) -> Offset:
        """Size of a cell, as square as can be [line].

        The same lattice has a point every Ry lines on every Rz-th partition, and every R/g partitions on every g-th
        line, with g the greatest common divisor of Ry and shift: R=1x4 with shift 2 is R=2x2 with a shift along kz.
        """
        common = gcd(self.spacing[-1], self.shift)
        turned = (self.rate // common, common)
        return self.spacing if len(self.basis) == 1 else min(self.spacing, turned, key=max)

    @property
    def steps(self) -> tuple[Offset, ...]:
        """A basis with the shortest rows: steps to neighbouring lattice points."""
        if len(self.basis) == 1:
            return self.basis
        (n_partitions, shift), (_, n_lines) = self.basis
        return (n_partitions, shift - n_lines if 2 * shift > n_lines else shift), (0, n_lines)

    def distance(self, number: int, axis: int = 0) -> int:
        """Of this number of cells along an axis [line]."""
        return number * self.spacing[axis]

    def joins(self, steps: Tensor) -> Tensor:
        """Whether steps, integers with the phase axes last, lead from one lattice point to another."""
        found = torch.ones(steps.shape[:-1], dtype=torch.bool)
        for axis, row in enumerate(self.basis):
            found &= steps[..., axis] % row[axis] == 0
            steps = steps - steps[..., axis : axis + 1].div(row[axis], rounding_mode='floor') * torch.tensor(row)
        return found

    def on(self, shape: Sequence[int]) -> Tensor:
        """All its points on a matrix of this shape, boolean."""
        positions = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing='ij'), dim=-1)
        return self.joins(positions - torch.tensor(self.first))
