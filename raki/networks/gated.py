"""A three-layer network in closed form: analyse each patch, let through what rises above the noise, synthesise.

Ridge regression holds every patch back alike, but what a patch is worth depends on where it lies: the bright centre of
k-space hardly needs a ridge, the dim periphery a strong one. If the sources of a patch of power s hold signal of
covariance s C and white noise, the best linear estimate of what is missing has a ridge of noise / s. In the basis of
C, a first layer, this is one factor per channel, a gate that opens with the local power; a second layer of gates makes
the map nonlinear, a third one adds the channels up. All weights follow from the second moments of the ACS.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import conv1d

from raki.interpolation.calibration import Calibration, Learnt, PatchMap, Progress
from raki.interpolation.least_squares import LinearMap, NormalEquations, joined
from raki.interpolation.neighbours import Cells, Kernel, Neighbourhood
from raki.interpolation.noise_power import noise_power
from raki.interpolation.own import CalibrationFrom, learnt_anew, relearnt
from raki.interpolation.points import bounded_share, require_part, too_little
from raki.interpolation.powers import patch_power
from raki.interpolation.tuning import Tuned, kernels_for, tune
from raki.networks.trust import MIN_SHARE, Draws, Folds, Goal, Step, shares

SMOOTHED_CELLS, SMOOTHED_SAMPLES = 1, 9
"""Patches around one, over which its power is averaged, as a single one is too noisy to judge itself: cells on both
sides along every phase axis, and readout samples in all."""

LEAST_EXCESS = 0.01
"""Least power above the noise that is told apart from none, relative to the noise [1]."""

NOT_IMPROVED = 'gated is GRAPPA here: its data do not show that a network would improve on it'
"""What is noted where nothing is gained."""

LESS = 'the network gives back too little of small points'
MORE = 'a lower bound, or gated with calibration measured, which takes less away'
"""Why a bound leaves nothing of it, and what would give back more."""


@dataclass(frozen=True, slots=True)
class Gated:
    """A three-layer network whose gates open with the local signal-to-noise ratio, solved in closed form.

    It starts from automatic GRAPPA and goes the share of the way to the network that the measured lines and held-out
    rows of the ACS support, see `raki.networks.trust`: on scans without noise that matters, or with too little ACS to
    tell, it is GRAPPA.

    References
    ----------
    Akcakaya et al. 2019, Magn Reson Med 81:439 (https://doi.org/10.1002/mrm.27420): a network of three layers, trained
    on the scan's own ACS. Stein 1981, Ann Stat 9:1135 (https://doi.org/10.1214/aos/1176345632): the noise's part.
    """

    kernels: tuple[Kernel, ...] = ()
    """Kernels to choose from, smallest first; without any, those of automatic GRAPPA."""

    n_probes: int = 2
    """Draws of noise that tell how much of it the network saves."""

    seed: int = 0
    """Seed of these draws."""

    calibration: CalibrationFrom = 'own'
    """Whether to learn once more from the `own` reconstruction, see `raki.interpolation.own`, or from `measured` lines
    only."""

    faithful: float | None = None
    """Least part, 0 to 1, of what was not measured of small points in the object that must come back, see
    `raki.interpolation.points`; the network is followed no further than it does. None for no such bound [1]."""

    def __post_init__(self) -> None:
        if self.n_probes < 1:
            raise ValueError(f'need at least one draw of noise, got {self}')
        require_part(self.faithful)

    def smallest(self, calibration: Calibration) -> Neighbourhood | None:
        """That of the first kernel of those to choose from."""
        return calibration.neighbourhood(self.choices(calibration)[0])

    def choices(self, calibration: Calibration) -> tuple[Kernel, ...]:
        """Kernels to choose from, smallest first."""
        return self.kernels or kernels_for(calibration)

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Solve GRAPPA and the network, and decide how far to go from one to the other."""
        tuned = tune(calibration, self.kernels)
        own = relearnt(calibration, tuned) if self.calibration == 'own' else tuned
        share, network = self._judged(calibration, tuned, own)
        bounded, part = bounded_share(calibration, own.neighbourhood, own.linear, network, share, self.faithful)
        progress(1, 1)
        found = partial(learnt_anew, tuned, own) if self.calibration == 'own' else tuned.learnt
        if network and bounded >= MIN_SHARE:
            warnings = too_little('gated', part, self.faithful or 0.0)
            return found(Blend(own.linear, network, bounded), warnings)
        instead = MORE if self.calibration == 'own' else 'a lower bound'
        warnings = too_little('GRAPPA', part, self.faithful or 0.0, instead)
        if share < MIN_SHARE:  # nothing is lost by it: no reason to warn
            learnt = found(own.linear, warnings)
            return replace(learnt, notes=(*learnt.notes, NOT_IMPROVED))
        return found(own.linear, (f'gated is GRAPPA here: {LESS}', *warnings))

    def _judged(self, calibration: Calibration, tuned: Tuned, own: Tuned) -> 'tuple[float, Goal | None]':
        """Share of the way to a network that starts from weights of its own, and that network; 0 without one."""
        is_used = len(tuned.folds) > 1 and len(calibration.lattice_cells(tuned.neighbourhood))  # one block cannot judge
        noise = calibration.once('noise', lambda: noise_power(calibration.acs)) if is_used else 0.0
        networks = _networks(calibration, tuned, noise) if noise > 0 else None
        if networks is None:
            return 0.0, None
        steps, network = calibration.lattice.steps, networks.whole
        if own is not tuned:
            network = GatedNetwork.solved(own.total, own.total.n_equations, own.regularization, noise, steps)
        if network is None:
            return 0.0, None
        draws = Draws(noise, self.n_probes, self.seed)
        return shares(calibration, tuned, networks, draws, Step(own.linear, network)).trusted, network


def _networks(calibration: Calibration, tuned: Tuned, noise: float) -> Folds | None:
    """The network from all rows and without each block; None where one of them has no signal above the noise."""
    cells = calibration.cells(tuned.neighbourhood)
    by_cell = tuned.misfit.weight(patch_power(calibration.acs_lines, cells)).sum(1)
    weights = [float(by_cell[fold.to(by_cell.device)].sum()) for fold in calibration.folds(tuned.neighbourhood)]
    parts = [(tuned.total, sum(weights))]
    parts += [(tuned.total - fold, sum(weights) - weight) for fold, weight in zip(tuned.folds, weights, strict=True)]
    steps = calibration.lattice.steps
    every = [GatedNetwork.solved(equations, weight, tuned.regularization, noise, steps) for equations, weight in parts]
    found = [network for network in every if network is not None]
    return Folds(found[0], tuple(found[1:])) if len(found) == len(parts) else None


@dataclass(frozen=True, slots=True, eq=False)
class GatedNetwork:
    """Analysis, gates and synthesis: a patch map that knows how noisy each patch is."""

    analysis: Tensor
    """From sources to channels, complex64, axes (source, channel), see `raki.interpolation.least_squares.LinearMap`."""

    energy: Tensor
    """Signal in a channel per unit of local power, and the ridge, float32, axes (channel,) [1]."""

    synthesis: Tensor
    """From channels to missing samples, complex64, axes (channel, target)."""

    noise: float
    """Noise power of a sample [unit of k-space squared]."""

    steps: tuple[tuple[int, ...], ...]
    """From a cell to its neighbours, along each phase axis."""

    @classmethod
    def solved(
        cls, equations: NormalEquations, weight: float, ridge: float, noise: float, steps: tuple[tuple[int, ...], ...]
    ) -> 'GatedNetwork | None':
        """All layers from equations of this weight in all, None where they hold no signal above the noise.

        The `ridge` is what remains without noise, relative to the mean energy of a source sample [1].
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
        return cls(analysis, damped.float(), synthesis, noise, steps)

    def __call__(self, lines: Tensor, cells: Cells) -> Tensor:
        """Predict, see `raki.interpolation.calibration.PatchMap`."""
        return self._through(self._ridge(lines, cells), lines, cells)

    def _ridge(self, lines: Tensor, cells: Cells) -> Tensor:
        """Noise over local signal power, float32, axes (cell, column)."""
        power = smoothed(patch_power(lines, cells), cells, self.steps)
        return (self.noise / (power - self.noise).clamp(min=LEAST_EXCESS * self.noise)).float()

    def _through(self, ridge: Tensor, lines: Tensor, cells: Cells) -> Tensor:
        """Predict with gates as a local ridge sets them: a linear map."""
        chunks = list(cells.chunks(len(self.energy) * ridge.shape[1]))
        pairs = zip(chunks, ridge.split([len(chunk) for chunk in chunks]), strict=True)
        return joined((self._gated(lines, *pair) for pair in pairs), len(cells), dim=2)

    def _gated(self, lines: Tensor, cells: Cells, ridge: Tensor) -> Tensor:
        channels = LinearMap(self.analysis)(lines, cells).flatten(0, 1)
        missing = self.synthesis.mT @ (channels * self._gates(ridge)).flatten(1)
        return missing.view(len(lines), -1, *ridge.shape)

    def _gates(self, ridge: Tensor) -> Tensor:
        """What each channel is multiplied with, axes (channel, cell, column)."""
        return 1 / (self.energy[:, None, None] + ridge)

    def held(self, lines: Tensor, cells: Cells) -> PatchMap:
        """The linear map that equals the network at these lines: gates stay as they are there."""
        return partial(self._through, self._ridge(lines, cells))

    def noise_overlap(self, lines: Tensor, cells: Cells, start: LinearMap, noise: Draws) -> Tensor:
        """See `raki.networks.trust.Goal`."""
        shared = (self.synthesis.conj() * (self.analysis.mH @ start.weights.to(self.analysis))).real.sum(1)
        rows = [torch.tensordot(shared, self._gates(row), dims=1) for row in self._ridge(lines, cells).split(1)]
        return noise.power * torch.cat(rows)


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """A share, 0 to 1, of the way from one patch map to another."""

    start: PatchMap
    goal: PatchMap
    share: float

    def __call__(self, lines: Tensor, cells: Cells) -> Tensor:
        """Predict, see `raki.interpolation.calibration.PatchMap`."""
        return torch.lerp(self.start(lines, cells), self.goal(lines, cells), self.share)


def smoothed(power: Tensor, cells: Cells, steps: Sequence[Sequence[int]]) -> Tensor:
    """Mean over those patches around each that exist, axes (cell, column); `steps` lead to neighbouring cells."""
    window = power.new_ones(1, 1, SMOOTHED_SAMPLES)
    both = torch.stack([power, torch.ones_like(power)]).flatten(0, 1)[:, None]
    along = conv1d(both, window, padding=SMOOTHED_SAMPLES // 2).view(2, *power.shape)
    counts = list(product(range(-SMOOTHED_CELLS, SMOOTHED_CELLS + 1), repeat=len(steps)))
    table = cells.neighbours(torch.tensor(counts) @ torch.tensor(steps)).to(power.device)
    total, count = torch.cat([along, along.new_zeros(2, 1, power.shape[1])], dim=1)[:, table].sum(2)
    return total / count
