"""What low noise may cost: lost or blurred signal, and ghosts. To be read beside every noise map."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from raki.coils.combine import matched_weights, root_sum_of_squares
from raki.data.sampling import Sampling
from raki.evaluation.metrics import object_mask
from raki.evaluation.noise_maps import NoiseMap
from raki.fourier import image_from_kspace, kspace_from_image

N_POINTS = 9
"""Places at which points are added."""

POINT_SIZE = 0.1
"""Height of an added point, relative to the brightest pixel [1]."""

FINER = 32
"""Profiles are interpolated this many times finer than the matrix to measure a width."""

N_WAVES = 3
"""Cosines along each axis that a ghost's strength may follow: constant, half a wave and one wave over the image."""

RANK = 1e-8
"""Directions of the templates with less energy than this part of the largest are left out [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class PointResponse:
    """What a reconstruction makes of small points that are added to the object."""

    places: Tensor
    """Where, axes (point, 2), rows and columns [pixel]."""

    peak: Tensor
    """Height in the reconstruction over that in the object, axes (point,) [1]; 1 is faithful."""

    width: Tensor
    """Full width at half maximum along phase encoding over that of a point in a fully sampled image, axes (point,) [1];
    NaN where nothing is left of the point."""


def point_response(
    fill: Callable[[Tensor], Tensor], kspace: Tensor, filled: Tensor, truth: Tensor, size: float = POINT_SIZE
) -> PointResponse:
    """Add points to the object, reconstruct again, and look at the difference.

    All points at once, one per column and spread over the object. A point is in phase with the object and seen by the
    coils as the object is there, so that it would add its height to the root sum of squares of a perfect
    reconstruction. Coils are combined with the weights of the image without points.

    Parameters
    ----------
    fill
        The reconstruction, from k-space (coil, ky, kx) to filled k-space.
    kspace
        What it was applied to, axes (coil, ky, kx).
    filled
        What it made of it, axes (coil, ky, kx).
    truth
        Reference k-space, axes (coil, ky, kx), whose images tell what the coils see.
    size
        Height of the points, relative to the brightest pixel [1].
    """
    images = image_from_kspace(truth)
    magnitude = root_sum_of_squares(images)
    rows, columns = _places(magnitude)
    height = size * float(magnitude.max())
    points = torch.zeros_like(images)
    points[:, rows, columns] = height * matched_weights(images)[:, rows, columns]
    weights = matched_weights(image_from_kspace(filled)).conj()
    added = image_from_kspace(fill(kspace + kspace_from_image(points)) - filled)
    response = (weights * added).sum(0).real / height
    widths = [_width(response[:, column], row) for row, column in zip(rows.tolist(), columns.tolist(), strict=True)]
    perfect = _width(torch.eye(len(response))[len(response) // 2], len(response) // 2)
    return PointResponse(
        torch.stack([rows, columns], dim=1).cpu(), response[rows, columns].cpu(), torch.tensor(widths) / perfect
    )


def _places(magnitude: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of points inside the object, each in a column of its own, at varying heights."""
    object_ = object_mask(magnitude)
    inside = object_ & (magnitude > 0.5 * magnitude[object_].median())
    occupied = inside.any(0).nonzero().flatten()
    n_points = min(N_POINTS, len(occupied))
    columns = occupied[((torch.arange(n_points) + 0.5) * len(occupied) / n_points).long()]
    rows = []
    for number, column in enumerate(columns.tolist()):
        candidates = inside[:, column].nonzero().flatten()
        rows.append(candidates[int((number + 1) * 0.6180339887 % 1 * len(candidates))])
    return torch.stack(rows), columns


