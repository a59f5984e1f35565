"""High-pass weighting: k-space is made as bright everywhere as at its edge, learnt and filled in so, and divided back.

The weight of a sample is one over the square root of the mean power of ACS samples at the same distance from the centre
of k-space, so that no few samples decide what a network learns. Distances are in samples, so the fields of view along
lines and readout are taken to be equal; power never rises with the distance, and beyond the ACS it stays as it is.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raki.data.blocks import slices
from raki.interpolation.calibration import Calibration, Linearizable, PatchMap
from raki.interpolation.neighbours import Cells


@dataclass(frozen=True, slots=True, eq=False)
class HighPass:
    """A weight for every sample of k-space."""

    lines: Tensor
    """Axes (line, readout) [1]; 1 at the centre, larger outside."""

    of_acs: Tensor
    """Those of the ACS, axes (phase axes, readout)."""

    @classmethod
    def of(cls, calibration: Calibration) -> 'HighPass':
        """As the module says, of an ACS that is part of the k-space to fill."""
        assert calibration.sampling is not None
        power = torch.view_as_real(calibration.acs).square().sum(-1).mean(0)
        box = calibration.sampling.acs
        starts = [*(side.start for side in box), 0]
        centre = [start + _brightest(power, axis) for axis, start in enumerate(starts)]
        distance = _distance((*calibration.sampling.mask.shape, power.shape[-1]), centre).to(power.device)
        profile = _profile(power, distance[slices(box)])
        weights = (profile[0] / profile).sqrt()[distance.clamp(max=len(profile) - 1)]
        return cls(weights.flatten(0, -2), weights[slices(box)])


def _brightest(power: Tensor, axis: int) -> int:
    others = [other for other in range(power.ndim) if other != axis]
    return int(power.sum(others).argmax())


@dataclass(frozen=True, slots=True, eq=False)
class HighPassMap:
    """A patch map of weighted k-space as one of k-space."""

    patch_map: PatchMap
    """From weighted lines to weighted missing samples."""

    weights: Tensor
    """Of every sample, axes (line, readout)."""

    def __call__(self, lines: Tensor, cells: Cells) -> Tensor:
        """Predict, see `raki.interpolation.calibration.PatchMap`; of the k-space that the weights are for."""
        if lines.shape[1:] != self.weights.shape:
            wanted, got = tuple(self.weights.shape), tuple(lines.shape[1:])
            raise ValueError(f'high-pass weights are for {wanted} samples (line, readout), got {got}')
        columns = cells.neighbourhood.columns(lines.shape[-1])
        missing = cells.targets.mT.clamp(min=0).to(lines.device)
        return self.patch_map(lines * self.weights, cells) / self.weights[missing, columns.start : columns.stop]

    def linearized(self, lines: Tensor, cells: Cells) -> PatchMap:
        """The derivative at these lines."""
        if not isinstance(self.patch_map, Linearizable):
            raise TypeError(f'{type(self.patch_map).__name__} does not know its derivative')
        return replace(self, patch_map=self.patch_map.linearized(lines * self.weights, cells))


def _distance(shape: tuple[int, ...], centre: list[int]) -> Tensor:
    """Distance of every sample from the centre, rounded, axes (phase axes, readout)."""
    steps = [(torch.arange(size) - middle).double() for size, middle in zip(shape, centre, strict=True)]
    every = torch.stack(torch.meshgrid(*steps, indexing='ij'))
    return every.square().sum(0).sqrt().round().long()


def _profile(power: Tensor, distance: Tensor) -> Tensor:
    """Mean power at each distance, axes (distance,): never rising, never zero."""
    counts = torch.bincount(distance.flatten())
    total = torch.bincount(distance.flatten(), weights=power.flatten().double())
    mean = torch.where(counts > 0, total / counts.clamp(min=1), torch.inf)
    falling = mean.cummin(0).values
    return falling.clamp(min=float(falling[0]) * torch.finfo(torch.float32).eps).float()
