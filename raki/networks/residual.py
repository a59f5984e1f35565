"""A linear map in closed form, and a network that learns what it leaves unexplained."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from raki.errors import TrainingError
from raki.grappa.method import KERNELS
from raki.interpolation.fit import Calibration, Learnt, Linearizable, PatchMap, Progress, silent
from raki.interpolation.kernel import Kernel
from raki.interpolation.linear import KernelPart, LinearMap, NormalEquations
from raki.interpolation.noise_power import noise_power
from raki.interpolation.tuning import Tuned, row_blocks, tune
from raki.networks.gated import patch_power
from raki.networks.layers import FIRST, LAST, RECEPTIVE_FIELD
from raki.networks.raki import RAKI_COMPLEX, NetworkMap, Raki, inverse_root
from raki.networks.training import Recipe, Trained, train
from raki.networks.trust import MIN_SHARE, Draws, Folds, shares


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

    kernels: tuple[Kernel, ...] = KERNELS
    """Kernels of GRAPPA to choose from, smallest first."""

    n_probes: int = 2
    """Draws of noise that tell how much of it the network saves."""

    seed: int = 0
    """Seed of the initial weights, of the noise and of these draws."""

    def __post_init__(self) -> None:
        if not self.network.is_complex or self.network.is_high_pass:
            raise ValueError(
                f'the residual network must be complex, one for all coils, without high-pass, got {self.network}'
            )
        if (self.network.first, self.network.last) != (FIRST, LAST):
            raise ValueError(
                f'the network of a residual method must have layers of {FIRST} and {LAST}, got {self.network}'
            )
        if not self.kernels or any(each.lines != 2 or not 5 <= each.readout <= 7 for each in self.kernels):
            raise ValueError(f'linear kernels must have 2 lines x 5 to 7 samples, as the network does, got {self}')
        if self.n_probes < 1:
            raise ValueError(f'need at least one draw of noise, got {self.n_probes}')

    @property
    def smallest_kernel(self) -> Kernel:
        """The first kernel of those to choose from; where the network does not fit, GRAPPA remains."""
        return self.kernels[0]

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Solve the linear branch, train networks on what is left, and decide how much of the correction to use."""
        tuned = tune(calibration, self.kernels)
        return tuned.learnt(*self._corrected(calibration, tuned, tuned.linear, progress))

    def _corrected(
        self, calibration: Calibration, tuned: Tuned, linear: LinearMap, progress: Progress
    ) -> tuple[PatchMap, tuple[str, ...]]:
        """What to use, and what to tell."""
        training = _Training.of(self, calibration, tuned)
        if training is None:
            return linear, ('rraki is GRAPPA here: the scan has too little to train a network on, or to judge it by',)
        try:
            whole, notes = training.run(linear, None, progress)
            folds = training.folds(whole)
        except TrainingError as error:
            return linear, (f'rraki is GRAPPA here: {error}',)
        share = shares(calibration, tuned, folds, Draws(self.n_probes, self.seed)).trusted
        if share < MIN_SHARE:
            return linear, ('rraki is GRAPPA here: its data do not show that a network would improve on it',)
        return replace(whole, share=share), notes


@dataclass(frozen=True, slots=True, eq=False)
class ResidualMap:
    """A linear map, and some of a network's correction where all that the network sees exists."""

    linear: LinearMap
    """The linear branch; its kernel lies inside what the network sees."""

    network: PatchMap
    """The correction."""

    share: float = 1.0
    """How much of it [1]."""

    def __call__(self, kspace: Tensor, dilation: int = 1) -> Tensor:
        """Predict, see `raki.interpolation.fit.PatchMap`."""
        return self.linear(kspace, dilation) + self.share * self.correction(kspace, dilation)

    def correction(self, kspace: Tensor, dilation: int) -> Tensor:
        """All of the correction, zero where the network does not see enough."""
        kernel = self.linear.kernel
        shape = kspace.shape[1] - kernel.span(dilation) + 1, kspace.shape[2] - kernel.readout + 1
        if not RECEPTIVE_FIELD.fits(kspace.shape[1], kspace.shape[2], dilation):
            n_targets = self.linear.weights.shape[1] // len(kspace)
            return kspace.new_zeros(len(kspace), n_targets, *shape)
        found = self.network(kspace, dilation)
        before = _margin(kernel)
        return pad(found, (before, shape[1] - found.shape[3] - before, 0, shape[0] - found.shape[2]))

    def linearized(self, kspace: Tensor, dilation: int = 1) -> PatchMap:
        """The derivative at these lines: the linear branch is its own."""
        if not RECEPTIVE_FIELD.fits(kspace.shape[1], kspace.shape[2], dilation):
            return self.linear
        if not isinstance(self.network, Linearizable):
            raise TypeError(f'{type(self.network).__name__} does not know its derivative')
        return replace(self, network=self.network.linearized(kspace, dilation))


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """A residual map as `raki.networks.trust` judges it: positively homogeneous, it equals its derivative at the same lines."""

    residual: ResidualMap
    noise: float
    draws: Draws

    def __call__(self, kspace: Tensor, dilation: int = 1) -> Tensor:
        return self.residual(kspace, dilation)

    def held(self, kspace: Tensor, dilation: int) -> PatchMap:
        return self.residual.linearized(kspace, dilation)

    def noise_overlap(self, kspace: Tensor, dilation: int, start: LinearMap) -> Tensor:
        """By draws of noise, for the correction's part."""
        held = self.held(kspace, dilation)
        alone = self.noise * float(start.weights.abs().square().sum())
        passed = [
            ((held(noise, dilation) - start(noise, dilation)).conj() * start(noise, dilation)).real.sum((0, 1))
            for noise in self.draws.like(kspace, self.noise)
        ]
        return alone + torch.stack(passed).mean(0)


