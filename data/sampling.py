"""Which phase-encoding lines were measured: the lattice, the ACS block and the acquired range, read off the mask."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from raki.errors import SamplingError


@dataclass(frozen=True, slots=True, eq=False)
class Sampling:
    """A regular lattice of lines with an optional block of autocalibration lines (ACS).

    The lattice is `first_line`, `first_line + acceleration`, ... A margin of fewer than `acceleration` lines before
    its first or after its last line belongs to it and is filled; a wider one is partial Fourier or padding and
    stays empty.
    """

    mask: Tensor
    """Boolean, axes (ky,): the measured lines."""

    acceleration: int
    """Spacing R of lattice lines [line]."""

    first_line: int
    """Index of the first lattice line."""

    n_lattice_lines: int
    """How many lattice lines were measured."""

    def __post_init__(self) -> None:
        if self.acceleration < 1 or self.n_lattice_lines < 1 or self.first_line < 0:
            raise SamplingError(
                f'a lattice needs R >= 1, a first line >= 0 and at least one line, got R={self.acceleration}, '
                f'first line {self.first_line}, {self.n_lattice_lines} lines'
            )
        lattice = self.lattice
        if lattice[-1] >= len(self.mask) or not bool(self.mask[lattice.start : lattice.stop : lattice.step].all()):
            raise SamplingError(f'not every line of the lattice {lattice} is measured')

    @classmethod
    def from_mask(cls, mask: Tensor | Sequence[bool]) -> 'Sampling':
        """Read the regular pattern off a line mask, axes (ky,).

        All gaps between measured lines outside the ACS block must be equal; that gap is R. The ACS block is the
        longest run of neighbouring lines. R is not looked up in any header: the lines win.

        Raises
        ------
        SamplingError
            If fewer than two lines were measured, or the gaps are uneven (they are named).
        """
        mask = torch.as_tensor(mask, dtype=torch.bool)
        lines: list[int] = mask.nonzero().flatten().tolist()
        if len(lines) < 2:
            raise SamplingError(f'need at least two measured lines, got {len(lines)} of {len(mask)}')
        acs = _acs_of(mask)
        acceleration = max(b - a for a, b in pairwise(lines))
        on_lattice = [line for line in lines if line not in acs]
        offset = (on_lattice or list(acs))[0] % acceleration
        lattice = [line for line in lines if line % acceleration == offset]
        if _is_uneven(lines, lattice, acs, acceleration):
            raise SamplingError(_uneven_message(lines, acs))
        return cls(mask, acceleration, lattice[0], len(lattice))

    @property
    def lattice(self) -> range:
        """Indices of the lattice lines."""
        stop = self.first_line + (self.n_lattice_lines - 1) * self.acceleration + 1
        return range(self.first_line, stop, self.acceleration)

    def lattice_lines(self, kspace: Tensor) -> Tensor:
        """View of the lattice lines of k-space, axes (..., ky, kx)."""
        return kspace[..., self.lattice.start : self.lattice.stop : self.lattice.step, :]

    @property
    def acs(self) -> range:
        """Indices of the autocalibration block, the longest run of measured lines; empty where no two touch."""
        return _acs_of(self.mask)

    @property
    def filled_range(self) -> range:
        """Lines that are measured or to be filled: the lattice with its margins, and the ACS."""
        lattice, n_lines, acs = self.lattice, len(self.mask), self.acs
        after = n_lines - 1 - lattice[-1]
        start = 0 if self.first_line < self.acceleration else self.first_line
        stop = n_lines if after < self.acceleration else lattice[-1] + 1
        return range(min(start, acs.start), max(stop, acs.stop)) if acs else range(start, stop)

    @property
    def missing(self) -> Tensor:
        """Which lines of every gap are to be filled, boolean, axes (gap, line of the gap); gap -1 comes first."""
        wanted, rate = torch.zeros_like(self.mask), self.acceleration
        wanted[self.filled_range.start : self.filled_range.stop] = True
        lines = torch.nn.functional.pad(wanted & ~self.mask, (rate, rate))[self.first_line + 1 :]
        return lines.unfold(0, rate - 1, rate)[: self.n_lattice_lines + 1]

    @property
    def net_acceleration(self) -> float:
        """Lines within the filled range over measured lines, R_net, ACS included."""
        return len(self.filled_range) / int(self.mask.sum())


def undersample(measured: Tensor, acceleration: int, n_acs: int, first_line: int = 0) -> Sampling:
    """Keep every `acceleration`-th line and a central ACS block of a fully sampled scan.

    Parameters
    ----------
    measured
        Boolean, axes (ky,): the lines there are; one run (a partial-Fourier scan stays one).
    acceleration
        Spacing R of the lattice [line].
    n_acs
        Length of the ACS block [line]; it starts at (n_lines - n_acs + 1) // 2.
    first_line
        Lattice offset, counted from the first line there is [line].

    Raises
    ------
    SamplingError
        If the scan is not fully sampled, or too short for the request.
    """
    n_lines, run = len(measured), longest_run(measured)
    if len(run) != int(measured.sum()):
        raise SamplingError(
            f'need a fully sampled scan to undersample, but only {int(measured.sum())} of {n_lines} lines are measured'
        )
    start = (n_lines - n_acs + 1) // 2
    if not 0 <= n_acs <= len(run) or start < run.start or start + n_acs > run.stop:
        raise SamplingError(
            f'an ACS of {n_acs} lines does not fit into the measured lines {run.start} to {run.stop - 1}'
        )
    mask = torch.zeros_like(measured)
    mask[run.start + first_line % acceleration : run.stop : acceleration] = True
    lattice: list[int] = mask.nonzero().flatten().tolist()
    if len(lattice) < 2:
        raise SamplingError(f'R={acceleration} leaves {len(lattice)} of {len(run)} lines; need at least two')
    mask[start : start + n_acs] = True
    return Sampling(mask, acceleration, lattice[0], len(lattice))


def longest_run(mask: Tensor) -> range:
    """Find the longest run of True in a boolean mask, axes (ky,); the first of equals; empty without any."""
    best, start = range(0), None
    for index, value in enumerate([*mask.tolist(), False]):
        if value and start is None:
            start = index
        elif not value and start is not None:
            best = max(best, range(start, index), key=len)
            start = None
    return best


def _acs_of(mask: Tensor) -> range:
    run = longest_run(mask)
    return run if len(run) > 1 else range(0)


def _is_uneven(lines: list[int], lattice: list[int], acs: range, acceleration: int) -> bool:
    strays = [line for line in lines if line not in acs and line % acceleration != lattice[0] % acceleration]
    complete = range(lattice[0], lattice[-1] + 1, acceleration)
    return bool(strays) or len(complete) != len(lattice)


def _uneven_message(lines: list[int], acs: range) -> str:
    outside = [(a, b) for a, b in pairwise(lines) if not (a in acs and b in acs)]
    gaps = Counter(b - a for a, b in outside)
    usual = gaps.most_common(1)[0][0]
    first = next(((a, b) for a, b in outside if b - a != usual and not (a in acs or b in acs)), outside[0])
    named = ', '.join(f'{gap} ({count}x)' for gap, count in gaps.most_common())
    block = f' outside the ACS (lines {acs.start} to {acs.stop - 1})' if acs else ''
    return (
        f'measured lines must be evenly spaced{block}, '
        f'got gaps of {named}, first between lines {first[0]} and {first[1]}: '
        'resample on a regular lattice, or mask out the lines that break it'
    )
