"""What a method may learn from, and what it gives back: the contract that GRAPPA and the networks share."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from raki.data.blocks import slices
from raki.data.equispaced import Alike, Equispaced, Gaps
from raki.data.lattice import Lattice
from raki.data.masks import Irregular, Pattern
from raki.data.sampling import Sampling
from raki.errors import CalibrationError, SamplingError
from raki.interpolation.least_squares import NormalEquations
from raki.interpolation.neighbours import Cells, Kernel, Neighbourhood, grown

PatchMap = Callable[[Tensor, Cells], Tensor]
"""Lines (coil, line, readout), and cells all of whose sources are among them, to the samples of their targets
(coil, target, cell, column), one column for every readout position where all samples exist."""

Value = TypeVar('Value')

N_FOLDS = 4
"""Blocks of neighbouring places in the ACS that are left out in turn."""


@runtime_checkable
class Linearizable(Protocol):
    """A patch map that knows its own derivative."""

    def linearized(self, lines: Tensor, cells: Cells) -> PatchMap:
        """The derivative at these lines, for the same cells: a patch map that is linear over the reals."""
        ...


class Refinement(Protocol):
    """What makes filled k-space better, all lines at once."""

    def __call__(self, lines: Tensor) -> Tensor:
        """From lines (coil, line, readout), measured, or filled in as well as was known, to all lines."""
        ...

    def derivative(self, lines: Tensor) -> Callable[[Tensor], Tensor]:
        """The derivative at these lines, from changes of them to changes."""
        ...


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a method gives back."""

    patch_map: PatchMap
    neighbourhood: Neighbourhood
    """What the map needs to be whole."""

    regularization: float
    """Least ridge weight of linear kernels at the edges, relative to the mean energy of a source sample [1]."""

    n_equations: int
    """Equations that determine the map."""

    n_unknowns: int
    """Unknowns that they determine."""

    warnings: tuple[str, ...] = ()
    """What else a user must know, one sentence each."""

    notes: tuple[str, ...] = ()
    """What was done, one sentence each."""

    refinement: Refinement | None = None
    """What is done to the lines that the map and the edges have filled in; measured samples come back all the same."""

    def noted(self, *notes: str) -> 'Learnt':
        """With more to know."""
        return replace(self, warnings=(*self.warnings, *notes))


Progress = Callable[[int, int], None]
"""Told (steps done, steps in all) while a method learns."""


