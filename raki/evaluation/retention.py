"""How much of the signal that was not measured comes back, at every pixel: what no regularisation can hide.

Low noise is cheap where signal is given up. The derivative J of the whole reconstruction, from an image through the
coils, the undersampled k-space and the filled k-space back to the combined image, tells where.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy import ndimage
from torch import Tensor

from raki.coils.combine import matched_weights
from raki.data.masks import Pattern
from raki.fourier import image_from_kspace, kspace_from_image, spatial_axes
from raki.interpolation.fit import Filler, Interpolator

WANTED_ERROR = 0.05
"""Standard error of a pixel of the map that the number of probes is chosen for [1]."""

MOST_PROBES = 16
"""Probes at most: each costs as much as filling once, or twice where a map is differentiated anew."""

WIDTH = 1.5
"""Standard deviation of the Gaussian that maps are smoothed with inside the object [pixel]."""


STEP = 0.01
"""Change of k-space that stands for a small one where derivatives are not known, relative to its norm [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class RetentionMap:
    """Part of the unmeasured signal that a reconstruction gives back: 0 of zero filling, 1 of a faithful one."""

    retained: Tensor
    """Axes (y, x) or (z, y, x), smoothed; 0 outside the object [1]."""
    mean: float
    """Over the object [1]."""
    n_probes: int
    """Random probes that were averaged; 0 where everything was measured."""
    standard_error: float
    """Of a pixel of the map, root mean square over the object, from the spread of probes [1]."""


def retention_map(
    push: Callable[[Tensor], Tensor],
    sampling: Pattern,
    truth: Tensor,
    inside: Tensor,
    *,
    n_probes: int | None = None,
    seed: int = 0,
) -> RetentionMap:
    """Estimate the diagonal of the derivative of a reconstruction, for the part of the signal that was not measured.

    With p the matched weights of the reference, E x = F (p x) is the k-space of a real image x in phase with the
    object, and C k = Re sum conj(p) F^-1 k combines coils, so that C E = 1. Let M keep the measured lines and N those
    that are missing. Of the latter a reconstruction with derivative D gives J = C N D M E, a faithful one C N E, whose
    diagonal is the part q of all lines that they are. So what is retained is

        r = diag(J) / q,    diag(J) = E[ xi * (J xi) ],

    with random signs xi on the object: no other element of J survives the mean (Hutchinson 1990, Commun Stat Simul
    Comput 19:433; Bekas et al. 2007, Appl Numer Math 57:1214). A probe of a faithful reconstruction has the variance
    (1 - q) / (2 q) at a pixel; smoothing over n = 4 pi WIDTH^2 pixels (in volumes its 3/2th power) divides that by n,
    which gives the number of probes for the WANTED_ERROR. The error stated is that of the spread that was found.

    Parameters
    ----------
    push
        D M: the derivative of filling at the k-space of the scan, from a change of k-space to that of the filled one;
        see `derivative_of`.
    sampling
        The lines that were measured.
    truth
        The reference that tells what the coils see, axes (coil, phase axes, kx).
    inside
        The object: boolean, axes (y, x) or (z, y, x) of the whole field of view.
    n_probes
        Number of probes; None chooses.
    seed
        Of the probes.
    """
    missing, axes = (sampling.inside & ~sampling.mask).to(truth.device), spatial_axes(truth)
    part = float(missing.double().mean())
    if part == 0:
        return RetentionMap(inside.float(), 1.0, 0, 0.0)
    weights, generator = matched_weights(image_from_kspace(truth, axes)), torch.Generator().manual_seed(seed)
    smooth, number = _smoother(inside), n_probes or probes_for(part, len(axes))
    mean = torch.zeros(inside.shape, dtype=torch.float64)
    squares, total = torch.zeros_like(mean), 0.0
    for done in range(1, number + 1):
        signs = (2.0 * torch.randint(2, inside.shape, generator=generator) - 1).to(truth.device) * inside
        filled = torch.where(missing[..., None], push(kspace_from_image(weights * signs, axes)), 0)
        found = signs * (weights.conj() * image_from_kspace(filled, axes)).sum(0).real / part
        total += float(found[inside].double().mean())
        image = smooth(found)
        step = image - mean
        mean += step / done
        squares += step * (image - mean)
    variance = float(squares[inside.cpu()].mean()) / max(1, number - 1)
    return RetentionMap(mean.float().to(truth.device), total / number, number, (variance / number) ** 0.5)


def derivative_of(filler: Filler, kspace: Tensor) -> Callable[[Tensor], Tensor]:
    """From changes of this k-space (coil, phase axes, kx) to those of what is filled: of anything that fills.

    Exact of an `Interpolator`; of an outside reference the difference that a change of a STEP in size makes.
    """
    if isinstance(filler, Interpolator):
        return filler.derivative(kspace).fill
    filled, size = filler.fill(kspace), STEP * float(kspace.norm())

    def quotient(change: Tensor) -> Tensor:
        step = size / float(change.norm())
        return (filler.fill(kspace + step * change) - filled) / step

    return quotient


def probes_for(part: float, n_axes: int) -> int:
    """Probes that a faithful reconstruction of this part of the lines needs for the wanted error; 2 at least."""
    averaged = (4 * math.pi * WIDTH**2) ** (n_axes / 2)
    return min(MOST_PROBES, max(2, math.ceil((1 - part) / (2 * part) / averaged / WANTED_ERROR**2)))


def _smoother(inside: Tensor) -> Callable[[Tensor], Tensor]:
    """Gaussian mean over those pixels around each that are inside, float64 on the CPU; 0 outside."""
    weight = inside.cpu().double().numpy()
    around = ndimage.gaussian_filter(weight, WIDTH, mode='constant').clip(min=1e-9)
    return lambda image: torch.from_numpy(
        weight * ndimage.gaussian_filter(image.cpu().double().numpy(), WIDTH, mode='constant') / around
    )
