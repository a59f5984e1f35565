"""The RAKI family: named presets of one set of parts."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from raki.interpolation.fit import Calibration, Learnt, PatchMap, Progress
from raki.interpolation.kernel import Kernel, patches
from raki.interpolation.moments import calibration_targets
from raki.interpolation.place import Place
from raki.networks import layers as networks
from raki.networks.fused import fused
from raki.networks.high_pass import HighPass, HighPassMap
from raki.networks.layers import Activation, Extent, Shape
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

    first: Kernel = networks.FIRST
    """Kernel of the first layer; the second is 1 x 1."""

    last: Extent = networks.LAST
    """What the last layer sees, lines and samples."""

    is_high_pass: bool = False
    """Whether k-space is weighted by the energy profile of the ACS, see `raki.networks.high_pass`; undone afterwards."""

    def __post_init__(self) -> None:
        if min(self.widths) < 1 or not (self.peak is None or self.peak > 0) or not self.regularization > 0:
            raise ValueError(f'widths, peak and regularization must be positive, got {self}')
        if not 0 <= self.slope <= 1:
            raise ValueError(f'slope must lie between 0 (ReLU) and 1 (linear), got {self.slope}')
        if self.is_bfloat16 and self.is_complex:
            raise ValueError('bfloat16 has no complex numbers: train complex networks in single precision')

        if min(self.last) < 1:
            raise ValueError(f'the last layer must see at least 1 line x 1 sample, got {tuple(self.last)}')

    @property
    def smallest_kernel(self) -> Kernel:
        """The receptive field; by default 3 acquired lines x 7 readout samples, missing lines after the first."""
        return networks.receptive_field(self.first, self.last)

    def shape(self, n_coils: int, acceleration: int) -> Shape:
        """Sizes of the networks for a scan."""
        if self.is_complex:
            return Shape(1, n_coils, self.widths, n_coils * (acceleration - 1), self.first, self.last)
        return Shape(2 * n_coils, 2 * n_coils, self.widths, acceleration - 1, self.first, self.last)

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Train all networks at once on every position inside the ACS."""
        if self.is_high_pass:
            return self._learn_high_pass(calibration, progress)
        patch_map, notes = self.trained(calibration, progress)
        shape = self.shape(len(calibration.acs), calibration.acceleration)
        n_equations = self.targets(calibration, 1.0)[0].numel()
        return Learnt(patch_map, self.smallest_kernel, self.regularization, n_equations, shape.n_weights, notes)

    def _learn_high_pass(self, calibration: Calibration, progress: Progress) -> Learnt:
        plain, place = replace(self, is_high_pass=False), Place.of(calibration)
        if place is None:
            learnt = plain.learn(calibration, progress)
            note = 'k-space was not weighted: the ACS is not part of the k-space to fill, so its centre is not known'
            return replace(learnt, warnings=(*learnt.warnings, note))
        weights = HighPass.of(place)
        learnt = plain.learn(Calibration(calibration.acs * weights.of_acs, calibration.acceleration), progress)
        return replace(learnt, patch_map=HighPassMap(learnt.patch_map, weights, learnt.kernel))

    def trained(
        self, calibration: Calibration, progress: Progress, start: Weights | None = None
    ) -> tuple['NetworkMap', tuple[str, ...]]:
        """Train from given weights, or from those of the seed.

        Returns
        -------
        The networks, and what a user must know of how training went.
        """
        acs, acceleration = calibration.acs, calibration.acceleration
        scale = self.scale(acs)
        channels, targets = self.channels(acs * scale), self.targets(calibration, scale)
        whitening = self.whitening(channels, acceleration)
        inputs = _apply(whitening, networks.first_patches(channels, acceleration, self.first))
        found = train(
            self._predictor(inputs, acceleration),
            targets,
            self.start(acs, acceleration) if start is None else start,
            self.recipe,
            progress,
        )
        return NetworkMap(self, found.weights, whitening, scale), found.warnings

    def start(self, acs: Tensor, acceleration: int) -> Weights:
        """Initial weights, where the ACS is."""
        dtype = acs.dtype if self.is_complex else torch.float32
        drawn = networks.initial_weights(self.shape(len(acs), acceleration), self.initial_std, dtype, self.seed)
        return tuple(weight.to(acs.device) for weight in drawn)

    def _predictor(self, inputs: Tensor, dilation: int) -> Callable[[tuple[Tensor, ...]], Tensor]:
        """The networks on these inputs, as a function of their weights."""
        if self.is_complex:
            forward = partial(networks.forward, activation=self.activation, extent=self.last)
            return partial(forward, inputs=inputs, dilation=dilation)
        return fused(inputs, self.slope, dilation, torch.bfloat16 if self.is_bfloat16 else torch.float32, self.last)

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
        """What the networks should predict, axes (network, output, line, readout)."""
        samples = calibration_targets(calibration.acs, calibration.acceleration, self.smallest_kernel) * scale
        targets = self.channels(samples.permute(2, 3, 0, 1))
        return (targets.flatten(0, 1)[None] if self.is_complex else targets).contiguous()

    def whitening(self, channels: Tensor, acceleration: int) -> Tensor | None:
        """Inverse square root of the regularised mean Gram matrix of the inputs, axes (input, input)."""
        if not self.is_whitened:
            return None
        samples = patches(channels, self.first, acceleration).flatten(0, 1).to(torch.complex128)
        return inverse_root(samples.mT @ samples.conj() / len(samples), self.regularization).to(channels.dtype)


