"""SPIRiT and AC-LORAKS over grids of their settings, for benchmarks that ask what hindsight would have chosen.

Both learn from the ACS which linear combinations of a patch p (all coils, a window of k-space) vanish, and look for
the missing samples for which they vanish everywhere: the least sum over all patches of p^H Q p, with

- SPIRiT: Q the sum over coils c of v_c v_c^H; v_c^H p is what the other samples of the patch, weighted by Tikhonov's
  least squares on the ACS, leave of the middle sample of coil c;
- AC-LORAKS: Q the projector onto the eigenvectors of the ACS's matrix of patches beyond a rank (the C-matrix, which
  stands for limited support and for coils that see the same object; there is no matrix for a smooth phase here).

Measured samples are fixed. Patches wrap around the edges of k-space, so the sum is one small Hermitian matrix per pixel
between two Fourier transforms, and conjugate gradients, started from zero, solve for the missing samples. Stopped
early, they regularise, so their stopping point belongs to the grid.

References
----------
Lustig, Pauly 2010, Magn Reson Med 64:457 (https://doi.org/10.1002/mrm.22428); Haldar 2014, IEEE Trans Med Imaging
33:668 (https://doi.org/10.1109/TMI.2013.2293974); Haldar 2015, IEEE Int Symp Biomed Imaging 910
(https://doi.org/10.1109/ISBI.2015.7164018).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raki.coils.espirit import patches, per_pixel
from raki.errors import CalibrationError
from raki.fourier import image_from_kspace, kspace_from_image

SPIRIT_SIZE, RIDGES = 7, (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
"""Side of the window, and Tikhonov's weights relative to the mean eigenvalue of the ACS's Gram matrix [1]."""

LORAKS_SIZE, RANKS = 5, (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Side of the neighbourhood, and ranks relative to the samples of a patch [1]."""

STOPS = (3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 60, 75, 90, 110, 135, 160, 200)
"""Steps of conjugate gradients after which the result is looked at."""

ACCURACY = 1e-13
"""Part of the squared gradient at which there is nothing left to find in single precision [1]."""

TURNED = 1.1
"""Error relative to the least so far above which more steps are not tried [1]."""

Constraint = Callable[[Tensor], Iterator[tuple[float, Tensor]]]
"""From the ACS (coil, ky, kx) to strengths and Q of each, axes (sample of a patch, sample)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One setting in hindsight."""

    strength: float
    """Tikhonov's weight, or the rank, relative as in RIDGES and RANKS [1]."""
    n_steps: int
    """Steps of conjugate gradients."""


def acs_patches(acs: Tensor, size: int) -> Tensor:
    """Every patch of the ACS (coil, ky, kx), axes (sample of a patch, patch).

    Raises
    ------
    CalibrationError
        If the ACS is smaller than a patch.
    """
    if min(acs.shape[1:]) < size:
        raise CalibrationError(f'needs an ACS of at least {size} x {size}, got {acs.shape[1]} x {acs.shape[2]}')
    return patches(acs, (size, size))


def spirit(acs: Tensor, ridges: Sequence[float] = RIDGES) -> Iterator[tuple[float, Tensor]]:
    """Ridges, and Q of each; see `Constraint`."""
    every = acs_patches(acs, SPIRIT_SIZE)
    values, vectors = torch.linalg.eigh(every @ every.mH)
    middle = torch.arange(len(acs)) * SPIRIT_SIZE**2 + SPIRIT_SIZE**2 // 2
    for ridge in ridges:
        damped = vectors / (values.clamp(min=0) + ridge * values.mean())
        columns = damped @ vectors[middle].mH  # of the inverse of the damped Gram matrix
        combinations = columns / columns[middle].diagonal()  # 1 at the middle, least energy otherwise
        yield ridge, combinations @ combinations.mH


def loraks(acs: Tensor, ranks: Sequence[float] = RANKS) -> Iterator[tuple[float, Tensor]]:
    """Ranks, and Q of each; see `Constraint`."""
    every = acs_patches(acs, LORAKS_SIZE)
    _, vectors = torch.linalg.eigh(every @ every.mH)
    for rank in ranks:
        null = vectors[:, : round((1 - rank) * len(vectors))]
        yield rank, null @ null.mH


CONSTRAINTS: dict[str, Constraint] = {'spirit': spirit, 'ac-loraks': loraks}


def solutions(
    measured: Tensor, mask: Tensor, matrices: Tensor, stops: Sequence[int] = STOPS
) -> Iterator[tuple[int, Tensor]]:
    """Number of steps, and k-space (coil, ky, kx) with missing lines after as many; measured lines as they are.

    Parameters
    ----------
    measured, mask
        K-space (coil, ky, kx), zero where it was not measured, and which lines (ky,) were.
    matrices
        See `raki.coils.espirit.per_pixel`.
    """
    missing = ~mask[:, None]

    def gradient(kspace: Tensor) -> Tensor:
        images = image_from_kspace(kspace).permute(1, 2, 0)[..., None]
        return kspace_from_image((matrices @ images)[..., 0].permute(2, 0, 1)) * missing

    found = torch.zeros_like(measured)
    residual = -gradient(measured)
    direction, energy = residual, float(residual.norm()) ** 2
    enough = ACCURACY * energy
    for step in range(1, max(stops) + 1):
        curved = gradient(direction)
        length = energy / float(torch.vdot(direction.flatten(), curved.flatten()).real)
        found = found + length * direction
        residual = residual - length * curved
        before, energy = energy, float(residual.norm()) ** 2
        if step in stops or energy < enough:
            yield step, measured + found
        if energy < enough:
            return
        direction = residual + energy / before * direction


def best_solution(
    constraint: Constraint, acs: Tensor, measured: Tensor, mask: Tensor, error: Callable[[Tensor], float]
) -> tuple[Tensor, Candidate]:
    """Filled k-space with the least error of all candidates, and which that is; ACS and k-space (coil, ky, kx)."""
    best, filled_best, chosen = float('inf'), measured, Candidate(0, 0)
    for strength, form in constraint(acs):
        size = round((len(form) / len(acs)) ** 0.5)
        matrices = per_pixel(form, len(acs), (size, size), tuple(measured.shape[1:])).contiguous()
        least = float('inf')
        for n_steps, filled in solutions(measured, mask, matrices):
            found = error(filled)
            if found < best:
                best, filled_best, chosen = found, filled, Candidate(strength, n_steps)
            if found > TURNED * least:
                break
            least = min(least, found)
    return filled_best, chosen
