"""Look at the samples of a slab before anything is learnt from them, and do about damage what the user wants."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raki.data.damage.lines import MeasuredLines
from raki.data.damage.misplaced import misplaced
from raki.data.damage.order import about_order
from raki.data.damage.repair import repaired
from raki.data.damage.repeats import repeated
from raki.data.damage.spikes import spikes
from raki.data.damage.values import about_coils, about_noise
from raki.data.damage.zeros import lost
from raki.errors import ScanError

REMEDY = '--spikes drop replaces them by what their neighbours predict'

LOST = 'are exactly zero, in a row, where the scan has samples (a lost block)'
MISPLACED = 'are not what the other coils hold there (a block of another place, or of another coil)'
REPEATED = 'are in runs that occur twice, bit for bit, which no receiver delivers (a block that was overwritten)'
STAY_ZERO = '{} damaged sample(s) stay zero: all coils lost them, and the lines next to theirs were not measured'
ANEW = 'fetch the file from where it came from again'


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """K-space as it is to be reconstructed, and what was found in it."""

    kspace: Tensor
    """Axes (coil, phase axes, kx)."""
    findings: tuple[str, ...] = ()
    """One sentence each."""


Policy = Callable[[Tensor, Tensor, Tensor | None], Examined]
"""From k-space (coil, phase axes, kx), the mask on its phase axes and noise samples (coil, sample) to what is used."""


def warned(kspace: Tensor, mask: Tensor, noise: Tensor | None) -> Examined:
    """Tell of damage, and use k-space as it is.

    Raises
    ------
    ScanError
        If a damaged sample holds more energy than all else of its coil: no image would show anything else.
    """
    lines = MeasuredLines.of(kspace, mask)
    damage = _Damage.of(lines)
    damage.require_bearable()
    return Examined(kspace, (*damage.told(REMEDY), *_about_all(damage, noise)))


def dropped(kspace: Tensor, mask: Tensor, noise: Tensor | None) -> Examined:
    """Replace damaged samples by what those around them predict, and tell so."""
    lines = MeasuredLines.of(kspace, mask)
    damage = _Damage.of(lines)
    found, left = damage.told('replaced by what their neighbours predict'), list[str]()
    if bool(damage.every.any()):
        mended = repaired(lines, damage.every)
        left = [STAY_ZERO.format(n)] if (n := int((damage.every & (mended == 0)).sum())) else []
        kspace = kspace.clone()
        kspace[:, mask.to(kspace.device)] = mended
    return Examined(kspace, (*found, *left, *_about_all(damage, noise)))


def kept(kspace: Tensor, mask: Tensor, noise: Tensor | None) -> Examined:
    """Use k-space as it is, and tell nothing."""
    del mask, noise
    return Examined(kspace)


POLICIES: Mapping[str, Policy] = {'warn': warned, 'drop': dropped, 'keep': kept}
"""All, by the names of the command line."""


def _about_all(damage: '_Damage', noise: Tensor | None) -> tuple[str, ...]:
    """What is odd beyond single samples; spikes and lost blocks, told already, are not asked for an order."""
    return (*about_coils(damage.lines, noise), *about_order(damage.clean), *about_noise(noise))


@dataclass(frozen=True, slots=True, eq=False)
class _Damage:
    """Single samples that are wrong."""

    lines: MeasuredLines
    clean: MeasuredLines
    """The same with spikes and lost blocks replaced by what their neighbours predict."""
    spikes: Tensor
    """Boolean, axes (coil, measured line, kx)."""
    lost: Tensor
    """Boolean, axes as those of `spikes`."""
    repeated: Tensor
    """Boolean, axes as those of `spikes`. Which of two copies is the true one, nobody knows, so that both stay."""
    misplaced: Tensor
    """Boolean, axes as those of `spikes`."""

    @classmethod
    def of(cls, lines: MeasuredLines) -> '_Damage':
        single, absent = spikes(lines), lost(lines)
        known = single | absent
        clean = replace(lines, samples=repaired(lines, known)) if bool(known.any()) else lines
        return cls(lines, clean, single, absent, repeated(lines), misplaced(clean) & ~known)

    @property
    def every(self) -> Tensor:
        return self.spikes | self.lost | self.misplaced

    def told(self, remedy: str) -> list[str]:
        """What was found, one sentence each."""
        found = []
        if bool(self.spikes.any()):
            n_spikes = int(self.spikes.sum())
            magnitude = torch.where(self.spikes, self.lines.samples.abs(), 0)
            place = self._place(int(magnitude.argmax()))
            found.append(
                f'{n_spikes} sample(s) of k-space stand out from all around them as no signal does (a spike of the '
                f'scanner, or a flipped bit), the largest in {place}: {remedy}'
            )
        for damaged, what in ((self.lost, LOST), (self.misplaced, MISPLACED), (self.repeated, REPEATED)):
            if bool(damaged.any()):
                place = self._place(int(damaged.flatten().int().argmax()))
                found.append(f'{int(damaged.sum())} samples of k-space {what}, the first in {place}: ')
                found[-1] += ANEW if damaged is self.repeated else remedy
        return found

    def require_bearable(self) -> None:
        """Raise a ScanError if a spike holds more energy than all else of its coil."""
        if not bool(self.spikes.any()):
            return
        power = self.lines.samples.abs().double().square()
        of_spikes = torch.where(self.spikes, power, 0).flatten(1)
        beside = power.flatten(1).sum(1) - of_spikes.sum(1)
        if bool((of_spikes.amax(1) > beside).any()):
            coil = int((of_spikes.amax(1) > beside).nonzero()[0])
            place = self._place(coil * of_spikes.shape[1] + int(of_spikes[coil].argmax()))
            raise ScanError(
                f'a sample in {place} is as large as all others of its coil together (a spike of the scanner, or a '
                f'flipped bit): {REMEDY}, --spikes keep takes them as they are'
            )

    def _place(self, index: int) -> str:
        n_lines, size = self.spikes.shape[1:]
        coil, rest = divmod(index, n_lines * size)
        return self.lines.place(coil, rest // size, rest % size)
