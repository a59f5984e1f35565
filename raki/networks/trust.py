"""How far a network may lead away from the linear map, judged by the scan's own measured lines.

The squared error of start + share * step is a parabola in the share; its minimum is <step, truth - start> / |step|^2.
Noise moves it: a step that lets less noise through is worth -cov(step, start) / |step|^2 (Stein 1981), which needs no
truth, only measured lines and their noise power, and is evaluated where it matters, in the object of the combined image
of the very lines to fill in. Whether that theory holds on this scan shows on rows of the ACS that are left out in turn:
where the best share is less than noise alone would make it there, what the network takes away is not noise, and of the
step only the same part is gone. On two phase axes, where small matrices have signal everywhere and the noise that the
ACS shows comes out too high, the network goes no further than is best on those rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from raki.data.blocks import Box, slices
from raki.fourier import image_from_kspace
from raki.interpolation.calibration import Calibration, PatchMap
from raki.interpolation.least_squares import LinearMap
from raki.interpolation.neighbours import Cells
from raki.interpolation.powers import energy, patch_power, squares
from raki.interpolation.tuning import Tuned, of_all_kinds

OBJECT = 0.1
"""Least magnitude of what counts as object, relative to the largest [1]."""

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

    is_noise_certain: bool = True
    """Whether the noise power is known well enough for `noise` to lead further than held-out rows do."""

    @property
    def trusted(self) -> float:
        """How far to go, 0 to 1."""
        if not min(self.noise, self.held_out, self.expected) > 0:
            return 0.0
        limit = 1.0 if self.is_noise_certain else self.held_out
        return min(min(self.noise, 1.0) * min(self.held_out / self.expected, 1.0), limit)


def shares(calibration: Calibration, tuned: Tuned, networks: 'Folds', draws: 'Draws', final: 'Step') -> Shares:
    """Judge a network against the linear map that it starts from; `draws` tell how much noise it saves.

    Held-out rows judge networks that were learnt as the map that was tuned on the ACS; the noise is that of the final
    step.
    """
    weight = _weight(calibration, tuned)
    held_out = _share_on_held_out_rows(calibration, tuned, networks, weight)
    expected = _share_expected_there(calibration, tuned, networks.whole, weight, draws)
    noise = _share_of_noise(calibration, tuned, final, draws)
    return Shares(noise, held_out, expected, is_noise_certain=not calibration.has_two_axes)


class Goal(Protocol):
    """A network that knows what it makes of noise."""

    def __call__(self, lines: Tensor, cells: Cells, /) -> Tensor:
        """Predict, see `raki.interpolation.calibration.PatchMap`."""
        ...

    def held(self, lines: Tensor, cells: Cells) -> PatchMap:
        """The linear map, over the reals, that equals the network at lines (coil, line, readout)."""
        ...

    def noise_overlap(self, lines: Tensor, cells: Cells, start: LinearMap, noise: 'Draws') -> Tensor:
        """Covariance of noise that passes `held` with that of a linear map, real part, summed over targets.

        Axes (cell, column) [unit of k-space squared].
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """One network, and what it would be without each block of rows."""

    whole: Goal
    """From all rows of the ACS."""

    without: tuple[PatchMap, ...]
    """Without the rows of each of `raki.interpolation.calibration.Calibration.folds`."""


class Step(NamedTuple):
    """From a linear map to a network."""

    start: LinearMap
    goal: Goal


class Draws(NamedTuple):
    """Draws of white noise; the global random state is neither read nor changed."""

    power: float
    """Noise power of a sample [unit of k-space squared]."""

    number: int
    seed: int

    def like(self, kspace: Tensor) -> Iterator[Tensor]:
        """One after the other, the same on every device."""
        generator, scale = torch.Generator().manual_seed(self.seed), self.power**0.5
        for _ in range(self.number):
            yield scale * torch.randn(kspace.shape, dtype=kspace.dtype, generator=generator).to(kspace.device)


def _share_of_noise(calibration: Calibration, tuned: Tuned, step: Step, draws: Draws) -> float:
    """Where the noise that the step saves is worth it: on the lines to fill in, all coils together, in the object."""
    cells, lines, linear = calibration.lattice_cells(tuned.neighbourhood), calibration.measured, step.start
    combine = _Combination.of(calibration, cells, [(cells, linear), *_of_others(calibration, tuned)])
    held = step.goal.held(lines, cells)
    length = float(combine.in_phase(held(lines, cells).sub_(linear(lines, cells))).square().sum())
    saved, points = 0.0, calibration.points.nonzero().flatten()
    for noise in draws.like(lines[:, points]):
        everywhere = torch.zeros_like(lines).index_copy_(1, points, noise)
        passed = linear(everywhere, cells)
        change = held(everywhere, cells).sub_(passed)
        del everywhere
        saved -= float((combine.in_phase(change) * combine.in_phase(passed)).sum()) / draws.number
    return saved / length if length > 0 else 0.0


def _of_others(calibration: Calibration, tuned: Tuned) -> list[tuple[Cells, LinearMap]]:
    """Cells of other kinds, where there are any, and what fills them."""
    others = of_all_kinds(calibration, tuned)[1:]
    found = [(each.lattice_cells(first.neighbourhood), first.linear) for each, first in others]
    return [(cells, linear) for cells, linear in found if len(cells)]


