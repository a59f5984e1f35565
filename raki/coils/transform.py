"""From the coils of a scan to the virtual coils that a method learns in, and back.

Coils that tell nothing are left out, the others are whitened by the covariance of their noise, so that all directions
between them count as much as they know, and compressed on request. What is filled in comes back in the coils of the
scan.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from raki.coils.noise import DUPLICATE, SAMPLES_PER_COIL, known_covariance, whitening_matrix
from raki.errors import CalibrationError

DEAD = 1e-6
"""A coil with less power than this part of the others' median is dead, in the ACS or in the noise [1]."""

LOST = 1e-6
"""Largest part of the ACS's energy that whitening may lose [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class CoilTransform:
    """A linear map from coils to virtual coils, and the way back."""

    matrix: Tensor
    """From coils to virtual coils, complex128, axes (virtual coil, coil)."""

    inverse: Tensor
    """From virtual coils to coils, complex128, axes (coil, virtual coil); matrix @ inverse is the identity."""

    dead: tuple[int, ...] = ()
    """Coils that are left out; what is filled in for them is zero."""

    duplicates: tuple[tuple[int, int], ...] = ()
    """Coils that are left out because they repeat another one: (coil, the one it repeats)."""

    energy: float = 1.0
    """Part of the energy of the whitened ACS that the virtual coils hold [1]."""

    notes: tuple[str, ...] = ()
    """What was done, one sentence each."""

    not_whitened: str | None = None
    """Why coils are not whitened although there are noise samples."""

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.inverse.shape != self.matrix.mT.shape:
            raise ValueError(
                f'matrix must have axes (virtual coil, coil) and inverse (coil, virtual coil), '
                f'got {tuple(self.matrix.shape)} and {tuple(self.inverse.shape)}'
            )

    @property
    def n_virtual(self) -> int:
        """Number of virtual coils."""
        return len(self.matrix)

    @property
    def is_identity(self) -> bool:
        """Whether virtual coils are the coils themselves."""
        return torch.equal(self.matrix, torch.eye(self.matrix.shape[1], dtype=self.matrix.dtype))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with coils, one sentence each."""
        dead = [f'coil {coil} is dead and left out: its missing lines stay zero' for coil in self.dead]
        repeated = [f'coil {coil} repeats coil {other}: it counts once' for coil, other in self.duplicates]
        return (*dead, *repeated, *([self.not_whitened] if self.not_whitened else []))

    def apply(self, kspace: Tensor) -> Tensor:
        """Samples of coils (coil, ...) as those of virtual coils (virtual coil, ...)."""
        return kspace if self.is_identity else torch.tensordot(self.matrix.to(kspace), kspace, dims=1)

    def invert(self, virtual: Tensor) -> Tensor:
        """Samples of virtual coils (virtual coil, ...) as those of coils (coil, ...)."""
        return virtual if self.is_identity else torch.tensordot(self.inverse.to(virtual), virtual, dims=1)

    def between_coils(self, weights: Tensor) -> Tensor:
        """Weights between virtual coils, axes (..., target, source), as weights between coils."""
        return weights if self.is_identity else self.inverse.to(weights) @ weights @ self.matrix.to(weights)


def require_compressible(n_virtual: int | None, n_coils: int) -> None:
    """Raise a ValueError unless this many coils can be compressed to so many virtual ones."""
    if n_virtual is not None and not 2 <= n_virtual <= n_coils:
        raise ValueError(f'{n_coils} coils can be compressed to 2 to {n_coils} virtual coils, got {n_virtual}')


def coil_transform(acs: Tensor, noise: Tensor | None = None, n_virtual: int | None = None) -> CoilTransform:
    """Find out which coils tell something, whiten these where their noise is known, and compress them on request.

    1. A coil is dead if its power is a million times smaller than the median of the others', in the ACS or in the noise
       samples.
    2. A coil whose ACS is another one's times a constant repeats it.
    3. The others are whitened by the covariance of their noise, see `raki.coils.noise.whitening_matrix`.
    4. They are compressed to the directions that hold most of the energy of the whitened ACS.

    Parameters
    ----------
    acs
        Autocalibration lines, complex, axes (coil, line, readout).
    noise
        Noise-only samples, axes (coil, sample), in units of k-space; without them coils are not whitened.
    n_virtual
        Number of virtual coils, 2 to the number of coils; None does not compress.

    Raises
    ------
    ValueError
        If there cannot be so many virtual coils.
    CalibrationError
        If dead and duplicate coils leave no two.

    References
    ----------
    Buehrer et al. 2007, Magn Reson Med 57:1131 (https://doi.org/10.1002/mrm.21237).
    """
    require_compressible(n_virtual, len(acs))
    samples = acs.flatten(1).to(torch.complex128)
    power = (samples @ samples.mH).cpu()
    covariance = known_covariance(None if noise is None else noise.cpu())
    dead = _dead(power) | (set() if covariance is None else _dead(covariance))
    factors = _factors_of_duplicates(power, dead)
    kept = [coil for coil in range(len(acs)) if coil not in dead and coil not in factors]
    if len(kept) < 2 <= len(acs):
        raise CalibrationError(
            f'missing lines are told apart by at least 2 coils, but of {len(acs)} only {len(kept)} can be used, '
            f'the others are dead or repeat it: use zero filling'
        )
    select, repeat = _selection(kept, factors, len(acs))
    power = select @ power @ select.mH
    whiten, back, not_whitened = _whitening(select, covariance, noise, power)
    compress, energy = _compression(whiten @ power @ whiten.mH, n_virtual)
    return CoilTransform(
        matrix=compress @ whiten @ select,
        inverse=repeat @ back @ compress.mH,
        dead=tuple(sorted(dead)),
        duplicates=tuple((coil, other) for coil, (other, _) in factors.items()),
        energy=energy,
        notes=_notes(noise, not_whitened, len(acs), compress),
        not_whitened=not_whitened,
    )


