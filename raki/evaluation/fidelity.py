"""What low noise may cost: lost or blurred signal, and ghosts. To be read beside every noise map."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from raki.coils.combine import matched_weights, root_sum_of_squares
from raki.data.blocks import slices
from raki.data.lattice import Lattice
from raki.data.sampling import Sampling
from raki.evaluation.noise_maps import NoiseMap
from raki.fourier import image_from_kspace, kspace_from_image, spatial_axes

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
    """Where, axes (point, image axis) [pixel]."""
    peak: Tensor
    """Height in the reconstruction over that in the object, axes (point,) [1]; 1 is faithful."""
    measured: Tensor
    """Height that the measured lines alone give, same axes [1]; 0 where all lines were measured."""
    width: Tensor
    """Full width at half maximum along phase encoding over that of a point in a fully sampled image, axes (point,) [1];
    NaN where nothing is left of the point."""

    @property
    def retained(self) -> Tensor:
        """Part of what the measured lines alone do not give, axes (point,) [1]: 0 of zero filling, 1 is faithful."""
        return (self.peak - self.measured) / (1 - self.measured)


def point_response(
    fill: Callable[[Tensor], Tensor],
    kspace: Tensor,
    filled: Tensor,
    truth: Tensor,
    inside: Tensor,
    mask: Tensor,
    size: float = POINT_SIZE,
) -> PointResponse:
    """Add points to the object, reconstruct again, and look at the difference.

    All points at once, one per column and spread over the object. A point is in phase with the object and seen by the
    coils as the object is there, so that it would add its height to the root sum of squares of a perfect
    reconstruction. Coils are combined with the weights of the image without points.

    Parameters
    ----------
    fill
        The reconstruction, from k-space to filled k-space.
    kspace, filled, truth
        What it was applied to, what it made of it, and the reference, whose images tell what the coils see; axes
        (coil, phase axes, kx).
    inside
        The object: boolean, axes (y, x) or (z, y, x) of the whole field of view.
    mask
        The measured lines: boolean, axes (phase axes,).
    size
        Height of the points, relative to the brightest pixel [1].
    """
    axes = spatial_axes(kspace)
    images = image_from_kspace(truth, axes)
    magnitude = root_sum_of_squares(images)
    places = _places(magnitude.cpu(), inside.cpu())
    height = size * float(magnitude.max())
    points = torch.zeros_like(images)
    points[:, *places] = height * matched_weights(images)[:, *places]
    weights = matched_weights(image_from_kspace(filled, axes)).conj()
    added = kspace_from_image(points, axes)

    def combined(change: Tensor) -> Tensor:
        return (weights * image_from_kspace(change, axes)).sum(0).real / height

    response, missing = combined(fill(kspace + added) - filled), ~mask.to(kspace.device)[..., None]
    measured = combined(added.masked_fill(missing, 0)) if bool(missing.any()) else torch.zeros_like(response)
    *before, rows, columns = places
    profiles = response[(*before, slice(None), columns)] if before else response[:, columns].mT
    widths = [_width(profile, row) for profile, row in zip(profiles, rows.tolist(), strict=True)]
    length = response.shape[-2]
    perfect = _width(torch.eye(length)[length // 2], length // 2)
    heights = response[places].cpu(), measured[places].cpu()
    return PointResponse(torch.stack(places, dim=1).cpu(), *heights, torch.tensor(widths) / perfect)


def _places(magnitude: Tensor, inside: Tensor) -> tuple[Tensor, ...]:
    """Positions of points inside the object along each axis, each in a column of its own, at varying heights."""
    inside = (inside & (magnitude > 0.5 * magnitude[inside].median())).flatten(0, -2)
    occupied = inside.any(0).nonzero().flatten()
    n_points = min(N_POINTS, len(occupied))
    columns = occupied[((torch.arange(n_points) + 0.5) * len(occupied) / n_points).long()]
    candidates = [inside[:, column].nonzero().flatten() for column in columns.tolist()]
    row = torch.stack([rows[int(n * 0.6180339887 % 1 * len(rows))] for n, rows in enumerate(candidates, 1)])
    return (*((row // magnitude.shape[1], row % magnitude.shape[1]) if magnitude.ndim > 2 else (row,)), columns)


def _width(profile: Tensor, peak: int) -> float:
    """Full width at half maximum around index `peak` of a periodic real profile [sample]; NaN without a maximum."""
    n = len(profile)
    spectrum = kspace_from_image(profile.to(torch.complex64), (-1,))
    before = FINER * n // 2 - n // 2
    padded = torch.nn.functional.pad(spectrum, (before, FINER * n - n - before))
    fine = image_from_kspace(padded, (-1,)).real.roll(-(peak - n // 2) * FINER)
    centre = FINER * n // 2
    below = fine < fine[centre] / 2
    if not bool(fine[centre] > 0 and below[:centre].any() and below[centre:].any()):
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
    kspace, truth
        Filled k-space and its reference, axes (coil, phase axes, kx).
    sampling
        Its lattice tells where ghosts would be, of a volume along both phase axes; what is not filled is left out.
    """
    axes, outside_acs = spatial_axes(kspace), sampling.inside.clone()
    outside_acs[slices(sampling.acs)] = False
    conjugate = matched_weights(image_from_kspace(truth, axes)).conj()

    def combined(lines: Tensor, factor: Tensor) -> Tensor:
        return (conjugate * image_from_kspace(lines * factor.to(lines)[..., None], axes)).sum(0).to(torch.complex128)

    error = combined(kspace - truth, sampling.inside)
    turns = _turns(sampling.lattice, sampling.mask.shape)
    templates = torch.stack([combined(truth, outside_acs * torch.exp(2j * torch.pi * turn)) for turn in turns])
    unshifted, every = (_left_per_freedom(error, templates[:number]) for number in (1, len(turns)))
    negligible = RANK * float(error.abs().square().mean())
    return max(0.0, 1 - every / unshifted) if unshifted > negligible else 0.0


