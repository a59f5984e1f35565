"""What reconstructions may cost by their size alone, before anything is done: CPU time of one core, within three times.

Closed forms cost so much per sample of the ACS and of k-space, and square of the number of coils. What is solved in
steps is counted: Fourier transforms and priors of every step, and matrices between coils in every pixel. Trained
methods are not here: their steps tell. `benchmarks/size_cost.py` prints these figures beside what it measures.
"""

from collections.abc import Mapping
from math import log2, prod
from typing import NamedTuple

from raki.commands.job import Job
from raki.consistency.grid import Grid
from raki.consistency.sparse import STRENGTHS, Sparse
from raki.consistency.spirit import Spirit
from raki.data.masks import Irregular, Pattern, pattern_of
from raki.data.scan import Scan
from raki.grappa.method import Grappa
from raki.networks.gated import Gated


class Cost(NamedTuple):
    """CPU time of one slice or volume [s]."""

    learn: float
    fill: float

    def of(self, n_fits: int, n_fills: int) -> float:
        """So many of both [s]."""
        return n_fits * self.learn + n_fills * self.fill


class Closed(NamedTuple):
    """CPU time of a closed form, per square of the number of coils [s]."""

    acs: float
    """To learn, per position and readout sample of the ACS."""
    kspace: float
    """To learn, per position and readout sample of all k-space."""
    fill: float
    """To fill in, per the same."""


CLOSED: Mapping[type, Mapping[int, Closed]] = {
    Grappa: {1: Closed(3.5e-7, 0.0, 1.2e-9), 2: Closed(8e-7, 0.0, 2e-9)},
    Gated: {1: Closed(7e-7, 5e-9, 5.5e-9), 2: Closed(1.5e-6, 1.4e-7, 1.5e-8)},
}
"""By the number of phase axes."""

TRANSFORM = 3.3e-10
"""Of a Fourier transform, per sample and halving of the image [s]."""

PRODUCT, INVERSE = 7e-8, 1.4e-9
"""Of matrices between coils that are learnt, per pixel and square of the number of coils, and per cube [s]."""

AGREED, SPARSE = 1.2e-9, 2e-7
"""Of the prior of a step, per pixel and square of the number of coils, and per pixel [s]."""

FREE = {Spirit: 2, Sparse: 4}
"""Steps without a lattice, relative to those with one [1]."""

OTHER_FILLS = {Grappa: 250, Gated: 100, Spirit: 25, Sparse: 150}
"""What else a cell of a comparison needs, for points, lesions, retention and other strengths, in terms of filling in,
as found at 128 x 112 x 8 and 96 x 80 x 16 [1]."""


class Size(NamedTuple):
    """Of a slice or volume, as far as it decides costs."""

    kspace: tuple[int, ...]
    """Coils, phase axes, readout."""
    n_acs: int
    """Lines, or positions, to learn from."""
    has_lattice: bool

    @classmethod
    def of(cls, scan: Scan, pattern: Pattern, n_coils: int | None) -> 'Size':
        """Of a slab of a scan with this pattern, in so many virtual coils; None for as many as there are."""
        n_acs = prod(map(len, pattern.acs) if scan.calibration is None else scan.calibration.shape[2:-1])
        shape = n_coils or scan.n_coils, *scan.kspace.shape[2:]
        return cls(shape, n_acs, not isinstance(pattern, Irregular))

    @property
    def n_pixels(self) -> int:
        """Of the grid on which steps are done."""
        return prod(Grid(self.kspace[1:]).size)


def guess_for(scan: Scan, job: Job, n_fits: int = 1) -> dict[str, float]:
    """What a slab may cost on a core, by the name of the method; nothing where nothing tells [s]."""
    pattern = pattern_of(scan.mask)
    if job.device.type != 'cpu' or bool(pattern.mask[pattern.inside].all()):
        return {}
    cost = cost_of(job.prepared, Size.of(scan, pattern, job.settings.coils))
    return {} if cost is None else {job.settings.method: cost.of(n_fits, 1)}


def cost_of(method: object, size: Size) -> Cost | None:
    """What a method costs; None where nothing tells, or it takes no such pattern."""
    closed = CLOSED.get(type(method))
    if closed:
        return _of_closed(closed[len(size.kspace) - 2], size) if size.has_lattice else None
    if not isinstance(method, Spirit | Sparse):
        return None
    start, own = cost_of(method.start, size) or Cost(0.0, 0.0), _of_steps(method, size)
    return Cost(start.learn + own.learn, start.fill + own.fill)


def _of_closed(closed: Closed, size: Size) -> Cost:
    n_coils, *n_positions, n_readout = size.kspace
    n_acs, n_samples = (number * n_readout * n_coils**2 for number in (size.n_acs, prod(n_positions)))
    return Cost(closed.acs * n_acs + closed.kspace * n_samples, closed.fill * n_samples)


def _of_steps(method: Spirit | Sparse, size: Size) -> Cost:
    """Matrices, and solutions that tell how strong signal is; then another solution fills in."""
    kind, n_coils = type(method), size.kspace[0]
    matrices = size.n_pixels * (PRODUCT + INVERSE * n_coils) * n_coils**2
    fill = method.n_steps * (1 if size.has_lattice else FREE[kind]) * _of_step(kind, size)
    if isinstance(method, Spirit):
        return Cost(matrices if size.has_lattice else 2 * matrices + fill, fill)
    learn = matrices + fill * (1 if method.faithful is None else len(STRENGTHS))
    return Cost(learn if size.has_lattice else learn + sum(_of_steps(Spirit(method.start), size)), fill)


def _of_step(kind: type, size: Size) -> float:
    """Of two transforms and the prior [s]."""
    n_coils, n_pixels = size.kspace[0], size.n_pixels
    prior = AGREED * n_coils**2 if kind is Spirit else SPARSE
    return n_pixels * (2 * TRANSFORM * n_coils * log2(n_pixels) + prior)
