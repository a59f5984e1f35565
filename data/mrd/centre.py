"""Which counters go through the centre of k-space: converters often state the wrong ones for partial Fourier scans.

Three sources are compared: the header's limits, what Siemens' converter writes into every line (user[5] and user[6]),
and, where the lines do not fill the matrix, the energy of k-space, which has its peak in the centre.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raki.data.mrd.acquisitions import Acquisitions
from raki.data.mrd.header import Header
from raki.data.notes import Note

STEPS = ('kspace_encode_step_1', 'kspace_encode_step_2')
USER = (5, 6)
"""Places among the user counters where Siemens' converter writes the central line and partition."""

NEAR, NEAR_PART = 2, 32
"""An energy peak as near to where it is said to be says nothing, for shims move it: so many lines, or one in so many of
the matrix, whichever is more [line]."""

PEAK, BESIDE = 4.0, 0.05
"""What makes a peak unmistakable: its energy over that of the stated centre and of the median line, and the energy of a
neighbour over its own, for a spike has none [1]."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What is known about one phase axis."""

    name: str
    """`line` or `partition`."""
    size: int
    """Of the encoded matrix."""
    stated: int | None
    """Centre by the header."""
    written: int | None
    """Centre by the lines themselves."""
    counters: np.ndarray
    """Counters that were measured, ascending."""

    def fits(self, centre: int) -> bool:
        """Whether all lines lie in the matrix with this centre."""
        first, last = (int(self.counters[end]) + self.size // 2 - centre for end in (0, -1))
        return first >= 0 and last < self.size

    @property
    def spacing(self) -> int:
        """Widest gap between lines."""
        return int(np.diff(self.counters).max(initial=1))

    @property
    def is_full(self) -> bool:
        """Whether lines fill the matrix, up to a margin narrower than their spacing."""
        return int(self.counters[-1] - self.counters[0]) + self.spacing >= self.size

    @property
    def only(self) -> int | None:
        """The one centre with which all lines lie in the matrix."""
        lowest = int(self.counters[-1]) - (self.size - 1) + self.size // 2
        return lowest if lowest == int(self.counters[0]) + self.size // 2 else None

    @property
    def usual(self) -> list[int]:
        """Centres that scans mostly have: n//2, and that with which the last line is the last of the matrix.

        The latter not where lines are spaced: their last may not be the last that was meant.
        """
        last = int(self.counters[-1]) - (self.size - 1) + self.size // 2
        return [self.size // 2, *([last] if int(np.diff(self.counters[-2:]).max(initial=1)) == 1 else [])]


def centre_of(header: Header, lines: Acquisitions, given: Sequence[int] = ()) -> tuple[tuple[int, int], list[Note]]:
    """Counters (ky, kz) of the centre, and notes on where they are from; `given`, (ky,) or (ky, kz), wins."""
    found, notes = [], []
    for number in range(header.first.n_axes - 1):
        axis = _axis(header, lines, number)
        if number < len(given):
            centre, why = given[number], 'as asked for'
        else:
            centre, why = _decided(axis, lines, number, tuple(found))
        found.append(centre)
        says = 'nothing' if axis.stated is None else axis.stated
        text = f'{axis.name} {centre} is taken as the centre of k-space, {why}; the header says {says}'
        notes += [Note(text, is_caution=number >= len(given))] if why else []
    return (found[0], found[1] if len(found) > 1 else 0), notes


def _axis(header: Header, lines: Acquisitions, number: int) -> Axis:
    first, image = header.first, lines.is_image
    return Axis(
        ('line', 'partition')[number],
        first.encoded.matrix[number + 1],
        (first.ky_centre, first.kz_centre)[number],
        _written(header, lines, number),
        np.unique(lines.index(STEPS[number])[image].astype(int)),
    )


def _written(header: Header, lines: Acquisitions, number: int) -> int | None:
    """Centre that every line states alike; None where there is none, or another vendor's file."""
    values = np.unique(lines.index('user')[lines.is_image, USER[number]])
    vendor = header.facts.get('vendor', 'siemens').lower()
    return int(values[0]) if len(values) == 1 and values[0] > 0 and 'siemens' in vendor else None


def _decided(axis: Axis, lines: Acquisitions, number: int, found: tuple[int, ...]) -> tuple[int, str]:
    """The centre, and why it is not simply the header's; empty if it is."""
    middle = axis.size // 2
    claimed, why = (middle if axis.stated is None else axis.stated), ''
    if axis.written is not None and axis.written != claimed and axis.fits(axis.written):
        claimed, why = axis.written, f'because lines say so themselves (user[{USER[number]}])'
    is_agreed = axis.written is not None and axis.written == axis.stated
    if (axis.is_full or is_agreed) and axis.fits(claimed):
        return claimed, why
    if axis.only is not None:
        return axis.only, f'because with any other some of the {axis.size} {axis.name}s lie outside the matrix'
    near = max(NEAR, axis.size // NEAR_PART)
    peak = _peak(*_energies(lines, number, found), claimed, near)
    if peak is None:
        return claimed, why or ('the middle of the matrix' if axis.stated is None else '')
    others = [*axis.usual, *(own for own in (axis.stated, axis.written) if own is not None)]
    close = [other for other in others if abs(other - peak) <= near and axis.fits(other)]
    centre = min(close, key=lambda other: abs(other - peak), default=peak)
    return centre, f'because the energy of k-space has its peak at {peak} and not at {claimed}'


def _energies(lines: Acquisitions, number: int, found: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Counters along an axis of the middle slab's first frame, and the energy of their lines.

    Along ky in the middle partition, along kz through the central line.
    """
    chosen = _middle_slab(lines)
    across = lines.index(STEPS[1 - number]).astype(int)
    values = np.unique(across[chosen])
    centre = found[0] if found else values[len(values) // 2]
    chosen &= across == values[np.abs(values - centre).argmin()]
    counters = lines.index(STEPS[number]).astype(int)
    energies: dict[int, float] = {}
    with lines.samples(np.flatnonzero(chosen)) as readouts:
        for position, samples in readouts:
            energy = float(np.vdot(samples, samples).real)
            energies[counters[position]] = max(energy, energies.get(counters[position], 0.0))
    ordered = sorted(energies)
    return np.array(ordered), np.array([energies[counter] for counter in ordered])


def _middle_slab(lines: Acquisitions) -> np.ndarray:
    """Image and calibration lines of the first encoding, of the middle slab, of the first frame that it has."""
    image, slabs = lines.is_image, lines.index('slice')
    counters = np.unique(slabs[image])
    own = (image | lines.is_calibration) & (slabs == counters[len(counters) // 2])
    own &= lines.head['encoding_space_ref'] == 0
    labels = lines.labels()
    return own & (labels == labels[own & image][0]).all(axis=1)


def _peak(counters: np.ndarray, energies: np.ndarray, claimed: int, near: int) -> int | None:
    """Counter of an unmistakable peak that is elsewhere than claimed; None where there is none."""
    at = int(energies.argmax())
    has_neighbours = 0 < at < len(counters) - 1 and counters[at + 1] - counters[at - 1] == 2
    if not has_neighbours or abs(counters[at] - claimed) <= near:
        return None
    beside = max(energies[at - 1], energies[at + 1])
    there = energies[np.abs(counters - claimed) <= 1].max(initial=0.0)
    is_high = energies[at] > PEAK * max(there, np.median(energies))
    return int(counters[at]) if is_high and beside > BESIDE * energies[at] else None
