"""What a comparison is to do, and whether it can be done."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from raki.data.lattice import Lattice
from raki.data.masks import Drawn, Irregular, Pattern, pattern_of
from raki.data.sampling import Sampling, undersample
from raki.data.scan import Scan
from raki.errors import CalibrationError, SamplingError
from raki.evaluation.baseline import Baseline
from raki.evaluation.rows import Label
from raki.interpolation.calibration import Calibration, Method
from raki.interpolation.fit import ZeroFilling
from raki.interpolation.patterns import as_seen_by, kinds_for, require_pattern


@dataclass(frozen=True, slots=True)
class Rate:
    """A spacing of measured lines."""

    spacing: tuple[int, ...]
    """(R,) of slices, (Rz, Ry) of a volume [line]."""
    shift: int = 0
    """CAIPI shift of a volume [line]."""

    def __str__(self) -> str:
        return str(self.label)

    @property
    def label(self) -> Label:
        """As it stands in results."""
        return labelled(self.spacing, self.shift)


def labelled(sizes: Sequence[int], shift: int = 0) -> Label:
    """Write the sizes of a rate or an ACS."""
    return sizes[0] if len(sizes) == 1 else 'x'.join(map(str, sizes)) + (f's{shift}' if shift else '')


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compare."""

    methods: Mapping[str, Method | Baseline]
    """Methods by name."""
    rates: Sequence[Rate] = (Rate((2,)), Rate((3,)), Rate((4,)), Rate((5,)))
    """Accelerations."""
    acs: Sequence[tuple[int, ...]] = ((24,),)
    """Sizes of the ACS block, one per phase axis [line]."""
    seeds: Sequence[int] = (0,)
    """Seeds of methods that have one."""
    n_replicas: int = 100
    """Replicas of each noise map; 0 for no noise maps."""
    device: torch.device = torch.device('cpu')
    """Where to compute."""
    coils: int | None = None
    """Number of virtual coils to learn in; None as many as there are."""
    is_refitted: bool = False
    """Whether weights are learnt anew from every replica, and so vary with it."""
    object_mask: Tensor | None = None
    """The object, if not found by itself: boolean, axes of the images, or with a first axis over all slices."""
    drawn: Drawn | None = None
    """How lines are drawn, with a centre of its own instead of `acs`; None for lattices."""
    figures: Collection[str] | None = None
    """Names of the figures of `raki.evaluation.metrics` to measure, none of retention; None for all, and for maps of
    retention, summaries of lesions and errors at other strengths besides, which take most of the time."""

    def __post_init__(self) -> None:
        if not (self.methods and self.rates and self.acs and self.seeds):
            raise ValueError('a comparison needs at least one method, rate, ACS length and seed')
        spacings, sizes = [n for rate in self.rates for n in rate.spacing], [n for size in self.acs for n in size]
        if min(spacings) < 1 or min(sizes) < 0 or self.n_replicas < 0 or self.n_replicas == 1:
            raise ValueError(
                f'rates must be 1 or more, ACS lengths 0 or more, replicas 0 or at least 2, '
                f'got rates {", ".join(map(str, self.rates))}, '
                f'ACS {", ".join(str(labelled(size)) for size in self.acs)} '
                f'and {self.n_replicas} replicas'
            )

    def asked(self, scan: Scan) -> 'list[Asked]':
        """What is asked for of a scan, rate by rate.

        Raises
        ------
        SamplingError
            If a rate or an ACS is not of as many phase axes as the scan, or too large for it.
        """
        if self.drawn is None:
            every = ((rate, acs) for rate in self.rates for acs in self.acs)
            return [Asked(rate, labelled(acs), _undersampled(scan, rate, acs)) for rate, acs in every]
        return [_drawn(scan, rate, self.drawn) for rate in self.rates]


class Asked(NamedTuple):
    """One pattern of a comparison."""

    rate: Rate
    acs: Label
    """Size of the ACS."""
    pattern: Pattern

    def __str__(self) -> str:
        return f'R={self.rate}, ACS {self.acs}'


def require_feasible(plan: Plan, scan: Scan) -> None:
    """Raise before any work if there is less ACS than a kernel needs, or a method does not take a pattern.

    Or if a program that one of them needs is not installed.
    """
    for name, method in plan.methods.items():
        if isinstance(method, Baseline):
            method.require_installed(name)
    for asked in plan.asked(scan):
        for name, method in plan.methods.items():
            if bool(asked.pattern.mask[asked.pattern.inside].all()) or isinstance(method, ZeroFilling):
                continue
            acs = scan.kspace.new_empty(1, *map(len, asked.pattern.acs), scan.kspace.shape[-1], device='meta')
            try:
                _require_fits(method, acs, asked.pattern)
            except CalibrationError as error:
                raise CalibrationError(f'{name} at {asked}: {error}, or leave out that rate') from error
            except SamplingError as error:
                raise SamplingError(f'{name} at {asked}: {error}') from error


def _require_fits(method: Method | Baseline, acs: Tensor, pattern: Pattern) -> None:
    nowhere = Lattice.of((1,) * pattern.mask.ndim)
    if isinstance(method, Baseline):
        smallest = method.smallest(Calibration(acs, nowhere, pattern))
        if smallest is not None:
            smallest.require_fits(acs.shape[1:])
        return
    require_pattern(method, pattern)
    seen = as_seen_by(method, pattern)
    if not isinstance(seen, Irregular):
        lattice = seen.lattice if isinstance(seen, Sampling) else nowhere
        kinds_for(method, Calibration(acs, lattice, seen))


def _undersampled(scan: Scan, rate: Rate, acs: Sequence[int]) -> Sampling:
    if not len(rate.spacing) == len(acs) == scan.n_phase_axes:
        raise SamplingError(
            'slices need a rate such as 4 and an ACS such as 24, a volume 2x2s1 and 16x24, '
            f'got {rate} and {labelled(acs)} for {scan.n_phase_axes} phase axes'
        )
    return undersample(scan.mask, rate.spacing, acs, rate.shift)


def _drawn(scan: Scan, rate: Rate, drawn: Drawn) -> Asked:
    if len(rate.spacing) != 1 or scan.n_phase_axes != 1:
        raise SamplingError(
            f'{drawn.name} draws lines of slices at a rate such as 4, got {rate} for {scan.n_phase_axes} phase axes'
        )
    mask = drawn.lines(len(scan.mask), rate.spacing[0])
    n_centre = round(len(mask) * drawn.centre_fraction(rate.spacing[0]))
    return Asked(rate, n_centre, pattern_of(mask & scan.mask.to(mask.device)))
