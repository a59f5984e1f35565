"""Volumes with two accelerated axes: learn on the ACS block how to fill in a lattice of (kz, ky) positions.

As `raki.interpolation.fit`, with other geometry: every missing position of a cell has a neighbourhood of its own
(`raki.interpolation.neighbourhood`), and where part of it does not exist, a linear kernel of what does takes over (`raki.interpolation.edges`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from raki.coils.transform import CoilTransform
from raki.data.lattice import Offset, VolumeSampling
from raki.errors import SamplingError
from raki.interpolation.checks import require_complex64, require_learnable
from raki.interpolation.edges import edge_weights
from raki.interpolation.fit import Method, Progress, silent
from raki.interpolation.kernel import Kernel
from raki.interpolation.linear import NormalEquations, Weighting
from raki.interpolation.moments import mean_power
from raki.interpolation.neighbourhood import Neighbourhood, Part, Region, Sources, at
from raki.interpolation.volume_power import VolumePower

SOURCES_AT_ONCE = 2**24
"""Source samples that are in memory together; at least those of one partition."""


@dataclass(frozen=True, eq=False)
class PositionCalibration:
    """All that a method may learn from about one of the missing positions of a cell."""

    acs: Tensor
    """Fully sampled autocalibration block, axes (coil, kz, ky, kx)."""

    sampling: VolumeSampling
    """The pattern of the k-space to fill."""

    missing: Offset
    """The position, from the lattice point of its cell."""

    missing_power: float
    """Mean |k-space sample|^2 around missing positions."""

    def neighbourhood(self, kernel: Kernel) -> Neighbourhood:
        """Sources of the position within the extent of a kernel."""
        return Neighbourhood.around(self.missing, self.sampling, kernel)

    def normal_equations(
        self, neighbourhood: Neighbourhood, region: Region | None = None, weighting: Weighting | None = None
    ) -> NormalEquations:
        """The linear problem with some sources, of the whole ACS or of the positions of a region."""
        pairs = neighbourhood.pairs(self.acs, region)
        weighted = pairs if weighting is None else (_weighted(*pair, weighting) for pair in pairs)
        return NormalEquations.from_pairs(weighted, neighbourhood.as_kernel, *self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of coils, and of lines of the ACS."""
        return len(self.acs), prod(self.acs.shape[1:3])


def _weighted(sources: Tensor, targets: Tensor, weighting: Weighting) -> tuple[Tensor, Tensor]:
    scale = weighting(mean_power(sources)).sqrt()[:, None]
    return scale * sources, scale * targets


@dataclass(frozen=True, slots=True, eq=False)
class LearntPosition:
    """What a method gives back for one of the missing positions of a cell."""

    neighbourhood: Neighbourhood
    """Where its sources are."""

    weights: Tensor
    """Complex, axes (source, coil); a source is (coil, offset, sample)."""

    regularization: float
    """Least ridge weight of kernels at the edges, relative to the mean energy of a source sample [1]."""

    warnings: tuple[str, ...] = ()
    """What else a user must know, one sentence each."""