@dataclass(frozen=True, slots=True, eq=False)
class _Training:
    """All that the networks of one scan share."""

    method: ResidualRaki
    calibration: Calibration
    tuned: Tuned
    noise: float
    whitening: Tensor
    counts: Tensor

    @classmethod
    def of(cls, method: ResidualRaki, calibration: Calibration, tuned: Tuned) -> '_Training | None':
        """None where a network could not be trained, or not be judged."""
        acs, acceleration = calibration.acs, calibration.acceleration
        fits = RECEPTIVE_FIELD.fits(acs.shape[1], acs.shape[2], acceleration)
        if not fits or calibration.lines is None or calibration.missing is None or len(tuned.blocks) < 2:
            return None
        noise, counts = noise_power(acs), _counts(calibration, tuned)
        total = sum(tuned.blocks[1:], tuned.blocks[0])
        return cls(method, calibration, tuned, noise, _whitening(total, method.network), counts) if noise > 0 else None

    def folds(self, whole: ResidualMap) -> Folds:
        """Judge a network together with those that did not see one of the blocks of rows."""
        rows, blocks = row_blocks(self.calibration, self.tuned.kernel), self.tuned.blocks
        total, without = sum(blocks[1:], blocks[0]), list[PatchMap]()
        for block, left_out in zip(blocks, rows, strict=True):
            weights = (total - block).solve(self.tuned.regularization).to(torch.complex64)
            without.append(self.run(LinearMap(weights, self.tuned.kernel), left_out, silent)[0])
        judged = _Judged(whole, self.noise, Draws(self.method.n_probes, self.method.seed))
        return Folds(judged, tuple(without), self.noise)

    def run(self, linear: LinearMap, left_out: range | None, progress: Progress) -> tuple[ResidualMap, tuple[str, ...]]:
        """Train one network on the residual of a linear map, of all rows but those left out."""
        network, counts = self.method.network, self.counts.clone()
        if left_out is not None:
            counts[left_out.start : left_out.stop] = 0
        scale = network.scale(self.calibration.acs)
        trained = self._trained(linear, counts * scale, scale, progress)
        return ResidualMap(linear, NetworkMap(network, trained.weights, self.whitening, scale)), trained.warnings

    def _trained(self, linear: LinearMap, counts: Tensor, scale: float, progress: Progress) -> Trained:
        acs, acceleration, network = self.calibration.acs, self.calibration.acceleration, self.method.network
        generator = torch.Generator().manual_seed(self.method.seed)

        def predict(weights: tuple[Tensor, ...]) -> Tensor:
            noise = torch.randn(acs.shape, dtype=acs.dtype, generator=generator).to(acs.device)
            noisy = acs + self.noise**0.5 * noise
            correction = NetworkMap(network, weights, self.whitening, scale)(noisy, acceleration)
            return (counts * (_inside(linear, noisy, acceleration) + correction)).flatten(0, 1)[None]

        targets = counts / scale * network.targets(self.calibration, scale)
        return train(predict, targets, self._start(), network.recipe, progress)

    def _start(self) -> tuple[Tensor, ...]:
        """Initial weights; those of the last layer are zero, so that the linear branch is where training starts."""
        seeded = replace(self.method.network, seed=self.method.seed)
        *hidden, last = seeded.start(self.calibration.acs, self.calibration.acceleration)
        return (*hidden, torch.zeros_like(last))


def _margin(kernel: Kernel) -> int:
    """Samples that a kernel predicts before the first one that the network does."""
    return RECEPTIVE_FIELD.readout // 2 - kernel.readout // 2


def _inside(linear: LinearMap, kspace: Tensor, dilation: int) -> Tensor:
    """What a linear map predicts where the network predicts, too."""
    return _cut(linear(kspace, dilation), kspace, linear.kernel, dilation)


def _cut(values: Tensor, kspace: Tensor, kernel: Kernel, dilation: int) -> Tensor:
    """Values at positions of a kernel, axes (..., line, readout), at those of the network."""
    n_lines = kspace.shape[1] - RECEPTIVE_FIELD.span(dilation) + 1
    n_readout = kspace.shape[2] - RECEPTIVE_FIELD.readout + 1
    before = _margin(kernel)
    return values[..., :n_lines, before : before + n_readout]


def _counts(calibration: Calibration, tuned: Tuned) -> Tensor:
    """How much each equation counts, as a factor of its error with a mean square of 1, axes (line, readout)."""
    acs, acceleration = calibration.acs, calibration.acceleration
    power = patch_power(acs, tuned.kernel, acceleration)
    counts = tuned.misfit.weight(_cut(power, acs, tuned.kernel, acceleration))
    return (counts / counts.mean()).sqrt()


def _whitening(equations: NormalEquations, network: Raki) -> Tensor:
    """Inverse square root of the weighted Gram matrix of the network's inputs, axes (input, input)."""
    before = (equations.kernel.readout - FIRST.readout) // 2
    index = torch.arange(len(equations.gram), device=equations.gram.device)
    index = index.view(equations.n_coils, equations.kernel.lines, equations.kernel.readout)
    chosen = KernelPart(range(FIRST.lines), range(before, before + FIRST.readout)).of(index).flatten()
    gram = equations.gram[chosen][:, chosen].conj()
    return inverse_root(gram / gram.diagonal().real.mean(), network.regularization).to(torch.complex64)