def _width(profile: Tensor, peak: int) -> float:
    """Full width at half maximum around index `peak` of a periodic real profile [sample]; NaN without a maximum."""
    n = len(profile)
    spectrum = kspace_from_image(profile.to(torch.complex64), (-1,))
    before = FINER * n // 2 - n // 2
    padded = torch.nn.functional.pad(spectrum, (before, FINER * n - n - before))
    fine = image_from_kspace(padded, (-1,)).real.roll(-(peak - n // 2) * FINER)
    centre = FINER * n // 2
    if not float(fine[centre]) > 0:
        return float('nan')
    below = fine < fine[centre] / 2
    if not bool(below[:centre].any() and below[centre:].any()):
        return float('nan')
    right = int(below[centre:].int().argmax())
    left = int(below[: centre + 1].flip(0).int().argmax())
    return (right + left - 1) / FINER


def ghost_index(kspace: Tensor, truth: Tensor, sampling: Sampling) -> float:
    """Share of a reconstruction's error that is copies of the object, shifted by multiples of FOV / R.

    Errors and copies are combined with the conjugate sensitivities p of the reference: e = sum conj(p) image(k - k_ref)
    and t_m = sum conj(p) image(k_ref exp(2 pi i m ky / R)), k_ref without its ACS lines, m = 0 to R - 1. A ghost has a
    smooth strength, a complex combination of N_WAVES x N_WAVES cosines, so e is fitted by least squares, once by t_0
    alone and once by all t_m. With residual powers per degree of freedom s_0 and s, the index is 1 - s / s_0: 0 for
    noise, but for a few hundredths on small matrices, and for an error of intensity alone; 1 for ghosts alone.

    Parameters
    ----------
    kspace
        Filled k-space, axes (coil, ky, kx).
    truth
        Reference k-space, same axes.
    sampling
        Its acceleration tells where ghosts would be; lines beyond its filled range are left out.
    """
    rate, n_lines = sampling.acceleration, kspace.shape[1]
    inside = torch.zeros(n_lines, dtype=torch.bool)
    inside[sampling.filled_range.start : sampling.filled_range.stop] = True
    outside_acs = inside.clone()
    outside_acs[sampling.acs.start : sampling.acs.stop] = False
    conjugate = matched_weights(image_from_kspace(truth)).conj()

    def combined(lines: Tensor, factor: Tensor) -> Tensor:
        return (conjugate * image_from_kspace(lines * factor.to(lines)[:, None])).sum(0).to(torch.complex128)

    error = combined(kspace - truth, inside)
    turns = torch.arange(n_lines) / rate
    templates = torch.stack(
        [combined(truth, outside_acs * torch.exp(2j * torch.pi * shift * turns)) for shift in range(rate)]
    )
    unshifted, every = (_left_per_freedom(error, templates[:number]) for number in (1, rate))
    negligible = RANK * float(error.abs().square().mean())
    return max(0.0, 1 - every / unshifted) if unshifted > negligible else 0.0


def _left_per_freedom(error: Tensor, templates: Tensor) -> float:
    """Energy of an image (y, x) that smoothly modulated templates (m, y, x) do not explain, per degree of freedom."""
    lines, columns = (_cosines(size).to(error) for size in error.shape)
    cross = torch.einsum('myx,ya,xb->mab', templates.conj() * error, lines, columns).flatten()
    gram = torch.stack([_gram_rows(template, templates, lines, columns) for template in templates]).flatten(0, 2)
    values, vectors = torch.linalg.eigh(gram.flatten(1))
    kept = values > RANK * values[-1].clamp(min=torch.finfo(torch.float64).tiny)
    explained = (vectors[:, kept].mH @ cross).abs().square() / values[kept]
    left = float(error.abs().square().sum() - explained.sum())
    return max(0.0, left) / (error.numel() - int(kept.sum()))


def _gram_rows(template: Tensor, templates: Tensor, lines: Tensor, columns: Tensor) -> Tensor:
    """Inner products of one modulated template with all, axes (wave y, wave x, template, wave y, wave x)."""
    products = template.conj() * templates
    over_lines = torch.einsum('myx,ya,yc->macx', products, lines, lines)
    return torch.einsum('macx,xb,xd->abmcd', over_lines, columns, columns)


def _cosines(size: int) -> Tensor:
    """Slow cosines over an axis, axes (position, wave)."""
    return torch.cos(torch.pi * torch.outer((torch.arange(size) + 0.5) / size, torch.arange(N_WAVES)).double())


def noise_figures(noise: NoiseMap | None, reference: Tensor, inside: Tensor) -> dict[str, float | None]:
    """Noise and bias inside the object on the scale of `nrmse_object`.

    The bias is that of the replicas' mean, less what their scatter alone would give.

    Parameters
    ----------
    noise
        Noise map of replicas with the axes (y, x) of `reference`.
    reference
        Reference image, axes (y, x).
    inside
        Boolean, axes (y, x): the object.
    """
    if noise is None or noise.bias is None or noise.n_replicas is None:
        return {'noise_std': None, 'noise_bias': None}
    signal = float(reference[inside].square().mean())
    variance, square = (float(values[inside].square().mean()) for values in (noise.std, noise.bias))
    debiased = max(0.0, square - variance / noise.n_replicas)
    return {'noise_std': (variance / signal) ** 0.5, 'noise_bias': (debiased / signal) ** 0.5}
