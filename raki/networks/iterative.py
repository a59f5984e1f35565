"""Outer loop: train on an ACS that the current reconstruction extends, reconstruct, and start again."""

from dataclasses import dataclass, field, replace
from functools import partial

from raki.errors import TrainingError
from raki.grappa.method import Grappa
from raki.interpolation.fit import Calibration, Learnt, Progress, silent
from raki.interpolation.kernel import Kernel
from raki.interpolation.place import Place
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
    """Lines of the extended ACS; fewer where so many cannot be reconstructed, never fewer than were measured [line]."""

    n_rounds: int = 12
    """Times that the network is trained; the learning rate falls in equal steps."""

    n_iterations: int = 250
    """Full-batch iterations of every round but the first."""

    seed: int = 0
    """Seed of the initial weights."""

    def __post_init__(self) -> None:
        if self.network.is_high_pass:
            raise ValueError('the network of an iterative method trains on k-space as it is: set is_high_pass=False')
        if min(self.n_extended, self.n_rounds, self.n_iterations) < 1:
            raise ValueError(f'need at least one line, round and iteration, got {self}')

    @property
    def smallest_kernel(self) -> Kernel:
        """What the network sees."""
        return self.network.smallest_kernel

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Start from GRAPPA, then train and reconstruct in turn."""
        first, place = Grappa().learn(calibration, silent), Place.of(calibration)
        if place is None:
            note = 'iraki is GRAPPA here: its ACS is not part of the k-space to fill'
            return replace(first, warnings=(*first.warnings, note))
        try:
            patch_map, notes = self._iterated(calibration, place, first, progress)
        except TrainingError as error:
            return replace(first, warnings=(*first.warnings, f'iraki is GRAPPA here: {error}'))
        network, n_weights = self.network, sum(weight.numel() for weight in patch_map.weights)
        n_equations = network.targets(calibration, 1.0)[0].numel()
        return Learnt(patch_map, self.smallest_kernel, network.regularization, n_equations, n_weights, notes)

    def _iterated(
        self, calibration: Calibration, place: Place, first: Learnt, progress: Progress
    ) -> tuple[NetworkMap, tuple[str, ...]]:
        notes, found = dict[str, None](), None
        patch_map, kernel = first.patch_map, first.kernel
        for index in range(self.n_rounds):
            extended = place.extended(patch_map, kernel, self.n_extended)
            network = replace(self.network, recipe=self._recipe(index), seed=self.seed)
            start: Weights | None = None if found is None else found.weights
            told = partial(_told, progress, index, self.n_rounds)
            found, more = network.trained(Calibration(extended, calibration.acceleration), told, start)
            notes |= dict.fromkeys(more)
            patch_map, kernel = found, self.smallest_kernel
        assert found is not None
        return found, tuple(notes)

    def _recipe(self, index: int) -> Recipe:
        """Of one round."""
        first = self.network.recipe
        rate = first.learning_rate * (1 - index / self.n_rounds)
        return replace(first, learning_rate=rate, n_iterations=self.n_iterations if index else first.n_iterations)


def _told(progress: Progress, index: int, n_rounds: int, done: int, total: int) -> None:
    progress(index * total + done, n_rounds * total)