def _dead(covariance: Tensor) -> set[int]:
    powers = covariance.diagonal().real
    held = powers[powers > 0]
    return set() if len(held) == 0 else set((powers < DEAD * held.median()).nonzero().flatten().tolist())


def _factors_of_duplicates(power: Tensor, dead: set[int]) -> dict[int, tuple[int, complex]]:
    """Which coil repeats which earlier one, and by what factor, from second moments (coil, coil) of the ACS."""
    own = power.diagonal().real
    common = power.abs().square() / (own[:, None] * own)
    found: dict[int, tuple[int, complex]] = {}
    for other, coil in (1 - common < DUPLICATE).triu(1).nonzero().tolist():
        if not dead & {coil, other} and other not in found:
            found.setdefault(coil, (other, complex(power[coil, other] / own[other])))
    return found


def _selection(kept: list[int], factors: dict[int, tuple[int, complex]], n_coils: int) -> tuple[Tensor, Tensor]:
    """From coils to those that are kept, axes (kept, coil), and back, axes (coil, kept): duplicates are repeated."""
    select = torch.eye(n_coils, dtype=torch.complex128)[kept]
    repeat = select.mT.clone()
    for coil, (other, factor) in factors.items():
        repeat[coil] = factor * repeat[other]
    return select, repeat


def _whitening(
    select: Tensor, covariance: Tensor | None, noise: Tensor | None, power: Tensor
) -> tuple[Tensor, Tensor, str | None]:
    """From kept coils to white directions, and back, and why not where it is neither."""
    identity = torch.eye(len(select), dtype=select.dtype)
    if covariance is None:
        few = f'{0 if noise is None else noise.shape[1]} noise samples do not tell the covariance of {select.shape[1]} '
        reason = f'coils are not whitened: {few}coils, {SAMPLES_PER_COIL} per coil would'
        return identity, identity, None if noise is None else reason
    covariance = select @ covariance @ select.mH
    whiten = whitening_matrix(covariance)
    back = covariance @ whiten.mH
    rest = identity - back @ whiten
    if float((rest @ power @ rest.mH).diagonal().real.sum()) > LOST * float(power.diagonal().real.sum()):
        return identity, identity, 'coils are not whitened: they have signal in directions where they have no noise'
    return whiten, back, None


def _compression(power: Tensor, n_virtual: int | None) -> tuple[Tensor, float]:
    """Orthonormal rows (virtual coil, direction) that span most energy of (direction, direction), and its part."""
    if n_virtual is None or n_virtual >= len(power):
        return torch.eye(len(power), dtype=power.dtype), 1.0
    values, vectors = torch.linalg.eigh(power)
    held = float(values[-n_virtual:].sum() / values.sum().clamp(min=math.ulp(0.0)))
    return _resembling_coils(vectors[:, -n_virtual:].mH), held


def _resembling_coils(rows: Tensor) -> Tensor:
    """Rotate orthonormal rows (virtual coil, direction) so that each comes close to one direction.

    Principal components are of very unequal energy, and networks that are trained alike learn the weak ones badly. So
    choose those directions that are most independent in the span of the rows (greedy, as pivoted QR does), and take the
    unitary factor of the polar decomposition. GRAPPA does not see rotations.
    """
    rest, chosen = rows, list[int]()
    for _ in range(len(rows)):
        length, best = torch.linalg.vector_norm(rest, dim=0).max(dim=0)
        chosen.append(int(best))
        unit = rest[:, chosen[-1]] / length
        rest = rest - torch.outer(unit, unit.conj() @ rest)
    left, _, right = torch.linalg.svd(rows[:, sorted(chosen)])
    return (left @ right).mH @ rows


def _notes(noise: Tensor | None, not_whitened: str | None, n_coils: int, compress: Tensor) -> tuple[str, ...]:
    notes = []
    if noise is not None and not_whitened is None:
        notes.append(f'coils whitened by the covariance of {noise.shape[1]} noise samples')
    if len(compress) < compress.shape[1]:
        notes.append(f'{n_coils} coils compressed to {len(compress)} virtual coils')
    return tuple(notes)
