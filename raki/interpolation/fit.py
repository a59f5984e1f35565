"""Fit a method to a scan: the map that it learns where its neighbourhood is whole, linear kernels at the edges."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from raki.coils.transform import CoilTransform
from raki.data.lattice import Lattice
from raki.data.masks import Irregular, Pattern
from raki.data.sampling import Sampling
from raki.errors import CalibrationError
from raki.interpolation.calibration import (
    Calibration,
    Learnt,
    Linearizable,
    Method,
    PatchMap,
    Progress,
    Refinement,
    Refining,
    require_complex64,
    require_learnable,
    silent,
)
from raki.interpolation.edges import EdgeMap, edge_maps
from raki.interpolation.least_squares import LinearMap
from raki.interpolation.neighbours import Cells, Neighbourhood, by
from raki.interpolation.patterns import as_seen_by, kinds_for, learn, require_pattern, several, told
from raki.magnitude import in_unit, out_of_unit, unit_of

Guard = Callable[['Interpolator', Sequence[Calibration], Tensor], 'Interpolator']
"""From what was fitted, what there was to learn from for each kind of cells, and k-space, to what is to be used."""


class Filler(Protocol):
    """Anything fitted that fills k-space in."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the result may be worse than usual, one sentence each."""
        ...

    def fill(self, kspace: Tensor) -> Tensor:
        """From k-space (coil, phase axes, kx) to filled k-space."""
        ...


