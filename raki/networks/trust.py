"""How far a network may lead away from the linear map, judged by the scan's own measured lines.

The squared error of start + share * step is a parabola in the share; its minimum is <step, truth - start> / |step|^2.
Two things move it. Noise: a step that lets less noise through is worth -cov(step, start) / |step|^2 (Stein 1981), which
needs no truth, only measured lines and their noise power, and is evaluated where it matters, in the object of the
combined image of the very lines to fill in. Misfit: what of the start's error is not noise. It shows on rows of the
ACS that are left out in turn, as the difference between the best share there and what noise alone would make it; it
may hold the network back, but never drive it on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from raki.fourier import image_from_kspace
from raki.interpolation.fit import Calibration, PatchMap
from raki.interpolation.linear import LinearMap
from raki.interpolation.moments import calibration_targets
from raki.interpolation.tuning import Tuned, row_blocks
from raki.networks.gated import patch_power

OBJECT = 0.1
"""Least magnitude of what counts as object, relative to the largest [1], as in `raki.evaluation.metrics`."""

MIN_SHARE = 0.01
"""Below this a network is left out altogether [1]."""

N_BINS = 16
"""Groups of patches of similar power, in which ACS and lattice are compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """What the scan says about how far to go, each a share of the whole step [1]."""

    noise: float
    """Where the noise that the step saves is worth it, on the lines to fill in."""

    held_out: float
    """The best on rows of the ACS that were not learnt from."""

    expected: float
    """What noise alone would make of `held_out`."""

    @property
    def trusted(self) -> float:
        """How far to go, 0 to 1."""
        return min(max(self.noise + min(0.0, self.held_out - self.expected), 0.0), 1.0)


def shares(calibration: Calibration, tuned: Tuned, networks: 'Folds', draws: 'Draws') -> Shares:
    """Judge a network against the linear map that it starts from.

    Parameters
    ----------
    calibration
        The scan's ACS and its lattice lines.
    tuned
        The linear map.
    networks
        The network, learnt from all rows and without each block of them.
    draws
        Noise that tells how much of it the network saves.
    """
    if calibration.lines is None or calibration.missing is None:
        raise ValueError('a network is judged by the lines that it is to fill in, got none')
    linear = LinearMap(tuned.weights.to(torch.complex64), tuned.kernel)
    combine = _Combination.of(calibration.lines, linear, calibration.missing, calibration.acs.shape[1])
    noise = _share_of_noise(calibration.lines, linear, networks, combine, draws)
    weight = _weight(calibration.acs, calibration.lines, calibration.acceleration, tuned)
    held_out = _share_on_held_out_rows(calibration, tuned, networks, weight)
    return Shares(noise, held_out, _share_expected_there(calibration, linear, networks, weight))


