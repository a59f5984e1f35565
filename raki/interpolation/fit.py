"""The shared core: learn on the ACS a map from acquired neighbours to missing samples, then apply it everywhere.

Methods differ only in the map that they learn. Geometry, edges and data consistency live here.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from raki.coils.transform import CoilTransform
from raki.data.sampling import Sampling
from raki.interpolation.checks import require_complex64, require_learnable
from raki.interpolation.edges import EdgeMap, edge_maps, padded_windows
from raki.interpolation.kernel import Kernel
from raki.interpolation.linear import LinearMap, NormalEquations

PatchMap = Callable[[Tensor, int], Tensor]
"""Lines (coil, line, readout) and the distance of a kernel's source lines among them, to the missing samples
(coil, missing line, line, readout): one set for every position of the kernel wholly inside."""


@runtime_checkable
class Linearizable(Protocol):
    """A patch map that knows its own derivative."""

    def linearized(self, kspace: Tensor, dilation: int = 1) -> PatchMap:
        """The derivative at lines (coil, line, readout), a patch map that is linear over the reals."""
        ...


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a method gives back."""

    patch_map: PatchMap
    """The learnt map."""

    kernel: Kernel
    """Its extent."""

    regularization: float
    """Least ridge weight of linear kernels at the edges, relative to the mean energy of a source sample [1]."""

    n_equations: int
    """Equations that determine it."""

    n_unknowns: int
    """Unknowns that they determine."""

    warnings: tuple[str, ...] = ()
    """What else a user must know, one sentence each."""


Progress = Callable[[int, int], None]
"""Told (steps done, steps in all) while a method learns."""