@dataclass(frozen=True, slots=True)
class ZeroFilling:
    """Missing lines stay zero."""

    def smallest(self, calibration: Calibration) -> Neighbourhood | None:
        """No ACS is needed."""
        del calibration

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Nothing is learnt: `fit` does not ask."""
        raise CalibrationError(f'zero filling learns nothing of {calibration.lattice}, and tells {progress} nothing')


@dataclass(frozen=True, slots=True, eq=False)
class InnerMap:
    """A learnt map for all cells whose neighbourhood is whole."""

    cells: Cells
    patch_map: PatchMap

    def fill(self, lines: Tensor, target: Tensor) -> None:
        """Write what it predicts from lines (coil, line, readout) into others."""
        if len(self.cells):
            columns = self.cells.neighbourhood.columns(lines.shape[-1])
            self.cells.put(target, self.patch_map(lines, self.cells), columns)

    def derivative(self, lines: Tensor) -> 'InnerMap':
        """The derivative at these lines."""
        if isinstance(self.patch_map, LinearMap) or not len(self.cells):
            return self
        if isinstance(self.patch_map, Linearizable):
            return replace(self, patch_map=self.patch_map.linearized(lines, self.cells))
        return replace(self, patch_map=partial(_pushed, self.patch_map, lines))


def _pushed(patch_map: PatchMap, lines: Tensor, tangent: Tensor, cells: Cells) -> Tensor:
    """Derivative of a map at `lines` along `tangent`, both (coil, line, readout)."""
    with warnings.catch_warnings():  # torch warns of its own deprecated parts when it first differentiates forwards
        warnings.simplefilter('ignore', DeprecationWarning)
        return torch.func.jvp(lambda around: patch_map(around, cells), (lines,), (tangent,))[1]


@dataclass(frozen=True, slots=True, eq=False)
class Linearized:
    """A refinement that is linear over the reals."""

    push: Callable[[Tensor], Tensor]

    def __call__(self, lines: Tensor) -> Tensor:
        """See `raki.interpolation.calibration.Refinement`."""
        return self.push(lines)

    def derivative(self, lines: Tensor) -> Callable[[Tensor], Tensor]:
        """Everywhere the same."""
        del lines
        return self.push


@dataclass(frozen=True, slots=True, eq=False)
class Interpolator:
    """A fitted method with fixed weights. There is no unfitted interpolator."""

    sampling: Pattern
    """The pattern it was fitted for."""

    n_readout: int
    """Readout length it was fitted for."""

    n_coils: int | None = None
    """Number of coils it was fitted for; None where any will do, because nothing is filled in."""

    inner: tuple[InnerMap, ...] = ()
    """The learnt map, or one for each kind of cells where gaps differ; none where nothing is filled in (zero filling,
    R=1)."""

    edges: tuple[EdgeMap, ...] = ()
    """Linear kernels for the edges of k-space."""

    warnings: tuple[str, ...] = ()
    """Why the result may be worse than usual, one sentence each; empty where nothing is known against it."""

    notes: tuple[str, ...] = ()
    """What was done, one sentence each."""

    transform: CoilTransform | None = None
    """To the virtual coils that the maps are learnt in; None where these are the coils themselves."""

    refinement: Refinement | None = None
    """What is done to the lines that the maps have filled in, in virtual coils."""

    unit: float = 1.0
    """Power of two by which samples are divided before the maps see them, see `raki.magnitude` [unit of k-space]."""

    def fill(self, kspace: Tensor) -> Tensor:
        """Fill in every missing line of the acquired range; measured samples come back bit for bit.

        Axes (coil, ky, kx) or (coil, kz, ky, kx); lines outside `sampling.mask` are not looked at. Differentiable in
        `kspace` (`torch.func.jvp`, `linearize`, `vjp`); fitted weights are constants.

        Raises
        ------
        ValueError
            If the matrix is not the one that was fitted for, or not complex64.
        """
        require_complex64(kspace)
        self._require_fitting(tuple(kspace.shape))
        if not self._fills:
            return torch.where(self._mask(kspace), kspace, 0)
        target = self._interpolated(kspace)
        if self.refinement is not None:
            inside = self.sampling.inside.flatten().to(kspace.device)
            target = torch.where(inside[:, None], self.refinement(target), 0)
        if self.transform is not None:
            target = self.transform.invert(target)
        filled = out_of_unit(target.view(kspace.shape), self.unit)
        return torch.where(self._mask(kspace), kspace, filled)

    @property
    def _fills(self) -> bool:
        return bool(self.inner) or self.refinement is not None

    def _interpolated(self, kspace: Tensor) -> Tensor:
        """What the maps make of k-space, and for a refinement what was measured, axes (virtual coil, line, readout)."""
        lines = self._measured(kspace)
        if self.transform is not None:
            lines = self.transform.apply(lines)
        target = torch.zeros_like(lines)
        for part in (*self.inner, *self.edges):
            part.fill(lines, target)
        return target if self.refinement is None else torch.where(self._mask(kspace).flatten(0, -2), lines, target)

    def derivative(self, kspace: Tensor) -> 'Interpolator':
        """The derivative of `fill` at this k-space, whose own `fill` takes changes of it to changes.

        Linear over the reals only, where the map is a network that sees real and imaginary parts. Costs as much as
        filling; a map that is not `Linearizable` is differentiated anew, with `torch.func.jvp`, for every change.
        """
        if not self._fills:
            return self
        lines = self._measured(kspace)
        virtual = lines if self.transform is None else self.transform.apply(lines)
        inner = tuple(each.derivative(virtual) for each in self.inner)
        if self.refinement is None:
            return replace(self, inner=inner)
        return replace(self, inner=inner, refinement=Linearized(self.refinement.derivative(self._interpolated(kspace))))

    def _mask(self, kspace: Tensor) -> Tensor:
        return self.sampling.mask.to(kspace.device)[..., None]

    def _measured(self, kspace: Tensor) -> Tensor:
        return in_unit(torch.where(self._mask(kspace), kspace, 0).flatten(1, -2), self.unit)

    def _require_fitting(self, shape: tuple[int, ...]) -> None:
        wanted = (self.n_coils or shape[0], *self.sampling.mask.shape, self.n_readout)
        if shape != wanted:
            axes = ', '.join(('kz', 'ky', 'kx')[1 - len(wanted) :])
            raise ValueError(f'fitted for k-space (coil, {axes}) of {by(wanted)}, got {shape}')


def fit(
    method: Method,
    kspace: Tensor,
    sampling: Pattern,
    calibration: Tensor | None = None,
    progress: Progress = silent,
    transform: CoilTransform | None = None,
    guard: Guard | None = None,
) -> Interpolator:
    """Learn from the ACS how to fill in what `sampling` leaves out.

    Parameters
    ----------
    kspace
        The k-space to fill, axes (coil, ky, kx) or (coil, kz, ky, kx), complex64; only measured lines are looked at.
        They also tell how much signal and noise there is at the edges, see `raki.interpolation.edges`.
    sampling
        The pattern of that k-space: a lattice, of methods that are `Gapwise` also lines whose gaps differ by one, of
        methods that are `Refining` any mask.
    calibration
        Separately measured autocalibration lines, axes as k-space; by default the ACS of `sampling`.
    transform
        To the virtual coils to learn in, see `raki.coils.transform`; by default the coils as they are. Arguments and
        results are in the coils of the scan either way.
    guard
        Has the last word on what was fitted, see `raki.interpolation.harm`; by default it is used whatever it does.

    Raises
    ------
    SamplingError
        If the method needs an order of lines that there is not.
    CalibrationError
        If there is no ACS, or it is smaller than the method's kernel.
    TrainingError
        If the numbers leave the finite range.
    """
    acs = sampling.acs_block(kspace) if calibration is None else calibration
    require_complex64(kspace)
    require_complex64(acs)
    n_readout = kspace.shape[-1]
    if isinstance(method, ZeroFilling) or bool(sampling.mask[sampling.inside].all()):
        return Interpolator(sampling, n_readout)
    require_pattern(method, sampling)
    sampling = as_seen_by(method, sampling)
    require_learnable(method, acs, n_axes=kspace.ndim)
    measured = torch.where(sampling.mask.to(kspace.device)[..., None], kspace, 0).flatten(1, -2)
    unit = unit_of(measured)
    apply = partial(_seen, transform, unit)
    measured = apply(measured)
    lattice = sampling.lattice if isinstance(sampling, Sampling) else Lattice.of((1,) * sampling.mask.ndim)
    known = Calibration(apply(acs), lattice, sampling, measured, is_separate=calibration is not None)
    cautions, notes = (transform.warnings, transform.notes) if transform else ((), ())
    if isinstance(sampling, Irregular):
        assert isinstance(method, Refining)
        refinement = method.refinement(known, None)
        progress(1, 1)
        found = Interpolator(sampling, n_readout, len(kspace), (), (), cautions, notes, transform, refinement, unit)
        return found if guard is None else guard(found, (known,), kspace)
    kinds = kinds_for(method, known)
    every = learn(method, kinds, progress)
    maps = [_maps(kind, learnt, n_readout) for kind, learnt in zip(kinds, every, strict=True)]
    inner, edges = tuple(own for own, _ in maps), tuple(edge for _, edges in maps for edge in edges)
    cautions = (*cautions, *told(kinds, [_warnings(learnt, acs) for learnt in every]))
    notes = (*notes, *several(kinds), *told(kinds, [learnt.notes for learnt in every]))
    around = cautions, notes, transform, every[0].refinement, unit
    found = Interpolator(sampling, n_readout, len(kspace), inner, edges, *around)
    return found if guard is None else guard(found, kinds, kspace)


def _seen(transform: CoilTransform | None, unit: float, samples: Tensor) -> Tensor:
    """Samples as maps see them: in their unit, and in virtual coils."""
    samples = in_unit(samples, unit)
    return samples if transform is None else transform.apply(samples)


def _maps(known: Calibration, learnt: Learnt, n_readout: int) -> tuple[InnerMap, tuple[EdgeMap, ...]]:
    """What is used where the neighbourhood is whole, and at the edges."""
    cells = Cells.on(learnt.neighbourhood, known.pattern)
    return InnerMap(cells.at(cells.is_whole), learnt.patch_map), edge_maps(known, learnt, cells, n_readout)


def _warnings(learnt: Learnt, acs: Tensor) -> tuple[str, ...]:
    if learnt.n_equations >= learnt.n_unknowns:
        return learnt.warnings
    return (
        f'{by(acs.shape[1:-1])} ACS lines give {learnt.n_equations} equations for {learnt.n_unknowns} unknowns: '
        'ghosts are possible; more ACS or a smaller kernel would help',
        *learnt.warnings,
    )
