"""Outer loop: train on an ACS that the current reconstruction extends, reconstruct, and start again."""

from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from raki.data.sampling import longest_run
from raki.errors import TrainingError
from raki.grappa.method import Grappa
from raki.interpolation import Calibration, Learnt, PatchMap, Progress, silent
from raki.kernel import Kernel
from raki.methods import NetworkMap, Raki
from raki.networks import Extent
from raki.training import Recipe, Weights


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
        self, calibration: Calibration, place: 'Place', first: Learnt, progress: Progress
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


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where an ACS lies among the lattice lines around it."""

    acs: Tensor
    """Axes (coil, line, readout)."""

    lines: Tensor
    """Lattice lines, axes (coil, line, readout)."""

    acceleration: int
    """Spacing of the lattice lines [line]."""

    start: int
    """Position of the first ACS line, counted from the first lattice line [line]."""

    @classmethod
    def of(cls, calibration: Calibration) -> 'Place | None':
        """None where the ACS is not part of the k-space to fill, or reaches beyond its lattice."""
        acs, lines, missing = calibration.acs, calibration.lines, calibration.missing
        if lines is None or missing is None:
            return None
        acceleration = calibration.acceleration
        measured = torch.nn.functional.pad(~missing[1:], (1, 0), value=True).flatten()
        run = longest_run(measured[: (lines.shape[1] - 1) * acceleration + 1].cpu())
        first = -(-run.start // acceleration)
        inside = acs[:, first * acceleration - run.start :: acceleration]
        if len(run) != acs.shape[1] or not torch.equal(inside, lines[:, first : first + inside.shape[1]]):
            return None
        return cls(acs, lines, acceleration, run.start)

    def extended(self, patch_map: PatchMap, kernel: Kernel, n_lines: int) -> Tensor:
        """The ACS and reconstructed lines around it, without the readout samples that the kernel does not reach.

        Returns
        -------
        Axes (coil, line, readout): n_lines of them at most, but no fewer than the ACS has.
        """
        missing = patch_map(self.lines, 1)
        columns = slice(kernel.readout // 2, kernel.readout // 2 + missing.shape[3])
        before = kernel.before - 1
        lattice = self.lines[:, None, before : before + missing.shape[2], columns]
        full = torch.cat([lattice, missing], dim=1).transpose(1, 2).flatten(1, 2)
        start, size = self.start - before * self.acceleration, self.acs.shape[1]
        skipped = max(0, -start)
        full[:, start + skipped : start + size] = self.acs[:, skipped : full.shape[1] - start, columns]
        first = max(0, min(start - max(0, n_lines - size) // 2, full.shape[1] - max(n_lines, size)))
        return full[:, first : first + max(n_lines, size)].contiguous()