def inverse_root(gram: Tensor, ridge: float) -> Tensor:
    """Inverse square root of a Gram matrix, axes (input, input), and a ridge relative to its mean energy [1]."""
    energy, basis = torch.linalg.eigh(gram)
    damped = energy.clamp(min=0) + ridge * energy.mean()
    return (basis * damped.rsqrt()) @ basis.mH


@dataclass(frozen=True, slots=True, eq=False)
class NetworkMap:
    """Trained networks as a map from acquired neighbours to missing samples."""

    method: Raki
    """What was trained."""

    weights: tuple[Tensor, ...]
    """The three layers, each (network, output, input)."""

    whitening: Tensor | None
    """Applied to the inputs of the first layer, axes (input, input)."""

    scale: float
    """Factor from k-space to the networks' inputs and outputs."""

    def __call__(self, kspace: Tensor, dilation: int = 1) -> Tensor:
        """Predict, see `raki.interpolation.fit.PatchMap`."""
        return self._run(kspace, dilation, self.method.activation)

    def linearized(self, kspace: Tensor, dilation: int = 1) -> PatchMap:
        """The derivative at these lines: the same networks, every unit with the slope that it has there."""
        slopes: list[Tensor] = []

        def recorded(values: Tensor) -> Tensor:
            positive = _parts(values) > 0
            slopes.append(torch.where(positive, 1.0, self.method.slope) if self.method.slope else positive)
            return self.method.activation(values)

        self._run(kspace, dilation, recorded)

        def derivative(tangent: Tensor, dilation: int = dilation) -> Tensor:
            known = iter(slopes)
            return self._run(tangent, dilation, lambda values: _multiplied(values, next(known)))

        return derivative

    def _run(self, kspace: Tensor, dilation: int, activation: Activation) -> Tensor:
        channels = self.method.channels(kspace * self.scale)
        inputs = _apply(self.whitening, networks.first_patches(channels, dilation, self.method.first))
        outputs = networks.forward(self.weights, inputs, activation, dilation, self.method.last) / self.scale
        if self.method.is_complex:
            return outputs[0].unflatten(0, (len(kspace), -1))
        return torch.complex(*outputs.chunk(2))


def _parts(values: Tensor) -> Tensor:
    """Real and imaginary parts of complex values, real values as they are."""
    return torch.view_as_real(values) if values.is_complex() else values


def _multiplied(values: Tensor, slopes: Tensor) -> Tensor:
    """Multiply real and imaginary parts in place: `values` are a product that nobody else holds."""
    _parts(values).mul_(slopes)
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
)
"""One complex network for all coils with whitened inputs, so that a short ACS suffices where many networks starve."""
