"""Measured lines of a slab side by side, with their neighbours, and how to name a place among them."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredLines:
    """The lines that were measured, whatever their distance."""

    samples: Tensor
    """Complex, axes (coil, measured line, kx)."""

    positions: Tensor
    """Of every measured line on the phase axes, axes (measured line, phase axis)."""

    beside: Tensor
    """Measured lines before and after each, nearest first, among those of the same partition; -1 where there is none.
    Axes (measured line, 4): two before, two after."""

    shape: tuple[int, ...]
    """Size of the phase axes [line]."""

    @classmethod
    def of(cls, kspace: Tensor, mask: Tensor) -> 'MeasuredLines':
        """Take them out of k-space (coil, phase axes, kx) by a mask on the phase axes."""
        mask = mask.to(kspace.device)
        positions = mask.nonzero()
        number = torch.arange(len(positions), device=kspace.device)
        row = positions[:, 0] if mask.ndim == 2 else torch.zeros_like(number)
        steps = torch.tensor([-1, -2, 1, 2], device=kspace.device)
        other = number[:, None] + steps
        inside = (other >= 0) & (other < len(number))
        other = other.clamp(0, max(0, len(number) - 1))
        beside = torch.where(inside & (row[other] == row[:, None]), other, -1)
        return cls(kspace[:, mask], positions, beside, tuple(mask.shape))

    def place(self, coil: int, line: int, sample: int | None = None) -> str:
        """Name a line, or a sample of it, as people count them: in the k-space that was read."""
        where = self.positions[line].cpu().tolist()
        named = f'line {where[0]}' if len(where) == 1 else f'partition {where[0]}, line {where[1]}'
        return f'coil {coil}, {named}' + ('' if sample is None else f', sample {sample}')

    def moved(self, values: Tensor, column: int, absent: float) -> Tensor:
        """Values (coil, measured line, kx) of the neighbour in this column of `beside`, `absent` without one."""
        other = self.beside[:, column]
        return torch.where((other >= 0)[:, None], values[:, other.clamp(min=0)], absent)

    def away(self, step: int) -> Tensor:
        """Number of the measured line so many positions further in the same partition, axes (measured line,), or -1."""
        numbers = torch.full(self.shape, -1, device=self.positions.device)
        numbers[tuple(self.positions.mT)] = torch.arange(len(self.positions), device=self.positions.device)
        moved = self.positions[:, -1] + step
        there = numbers[(*self.positions[:, :-1].mT, moved.clamp(0, self.shape[-1] - 1))]
        return torch.where((moved >= 0) & (moved < self.shape[-1]), there, -1)