def silent(done: int, total: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """All that a method may learn from."""

    acs: Tensor
    """Fully sampled autocalibration lines, axes (coil, line, readout)."""

    acceleration: int
    """Spacing R of the lattice that is to be filled [line]."""

    lines: Tensor | None = None
    """Measured lattice lines, axes (coil, line, readout), where they are known."""

    missing: Tensor | None = None
    """Which lines of every gap between them are to be filled, boolean, axes (gap, missing line), gap -1 first."""

    _known: dict[Kernel, NormalEquations] = field(default_factory=dict, repr=False)

    def normal_equations(self, kernel: Kernel) -> NormalEquations:
        """The linear problem with some kernel, accumulated once."""
        if kernel not in self._known:
            self._known[kernel] = NormalEquations.from_acs(self.acs, self.acceleration, kernel)
        return self._known[kernel]

    @cached_property
    def missing_power(self) -> float:
        """Mean |k-space sample|^2 around missing lines: of lattice lines that the ACS does not outshine, else of it."""
        if self.lines is None:
            return float(self.acs.abs().square().mean())
        powers = self.lines.abs().square().mean((0, 2)).sort().values
        n_outside = len(powers) - self.acs.shape[1] // self.acceleration
        return float(powers[: max(1, n_outside)].mean())


class Method(Protocol):
    """What GRAPPA and RAKI differ in: how the map is learnt. A frozen dataclass of hyperparameters."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def smallest_kernel(self) -> Kernel:
        """Extent of the smallest neighbourhood that the learnt map may have: what an ACS must hold."""
        ...

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Learn the map from the ACS."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Interpolator:
    """A fitted method with fixed weights. There is no unfitted interpolator."""

    sampling: Sampling
    """The pattern it was fitted for."""

    n_readout: int
    """Readout length it was fitted for."""

    n_coils: int | None = None
    """Number of coils it was fitted for; None where any will do, because nothing is filled in."""

    kernel: Kernel | None = None
    """Extent of the learnt map; None where nothing is filled in (zero filling, R=1)."""

    patch_map: PatchMap | None = None
    """The learnt map."""

    edges: tuple[EdgeMap, ...] = ()
    """Linear kernels for the edges of k-space."""

    warnings: tuple[str, ...] = ()
    """Why the result may be worse than usual, one sentence each; empty where nothing is known against it."""

    transform: CoilTransform | None = None
    """To the virtual coils that the maps are learnt in; None where these are the coils themselves."""

    def fill(self, kspace: Tensor) -> Tensor:
        """Fill in every missing line of the acquired range; measured samples come back bit for bit.

        Differentiable in `kspace` (`torch.func.jvp`, `linearize`, `vjp`); fitted weights are constants.

        Parameters
        ----------
        kspace
            Axes (coil, ky, kx); lines outside `sampling.mask` are not looked at.

        Raises
        ------
        ValueError
            If the matrix is not the one that was fitted for, or not complex64.
        """
        require_complex64(kspace)
        self._require_fitting(tuple(kspace.shape))
        measured = self.sampling.mask.to(kspace.device)[:, None]
        filled = torch.where(measured, kspace, 0)
        if self.kernel is None or self.patch_map is None:
            return filled
        lines = self.sampling.lattice_lines(filled)
        if self.transform is None:
            missing = self._missing(lines, self.kernel, self.patch_map)
        else:
            virtual = self._missing(self.transform.apply(lines), self.kernel, self.patch_map)
            missing = self.transform.invert(virtual)
        return torch.where(measured, kspace, self._on_matrix(missing, kspace))

    def derivative(self, kspace: Tensor) -> 'Interpolator':
        """The derivative of `fill` at this k-space (coil, ky, kx), whose own `fill` takes changes of it to changes.

        Linear over the reals only, where the map is a network that sees real and imaginary parts. Costs as much as
        filling; a map that cannot be `Linearizable` is differentiated anew, with `torch.func.jvp`, for every change.
        """
        if self.patch_map is None or isinstance(self.patch_map, LinearMap):
            return self
        lines = self.sampling.lattice_lines(kspace)
        if self.transform is not None:
            lines = self.transform.apply(lines)
        if isinstance(self.patch_map, Linearizable):
            return replace(self, patch_map=self.patch_map.linearized(lines))
        return replace(self, patch_map=partial(_pushed, self.patch_map, lines))

    def _require_fitting(self, shape: tuple[int, ...]) -> None:
        wanted = (self.n_coils or shape[0], len(self.sampling.mask), self.n_readout)
        if shape != wanted:
            names = ' x '.join(str(size) for size in wanted)
            raise ValueError(f'fitted for k-space (coil, ky, kx) of {names}, got {shape}')

    def _missing(self, lines: Tensor, kernel: Kernel, patch_map: PatchMap) -> Tensor:
        """Missing samples of every gap, axes (coil, missing line, gap, readout), gap -1 first."""
        n_coils, n_lattice, n_readout = lines.shape
        missing = lines.new_zeros(n_coils, self.sampling.acceleration - 1, n_lattice + 1, n_readout)
        if n_lattice >= kernel.lines and n_readout >= kernel.readout:
            inner = patch_map(lines, 1)
            rows = slice(kernel.before, kernel.before + inner.shape[2])
            missing[:, :, rows, kernel.readout // 2 :][..., : inner.shape[3]] = inner
        windows = padded_windows(lines, kernel)
        for edge in self.edges:
            rows = slice(edge.gaps.start + 1, edge.gaps.stop + 1)
            missing[:, :, rows, edge.columns.start : edge.columns.stop] = edge(windows)
        return missing

    def _on_matrix(self, missing: Tensor, kspace: Tensor) -> Tensor:
        """Put (coil, missing line, gap, readout) onto the lines of the matrix, and nothing beyond the filled range."""
        every_line = torch.nn.functional.pad(missing.transpose(1, 2), (0, 0, 1, 0)).flatten(1, 2)
        first = self.sampling.first_line - self.sampling.acceleration
        inside = self.sampling.filled_range
        start, stop = max(inside.start, first), min(inside.stop, first + every_line.shape[1])
        target = torch.zeros_like(kspace)
        target[:, start:stop] = every_line[:, start - first : stop - first]
        return target


def _pushed(patch_map: PatchMap, lines: Tensor, tangent: Tensor, dilation: int) -> Tensor:
    """Derivative of a map at `lines` along `tangent`, both (coil, line, readout)."""
    with warnings.catch_warnings():  # torch warns of its own deprecated parts when it first differentiates forwards
        warnings.simplefilter('ignore', DeprecationWarning)
        return torch.func.jvp(lambda around: patch_map(around, dilation), (lines,), (tangent,))[1]


def fit(
    method: Method,
    acs: Tensor,
    sampling: Sampling,
    kspace: Tensor | None = None,
    progress: Progress = silent,
    transform: CoilTransform | None = None,
) -> Interpolator:
    """Learn from the ACS how to fill in what `sampling` leaves out.

    Parameters
    ----------
    method
        What to learn.
    acs
        Fully sampled autocalibration lines, axes (coil, line, readout), complex.
    sampling
        The pattern of the k-space to fill.
    kspace
        The k-space to fill, axes (coil, ky, kx). Its measured lines tell how much signal and noise there is at the
        edges, see `raki.interpolation.edges`; without it, edges are regularised as the method is everywhere, and its readout length
        is that of the ACS.
    progress
        Told how far the learning is.
    transform
        To the virtual coils to learn in, see `raki.coils.transform`; by default the coils as they are. Arguments and results
        are in the coils of the scan either way.

    Raises
    ------
    CalibrationError
        If the ACS is smaller than the method's kernel.
    TrainingError
        If the numbers leave the finite range.
    """
    require_complex64(acs)
    n_readout = (acs if kspace is None else kspace).shape[-1]
    if sampling.acceleration == 1:
        return leave_empty(sampling, n_readout)
    require_learnable(method, acs, n_axes=3)
    method.smallest_kernel.require_fits(acs.shape[1], acs.shape[2], sampling.acceleration)
    lines = None if kspace is None else sampling.lattice_lines(kspace)
    n_coils = len(acs)
    if transform is not None:
        acs, lines = transform.apply(acs), None if lines is None else transform.apply(lines)
    calibration = Calibration(acs, sampling.acceleration, lines, sampling.missing.to(acs.device))
    learnt = method.learn(calibration, progress)
    equations = calibration.normal_equations(learnt.kernel)
    edges = edge_maps(equations, learnt.regularization, sampling, n_readout, lines)
    cautions = (*(transform.warnings if transform else ()), *_warnings(learnt, acs))
    return Interpolator(sampling, n_readout, n_coils, learnt.kernel, learnt.patch_map, edges, cautions, transform)


def _warnings(learnt: Learnt, acs: Tensor) -> tuple[str, ...]:
    if learnt.n_equations >= learnt.n_unknowns:
        return learnt.warnings
    return (
        f'{acs.shape[1]} ACS lines give {learnt.n_equations} equations for {learnt.n_unknowns} unknowns: '
        'ghosts are possible; more ACS or a smaller kernel would help',
        *learnt.warnings,
    )


def leave_empty(sampling: Sampling, n_readout: int) -> Interpolator:
    """Zero filling as an interpolator: missing lines stay zero."""
    return Interpolator(sampling, n_readout)
