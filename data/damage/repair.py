"""Replace samples that are damaged by what those around them predict, learnt from the undamaged rest of the slab.

As GRAPPA fills in a line, but for one sample, and with neighbours in all directions: the two before and after it along
the readout and the next line on either side, where it was measured, in all coils. Neighbours that are damaged
themselves are left out. Lines further away tell too little: what all coils lost between them stays zero.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raki.data.damage.lines import MeasuredLines

RIDGE = 1e-4
"""Relative to the mean power of a source [1]."""

STEPS = (-1, 0, 1)
"""Along the readout, on the line itself and those beside it [sample]."""

CENTRE = STEPS.index(0)
"""Which source of a coil is the sample itself."""

MOST_PLACES = 16384
"""Places that are enough to learn from."""


def repaired(lines: MeasuredLines, damaged: Tensor) -> Tensor:
    """Samples (coil, measured line, kx) with those that are damaged, boolean, predicted; zero where nothing can be."""
    clean = torch.where(damaged, 0, lines.samples)
    result = clean.clone()
    for of_group, beside in _alike(lines, damaged):
        windows, usable = _windows(clean, beside), _windows((~damaged).to(clean.dtype), beside).real > 0
        sources = Sources.of(windows.flatten(1), usable.flatten(1), len(windows) // len(clean))
        patterns: dict[tuple[int, bytes], list[tuple[int, int]]] = {}
        for coil, line, sample in (damaged & of_group[:, None]).cpu().nonzero().tolist():
            pattern = usable[:, line, sample].cpu().numpy().tobytes()
            patterns.setdefault((coil, pattern), []).append((line, sample))
        for (coil, _), places in patterns.items():
            line, sample = torch.tensor(places, device=clean.device).mT
            result[coil, line, sample] = sources.predicted(coil, line * clean.shape[-1] + sample).to(clean)
    return result


def _alike(lines: MeasuredLines, damaged: Tensor) -> Iterator[tuple[Tensor, Sequence[Tensor]]]:
    """Damaged lines with the same neighbours, boolean (line,), and these of all lines, numbers (line,) or -1."""
    is_damaged, every = damaged.any(0).any(-1), [lines.away(step) for step in (-1, 1)]
    there = torch.stack([other >= 0 for other in every], 1)
    for group in there[is_damaged].unique(dim=0):
        beside = [other for other, is_there in zip(every, group.tolist(), strict=True) if is_there]
        yield is_damaged & (there == group).all(1), beside


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """What surrounds every sample, and what is learnt from the undamaged."""

    windows: Tensor
    """Values around every sample, axes (coil and offset, place)."""
    usable: Tensor
    """Which of them are there and undamaged, boolean, axes as those of `windows`."""
    gram: Tensor
    """Of places that have all of them, complex128, axes (coil and offset, coil and offset); zero if there are none."""
    n_offsets: int

    @classmethod
    def of(cls, windows: Tensor, usable: Tensor, n_offsets: int) -> 'Sources':
        """Learn."""
        known = windows[:, usable.all(0)]
        known = known[:, :: max(1, known.shape[1] // MOST_PLACES) | 1]
        known = (known / windows.abs().max().clamp(min=torch.finfo(torch.float32).tiny)).to(torch.complex128)
        return cls(windows, usable, known.conj() @ known.mT, n_offsets)

    def predicted(self, coil: int, places: Tensor) -> Tensor:
        """Samples of a coil at places, axes (place,), that have the same usable sources; zero if nothing tells them."""
        sources, target = self.usable[:, places[0]].nonzero().flatten(), coil * self.n_offsets + CENTRE
        part = self.gram[sources][:, sources]
        ridge = RIDGE * self.gram.diagonal().real.mean()
        if not len(sources) or not bool(ridge > 0):
            return self.windows.new_zeros(len(places))
        weights = torch.linalg.solve(part + ridge * torch.eye(len(part)).to(part), self.gram[sources, target])
        return weights @ self.windows[sources][:, places].to(weights)


def _windows(values: Tensor, beside: Sequence[Tensor]) -> Tensor:
    """Values around every sample, axes (coil and offset, measured line, kx), zero beyond the edges."""
    others = [torch.where((other >= 0)[:, None], values[:, other.clamp(min=0)], 0) for other in beside]
    parts = [_moved(each, step) for each in (values, *others) for step in STEPS]
    return torch.stack(parts, dim=1).flatten(0, 1)


def _moved(values: Tensor, step: int) -> Tensor:
    moved, size = torch.zeros_like(values), values.shape[-1]
    moved[..., max(0, -step) : size - max(0, step)] = values[..., max(0, step) : size - max(0, -step)]
    return moved
