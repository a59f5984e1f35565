"""A linear map in closed form, and a network that learns what it leaves unexplained."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from raki.errors import TrainingError
from raki.interpolation.calibration import Calibration, Learnt, Linearizable, PatchMap, Progress, silent
from raki.interpolation.least_squares import LinearMap, NormalEquations, Part
from raki.interpolation.neighbours import Cells, Kernel, Neighbourhood
from raki.interpolation.noise_power import noise_power
from raki.interpolation.powers import patch_power
from raki.interpolation.tuning import Tuned, kernels_for, tune
from raki.networks.raki import RAKI_COMPLEX, NetworkMap, Raki, inverse_root
from raki.networks.training import Recipe, Weights, train
from raki.networks.trust import MIN_SHARE, Draws, Folds, Step, shares


@dataclass(frozen=True, slots=True)
class ResidualRaki:
    """GRAPPA with everything chosen from the ACS, and on its residual a complex network that starts from nothing.

    Other than in the paper the linear branch is not trained: it is solved first, in closed form, and stays as it is;
    equations count as much in the network's loss as they did there; and noise of the power that the ACS shows is added
    to the inputs, anew in every iteration, so that the network cannot learn the measured noise by heart. How much of
    the correction is used is decided as in `raki.networks.trust`, with networks trained without each block of rows.

    References
    ----------
    Zhang et al. 2022, NeuroImage 256:119248 (https://doi.org/10.1016/j.neuroimage.2022.119248).
    """

    network: Raki = field(
        default_factory=lambda: replace(RAKI_COMPLEX, recipe=Recipe(n_iterations=100, learning_rate=1e-3))
    )
    """The network, one complex one for all coils; its inputs are whitened by the weighted equations of GRAPPA."""

    kernels: tuple[Kernel, ...] = ()
    """Kernels of GRAPPA to choose from, smallest first; without any, those of automatic GRAPPA."""

    n_probes: int = 2
    """Draws of noise that tell how much of it the network saves."""

    seed: int = 0
    """Seed of the initial weights, of the noise and of these draws."""

    def __post_init__(self) -> None:
        if not self.network.is_complex or self.network.is_high_pass:
            raise ValueError(
                f'the residual network must be complex, one for all coils, without high-pass, got {self.network}'
            )
        if self.n_probes < 1:
            raise ValueError(f'need at least one draw of noise, got {self.n_probes}')

    def smallest(self, calibration: Calibration) -> Neighbourhood | None:
        """That of the first kernel to choose from; where the network does not fit, GRAPPA remains."""
        return calibration.neighbourhood((self.kernels or kernels_for(calibration))[0])

    def with_iterations(self, n_iterations: int) -> Self:
        """Trained shorter or longer."""
        return replace(self, network=self.network.with_iterations(n_iterations))

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Solve the linear branch, train networks on what is left, and decide how much of the correction to use."""
        tuned = tune(calibration, self.kernels)
        training, first = _Training.of(self, calibration, tuned), tuned.learnt(tuned.linear)
        if training is None:
            return first.noted('rraki is GRAPPA here: the scan has too little to train a network on, or to judge it by')
        try:
            whole, notes = training.run(tuned.linear, None, progress)
            networks = Folds(whole, training.without())
        except TrainingError as error:
            return first.noted(f'rraki is GRAPPA here: {error}')
        draws, step = Draws(training.noise, self.n_probes, self.seed), Step(tuned.linear, whole)
        share = shares(calibration, tuned, networks, draws, step).trusted
        if share < MIN_SHARE:
            return first.noted('rraki is GRAPPA here: its data do not show that a network would improve on it')
        return tuned.learnt(replace(whole, share=share), notes)


@dataclass(frozen=True, slots=True, eq=False)
class ResidualMap:
    """A linear map, and some of a network's correction where all that the network sees exists."""

    linear: LinearMap
    network: PatchMap
    receptive_field: Neighbourhood
    """What the network sees."""

    share: float = 1.0
    """How much of the correction [1]."""

    def __call__(self, lines: Tensor, cells: Cells) -> Tensor:
        """Predict, see `raki.interpolation.calibration.PatchMap`."""
        return self.linear(lines, cells) + self.share * self.correction(lines, cells)

    def correction(self, lines: Tensor, cells: Cells) -> Tensor:
        """All of the correction, zero where the network does not see enough."""
        own = cells.moved(self.receptive_field)
        columns, seen = (each.neighbourhood.columns(lines.shape[-1]) for each in (cells, own))
        shape = len(lines), len(cells.neighbourhood.targets), len(cells), len(columns)
        correction = lines.new_zeros(shape)
        if not bool(own.is_whole.any()) or not len(seen):
            return correction
        first, last = max(columns.start, seen.start), min(columns.stop, seen.stop)
        found = self.network(lines, own.at(own.is_whole))[..., first - seen.start : last - seen.start]
        padded = pad(found, (first - columns.start, columns.stop - last))
        return correction.index_copy(2, own.is_whole.nonzero().flatten().to(lines.device), padded)

    def linearized(self, lines: Tensor, cells: Cells) -> PatchMap:
        """The derivative at these lines: the linear branch is its own."""
        own = cells.moved(self.receptive_field)
        if not bool(own.is_whole.any()):
            return self.linear
        if not isinstance(self.network, Linearizable):
            raise TypeError(f'{type(self.network).__name__} does not know its derivative')
        return replace(self, network=self.network.linearized(lines, own.at(own.is_whole)))

    held = linearized  # homogeneous, it equals its derivative at its own lines

    def noise_overlap(self, lines: Tensor, cells: Cells, start: LinearMap, noise: Draws) -> Tensor:
        """See `raki.networks.trust.Goal`; by draws of noise, for the correction's part."""
        held = self.linearized(lines, cells)
        both = ((held(each, cells), start(each, cells)) for each in noise.like(lines))
        passed = [((changed - before).conj() * before).real.sum((0, 1)) for changed, before in both]
        return noise.power * float(start.weights.abs().square().sum()) + torch.stack(passed).mean(0)


@dataclass(frozen=True, slots=True, eq=False)
class _Training:
    """All that the networks of one scan share."""

    method: ResidualRaki
    calibration: Calibration
    tuned: Tuned
    noise: float
    whitening: Tensor
    receptive_field: Neighbourhood
    counts: Tensor

    @classmethod
    def of(cls, method: ResidualRaki, calibration: Calibration, tuned: Tuned) -> '_Training | None':
        """None where a network could not be trained, or not be judged."""
        stack, around = method.network.stack(calibration), tuned.neighbourhood
        seen, size = stack.receptive_field, calibration.acs.shape[1:]
        fits = all(wanted <= there for wanted, there in zip(seen.extent, size, strict=True))
        is_inside = set(stack.first.sources) <= set(around.sources)
        is_inside &= set(stack.first.samples) <= set(around.samples) <= set(seen.samples)
        if not fits or not is_inside or len(tuned.folds) < 2:
            return None
        noise = noise_power(calibration.acs)
        if not noise > 0:
            return None
        whitening = _whitening(tuned.total, stack.first, method.network)
        return cls(method, calibration, tuned, noise, whitening, seen, _counts(calibration, tuned, seen))

    @property
    def cells(self) -> Cells:
        """Every place of the network in the ACS."""
        return self.calibration.cells(self.receptive_field)

    def without(self) -> tuple[PatchMap, ...]:
        """Networks that did not see one of the blocks of rows."""
        anchors = self.calibration.cells(self.tuned.neighbourhood).anchors
        folds = self.calibration.folds(self.tuned.neighbourhood)
        left_out = [(self.cells.anchors[:, None] == anchors[fold]).all(-1).any(1) for fold in folds]
        return tuple(self.run(*each, silent)[0] for each in zip(self.tuned.without, left_out, strict=True))

    def run(
        self, linear: LinearMap, left_out: Tensor | None, progress: Progress
    ) -> tuple[ResidualMap, tuple[str, ...]]:
        """Train one network on the residual of a linear map, of all cells but those left out, boolean (cell,)."""
        network, counts = self.method.network, self.counts.clone()
        if left_out is not None:
            counts[left_out.to(counts.device)] = 0
        stack, scale = network.stack(self.calibration), network.scale(self.calibration.acs)
        untrained = NetworkMap(network, stack, self._start(), self.whitening, scale)
        targets = counts * network.targets(self.calibration, scale)
        predict = self._predictor(linear, untrained, counts * scale)
        found, notes = train(predict, targets, untrained.weights, network.recipe, progress)
        return ResidualMap(linear, replace(untrained, weights=found), self.receptive_field), notes

    def _predictor(self, linear: LinearMap, network: NetworkMap, counts: Tensor) -> Callable[[Weights], Tensor]:
        """Both branches, with noise of a generator of their own, as a function of the network's weights."""
        lines, around = self.calibration.acs_lines, self.tuned.neighbourhood
        cells, hidden = self.cells.moved(around), network.method.hidden(self.calibration)
        generator = torch.Generator().manual_seed(self.method.seed)

        def predict(weights: Weights) -> Tensor:
            noise = torch.randn(lines.shape, dtype=lines.dtype, generator=generator).to(lines.device)
            noisy = lines + self.noise**0.5 * noise
            correction = replace(network, weights=weights).run(noisy, hidden, network.method.activation)
            linear_part = _cut(linear(noisy, cells), lines.shape[-1], around, self.receptive_field)
            return (counts * (linear_part + correction)).flatten(0, 1)[None]

        return predict

    def _start(self) -> tuple[Tensor, ...]:
        """Initial weights; those of the last layer are zero, so that the linear branch is where training starts."""
        seeded = replace(self.method.network, seed=self.method.seed)
        *hidden, last = seeded.start(self.calibration)
        return (*hidden, torch.zeros_like(last))


def _cut(values: Tensor, n_readout: int, around: Neighbourhood, seen: Neighbourhood) -> Tensor:
    """Values at the columns of one neighbourhood at those of another, both of which exist."""
    own, wanted = around.columns(n_readout), seen.columns(n_readout)
    return values[..., wanted.start - own.start : wanted.stop - own.start]


def _counts(calibration: Calibration, tuned: Tuned, seen: Neighbourhood) -> Tensor:
    """How much each equation counts, as a factor of its error with a mean square of 1, axes (cell, column)."""
    power = patch_power(calibration.acs_lines, calibration.cells(seen).moved(tuned.neighbourhood))
    counts = tuned.misfit.weight(_cut(power, calibration.acs.shape[-1], tuned.neighbourhood, seen))
    return (counts / counts.mean()).sqrt()


def _whitening(equations: NormalEquations, first: Neighbourhood, network: Raki) -> Tensor:
    """Inverse square root of the weighted Gram matrix of the network's inputs, axes (input, input)."""
    around = equations.neighbourhood
    before = first.samples.start - around.samples.start
    part = Part(tuple(map(around.sources.index, first.sources)), range(before, before + len(first.samples)))
    gram = equations.part_of_gram(part).conj()
    return inverse_root(gram / gram.diagonal().real.mean(), network.regularization).to(torch.complex64)
