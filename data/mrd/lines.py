"""Placing acquisitions in the matrix of k-space by their counters, averaged where they were measured more than once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raki.data.damage.holes import finite
from raki.data.measured import DAMAGED_PART, lines_with_samples, reached_readout
from raki.data.mrd.acquisitions import Acquisitions
from raki.data.mrd.header import Encoding
from raki.data.place import LABELS
from raki.errors import ScanError
from raki.fourier import without_oversampling

SHOWN = 4
"""Spacing of the samples that are looked at first, in parts of half a readout."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The matrix that acquisitions of one encoding are placed in."""

    phase_shape: tuple[int, ...]
    """Size (ky,) or (kz, ky)."""

    n_samples: int
    """Readout samples, oversampling included."""

    n_readout: int
    """Readout samples after removal of oversampling."""

    centre: tuple[int, ...]
    """Counter of the line, or (partition, line), through the centre of k-space, which comes to lie at n//2."""

    @classmethod
    def of(cls, encoding: Encoding, n_readout: int, centre: tuple[int, int] | None = None) -> 'Grid':
        """The matrix of an encoding; `centre` (ky, kz) is the header's, else n//2, where none is given."""
        _, n_lines, n_partitions = encoding.encoded.matrix
        stated = (encoding.ky_centre, encoding.kz_centre)
        default = [n // 2 if own is None else own for own, n in zip(stated, (n_lines, n_partitions), strict=True)]
        ky, kz = centre or default
        return cls(
            encoding.phase_shape, encoding.encoded.matrix[0], n_readout, (kz, ky) if encoding.is_volume else (ky,)
        )

    def around(self, lines: Acquisitions, chosen: np.ndarray) -> 'Grid':
        """The smallest part of it that holds the chosen acquisitions, with all readout samples."""
        places = (self.partitions(lines), self.rows(lines))[-len(self.phase_shape) :]
        first = [int(each[chosen].min()) for each in places]
        sizes = [int(each[chosen].max()) + 1 - begin for each, begin in zip(places, first, strict=True)]
        centre = [
            own + size // 2 - whole // 2 + begin
            for own, size, whole, begin in zip(self.centre, sizes, self.phase_shape, first, strict=True)
        ]
        return Grid(tuple(sizes), self.n_samples, self.n_samples, tuple(centre))

    @property
    def is_volume(self) -> bool:
        """Whether there are partitions."""
        return len(self.phase_shape) == 2

    def rows(self, lines: Acquisitions) -> np.ndarray:
        """Row of the matrix, along ky, of every acquisition; it may lie outside."""
        return lines.index('kspace_encode_step_1').astype(int) + self.phase_shape[-1] // 2 - self.centre[-1]

    def partitions(self, lines: Acquisitions) -> np.ndarray:
        """Partition of the matrix, along kz, of every acquisition; it may lie outside. Zeros for slices."""
        if not self.is_volume:
            return np.zeros(len(lines), int)
        return lines.index('kspace_encode_step_2').astype(int) + self.phase_shape[0] // 2 - self.centre[0]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """K-space of one slice or volume."""

    kspace: Tensor
    """Mean over averages, axes (coil, phase axes, kx), without oversampling; zero where not measured."""

    counts: Tensor
    """How often every readout was measured, axes (phase axes); int64."""

    readout: range | None = None
    """As `raki.data.scan.Scan.readout`."""

    @property
    def held(self) -> Tensor:
        """Which readouts were measured, boolean, axes (phase axes)."""
        return self.counts > 0


def placed(lines: Acquisitions, chosen: np.ndarray, grid: Grid, name: str) -> Placed:
    """Place the chosen acquisitions, boolean with axes (acquisition,); `name` says in errors what they are.

    Raises
    ------
    ScanError
        If one lies outside the matrix, is shorter than what is to be discarded of it, was measured by another number
        of coils, holds NaN, or is there twice with the same counters; or if a coil has lines of zeros.
    """
    if not grid.is_volume:
        return _slice(lines, np.flatnonzero(chosen), grid, name)
    partitions, n_coils = grid.partitions(lines), lines.n_coils(chosen)
    n_partitions, n_lines = grid.phase_shape
    kspace = torch.zeros(n_coils, n_partitions, n_lines, grid.n_readout, dtype=torch.complex64)
    counts, reached = torch.zeros(n_partitions, n_lines, dtype=torch.int64), list[range | None]()
    for partition in np.unique(partitions[chosen]).tolist():
        here = f'{name}, partition {partition}'
        if not 0 <= partition < n_partitions:
            raise ScanError(
                f'{here} lies outside the encoded matrix of {n_partitions} partitions: give the counter of the central '
                'one with --centre KY,KZ if the header has it wrong'
            )
        positions = np.flatnonzero(chosen & (partitions == partition))
        own = _slice(lines, positions, grid, here)
        kspace[:, partition], counts[partition] = own.kspace, own.counts
        reached.append(own.readout)
    return Placed(kspace, counts, _hull(reached))


def joined(first: Placed, second: Placed) -> Placed:
    """The first, and the second where the first was not measured."""
    kspace = torch.where(first.held[..., None], first.kspace, second.kspace)
    counts = torch.where(first.held, first.counts, second.counts)
    return Placed(kspace, counts, _hull([first.readout, second.readout]))


def _hull(reached: Sequence[range | None]) -> range | None:
    """Samples that any of these reach; None if one reaches all."""
    known = [each for each in reached if each is not None]
    if len(known) < len(reached) or not known:
        return None
    return range(min(each.start for each in known), max(each.stop for each in known))


class Placing:
    """One slice or partition while its readouts are placed, one after the other, in any order."""

    def __init__(self, lines: Acquisitions, positions: np.ndarray, grid: Grid, name: str) -> None:
        """Take the headers of the readouts at these positions; a ScanError as `placed` where these tell."""
        n_coils, rows = lines.n_coils(positions), grid.rows(lines)
        starts, stops, skipped = _extents(lines, grid.n_samples)
        _require_inside(lines, positions, rows, starts, stops, grid, name)
        _require_different(lines, positions, rows, name)
        places = (each[positions].tolist() for each in (rows, starts, stops, skipped, lines.is_reversed))
        self._places = dict(zip(positions.tolist(), zip(*places, strict=True), strict=True))
        self._grid, self._name, n_lines = grid, name, grid.phase_shape[-1]
        self._kspace = np.zeros((n_coils, n_lines, grid.n_samples), np.complex64)
        self._counts, self._energies = np.zeros(n_lines, np.int64), np.zeros(n_lines)

    def __contains__(self, position: int) -> bool:
        """Whether this readout belongs to it."""
        return position in self._places

    def add(self, position: int, samples: np.ndarray) -> None:
        """Place the samples (coil, sample) of one readout."""
        row, start, stop, first, is_reversed = self._places[position]
        ordered = samples[:, ::-1] if is_reversed else samples
        kept, target = ordered[:, first : first + stop - start], self._kspace[:, row, start:stop]
        self._energies[row] += _energy(kept)
        if self._counts[row]:
            target += kept
        else:
            target[...] = kept
        self._counts[row] += 1

    def finished(self) -> Placed:
        """K-space once all readouts are there; a ScanError as `placed` where samples tell."""
        kspace, counts, energies = self._kspace, self._counts, self._energies
        several = counts > 1
        if several.any():
            kspace[:, several] /= counts[several, None].astype(np.float32)
        result = torch.from_numpy(kspace)
        if not np.isfinite(energies).all():
            result = finite(result, self._name)
            kspace, energies = result.numpy(), (result != 0).any(-1).any(0).numpy()
        _require_whole(kspace, counts > 0, self._name)
        is_measured = lines_with_samples(torch.from_numpy(energies != 0), torch.from_numpy(counts > 0), self._name)
        n_readout = self._grid.n_readout
        inside = without_oversampling(result, n_readout)
        return Placed(inside, torch.from_numpy(counts) * is_measured, reached_readout(result, n_readout))


def _slice(lines: Acquisitions, positions: np.ndarray, grid: Grid, name: str) -> Placed:
    """One slice or partition, axes (coil, ky, kx)."""
    placing = Placing(lines, positions, grid, name)
    with lines.samples(positions) as readouts:
        for position, samples in readouts:
            placing.add(position, samples)
    return placing.finished()


def _extents(lines: Acquisitions, n_samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and last but one place in the readout of every acquisition, and how many of its samples are skipped.

    The echo lies at n//2. Read out backwards, sample s lies at n - 1 - s, and so does the echo: of an even number of
    samples with the echo at n//2, the last lies one beyond the matrix, where it is cut off.
    """
    names = ('number_of_samples', 'discard_pre', 'discard_post', 'center_sample')
    size, before, after, echo = (lines.head[name].astype(int) for name in names)
    skipped = np.where(lines.is_reversed, after, before)
    starts = n_samples // 2 + skipped - np.where(lines.is_reversed, size - 1 - echo, echo)
    stops = starts + size - before - after
    return starts, np.where(lines.is_reversed & (stops == n_samples + 1), n_samples, stops), skipped


def _require_inside(
    lines: Acquisitions,
    positions: np.ndarray,
    rows: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    grid: Grid,
    name: str,
) -> None:
    n_lines = grid.phase_shape[-1]
    empty = positions[stops[positions] <= starts[positions]]
    if len(empty):
        head = lines.head[empty[0]]
        raise ScanError(
            f'{name}: acquisition {lines.number_of(empty)[0]} has {head["number_of_samples"]} samples, of which '
            f'{head["discard_pre"]} before and {head["discard_post"]} after are to be discarded: nothing is left'
        )
    row, start, stop = rows[positions], starts[positions], stops[positions]
    outside = (row < 0) | (row >= n_lines) | (start < 0) | (stop > grid.n_samples)
    if outside.any():
        which = int(positions[outside][0])
        line, number = rows[which], lines.number_of(np.array(which))
        advice = ': give the counter of the central line with --centre KY if the header has it wrong'
        raise ScanError(
            f'{name}: acquisition {number} (line {line}, samples {starts[which]} to {stops[which] - 1}) '
            f'lies outside the encoded matrix of {n_lines} lines x {grid.n_samples} samples'
            f'{"" if 0 <= line < n_lines else advice}'
        )


def _require_different(lines: Acquisitions, positions: np.ndarray, rows: np.ndarray, name: str) -> None:
    """Refuse image lines that no counter sets apart; calibration is often measured more than once."""
    image = positions[lines.is_image[positions]]
    names = ('average', 'segment', *LABELS)  # repetitions may train together
    counters = np.stack([rows[image], *(lines.index(each)[image].astype(int) for each in names)])
    kinds, counts = np.unique(counters, axis=1, return_counts=True)
    if (counts > 1).any():
        row = kinds[0][counts > 1][0]
        raise ScanError(
            f'{name}: line {row} was measured twice with the same counters: number repetitions or averages, '
            'or leave one of them out'
        )


def _energy(samples: np.ndarray) -> float:
    """Energy of a readout (coil, sample), not finite where a sample is not; 0 only where all samples are."""
    numbers = np.ascontiguousarray(samples).reshape(-1).view(np.float32)
    with np.errstate(over='ignore'):
        return float(np.dot(numbers, numbers)) or float(samples.any())


def _require_whole(kspace: np.ndarray, measured: np.ndarray, name: str) -> None:
    """Refuse a coil that holds exact zeros in half of the readout on many lines where others hold samples.

    A receiver never delivers them; a coil of zeros only is another matter. Few samples show it, all of them prove it.
    """
    n_half = kspace.shape[-1] // 2
    shown = slice(n_half // 2, None, max(1, n_half // SHOWN))
    for half in (kspace[..., :n_half], kspace[..., n_half:]):
        if not _lost(half[..., shown], kspace[..., shown], measured).size:
            continue
        for coil in _lost(half, kspace, measured)[:1].tolist():
            lines = np.flatnonzero(measured & ~half[coil].any(axis=-1))
            raise ScanError(
                f'{name}: coil {coil} holds zeros on {len(lines)} of {int(measured.sum())} lines, the first is line '
                f'{lines[0]}, where other coils hold samples: the file is damaged'
            )


def _lost(samples: np.ndarray, whole: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Which coils of samples (coil, line, readout) have none on many lines where others have some, but some in all."""
    held = np.asarray(samples[:, measured].any(axis=-1))
    suspects = np.flatnonzero(np.mean(~held & held.any(axis=0), axis=1) > DAMAGED_PART)
    return suspects[whole[suspects].any(axis=(1, 2))]
