"""Outer loop: train on an ACS that the current reconstruction extends, reconstruct, and start again."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self

from raki.errors import TrainingError
from raki.interpolation.calibration import Calibration, Learnt, Progress
from raki.interpolation.neighbours import Kernel, Neighbourhood
from raki.interpolation.own import CalibrationFrom, learn_linear
from raki.networks.layers import Extent
from raki.networks.raki import NetworkMap, Raki
from raki.networks.training import Recipe, Weights


@dataclass(frozen=True, slots=True)
class IterativeRaki:
    """Iterative RAKI: one complex network, trained on the ACS and on lines around it that are reconstructed so far.

    The first reconstruction is GRAPPA's. Each round takes the central lines as they are reconstructed, measured samples
    kept, as its ACS and goes on from the weights of the round before with a lower learning rate. At any rate R; without
    an ACS that is part of the k-space to fill, it is GRAPPA and says so.

    References
    ----------
    Dawood et al. 2023, Magn Reson Med 89:812 (https://doi.org/10.1002/mrm.29482).
    """

    network: Raki = field(
        default_factory=lambda: Raki(
            widths=(256, 128),
            is_complex=True,
            slope=0.5,
            peak=None,
            initial_std=None,
            recipe=Recipe(n_iterations=500, learning_rate=5e-4, loss='mean square'),
            first=Kernel(lines=4, readout=7),
            last=Extent(lines=1, readout=5),
        )
    )
    """The network, and the recipe of the first round."""

    n_extended: int = 65
    """Lines of the extended ACS along each phase axis; fewer where so many cannot be reconstructed, never fewer than
    were measured [line]."""

    n_rounds: int = 12
    """Times that the network is trained; the learning rate falls in equal steps."""

    n_iterations: int = 250
    """Full-batch iterations of every round but the first."""

    seed: int = 0
    """Seed of the initial weights."""

    calibration: CalibrationFrom = 'own'
    """What GRAPPA learns from, see `raki.interpolation.own`."""

    def __post_init__(self) -> None:
        if self.network.is_high_pass:
            raise ValueError('the network of an iterative method trains on k-space as it is: set is_high_pass=False')
        if min(self.n_extended, self.n_rounds, self.n_iterations) < 1:
            raise ValueError(f'need at least one line, round and iteration, got {self}')

    def smallest(self, calibration: Calibration) -> Neighbourhood | None:
        """What the network sees."""
        return self.network.smallest(calibration)

    def with_iterations(self, n_iterations: int) -> Self:
        """Trained shorter or longer, in every round."""
        return replace(self, n_iterations=n_iterations, network=self.network.with_iterations(n_iterations))

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Start from GRAPPA, then train and reconstruct in turn."""
        first = learn_linear(calibration, (), self.calibration)
        if calibration.is_separate:
            return first.noted('iraki is GRAPPA here: its ACS is not part of the k-space to fill')
        try:
            found, notes = self._iterated(calibration, first, progress)
        except TrainingError as error:
            return first.noted(f'iraki is GRAPPA here: {error}')
        learnt = self.network.learnt(calibration, found, notes)
        return replace(learnt, n_unknowns=sum(weight.numel() for weight in found.weights))

    def _iterated(
        self, calibration: Calibration, first: Learnt, progress: Progress
    ) -> tuple[NetworkMap, tuple[str, ...]]:
        notes, found, patch_map, around = dict[str, None](), None, first.patch_map, first.neighbourhood
        for index in range(self.n_rounds):
            extended = calibration.extended(patch_map, around, self.n_extended)
            if self.network.stack(extended) != self.network.stack(calibration):
                notes['the readout is too short to train iraki on all that it reconstructs'] = None
                progress(1, 1)
                break
            network = replace(self.network, recipe=self._recipe(index), seed=self.seed)
            start: Weights | None = None if found is None else found.weights
            told = partial(_told, progress, index, self.n_rounds)
            found, more = network.trained(extended, told, start)
            notes |= dict.fromkeys(more)
            patch_map, around = found, found.stack.receptive_field
        if found is None:
            raise TrainingError(f'a readout of {calibration.acs.shape[-1]} samples is too short to train on')
        return found, tuple(notes)

    def _recipe(self, index: int) -> Recipe:
        """Of one round."""
        first = self.network.recipe
        rate = first.learning_rate * (1 - index / self.n_rounds)
        return replace(first, learning_rate=rate, n_iterations=self.n_iterations if index else first.n_iterations)


def _told(progress: Progress, index: int, n_rounds: int, done: int, total: int) -> None:
    progress(index * total + done, n_rounds * total)