@runtime_checkable
class VolumeMethod(Protocol):
    """A method that handles two accelerated axes: a linear one."""

    @property
    def smallest_kernel(self) -> Kernel:
        """Extent of the smallest neighbourhood that it may choose."""
        ...

    def learn_position(self, calibration: PositionCalibration) -> LearntPosition:
        """Learn from the ACS how to predict one of the missing positions of a cell."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class VolumeMap:
    """A linear kernel for those positions of a volume that have the same sources."""

    sources: Sources
    """Where a patch takes its samples from."""

    regions: tuple[Region, ...]
    """The positions it fills."""

    weights: Tensor
    """Complex, axes (source, coil); a source is (coil, offset, sample)."""

    def fill(self, kspace: Tensor, target: Tensor) -> None:
        """Write what it predicts from k-space, axes (coil, kz, ky, kx), into `target` of the same shape."""
        for region in self.regions:
            for slab in _slabs(region, len(self.weights)):
                missing = self.sources.patches(kspace, slab) @ self.weights
                target[at(slab)] = missing.mT.unflatten(1, [len(side) for side in slab])


@dataclass(frozen=True, slots=True, eq=False)
class VolumeInterpolator:
    """A method fitted to a volume, with fixed weights. There is no unfitted interpolator."""

    sampling: VolumeSampling
    """The pattern it was fitted for."""

    n_readout: int
    """Readout length it was fitted for."""

    n_coils: int | None = None
    """Number of coils it was fitted for; None where any will do, because nothing is filled in."""

    maps: tuple[VolumeMap, ...] = ()
    """Kernels that fill every missing position between them; none for zero filling and R=1."""

    warnings: tuple[str, ...] = ()
    """Why the result may be worse than usual, one sentence each; empty where nothing is known against it."""

    transform: CoilTransform | None = None
    """To the virtual coils that the maps are learnt in; None where these are the coils themselves."""

    @torch.no_grad()
    def fill(self, kspace: Tensor) -> Tensor:
        """Fill in every missing position of the acquired range; measured samples come back bit for bit.

        Parameters
        ----------
        kspace
            Axes (coil, kz, ky, kx); positions outside `sampling.mask` are not looked at.

        Raises
        ------
        ValueError
            If the matrix is not the one that was fitted for, or not complex64.
        """
        require_complex64(kspace)
        wanted = (self.n_coils or len(kspace), *self.sampling.shape, self.n_readout)
        if kspace.shape != wanted:
            names = ' x '.join(str(size) for size in wanted)
            raise ValueError(f'fitted for k-space (coil, kz, ky, kx) of {names}, got {tuple(kspace.shape)}')
        virtual = kspace if self.transform is None else self.transform.apply(kspace)
        target = torch.zeros_like(virtual)
        for part in self.maps:
            part.fill(virtual, target)
        if self.transform is not None:
            target = self.transform.invert(target)
        return torch.where(self.sampling.mask.to(kspace.device)[..., None], kspace, target)


def fit_volume(
    method: Method,
    acs: Tensor,
    sampling: VolumeSampling,
    kspace: Tensor | None = None,
    progress: Progress = silent,
    transform: CoilTransform | None = None,
) -> VolumeInterpolator:
    """Learn from the ACS how to fill in what `sampling` leaves out.

    Parameters
    ----------
    method
        What to learn; a linear one.
    acs
        Fully sampled autocalibration block, axes (coil, kz, ky, kx), complex.
    sampling
        The pattern of the k-space to fill.
    kspace
        The k-space to fill, axes (coil, kz, ky, kx), for the powers at its edges as in `raki.interpolation.fit`.
    progress
        Told how many of the missing positions of a cell are learnt.
    transform
        To the virtual coils to learn in, as in `raki.interpolation.fit`.

    Raises
    ------
    CalibrationError
        If the ACS is smaller than the method's kernel.
    SamplingError
        If the method handles one accelerated axis only, as networks do so far.
    """
    require_complex64(acs)
    n_readout = (acs if kspace is None else kspace).shape[-1]
    if sampling.lattice.missing == ():
        return VolumeInterpolator(sampling, n_readout)
    if not isinstance(method, VolumeMethod):
        raise SamplingError(
            f'{type(method).__name__} handles one accelerated axis so far, got {sampling.lattice}: use GRAPPA'
        )
    require_learnable(method, acs, n_axes=4)
    n_coils = len(acs)
    if transform is not None:
        acs, kspace = transform.apply(acs), None if kspace is None else transform.apply(kspace)
    power = None if kspace is None else VolumePower.of(kspace, sampling, method.smallest_kernel.readout)
    missing_power = float(acs.abs().square().mean()) if power is None else power.missing(prod(acs.shape[1:3]))
    maps, warnings = list[VolumeMap](), dict.fromkeys(transform.warnings if transform else ())
    for done, missing in enumerate(sampling.lattice.missing, start=1):
        calibration = PositionCalibration(acs, sampling, missing, missing_power)
        learnt = method.learn_position(calibration)
        equations = calibration.normal_equations(learnt.neighbourhood)
        maps += _maps(learnt, equations, learnt.neighbourhood.regions(sampling, n_readout), power)
        warnings |= dict.fromkeys((*_warnings(equations, acs), *learnt.warnings))
        progress(done, len(sampling.lattice.missing))
    return VolumeInterpolator(sampling, n_readout, n_coils, tuple(maps), tuple(warnings), transform)


def _maps(
    learnt: LearntPosition, equations: NormalEquations, regions: dict[Part, list[Region]], power: VolumePower | None
) -> Iterator[VolumeMap]:
    for part, where in regions.items():
        sources = learnt.neighbourhood.existing(part)
        if part == learnt.neighbourhood.whole:
            weights = learnt.weights.to(torch.complex64)
        else:
            levels = None if power is None else power.levels(equations, learnt.regularization, part, sources, where)
            weights = edge_weights(equations, learnt.regularization, part, levels)
        yield VolumeMap(sources, tuple(where), weights)


def _warnings(equations: NormalEquations, acs: Tensor) -> tuple[str, ...]:
    if equations.n_equations >= len(equations.gram):
        return ()
    return (
        f'an ACS of {acs.shape[1]} x {acs.shape[2]} (kz, ky) gives {equations.n_equations} equations for '
        f'{len(equations.gram)} unknowns: ghosts are possible; more ACS or a smaller kernel would help',
    )


def _slabs(region: Region, n_sources: int) -> Iterator[Region]:
    """Cut a region along kz so that its patches fit into memory."""
    partitions, lines, columns = region
    step = max(1, SOURCES_AT_ONCE // (n_sources * len(lines) * len(columns)))
    for start in range(0, len(partitions), step):
        yield partitions[start : start + step], lines, columns
