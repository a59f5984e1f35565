"""The recommended method: GRAPPA, and from there as far towards a gated network as the scan's own data carry."""

from dataclasses import dataclass, replace

from raki.grappa.method import KERNELS, Grappa
from raki.interpolation.fit import Calibration, Learnt, Progress
from raki.interpolation.kernel import Kernel
from raki.interpolation.noise_power import noise_power
from raki.interpolation.tuning import Tuned, row_blocks, tune
from raki.interpolation.volume import LearntPosition, PositionCalibration
from raki.networks.gated import Blend, GatedNetwork, patch_power
from raki.networks.trust import MIN_SHARE, Draws, Folds, shares


@dataclass(frozen=True, slots=True)
class GatedRaki:
    """A three-layer network whose gates open with the local signal-to-noise ratio, solved in closed form.

    It starts from automatic GRAPPA and goes the share of the way to the network that the measured lines and held-out
    rows of the ACS support, see `raki.networks.gated` and `raki.networks.trust`: on scans without noise that matters, or with too little
    ACS to tell, it is GRAPPA.

    References
    ----------
    Akcakaya et al. 2019, Magn Reson Med 81:439 (https://doi.org/10.1002/mrm.27420): a network of three layers, trained
    on the scan's own ACS. Stein 1981, Ann Stat 9:1135 (https://doi.org/10.1214/aos/1176345632): the noise's part.
    """

    kernels: tuple[Kernel, ...] = KERNELS
    """Kernels to choose from, smallest first."""

    n_probes: int = 2
    """Draws of noise that tell how much of it the network saves."""

    seed: int = 0
    """Seed of these draws."""

    def __post_init__(self) -> None:
        if not self.kernels or self.n_probes < 1:
            raise ValueError(f'need at least one kernel and one draw of noise, got {self}')

    @property
    def smallest_kernel(self) -> Kernel:
        """The first kernel of those to choose from."""
        return self.kernels[0]

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Solve GRAPPA and the network, and decide how far to go from one to the other."""
        tuned = tune(calibration, self.kernels)
        networks = _networks(calibration, tuned)
        share = shares(calibration, tuned, networks, Draws(self.n_probes, self.seed)).trusted if networks else 0.0
        progress(1, 1)
        if networks and share >= MIN_SHARE:
            return tuned.learnt(Blend(tuned.linear, networks.whole, share))
        note = 'raki is GRAPPA here: its data do not show that a network would improve on it'
        return tuned.learnt(tuned.linear, (note,))

    def learn_position(self, calibration: PositionCalibration) -> LearntPosition:
        """GRAPPA: of two accelerated axes the network knows nothing yet, and the result says so."""
        note = 'raki is GRAPPA here: its network handles one accelerated axis so far'
        return replace(Grappa().learn_position(calibration), warnings=(note,))


def _networks(calibration: Calibration, tuned: Tuned) -> Folds | None:
    """The network from all rows and without each block; None where it cannot be judged or there is no noise."""
    if calibration.lines is None or calibration.missing is None or len(tuned.blocks) < 2:
        return None
    noise = noise_power(calibration.acs)
    if not noise > 0:
        return None
    power = patch_power(calibration.acs, tuned.kernel, calibration.acceleration)
    by_row = tuned.misfit.weight(power).sum(1)
    weights = [float(by_row[rows.start : rows.stop].sum()) for rows in row_blocks(calibration, tuned.kernel)]
    total = sum(tuned.blocks[1:], tuned.blocks[0])
    parts = [(total, sum(weights))]
    parts += [(total - block, sum(weights) - weight) for block, weight in zip(tuned.blocks, weights, strict=True)]
    every = [GatedNetwork.solved(equations, weight, tuned.regularization, noise) for equations, weight in parts]
    found = [network for network in every if network is not None]
    return Folds(found[0], tuple(found[1:]), noise) if len(found) == len(parts) else None