def _share_on_held_out_rows(calibration: Calibration, tuned: Tuned, networks: Folds, weight: Tensor) -> float:
    """Best share of the step on rows that neither map was learnt from; 0 where there is one block only."""
    if len(tuned.folds) < 2:
        return 0.0
    lines, cells = calibration.acs_lines, calibration.cells(tuned.neighbourhood)
    targets, towards, length = cells.values(lines), 0.0, 0.0
    folds = calibration.folds(tuned.neighbourhood)
    for fold, linear, network in zip(folds, tuned.without, networks.without, strict=True):
        chosen = fold.to(lines.device)
        start = linear(lines, cells.at(fold))
        step = network(lines, cells)[:, :, chosen] - start
        missed, counts = (targets[:, :, chosen] - start).to(torch.complex128), weight[chosen]
        towards += float((counts * (step.conj() * missed).real).sum())
        length += float((counts * squares(step)).sum())
    return towards / length if length > 0 else 0.0


def _share_expected_there(calibration: Calibration, tuned: Tuned, network: Goal, weight: Tensor, draws: Draws) -> float:
    lines, cells, linear = calibration.acs_lines, calibration.cells(tuned.neighbourhood), tuned.linear
    step = network.held(lines, cells)(lines, cells) - linear(lines, cells)
    through_both = network.noise_overlap(lines, cells, linear, draws)
    through_start = draws.power * float(squares(linear.weights).sum())
    saved, length = (float((weight * part).sum()) for part in (through_start - through_both, squares(step)))
    return saved / length if length > 0 else 0.0


def _weight(calibration: Calibration, tuned: Tuned) -> Tensor:
    """How much positions in the ACS count, axes (cell, column).

    As much as their equations did, times how much more often patches of such power occur on the lattice.
    """
    power = patch_power(calibration.acs_lines, calibration.cells(tuned.neighbourhood))
    wanted = patch_power(calibration.measured, calibration.lattice_cells(tuned.neighbourhood)).flatten()
    edges = torch.quantile(power.flatten(), torch.linspace(0, 1, N_BINS + 1)[1:-1].to(power))
    bins = torch.bucketize(power, edges)
    there = torch.bincount(torch.bucketize(wanted, edges), minlength=N_BINS)
    here = torch.bincount(bins.flatten(), minlength=N_BINS).clamp(min=1)
    return (there / here)[bins] * tuned.misfit.weight(power)


@dataclass(frozen=True, slots=True, eq=False)
class _Combination:
    """Coil combination of missing lines into the object, in phase with it."""

    calibration: Calibration
    cells: Cells
    box: Box
    """The part of the matrix where cells are whole."""

    weights: Tensor
    """Axes (coil, image axes)."""

    inside: Tensor
    """The object, bool, image axes."""

    @classmethod
    def of(cls, calibration: Calibration, cells: Cells, every: Sequence[tuple[Cells, LinearMap]]) -> '_Combination':
        """Matched to the centre of k-space, as wide as the ACS, as linear maps fill it."""
        anchors = torch.cat([each.anchors for each, _ in every])
        low, high = anchors.min(0).values, anchors.max(0).values
        ends = zip(low.tolist(), high.tolist(), calibration.lattice.spacing, cells.shape, strict=True)
        box = tuple(range(max(0, a), min(b + step, size)) for a, b, step, size in ends)
        full = calibration.measured * calibration.points[:, None]
        for each, linear in every:
            each.put(full, linear(calibration.measured, each), each.neighbourhood.columns(full.shape[-1]))
        part = full.unflatten(1, cells.shape)[(slice(None), *slices(box))]
        sizes, axes = calibration.acs_shape, tuple(range(-len(box) - 1, 0))
        window, images = _window(part, (*sizes, max(sizes))), torch.empty_like(part)
        for coil, image in zip(part, images, strict=True):
            image.copy_(image_from_kspace(coil * window, axes))
        magnitude = torch.linalg.vector_norm(images, dim=0)
        weights = images.div_(magnitude.clamp(min=torch.finfo(magnitude.dtype).tiny)).conj()
        return cls(calibration, cells, box, weights, magnitude > OBJECT * magnitude.max())

    def in_phase(self, missing: Tensor) -> Tensor:
        """Of missing samples (coil, target, cell, column), float64, axes (pixel of the object,)."""
        lines = torch.zeros_like(self.calibration.measured)
        self.cells.put(lines, missing, self.cells.neighbourhood.columns(lines.shape[-1]))
        lines *= ~self.calibration.known[:, None]
        part = lines.unflatten(1, self.cells.shape)[(slice(None), *slices(self.box))]
        axes, total = tuple(range(-len(self.box) - 1, 0)), torch.zeros_like(self.weights[0].real)
        for weight, coil in zip(self.weights, part, strict=True):
            total += (weight * image_from_kspace(coil, axes)).real
        return total[self.inside].double()


def _window(kspace: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Hann window of these sizes around the brightest position along each axis of k-space, axes without coils."""
    power = energy(kspace)
    window = torch.ones((), dtype=power.dtype, device=power.device)
    for axis, size in enumerate(sizes):
        along = power.sum([other for other in range(power.ndim) if other != axis])
        steps = torch.arange(len(along)).to(along) - int(along.argmax())
        window = window[..., None] * torch.cos(steps.div(size).clamp(-0.5, 0.5) * torch.pi)
    return window.square().float()