def _turns(lattice: Lattice, shape: torch.Size) -> list[Tensor]:
    """Phases [turn] on the phase axes that are the same on all points of a lattice, one for each of the R ghosts."""
    inverse = torch.linalg.inv(torch.tensor(lattice.basis, dtype=torch.float64))
    positions = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing='ij'), dim=-1).double()
    ghosts = [(0,) * len(shape), *lattice.missing]
    return [positions @ (inverse @ torch.tensor(ghost, dtype=torch.float64)) for ghost in ghosts]


def _left_per_freedom(error: Tensor, templates: Tensor) -> float:
    """Energy of an image that smoothly modulated templates (m, image axes) do not explain, per degree of freedom."""
    waves = [_cosines(size).to(error) for size in error.shape]
    cross = _projected(templates.conj() * error, waves).flatten()
    both = [(wave[:, :, None] * wave[:, None]).flatten(1) for wave in waves]
    rows = [_projected(template.conj() * templates, both) for template in templates]
    pairs = torch.stack(rows).reshape(len(rows), len(rows), *(N_WAVES,) * 2 * len(waves))
    order = [*range(0, pairs.ndim, 2), *range(1, pairs.ndim, 2)]
    gram = pairs.permute(order).reshape(len(cross), len(cross))
    values, vectors = torch.linalg.eigh(gram)
    kept = values > RANK * values[-1].clamp(min=torch.finfo(torch.float64).tiny)
    explained = (vectors[:, kept].mH @ cross).abs().square() / values[kept]
    left = float(error.abs().square().sum() - explained.sum())
    return max(0.0, left) / (error.numel() - int(kept.sum()))


def _projected(values: Tensor, waves: list[Tensor]) -> Tensor:
    """Inner products of images (m, image axes) with waves (position, wave) along each axis: (m, wave, ...)."""
    for wave in waves:
        values = torch.tensordot(values, wave, dims=([1], [0]))  # type: ignore[arg-type]
    return values


def _cosines(size: int) -> Tensor:
    """Slow cosines over an axis, axes (position, wave)."""
    return torch.cos(torch.pi * torch.outer((torch.arange(size) + 0.5) / size, torch.arange(N_WAVES)).double())


def noise_std(noise: NoiseMap, reference: Tensor, inside: Tensor) -> float:
    """Noise inside the object on the scale of `nrmse_object`; maps, reference and boolean object have the same axes."""
    return float(noise.std[inside].norm() / reference[inside].norm())


def noise_bias(noise: NoiseMap, reference: Tensor, inside: Tensor) -> float | None:
    """Bias of the replicas' mean, less what their scatter alone would give; None where nothing was replicated."""
    if noise.bias is None or noise.n_replicas is None:
        return None
    square = float((noise.bias[inside].norm() / reference[inside].norm()) ** 2)
    return max(0.0, square - noise_std(noise, reference, inside) ** 2 / noise.n_replicas) ** 0.5
