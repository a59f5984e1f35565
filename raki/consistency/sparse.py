"""Interpolation, self-consistency and sparsity together."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import pi

import torch
from torch import Tensor

from raki.consistency.evidence import Evidence, filled
from raki.consistency.grid import smoothed
from raki.consistency.kernel import SelfConsistency
from raki.consistency.solve import solved
from raki.consistency.spirit import Spirit
from raki.consistency.wavelets import composed, decomposed
from raki.interpolation.calibration import Calibration, Learnt, Method, Progress
from raki.interpolation.neighbours import Neighbourhood
from raki.interpolation.points import CONTRAST, chosen_points, overlap, require_part, too_little

SMOOTHED_COEFFICIENTS = 3
"""Coefficients of a band along every axis over which the magnitude of its signal is averaged."""

LEAST_SIGNAL = 0.1
"""Least magnitude of a coefficient's signal, relative to that of noise [1]."""

STRIDES, N_SHIFTS = (7, 5, 3), 16
"""Pixels by which the image is moved from step to step along its axes, modulo N_SHIFTS, so that no edge of a wavelet
stays where it is."""

STRENGTHS = (1.0, 0.7, 0.5, 0.3, 0.15, 0.0)
"""Parts of the thresholds to choose from where points must come back [1]."""


@dataclass(frozen=True, slots=True)
class Sparse:
    """One image behind all coils, sparse in wavelets, that explains what was measured, and what was interpolated.

    Self-consistency gives the sensitivities s, one vector between coils in every pixel; another method fills in first,
    or without a lattice `Spirit` does. With noise power n per sample, the image z minimises the sum of

    - |F (s z) - k|^2 / n over measured samples, and over interpolated ones with their own variance in place of n: made
      of signal, errors lie where the object is, so that the smaller it is the larger they are there,
    - |w| / b over its wavelet coefficients w: the most probable image where these have the density
      exp(-|w| / b) / (2 pi b^2), with 2 b the local mean magnitude of a band.

    Magnitudes are first those of what is filled in, less the noise, and then those of the image found with them
    (reweighting). They stay fixed afterwards, so that noise maps hold for thresholds as they are.

    References
    ----------
    Lustig et al. 2007, Magn Reson Med 58:1182 (https://doi.org/10.1002/mrm.21391): wavelets, many coils as one image.
    Candes, Wakin and Boyd 2008, J Fourier Anal Appl 14:877 (https://doi.org/10.1007/s00041-008-9045-x): reweighting.
    Coifman and Donoho 1995, Lect Notes Stat 103:125 (https://doi.org/10.1007/978-1-4612-2544-7_9): moving the image.
    """

    start: Method
    """What fills in first, where there is a lattice."""

    n_steps: int = 20
    """Steps of either solution; four times as many without a lattice."""

    faithful: float | None = None
    """Least part, 0 to 1, of what was not measured of small points in the object that must come back; thresholds are
    lowered until it does, or there are none. None for the most probable image, whatever that costs points [1]."""

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise ValueError(f'need at least one step, got {self}')
        require_part(self.faithful)

    def smallest(self, calibration: Calibration) -> Neighbourhood | None:
        """That of the method to start with."""
        return self.start.smallest(calibration)

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        """Learn to fill in, sensitivities, and how large wavelet coefficients are where."""
        learnt = self.start.learn(calibration, progress)
        found = self.refinement(calibration, learnt)
        if self.faithful is not None and not found.strength:
            part = retained(found, calibration, learnt)
            learnt = learnt.noted(*too_little('even without thresholds sparse', part, self.faithful))
        return replace(learnt, refinement=found)

    def refinement(self, calibration: Calibration, start: Learnt | None) -> 'SparseImage':
        """Learn sensitivities, and how large wavelet coefficients are where."""
        evidence, n_steps = Evidence.of(calibration, start), self.n_steps if start else 4 * self.n_steps
        if start is None:
            kspace = Spirit(self.start).refinement(calibration, None).solved(evidence.lines)
        else:
            kspace = evidence.kspace
        grid, width = evidence.grid, 2 * max(calibration.acs_shape)
        image, smooth = grid.image(kspace), grid.image(grid.low_pass(kspace, width))
        sensitivities = SelfConsistency.learnt(calibration, start).sensitivities(grid, smooth)
        reference = (sensitivities.conj() * image).sum(0)
        trusted = evidence.with_less_trust(_concentration(reference) if start else 0.0)
        first = SparseImage(trusted, sensitivities, reference, 1.0, n_steps)
        found = replace(first, reference=first.image(evidence.lines), subtracted=0.0)
        if self.faithful is None:
            return found
        weaker = (replace(found, strength=strength) for strength in STRENGTHS[:-1])
        enough = (each for each in weaker if retained(each, calibration, start) >= self.faithful)
        return next(enough, replace(found, strength=STRENGTHS[-1]))