class Goal(Protocol):
    """A network that knows what it makes of noise."""

    def __call__(self, kspace: Tensor, dilation: int, /) -> Tensor:
        """Predict, see `raki.interpolation.fit.PatchMap`."""
        ...

    def held(self, kspace: Tensor, dilation: int) -> PatchMap:
        """The linear map, over the reals, that equals the network at lines (coil, line, readout)."""
        ...

    def noise_overlap(self, kspace: Tensor, dilation: int, start: LinearMap) -> Tensor:
        """Covariance of noise that passes `held` with that of a linear map, real part, summed over targets.

        Returns
        -------
        Axes (line, readout) [unit of k-space squared].
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """One network, and what it would be without each block of rows."""

    whole: Goal
    """From all rows of the ACS."""

    without: tuple[PatchMap, ...]
    """Without the rows of each of `raki.interpolation.tuning.row_blocks`."""

    noise: float
    """Noise power of a sample [unit of k-space squared]."""


@dataclass(frozen=True, slots=True)
class Draws:
    """Draws of white noise."""

    number: int
    """How many."""

    seed: int
    """Seed of them; the global random state is neither read nor changed."""

    def like(self, kspace: Tensor, power: float) -> Iterator[Tensor]:
        """One after the other, the same on every device."""
        generator = torch.Generator().manual_seed(self.seed)
        for _ in range(self.number):
            yield power**0.5 * torch.randn(kspace.shape, dtype=kspace.dtype, generator=generator).to(kspace.device)


def _share_of_noise(lines: Tensor, linear: LinearMap, networks: Folds, combine: '_Combination', draws: Draws) -> float:
    held = networks.whole.held(lines, 1)
    step = combine.in_phase(held(lines, 1) - linear(lines, 1))
    saved = 0.0
    for noise in draws.like(lines, networks.noise):
        passed = linear(noise, 1)
        change = held(noise, 1) - passed
        saved -= float((combine.in_phase(change) * combine.in_phase(passed)).sum()) / draws.number
    return _ratio(saved, float(step.square().sum()))


def _share_on_held_out_rows(calibration: Calibration, tuned: Tuned, networks: Folds, weight: Tensor) -> float:
    """Best share of the step on rows that neither map was learnt from; 0 where there is one block only."""
    blocks, rows = tuned.blocks, row_blocks(calibration, tuned.kernel)
    if len(blocks) < 2:
        return 0.0
    acs, acceleration = calibration.acs, calibration.acceleration
    total = sum(blocks[1:], blocks[0])
    targets = calibration_targets(acs, acceleration, tuned.kernel).permute(2, 3, 0, 1)
    towards = length = 0.0
    for block, inside, network in zip(blocks, rows, networks.without, strict=True):
        weights = (total - block).solve(tuned.regularization).to(torch.complex64)
        chosen = slice(inside.start, inside.stop)
        start = LinearMap(weights, tuned.kernel)(acs, acceleration)[:, :, chosen]
        step = network(acs, acceleration)[:, :, chosen] - start
        counts = weight[chosen]
        missed = (targets[:, :, chosen] - start).to(torch.complex128)
        towards += float((counts * (step.conj() * missed).real).sum())
        length += float((counts * _squares(step)).sum())
    return _ratio(towards, length)


def _share_expected_there(calibration: Calibration, linear: LinearMap, networks: Folds, weight: Tensor) -> float:
    acs, acceleration = calibration.acs, calibration.acceleration
    step = networks.whole.held(acs, acceleration)(acs, acceleration) - linear(acs, acceleration)
    through_both = networks.whole.noise_overlap(acs, acceleration, linear)
    through_start = networks.noise * float(_squares(linear.weights).sum())
    saved = float((weight * (through_start - through_both)).sum())
    return _ratio(saved, float((weight * _squares(step)).sum()))


def _weight(acs: Tensor, lines: Tensor, acceleration: int, tuned: Tuned) -> Tensor:
    """How much positions of the kernel in the ACS count, axes (line, readout).

    As much as their equations did, times how much more often patches of such power occur on the lattice.
    """
    power = patch_power(acs, tuned.kernel, acceleration)
    wanted = patch_power(lines, tuned.kernel, 1).flatten()
    edges = torch.quantile(power.flatten(), torch.linspace(0, 1, N_BINS + 1)[1:-1].to(power))
    bins = torch.bucketize(power, edges)
    there = torch.bincount(torch.bucketize(wanted, edges), minlength=N_BINS)
    here = torch.bincount(bins.flatten(), minlength=N_BINS).clamp(min=1)
    return (there / here)[bins] * tuned.misfit.weight(power)


@dataclass(frozen=True, slots=True, eq=False)
class _Combination:
    """Coil combination of missing lines into the object, in phase with it."""

    weights: Tensor
    """Axes (coil, y, x)."""

    inside: Tensor
    """The object, bool, axes (y, x)."""

    missing: Tensor
    """Which lines count, bool, axes (missing line, gap, 1)."""

    @classmethod
    def of(cls, lines: Tensor, linear: LinearMap, missing: Tensor, n_centre: int) -> '_Combination':
        """Matched to the centre of k-space, n_centre samples wide, as the linear map fills it."""
        predicted, before = linear(lines, 1), linear.kernel.before
        n_gaps, margin = predicted.shape[2], linear.kernel.readout // 2
        inside = torch.nn.functional.pad(predicted, (margin, lines.shape[2] - predicted.shape[3] - margin))
        measured = lines[:, None, before - 1 : before - 1 + n_gaps]
        full = torch.cat([measured, inside], dim=1).transpose(1, 2).flatten(1, 2)
        images = image_from_kspace(full * _window(full, n_centre))
        magnitude = torch.linalg.vector_norm(images, dim=0)
        weights = images.conj() / magnitude.clamp(min=torch.finfo(magnitude.dtype).tiny)
        return cls(weights, magnitude > OBJECT * magnitude.max(), missing[before : before + n_gaps].mT[:, :, None])

    def in_phase(self, missing: Tensor) -> Tensor:
        """Of missing samples (coil, missing line, gap, readout), float64, axes (pixel of the object,)."""
        lines = torch.nn.functional.pad((missing * self.missing).transpose(1, 2), (0, 0, 1, 0)).flatten(1, 2)
        width = self.weights.shape[2] - missing.shape[3]
        images = image_from_kspace(torch.nn.functional.pad(lines, (width // 2, width - width // 2)))
        return (self.weights * images).sum(0).real[self.inside].double()


def _window(kspace: Tensor, size: int) -> Tensor:
    """Hann window of this size along lines and readout around the brightest line and column, axes (line, readout)."""
    power = torch.view_as_real(kspace).double().square().sum(-1).sum(0)
    axes = [
        torch.cos((torch.arange(len(along)).to(along) - int(along.argmax())).div(size).clamp(-0.5, 0.5) * torch.pi)
        for along in (power.sum(1), power.sum(0))
    ]
    return torch.outer(axes[0], axes[1]).square().float()


def _squares(values: Tensor) -> Tensor:
    return torch.view_as_real(values).double().square().sum(-1)


def _ratio(towards: float, length: float) -> float:
    """Share of a step of this squared length; 0 of none."""
    return towards / length if length > 0 else 0.0
