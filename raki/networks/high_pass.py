"""High-pass weighting: k-space is made as bright everywhere as at its edge, learnt and filled in so, and divided back.

The weight of a sample is one over the square root of the mean power of ACS samples at the same distance from the centre
of k-space, so that no few samples decide what a network learns. Distances are in samples, so the fields of view along
lines and readout are taken to be equal; power never rises with the distance, and beyond the ACS it stays as it is.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raki.interpolation.fit import Linearizable, PatchMap
from raki.interpolation.kernel import Kernel
from raki.interpolation.place import Place


@dataclass(frozen=True, slots=True, eq=False)
class HighPass:
    """A weight for every sample from the first to the last lattice line."""

    weights: Tensor
    """Axes (line, readout) [1]; 1 at the centre, larger outside."""

    place: Place
    """Where the ACS is among these lines."""

    @classmethod
    def of(cls, place: Place) -> 'HighPass':
        """As the module says."""
        n_lines = (place.lines.shape[1] - 1) * place.acceleration + 1
        power = torch.view_as_real(place.acs).square().sum(-1).mean(0)
        centre = place.start + int(power.sum(1).argmax()), int(power.sum(0).argmax())
        distance = _distance(n_lines, place.acs.shape[2], centre).to(power.device)
        size = power.shape[0]
        profile = _profile(power, distance[place.start : place.start + size])
        weights = (profile[0] / profile).sqrt()
        return cls(weights[distance.clamp(max=len(profile) - 1)], place)

    @property
    def of_acs(self) -> Tensor:
        """Weights of the ACS, axes (line, readout)."""
        return self.weights[self.place.start : self.place.start + self.place.acs.shape[1]]

    @property
    def of_lattice(self) -> Tensor:
        """Weights of the lattice lines, axes (line, readout)."""
        return self.weights[:: self.place.acceleration]

    def of_missing(self, kernel: Kernel) -> Tensor:
        """Weights of what a kernel predicts, axes (missing line, gap, readout)."""
        rate, columns = self.place.acceleration, self.weights.shape[1] - kernel.readout + 1
        n_gaps = self.place.lines.shape[1] - kernel.lines + 1
        gaps = self.weights[(kernel.before - 1) * rate :][: n_gaps * rate].unflatten(0, (n_gaps, rate))[:, 1:]
        return gaps.transpose(0, 1)[..., kernel.readout // 2 : kernel.readout // 2 + columns]


@dataclass(frozen=True, slots=True, eq=False)
class HighPassMap:
    """A patch map of weighted k-space as one of k-space; of the lattice lines that its weights are for."""

    patch_map: PatchMap
    """From weighted lines to weighted missing samples."""

    high_pass: HighPass
    """The weights."""

    kernel: Kernel
    """Extent of the map."""

    def __call__(self, kspace: Tensor, dilation: int = 1) -> Tensor:
        """Predict, see `raki.interpolation.fit.PatchMap`."""
        if kspace.shape[1:] != self.high_pass.of_lattice.shape or dilation != 1:
            raise ValueError(
                f'high-pass weights are for the {tuple(self.high_pass.of_lattice.shape)} samples (line, readout) of a '
                f'lattice, got {tuple(kspace.shape[1:])} at a distance of {dilation}'
            )
        missing = self.patch_map(kspace * self.high_pass.of_lattice, dilation)
        return missing / self.high_pass.of_missing(self.kernel)

    def linearized(self, kspace: Tensor, dilation: int = 1) -> PatchMap:
        """The derivative at these lines."""
        if not isinstance(self.patch_map, Linearizable):
            raise TypeError(f'{type(self.patch_map).__name__} does not know its derivative')
        return replace(self, patch_map=self.patch_map.linearized(kspace * self.high_pass.of_lattice, dilation))


def _distance(n_lines: int, n_readout: int, centre: tuple[int, int]) -> Tensor:
    """Distance of every sample from the centre, rounded, axes (line, readout)."""
    lines, samples = torch.arange(n_lines) - centre[0], torch.arange(n_readout) - centre[1]
    return torch.hypot(lines[:, None].double(), samples.double()).round().long()


def _profile(power: Tensor, distance: Tensor) -> Tensor:
    """Mean power at each distance, axes (distance,): never rising, never zero."""
    counts = torch.bincount(distance.flatten())
    total = torch.bincount(distance.flatten(), weights=power.flatten().double())
    mean = torch.where(counts > 0, total / counts.clamp(min=1), torch.inf)
    falling = mean.cummin(0).values
    return falling.clamp(min=float(falling[0]) * torch.finfo(torch.float32).eps).float()
