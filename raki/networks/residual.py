"""A network that learns, from the scan's own reconstruction, what the gated network leaves unexplained.

An ACS has too few equations for a trained network, and they are those of the bright centre. Every measured lattice line
around it is an equation, too, once its neighbours have been reconstructed (`raki.interpolation.own`): thousands of them
in the periphery, where the network is used. Reconstructed neighbours are drawn anew from what is likely, so that the
network sees samples as noisy as measured ones, and no error of the first map passes for signal. How much of the
correction is used is judged on measured lines that the network was not trained to predict.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from raki.errors import TrainingError
from raki.interpolation.calibration import Calibration, Learnt, PatchMap, Progress, silent
from raki.interpolation.least_squares import NormalEquations, Part
from raki.interpolation.neighbours import Cells, Kernel, Neighbourhood
from raki.interpolation.own import Outside, learnt_anew, relearnt
from raki.interpolation.points import bounded_share, require_part, too_little
from raki.interpolation.tuning import Tuned, kernels_for, tune
from raki.networks.gated import LESS, Gated
from raki.networks.layers import Hidden, inverse_root
from raki.networks.raki import RAKI_COMPLEX, NetworkMap, Raki
from raki.networks.training import Recipe, Weights, train
from raki.networks.trust import MIN_SHARE

N_BLOCKS, HELD_OUT = 8, (1, 5)
"""Blocks of neighbouring lattice lines, and those of them that judge a network instead of training it."""

MOST_POSITIONS = 2**14
"""Positions of k-space that one iteration of training looks at; it takes fewer lines where there are more."""


@dataclass(frozen=True, slots=True)
class ResidualRaki:
    """The gated network, and on its residual a complex network that is trained on the scan's own reconstruction.

    Other than in the paper the first branch is not trained: it is solved in closed form and stays as it is.

    References
    ----------
    Zhang et al. 2022, NeuroImage 256:119248 (https://doi.org/10.1016/j.neuroimage.2022.119248).
    """

    network: Raki = field(
        default_factory=lambda: replace(RAKI_COMPLEX, recipe=Recipe(300, 1e-3, 'mean square', is_annealed=True))
    )
    """The network, one complex one for all coils; its inputs are whitened by the equations of the linear map."""

    kernels: tuple[Kernel, ...] = ()
    """Kernels of the linear map to choose from, smallest first; without any, those of automatic GRAPPA."""

    n_draws: int = 4
    """Draws of the reconstruction that the network is trained on."""

    seed: int = 0
    """Seed of the initial weights, of these draws, and of the gated network."""

    faithful: float | None = None
    """Least part, 0 to 1, of what was not measured of small points in the object that must come back, as of `Gated`;
    None for no such bound [1]."""

    def __post_init__(self) -> None:
        if not self.network.is_complex or self.network.is_high_pass:
            raise ValueError(
                f'the residual network must be complex, one for all coils, without high-pass, got {self.network}'
            )
        if self.n_draws < 1:
            raise ValueError(f'need at least one draw of the reconstruction, got {self.n_draws}')
        require_part(self.faithful)

    def smallest(self, calibration: Calibration) -> Neighbourhood | None:
        """That of the first kernel to choose from; where the network does not fit, the gated one remains."""
        return calibration.neighbourhood((self.kernels or kernels_for(calibration))[0])

    def with_iterations(self, n_iterations: int) -> Self:
        """Trained shorter or longer."""
        return replace(self, network=self.network.with_iterations(n_iterations))

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Solve the gated branch, train a network on what is left, and decide how much of the correction to use."""
        tuned = tune(calibration, self.kernels)
        own, gated = relearnt(calibration, tuned), Gated(self.kernels, seed=self.seed, faithful=self.faithful)
        first = gated.learn(calibration, silent)
        training = None if own is tuned else _Training.of(self, calibration, tuned, own, first.patch_map)
        if training is None:
            return first.noted('rraki is gated here: the scan has too little to train a network on, or to judge it by')
        try:
            network, notes = training.run(progress)
        except TrainingError as error:
            return first.noted(f'rraki is gated here: {error}')
        share, whole = training.share(network), ResidualMap(first.patch_map, network, training.receptive_field)
        if share < MIN_SHARE:
            return first.noted('rraki is gated here: its data do not show that a network would improve on it')
        bounded, part = bounded_share(calibration, own.neighbourhood, whole.start, whole, share, self.faithful)
        if bounded < MIN_SHARE:
            return first.noted(f'rraki is gated here: {LESS}')
        warnings = too_little('rraki', part, self.faithful or 0.0)
        return learnt_anew(tuned, own, replace(whole, share=bounded), (*notes, *warnings))


@dataclass(frozen=True, slots=True, eq=False)
class ResidualMap:
    """A first map, and some of a network's correction where all that the network sees exists."""

    start: PatchMap
    network: PatchMap
    receptive_field: Neighbourhood
    """What the network sees."""

    share: float = 1.0
    """How much of the correction [1]."""

    def __call__(self, lines: Tensor, cells: Cells) -> Tensor:
        """Predict, see `raki.interpolation.calibration.PatchMap`."""
        return self.start(lines, cells) + self.share * self.correction(lines, cells)

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


class _Batch(NamedTuple):
    """Measured lines of one target, and what surrounds them in one draw of the reconstruction."""

    lines: Tensor
    """Axes (coil, line, readout)."""
    number: int
    """Of the target."""
    hidden: Hidden
    left: Tensor
    """What the first map leaves of the measured lines, axes (coil, cell, column) [unit of the network]."""


@dataclass(frozen=True, slots=True, eq=False)
class _Training:
    """All that a network is trained on."""

    method: ResidualRaki
    calibration: Calibration
    outside: Outside
    start: PatchMap
    whitening: Tensor
    """Of the network's inputs, axes (input, input)."""
    scale: float
    """From k-space to the unit of the network."""
    receptive_field: Neighbourhood

    @classmethod
    def of(
        cls, method: ResidualRaki, calibration: Calibration, tuned: Tuned, own: Tuned, start: PatchMap
    ) -> '_Training | None':
        """None where a network could not be trained, or not be judged."""
        stack, around = method.network.stack(calibration), tuned.neighbourhood
        is_inside = set(stack.first.sources) <= set(around.sources)
        is_inside &= set(stack.first.samples) <= set(around.samples) <= set(stack.receptive_field.samples)
        outside = Outside.of(calibration, tuned, start).bounded(tuned)
        if not is_inside or not len(stack.receptive_field.columns(outside.lines.shape[-1])):
            return None
        whitening, scale = _whitening(own.total, stack.first, method.network), method.network.scale(outside.lines)
        found = cls(method, calibration, outside, start, whitening, scale, stack.receptive_field)
        return (
            found
            if all(len(found._cells(number, held)) for number in found._numbers for held in (False, True))
            else None
        )

    @property
    def _numbers(self) -> range:
        return range(len(self.receptive_field.targets))

    def run(self, progress: Progress) -> tuple[NetworkMap, tuple[str, ...]]:
        """Train the network, whose last layer is zero at first, so that the first map is where training starts."""
        method, seed = self.method.network, self.method.seed
        batches = [self._batch(lines, number, held=False) for lines in self._draws() for number in self._numbers]
        *hidden, last = replace(method, seed=seed).start(self.calibration)
        weights = (*hidden, torch.zeros_like(last))
        network = NetworkMap(method, method.stack(self.calibration), weights, self.whitening, self.scale)
        loss, nothing = self._loss(network, _shuffled(batches, seed)), torch.zeros(1, 1, device=last.device)
        found, notes = train(loss, nothing, weights, method.recipe, progress)
        return replace(network, weights=found), notes

    def share(self, network: NetworkMap) -> float:
        """The best share of the correction, 0 to 1, on lines that the network was not trained to predict."""
        towards = length = 0.0
        for lines in self._draws():
            for number in self._numbers:
                batch = self._batch(lines, number, held=True)
                step = self._step(network, batch).to(torch.complex128)
                towards += float((step.conj() * batch.left).real.sum())
                length += float(step.abs().square().sum())
        return min(max(towards / length, 0.0), 1.0) if length > 0 else 0.0

    def _draws(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self.method.seed)
        return (self.outside.drawn(generator) for _ in range(self.method.n_draws))

    def _cells(self, number: int, held: bool) -> Cells:
        """Lattice lines that train the target of this number, or those that judge it."""
        cells = self.outside.cells(number, self.receptive_field)
        block = torch.arange(len(cells)) * N_BLOCKS // max(1, len(cells))
        is_held = torch.isin(block, torch.tensor(HELD_OUT))
        chosen = cells.at(is_held if held else ~is_held)
        return chosen.at(slice(None, None, max(1, len(chosen) * self.outside.lines.shape[-1] // MOST_POSITIONS)))

    def _batch(self, lines: Tensor, number: int, *, held: bool) -> _Batch:
        cells, stack = self._cells(number, held), self.method.network.stack(self.calibration)
        around = replace(self.outside.neighbourhood, targets=self.receptive_field.targets)
        before = self.start(lines, cells.moved(around))[:, number]
        columns, seen = (each.columns(lines.shape[-1]) for each in (around, self.receptive_field))
        before = before[..., seen.start - columns.start : seen.stop - columns.start]
        return _Batch(lines, number, stack.hidden(cells), self.scale * (cells.values(lines)[:, 0] - before))

    def _step(self, network: NetworkMap, batch: _Batch) -> Tensor:
        """A network's correction of a batch, axes and unit of `left`."""
        *hidden, last = network.weights
        n_coils, n_steps = len(batch.lines), batch.hidden.taps.shape[1] * batch.hidden.n_samples
        rows = last.unflatten(1, (n_coils, len(self._numbers), n_steps))[:, :, batch.number].flatten(1, 2)
        single = replace(network, weights=(*hidden, rows))
        return self.scale * single.run(batch.lines, batch.hidden, network.method.activation)[:, 0]

    def _loss(self, network: NetworkMap, batches: Iterator[_Batch]) -> Callable[[Weights], Tensor]:
        """What remains of the next batch, with a mean square for its square, as a function of the weights."""

        def predict(weights: Weights) -> Tensor:
            batch = next(batches)
            missed = self._step(replace(network, weights=weights), batch) - batch.left
            return missed.flatten()[None] / missed.numel() ** 0.5

        return predict


def _shuffled(batches: list[_Batch], seed: int) -> Iterator[_Batch]:
    """All of them in a random order, again and again."""
    order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(seed)).tolist()
    return cycle([batches[index] for index in order])


def _whitening(equations: NormalEquations, first: Neighbourhood, network: Raki) -> Tensor:
    """Inverse square root of the Gram matrix of the network's inputs, axes (input, input)."""
    around = equations.neighbourhood
    before = first.samples.start - around.samples.start
    part = Part(tuple(map(around.sources.index, first.sources)), range(before, before + len(first.samples)))
    gram = equations.part_of_gram(part).conj()
    return inverse_root(gram / gram.diagonal().real.mean(), network.regularization).to(torch.complex64)
