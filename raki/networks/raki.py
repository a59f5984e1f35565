"""The RAKI family: named presets of one set of parts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Self

import torch
from torch import Tensor

from raki.interpolation.calibration import Calibration, Learnt, PatchMap, Progress
from raki.interpolation.least_squares import LinearMap, joined
from raki.interpolation.neighbours import Cells, Kernel, Neighbourhood
from raki.interpolation.own import CalibrationFrom, doubled
from raki.networks import layers
from raki.networks.fused import fused
from raki.networks.high_pass import HighPass, HighPassMap
from raki.networks.layers import Activation, Extent, Hidden, Shape, Stack, inverse_root
from raki.networks.training import Recipe, Weights, train


@dataclass(frozen=True, slots=True)
class Raki:
    """Three convolutional layers without bias, trained on the ACS: 5x2, 1x1 and 3x2 (readout x acquired lines).

    The default values are those of the paper and of its authors' recipe: 2 * n_coils real networks, one for the real
    and one for the imaginary part of every coil, each of which sees all 2 * n_coils real channels.

    References
    ----------
    Akcakaya et al. 2019, Magn Reson Med 81:439 (https://doi.org/10.1002/mrm.27420).
    """

    widths: tuple[int, int] = (32, 8)
    """Hidden channels of the first and the second layer, of each network."""

    is_complex: bool = False
    """One complex network for all coils, instead of two real ones for each."""

    slope: float = 0.0
    """Slope of the activation for negative values (real and imaginary parts alike); 0 is ReLU, 1 a linear network."""

    peak: float | None = 0.015
    """The ACS is scaled to this largest magnitude before the networks see it, None to a root mean square of 1; undone
    afterwards."""

    initial_std: float | None = 0.1
    """Standard deviation of the initial weights; None takes 1/sqrt(inputs of a unit)."""

    is_whitened: bool = False
    """Whether inputs of the first layer are decorrelated by the regularised Gram matrix of the ACS patches."""

    recipe: Recipe = field(default_factory=lambda: Recipe(n_iterations=1000, learning_rate=3e-3))
    """How to train."""

    regularization: float = 1e-3
    """Ridge weight of the whitening and of the linear edge kernels, relative to the mean energy of a sample [1]."""

    is_bfloat16: bool = False
    """Whether products of the training round their factors to bfloat16: faster, less exact; real networks only."""

    seed: int = 0
    """Seed of the initial weights."""

    first: Kernel = layers.FIRST
    """Kernel of the first layer; the second is 1 x 1."""

    last: Extent = layers.LAST
    """What the last layer sees, lines and samples."""

    is_high_pass: bool = False
    """Whether k-space is weighted by the energy profile of the ACS, see `raki.networks.high_pass`; undone later."""

    calibration: CalibrationFrom = 'measured'
    """Whether to train on the `measured` ACS, as in the paper, or on twice its lines, see `raki.interpolation.own`."""

    def __post_init__(self) -> None:
        if min(self.widths) < 1 or not (self.peak is None or self.peak > 0) or not self.regularization > 0:
            raise ValueError(f'widths, peak and regularization must be positive, got {self}')
        if not 0 <= self.slope <= 1:
            raise ValueError(f'slope must lie between 0 (ReLU) and 1 (linear), got {self.slope}')
        if self.is_bfloat16 and self.is_complex:
            raise ValueError('bfloat16 has no complex numbers: train complex networks in single precision')

    def stack(self, calibration: Calibration) -> Stack:
        """Where the layers stand."""
        return Stack.around(calibration, self.first, self.last)

    def smallest(self, calibration: Calibration) -> Neighbourhood | None:
        """The receptive field; by default 3 acquired lines x 7 readout samples, missing lines after the first."""
        return self.stack(calibration).receptive_field

    def with_iterations(self, n_iterations: int) -> Self:
        """Trained shorter or longer."""
        return replace(self, recipe=replace(self.recipe, n_iterations=n_iterations))

    def shape(self, calibration: Calibration) -> Shape:
        """Sizes of the networks for a scan."""
        n_coils, stack = len(calibration.acs), self.stack(calibration)
        seen = len(stack.first.sources) * len(stack.first.samples), len(stack.steps) * stack.n_samples
        n_targets = len(stack.first.targets)
        if self.is_complex:
            return Shape(1, n_coils, self.widths, n_coils * n_targets, *seen)
        return Shape(2 * n_coils, 2 * n_coils, self.widths, n_targets, *seen)

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Train all networks at once on every position inside the ACS."""
        if self.is_high_pass:
            return self._learn_high_pass(calibration, progress)
        wider = doubled(calibration) if self.calibration == 'own' else calibration
        known = wider if self.stack(wider) == self.stack(calibration) else calibration
        return self.learnt(known, *self.trained(known, progress))

    def learnt(self, calibration: Calibration, patch_map: 'NetworkMap', notes: tuple[str, ...]) -> Learnt:
        """What the method gives back of trained networks."""
        n_equations, around = self.targets(calibration, 1.0)[0].numel(), patch_map.stack.receptive_field
        return Learnt(patch_map, around, self.regularization, n_equations, self.shape(calibration).n_weights, notes)

    def _learn_high_pass(self, calibration: Calibration, progress: Progress) -> Learnt:
        plain = replace(self, is_high_pass=False)
        if calibration.is_separate:
            note = 'k-space was not weighted: the ACS is not part of the k-space to fill, so its centre is not known'
            return plain.learn(calibration, progress).noted(note)
        weights = HighPass.of(calibration)
        learnt = plain.learn(replace(calibration, acs=calibration.acs * weights.of_acs, _known={}), progress)
        return replace(learnt, patch_map=HighPassMap(learnt.patch_map, weights.lines))

    def trained(
        self, calibration: Calibration, progress: Progress, start: Weights | None = None
    ) -> tuple['NetworkMap', tuple[str, ...]]:
        """Train from given weights, or from those of the seed; also what a user must know of how that went."""
        scale, stack = self.scale(calibration.acs), self.stack(calibration)
        channels, hidden = self.channels(calibration.acs_lines * scale), self.hidden(calibration)
        whitening = self.whitening(channels, calibration.cells(stack.first))
        inputs = _apply(whitening, hidden.inputs(channels))
        targets, begin = self.targets(calibration, scale), start or self.start(calibration)
        weights, notes = train(self._predictor(inputs, hidden), targets, begin, self.recipe, progress)
        return NetworkMap(self, stack, weights, whitening, scale), notes

    def hidden(self, calibration: Calibration) -> Hidden:
        """Where the first layer must be known to train on the whole ACS."""
        stack = self.stack(calibration)
        return stack.hidden(calibration.cells(stack.receptive_field))

    def start(self, calibration: Calibration) -> Weights:
        """Initial weights, where the ACS is."""
        dtype, shape = calibration.acs.dtype if self.is_complex else torch.float32, self.shape(calibration)
        drawn = layers.initial_weights(shape, self.initial_std, dtype, self.seed)
        return tuple(weight.to(calibration.acs.device) for weight in drawn)

    def _predictor(self, inputs: Tensor, hidden: Hidden) -> Callable[[tuple[Tensor, ...]], Tensor]:
        """The networks on these inputs, as a function of their weights."""
        if self.is_complex:
            return partial(layers.forward, inputs=inputs, activation=self.activation, hidden=hidden)
        return fused(inputs, self.slope, hidden, torch.bfloat16 if self.is_bfloat16 else torch.float32)

    def scale(self, acs: Tensor) -> float:
        """Factor from k-space to what the networks see."""
        if self.peak is None:
            return 1 / float(acs.abs().square().mean().sqrt())
        return self.peak / float(acs.abs().max())

    def activation(self, values: Tensor) -> Tensor:
        """Leaky rectifier, on real and imaginary parts alike."""
        if values.is_complex():
            return torch.view_as_complex(self.activation(torch.view_as_real(values)))
        return torch.nn.functional.leaky_relu(values, self.slope) if self.slope else values.relu()

    def channels(self, kspace: Tensor) -> Tensor:
        """Input channels (channel, line, readout) of complex lines (coil, line, readout)."""
        return kspace if self.is_complex else torch.cat([kspace.real, kspace.imag])

    def targets(self, calibration: Calibration, scale: float) -> Tensor:
        """What the networks should predict, axes (network, output, cell, readout)."""
        cells = calibration.cells(self.stack(calibration).receptive_field)
        targets = self.channels(cells.values(calibration.acs_lines) * scale)
        return (targets.flatten(0, 1)[None] if self.is_complex else targets).contiguous()

    def whitening(self, channels: Tensor, cells: Cells) -> Tensor | None:
        """Inverse square root of the regularised mean Gram matrix of the inputs, axes (input, input)."""
        if not self.is_whitened:
            return None
        around = cells.neighbourhood
        n_inputs = len(channels) * len(around.sources) * len(around.samples)
        gram, n_patches = torch.zeros(n_inputs, n_inputs, dtype=torch.complex128, device=channels.device), 0
        for chunk in cells.chunks(n_inputs * channels.shape[-1]):
            samples = chunk.patches(channels).flatten(0, 1).to(torch.complex128)
            gram, n_patches = gram + samples.mT @ samples.conj(), n_patches + len(samples)
        return inverse_root(gram / n_patches, self.regularization).to(channels.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkMap:
    """Trained networks as a map from acquired neighbours to missing samples."""

    method: Raki
    """What was trained."""

    stack: Stack
    """Where the layers stand."""

    weights: tuple[Tensor, ...]
    """The three layers, each (network, output, input)."""

    whitening: Tensor | None
    """Applied to the inputs of the first layer, axes (input, input)."""

    scale: float
    """Factor from k-space to the networks' inputs and outputs."""

    def __call__(self, lines: Tensor, cells: Cells) -> Tensor:
        """Predict, see `raki.interpolation.calibration.PatchMap`."""
        chunks = cells.chunks(self._n_values * lines.shape[-1])
        parts = (self.run(lines, self.stack.hidden(chunk), self.method.activation) for chunk in chunks)
        return joined(parts, len(cells), dim=2)

    def linearized(self, lines: Tensor, cells: Cells) -> PatchMap:
        """The derivative at these lines: the same networks, every unit with the slope that it has there."""
        known = [self._slopes(lines, chunk) for chunk in cells.chunks(self._n_values * lines.shape[-1])]

        def derivative(tangent: Tensor, cells: Cells) -> Tensor:
            del cells  # those that the slopes belong to
            parts = (self.run(tangent, hidden, partial(_next, iter(slopes))) for hidden, slopes in known)
            return joined(parts, sum(len(hidden.taps) for hidden, _ in known), dim=2)

        return derivative

    @property
    def linear(self) -> LinearMap | None:
        """The same map by its weights, where the network is complex and has slope 1; None where it is not linear."""
        if not self.method.is_complex or self.method.slope != 1:
            return None
        first, second, last = (layer[0] for layer in self.weights)
        first = first if self.whitening is None else first @ self.whitening
        stack, field, width = self.stack, self.stack.receptive_field, len(self.stack.first.samples)
        taps = (last @ second @ first).unflatten(0, (-1, len(stack.steps), stack.n_samples))
        taps = taps.unflatten(3, (-1, len(stack.first.sources), width))
        weights = taps.new_zeros(taps.shape[3], len(field.sources), len(field.samples), len(taps))
        for (i, step), (j, source) in product(enumerate(stack.steps), enumerate(stack.first.sources)):
            number = field.sources.index(tuple(a + b for a, b in zip(step, source, strict=True)))
            for sample in range(stack.n_samples):
                weights[:, number, sample : sample + width] += taps[:, i, sample, :, j].permute(1, 2, 0)
        return LinearMap(weights.flatten(0, 2))

    def _slopes(self, lines: Tensor, cells: Cells) -> tuple[Hidden, list[Tensor]]:
        """Where the first layer stands, and the slope of every unit."""
        slopes, hidden = list[Tensor](), self.stack.hidden(cells)

        def recorded(values: Tensor) -> Tensor:
            positive = _parts(values) > 0
            slopes.append(torch.where(positive, 1.0, self.method.slope) if self.method.slope else positive)
            return self.method.activation(values)

        self.run(lines, hidden, recorded)
        return hidden, slopes

    @property
    def _n_values(self) -> int:
        """Inputs of the first layer and units of all, which a position takes memory for."""
        return self.weights[0].shape[2] + sum(weight.shape[0] * weight.shape[1] for weight in self.weights)

    def run(self, lines: Tensor, hidden: Hidden, activation: Activation) -> Tensor:
        """Predict where the first layer stands, with any activation."""
        inputs = _apply(self.whitening, hidden.inputs(self.method.channels(lines * self.scale)))
        outputs = layers.forward(self.weights, inputs, activation, hidden) / self.scale
        if self.method.is_complex:
            return outputs[0].unflatten(0, (len(lines), -1))
        return torch.complex(*outputs.chunk(2))


def _parts(values: Tensor) -> Tensor:
    """Real and imaginary parts of complex values, real values as they are."""
    return torch.view_as_real(values) if values.is_complex() else values


def _next(slopes: Iterator[Tensor], values: Tensor) -> Tensor:
    """Multiply real and imaginary parts by the next slopes in place: `values` are a product that nobody else holds."""
    _parts(values).mul_(next(slopes))
    return values


def _apply(whitening: Tensor | None, inputs: Tensor) -> Tensor:
    return inputs if whitening is None else torch.tensordot(whitening, inputs, dims=1)


RAKI_2019 = Raki()
"""The paper's networks with the authors' recipe."""

RAKI_COMPLEX = Raki(
    widths=(128, 64),
    is_complex=True,
    slope=0.5,
    peak=None,
    initial_std=None,
    is_whitened=True,
    recipe=Recipe(n_iterations=200, learning_rate=1e-3),
    calibration='own',
)
"""One complex network for all coils with whitened inputs, so that a short ACS suffices where many networks starve."""