def retained(refinement: 'SparseImage', calibration: Calibration, start: Learnt | None) -> float:
    """Part of what was not measured of small points in the object that comes back, see `raki.interpolation.points`."""
    grid, reference, known = refinement.evidence.grid, refinement.reference, calibration.known[:, None]
    points = torch.where(chosen_points(reference.abs()), CONTRAST * reference, 0)
    added = grid.cropped(grid.kspace(refinement.sensitivities * points))
    with_points = replace(calibration, lines=calibration.measured + added * known)
    change = refinement(filled(with_points, start)) - refinement(refinement.evidence.lines)
    back, energy = overlap(added * ~known, change)
    return back / energy if energy > 0 else 1.0


def _concentration(image: Tensor) -> float:
    """Share of the pixels that an even object of the same mean and mean square of power would take up, 0 to 1."""
    power = image.abs().double().square()
    return float(power.mean().square() / power.square().mean())


@dataclass(frozen=True, slots=True, eq=False)
class SparseImage:
    """From lines to those of the sparse image that explains them."""

    evidence: Evidence

    sensitivities: Tensor
    """Unit vectors, complex64, axes (coil, *size)."""

    reference: Tensor
    """Image that tells the magnitude of wavelet coefficients, complex64, axes of the grid's size."""

    subtracted: float
    """Part of the noise power that is in that image [1]."""

    n_steps: int

    strength: float = 1.0
    """Part of each threshold that is applied [1]."""

    def __call__(self, lines: Tensor) -> Tensor:
        """See `raki.interpolation.calibration.Refinement`."""
        return self.evidence.grid.cropped(self._solved(lines))

    def image(self, lines: Tensor) -> Tensor:
        """The image behind all coils, axes of the grid's size."""
        return (self.sensitivities.conj() * self.evidence.grid.image(self._solved(lines))).sum(0)

    def derivative(self, lines: Tensor) -> Callable[[Tensor], Tensor]:
        """By forward differentiation, anew for every change."""
        return partial(_pushed, self, lines)

    def _solved(self, lines: Tensor) -> Tensor:
        grid = self.evidence.grid
        return solved(grid, self.evidence.trust, grid.embedded(lines), self._sparse, self.n_steps)

    def _sparse(self, image: Tensor, step: int) -> Tensor:
        """The images of all coils of the combined image with smaller wavelet coefficients."""
        grid, axes = self.evidence.grid, self.evidence.grid.axes
        shifts = [step * stride % N_SHIFTS for stride in STRIDES[-len(axes) :]]
        combined = (self.sensitivities.conj() * image).sum(0)
        bands = decomposed(combined.roll(shifts, axes), grid.depth)
        references = decomposed(self.reference.roll(shifts, axes), grid.depth)
        kept = [shrunk(band, self._threshold(own)) for band, own in zip(bands, references, strict=True)]
        back = composed(kept, grid.depth).roll([-shift for shift in shifts], axes)
        return self.sensitivities * back

    def _threshold(self, reference: Tensor) -> Tensor:
        """Noise power over the mean magnitude of a band's signal around each coefficient."""
        noise = self.evidence.noise
        mean = smoothed(reference.abs(), self.evidence.grid.axes, SMOOTHED_COEFFICIENTS)
        excess = mean.square() - self.subtracted * noise * pi / 4
        return self.strength * noise / excess.clamp(min=LEAST_SIGNAL**2 * noise).sqrt()


def shrunk(values: Tensor, threshold: Tensor) -> Tensor:
    """Complex soft threshold; the least threshold of numbers that are zero keeps them so."""
    magnitude = values.abs()
    return values * ((magnitude - threshold).clamp(min=0) / magnitude.clamp(min=torch.finfo(magnitude.dtype).tiny))


def _pushed(refinement: SparseImage, lines: Tensor, tangent: Tensor) -> Tensor:
    with warnings.catch_warnings():  # torch warns of its own deprecated parts when it first differentiates forwards
        warnings.simplefilter('ignore', DeprecationWarning)
        return torch.func.jvp(refinement, (lines,), (tangent,))[1]