def silent(done: int, total: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """All that a method may learn from."""

    acs: Tensor
    """Fully sampled autocalibration lines, axes (coil, phase axes, readout)."""

    lattice: Lattice | Gaps
    """What is to be filled: of lines whose gaps differ, the cells that have the same gaps around them."""

    sampling: Pattern | Alike | None = None
    """The pattern of the k-space to fill, where that is known."""

    lines: Tensor | None = None
    """That k-space, axes (coil, line, readout), zero where it was not measured."""

    is_separate: bool = False
    """Whether the ACS was measured apart from that k-space."""

    _known: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def acs_lines(self) -> Tensor:
        """The ACS, axes (coil, line, readout)."""
        return self.acs.flatten(1, -2)

    @property
    def acs_shape(self) -> tuple[int, ...]:
        """Size of the ACS on the phase axes."""
        return tuple(self.acs.shape[1:-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of what is to be filled on the phase axes, of the ACS where nothing else is known."""
        if self.sampling is None:
            return self.acs_shape
        return self.matrix if isinstance(self.sampling, Irregular) else tuple(map(len, self.sampling.filled))

    @property
    def kinds(self) -> 'tuple[Calibration, ...]':
        """What may be learnt from for each kind of cells of the pattern, itself among them."""
        if not isinstance(self.sampling, Alike):
            return (self,)
        return tuple(replace(self, lattice=each.lattice, sampling=each) for each in self.sampling.kinds)

    def once(self, key: Hashable, value: Callable[[], Value]) -> Value:
        """What was found before under this key, for cells of whatever kind, or is now."""
        if key not in self._known:
            self._known[key] = value()
        return self._known[key]

    @property
    def matrix(self) -> tuple[int, ...]:
        """Size of the whole k-space on the phase axes."""
        return tuple(self.mask.shape)

    @property
    def has_two_axes(self) -> bool:
        """Whether there is anything to fill along two phase axes; a single partition is filled as lines are."""
        return sum(size > 1 for size in self.shape) > 1

    def neighbourhood(self, kernel: Kernel) -> Neighbourhood:
        """The sources of a cell within a kernel."""
        return Neighbourhood.around(self.lattice, kernel, self.shape, self.acs.shape[-1])

    def cells(self, neighbourhood: Neighbourhood) -> Cells:
        """Every place inside the ACS; a CalibrationError if there is none."""
        neighbourhood.require_fits(self.acs.shape[1:])
        return Cells.inside(neighbourhood, self.acs_shape)

    def folds(self, neighbourhood: Neighbourhood) -> list[Tensor]:
        """Numbers of the cells in blocks of neighbouring rows of the ACS, cut along its longer side."""
        anchors = self.cells(neighbourhood).anchors
        rows = anchors - anchors.min(0).values
        n_rows = rows.max(0).values + 1
        along = int(n_rows.flip(0).argmax())
        row, number = rows[:, -1 - along], int(n_rows[-1 - along])
        edges = [round(number * fold / N_FOLDS) for fold in range(N_FOLDS + 1)]
        return [((row >= a) & (row < b)).nonzero().flatten() for a, b in pairwise(edges) if b > a]

    def lattice_cells(self, neighbourhood: Neighbourhood) -> Cells:
        """Every place on the lattice where all sources exist."""
        cells = Cells.on(neighbourhood, self.pattern)
        return cells.at(cells.is_whole)

    def normal_equations(self, neighbourhood: Neighbourhood) -> NormalEquations:
        """The linear problem of a neighbourhood, all equations alike, accumulated once."""
        return self.once(neighbourhood, lambda: NormalEquations.of(self.acs_lines, self.cells(neighbourhood)))

    @cached_property
    def point_powers(self) -> Tensor:
        """Mean |sample|^2 of the lattice points over coils and readout, axes (point,), ascending."""
        return self.measured[:, self.points].abs().square().mean((0, 2)).sort().values

    @cached_property
    def missing_power(self) -> float:
        """Mean |sample|^2 around missing lines: of lattice points that the ACS does not outshine, else of the ACS.

        In the unit of the ACS, which is of another receiver gain where it is separate.
        """
        of_acs = float(self.acs.abs().square().mean())
        if self.lines is None:
            return of_acs
        n_outside = max(1, len(self.point_powers) - self.acs_lines.shape[1] // self.lattice.rate)
        bright = float(self.point_powers[min(n_outside, len(self.point_powers) - 1) :].mean())
        unit = of_acs / bright if self.is_separate and bright > 0 else 1.0
        return unit * float(self.point_powers[:n_outside].mean())

    def extended(self, patch_map: PatchMap, neighbourhood: Neighbourhood, n_lines: int) -> 'Calibration':
        """With an ACS that reconstructed lines around it extend, without the samples that a patch map does not reach.

        At most n_lines along each axis, but no fewer than the ACS has; only where every line is known.
        """
        cells, lines, known = self.lattice_cells(neighbourhood), self.measured, self.pattern.mask.cpu().clone()
        columns, filled = neighbourhood.columns(lines.shape[-1]), lines.clone()
        cells.put(filled, patch_map(lines, cells), columns)
        known.view(-1)[cells.targets[cells.targets >= 0]] = True
        ends = cells.anchors.max(0).values + torch.tensor(self.lattice.spacing)
        hull = tuple(range(max(0, int(a)), int(b)) for a, b in zip(cells.anchors.min(0).values, ends, strict=True))
        box = slices(grown(known, hull, self.pattern.acs, n_lines))
        whole = torch.where(self.known[:, None], lines, filled).unflatten(1, known.shape)
        return replace(self, acs=whole[(slice(None), *box, slice(columns.start, columns.stop))].contiguous(), _known={})

    @property
    def measured(self) -> Tensor:
        """The k-space to fill, axes (coil, line, readout), zero where it was not measured."""
        if self.lines is None:
            raise ValueError('the k-space to fill is needed, got none')
        return self.lines

    @property
    def pattern(self) -> Sampling | Alike:
        """The lattice of the k-space to fill, or its cells of one kind; a SamplingError if it has neither."""
        if isinstance(self.sampling, Irregular | Equispaced):
            raise SamplingError(not_regular(self.sampling))
        if self.sampling is None:
            raise ValueError('the pattern of the k-space to fill is needed, got none')
        return self.sampling

    @property
    def mask(self) -> Tensor:
        """Which positions of the k-space to fill were measured, boolean on the matrix."""
        if self.sampling is None:
            raise ValueError('the pattern of the k-space to fill is needed, got none')
        return self.sampling.mask

    @property
    def known(self) -> Tensor:
        """Which lines were measured, boolean, axes (line,), where the ACS is."""
        return self.mask.flatten().to(self.acs.device)

    @property
    def points(self) -> Tensor:
        """Which lines are lattice points, boolean, axes (line,), where the ACS is."""
        return self.pattern.points.flatten().to(self.acs.device)


class Method(Protocol):
    """What GRAPPA and the networks differ in: how the map is learnt. A frozen dataclass of hyperparameters."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def smallest(self, calibration: Calibration) -> Neighbourhood | None:
        """The smallest neighbourhood that the learnt map may have: what an ACS must hold; None fills nothing in."""
        ...

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Learn the map from the ACS."""
        ...


@runtime_checkable
class Refining(Protocol):
    """A method that needs no lattice, because it can do without anything filled in before."""

    def refinement(self, calibration: Calibration, start: Learnt | None) -> Refinement:
        """Learn what makes lines better that `start` has filled in; without it, missing lines are zero."""
        ...


def not_regular(sampling: Irregular | Equispaced) -> str:
    """What to do about positions without a lattice."""
    return (
        f'{int(sampling.mask.sum())} of {sampling.mask.numel()} lines were measured, on no regular lattice: '
        'interpolation needs one, the methods spirit and sparse do not'
    )


def require_learnable(method: object, acs: Tensor, n_axes: int) -> None:
    """Raise a CalibrationError unless an ACS, axes (coil, phase axes, readout), can teach anything."""
    if acs.ndim != n_axes or 0 in acs.shape[1:-1]:
        raise CalibrationError(
            f'{type(method).__name__} learns from autocalibration lines, got {tuple(acs.shape)}: '
            'acquire a block of neighbouring lines or give separate calibration data'
        )
    if len(acs) == 1:
        raise CalibrationError('missing lines are told apart by at least 2 coils, got 1: use zero filling')
    if not bool(torch.isfinite(torch.view_as_real(acs)).all()):
        raise CalibrationError('the ACS has NaN or infinite samples: nothing can be learnt from it')
    if not bool(acs.any()):
        raise CalibrationError('the ACS holds nothing but zeros: nothing can be learnt from it')


def require_complex64(kspace: Tensor) -> None:
    """Raise a ValueError unless k-space is complex64."""
    if kspace.dtype != torch.complex64:
        raise ValueError(f'k-space must be complex64, got {kspace.dtype}')
