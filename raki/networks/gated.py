"""A three-layer network in closed form: analyse each patch, let through what rises above the noise, synthesise.

Ridge regression holds every patch back alike, but what a patch is worth depends on where it lies: the bright centre of
k-space hardly needs a ridge, the dim periphery a strong one. If the sources of a patch of power s hold signal of
covariance s C and white noise, the best linear estimate of what is missing has a ridge of noise / s. In the basis of
C, a first layer, this is one factor per channel, a gate that opens with the local power; a second layer of gates makes
the map nonlinear, a third one adds the channels up. All weights follow from the second moments of the ACS.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from raki.interpolation.fit import PatchMap
from raki.interpolation.kernel import Kernel
from raki.interpolation.linear import LinearMap, NormalEquations

NEIGHBOURS = Kernel(lines=3, readout=9)
"""Patches around one, over which its power is averaged: a single one is too noisy to judge itself."""

LEAST_EXCESS = 0.01
"""Least power above the noise that is told apart from none, relative to the noise [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class GatedNetwork:
    """Analysis, gates and synthesis: a patch map that knows how noisy each patch is."""

    kernel: Kernel
    """The extent of a patch."""

    analysis: Tensor
    """From sources to channels, complex64, axes (source, channel), see `raki.interpolation.linear.LinearMap`."""

    energy: Tensor
    """Signal in a channel per unit of local power, and the ridge, float32, axes (channel,) [1]."""

    synthesis: Tensor
    """From channels to missing samples, complex64, axes (channel, target)."""

    noise: float
    """Noise power of a sample [unit of k-space squared]."""

    @classmethod
    def solved(cls, equations: NormalEquations, weight: float, ridge: float, noise: float) -> 'GatedNetwork | None':
        """All layers from weighted equations, None where they hold no signal above the noise.

        Parameters
        ----------
        equations
            Of the ACS, weighted.
        weight
            Sum of their weights.
        ridge
            Ridge weight that remains without noise, relative to the mean energy of a source sample [1].
        noise
            Noise power of a sample.
        """
        mean_energy = equations.n_equations * equations.source_power
        signal = mean_energy - noise * weight
        if not signal > 0:
            return None
        gram = equations.gram - noise * weight * torch.eye(len(equations.gram)).to(equations.gram)
        energy, basis = torch.linalg.eigh(gram / signal)
        damped = energy.clamp(min=0) + ridge * mean_energy / signal
        synthesis = basis.mH @ equations.cross / signal
        analysis, synthesis = (layer.to(torch.complex64) for layer in (basis, synthesis))
        return cls(equations.kernel, analysis, damped.float(), synthesis, noise)

    def __call__(self, kspace: Tensor, dilation: int = 1) -> Tensor:
        """Predict, see `raki.interpolation.fit.PatchMap`."""
        return self.through(self.gates(kspace, dilation), kspace, dilation)

    def gates(self, kspace: Tensor, dilation: int) -> Tensor:
        """What each channel is multiplied with, axes (channel, line, readout)."""
        power = smoothed(patch_power(kspace, self.kernel, dilation), dilation)
        excess = (power - self.noise).clamp(min=LEAST_EXCESS * self.noise)
        return 1 / (self.energy[:, None, None] + (self.noise / excess).float())

    def through(self, gates: Tensor, kspace: Tensor, dilation: int) -> Tensor:
        """Predict with gates as they are given: a linear map."""
        channels = LinearMap(self.analysis, self.kernel)(kspace, dilation).flatten(0, 1)
        missing = self.synthesis.mT @ (channels * gates).flatten(1)
        return missing.view(len(kspace), -1, *gates.shape[1:])

    def held(self, kspace: Tensor, dilation: int) -> PatchMap:
        """The linear map that equals the network at these lines: gates stay as they are there."""
        return partial(self.through, self.gates(kspace, dilation))

    def noise_overlap(self, kspace: Tensor, dilation: int, start: LinearMap) -> Tensor:
        """See `raki.networks.trust.Goal`."""
        shared = (self.synthesis.conj() * (self.analysis.mH @ start.weights.to(self.analysis))).real.sum(1)
        return self.noise * torch.tensordot(shared, self.gates(kspace, dilation), dims=1)


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """A part of the way from one patch map to another."""

    start: PatchMap
    """Where it begins."""

    goal: PatchMap
    """Where it leads."""

    share: float
    """How far, 0 to 1."""

    def __call__(self, kspace: Tensor, dilation: int = 1) -> Tensor:
        """Predict, see `raki.interpolation.fit.PatchMap`."""
        return torch.lerp(self.start(kspace, dilation), self.goal(kspace, dilation), self.share)


def patch_power(kspace: Tensor, kernel: Kernel, dilation: int) -> Tensor:
    """Mean |sample|^2 of every patch of lines (coil, line, readout), float64, axes (line, readout)."""
    power = torch.view_as_real(kspace).double().square().sum(-1).mean(0)  # single precision cannot hold 1e-20 squared
    window = power.new_full((1, 1, kernel.lines, kernel.readout), 1 / (kernel.lines * kernel.readout))
    return conv2d(power[None, None], window, dilation=(dilation, 1))[0, 0]


def smoothed(power: Tensor, dilation: int) -> Tensor:
    """Mean over the NEIGHBOURS that exist, axes (line, readout)."""
    padding = (NEIGHBOURS.lines // 2 * dilation, NEIGHBOURS.readout // 2)
    both = torch.stack([power, torch.ones_like(power)])[:, None]
    window = power.new_ones(1, 1, NEIGHBOURS.lines, NEIGHBOURS.readout)
    total, count = conv2d(both, window, padding=padding, dilation=(dilation, 1))[:, 0]
    return total / count
