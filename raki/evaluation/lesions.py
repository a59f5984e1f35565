"""What a radiologist loses: small discs, brighter or darker than what is around them, added all over the object.

A lesion is seen if it comes back, and if it stands out from its surroundings against the errors there. Both are read
with the matched filter of the disc, as a fully sampled scan would show it, on a background of unknown brightness:
smooth shading hides no lesion. The filter assumes white errors, which those of a reconstruction are not, and sees the
errors of one scan: its signal-to-noise ratio means something only against that of another method in the same place.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from scipy import ndimage
from torch import Tensor

from raki.coils.combine import matched_weights, root_sum_of_squares
from raki.fourier import image_from_kspace, kspace_from_image, spatial_axes

DIAMETERS = (2.0, 4.0, 8.0)
"""Of the discs in the table [pixel]."""

USUAL_DIAMETER = 4.0
"""Of the discs that single figures are about [pixel]."""

CONTRAST = 0.2
"""How much brighter or darker a disc is than the object without it [1]."""

N_SPOTS = 48
"""Places at which a disc is tried."""

SURROUNDINGS = 1.0
"""The surroundings of a disc reach from its centre this much farther than its diameter [pixel]."""

NEAREST = 0.7
"""Least distance between places, relative to the diameter [1]: more of them would tell the same again."""

DARK = 0.5
"""No disc is placed where the signal is below this part of its median in the object [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class LesionResponse:
    """What a reconstruction makes of discs of one diameter and contrast."""

    diameter: float
    """Of the discs [pixel]."""
    contrast: float
    """Signal of the disc relative to that of the object without it, positive or negative [1]."""
    kept: Tensor
    """Contrast in the reconstruction over that in the object, axes (spot,) [1]; 1 is faithful."""
    snr: Tensor
    """Matched filter's output over its standard deviation on the errors in the object, axes (spot,) [1]; infinite
    without errors. To be compared between methods only."""

    def summary(self) -> dict[str, float | int | None]:
        """Mean and worst over spots; no infinite ratio."""
        ratios = {'snr_mean': float(self.snr.mean()), 'snr_min': float(self.snr.min())}
        return {
            'diameter': self.diameter,
            'contrast': self.contrast,
            'n_spots': len(self.kept),
            'contrast_mean': float(self.kept.mean()),
            'contrast_min': float(self.kept.min()),
            **{name: value if math.isfinite(value) else None for name, value in ratios.items()},
        }


def lesion_responses(
    fill: Callable[[Tensor], Tensor],
    kspace: Tensor,
    filled: Tensor,
    truth: Tensor,
    inside: Tensor,
    diameters: Sequence[float] = DIAMETERS,
    contrast: float = CONTRAST,
) -> list[LesionResponse]:
    """Add discs to the object, reconstruct again, and look for them: of each diameter the brighter, then the darker.

    A disc d multiplies the coil images by 1 + contrast d, so the coils see it as they see the object. With p the
    matched weights of the reference, images are combined as Re sum conj(p) image, and y_s = sum_r f(r - s) image(r) is
    the matched filter's output at spot s: f is d less its mean within the surroundings of the disc, so that y_s is the
    best linear estimate of the disc's amplitude, but for a factor, in white errors on an unknown constant. The contrast
    kept is y_s of the difference that the discs make in the reconstruction over y_s of what was added; the
    signal-to-noise ratio is y_s of that difference over the standard deviation, over all places in the object, of the
    filter's output on the total error, reconstruction minus reference.
    Half of the discs of a reconstruction are bright and half dark, then the other way round.

    Parameters
    ----------
    fill
        The reconstruction, from k-space to filled k-space: fixed, as it was fitted to the scan without discs.
    kspace, filled, truth
        What it was applied to, what it made of it, and the reference, axes (coil, phase axes, kx).
    inside
        The object: boolean, axes (y, x) or (z, y, x) of the whole field of view.
    diameters
        Of the discs, in volumes balls [pixel].
    contrast
        How much brighter and darker they are [1].

    Returns
    -------
    list[LesionResponse]
        Without diameters for which the object has no room.
    """
    axes = spatial_axes(kspace)
    images = image_from_kspace(truth, axes)
    conjugate, signal = matched_weights(images).conj(), root_sum_of_squares(images)

    def combined(lines: Tensor) -> Tensor:
        return (conjugate * image_from_kspace(lines, axes)).sum(0).real

    def made_of(pattern: Tensor) -> tuple[Tensor, Tensor]:
        added = contrast * pattern * images
        return combined(fill(kspace + kspace_from_image(added, axes)) - filled), (conjugate * added).sum(0).real

    error, found = combined(filled - truth), list[LesionResponse]()
    for diameter in diameters:
        places = spots(signal, inside, diameter)
        if len(places):
            noise = float(correlated(error, matched_filter(signal.shape, diameter).to(signal))[inside].std())
            outputs = _outputs(made_of, places, signal, diameter)
            for sign, (seen, true) in zip((1, -1), outputs, strict=True):
                found.append(LesionResponse(diameter, sign * contrast, seen / true, sign * seen / noise))
    return found


def _outputs(
    made_of: Callable[[Tensor], tuple[Tensor, Tensor]], places: Tensor, signal: Tensor, diameter: float
) -> Tensor:
    """Filter outputs at all places, axes (bright or dark, reconstruction or object, spot), batch by batch."""
    outputs = torch.zeros(2, 2, len(places))
    disc, own = (make(signal.shape, diameter).to(signal) for make in (disc_image, matched_filter))
    for batch in batches(places, 1.5 * diameter + SURROUNDINGS):
        at, every_other = tuple(places[batch].T), torch.arange(len(batch)) % 2
        for is_dark in (every_other, 1 - every_other):
            points = torch.zeros_like(disc)
            points[at] = (1.0 - 2 * is_dark).to(disc)
            images = [correlated(image, own)[at].cpu() for image in made_of(correlated(points, disc))]
            outputs[is_dark, :, batch] = torch.stack(images, dim=1)
    return outputs


def disc_image(shape: Sequence[int], diameter: float) -> Tensor:
    """Disc (y, x) or ball (z, y, x) around pixel n//2 as all samples of k-space show it: 1 inside, but for ringing.

    At k cycles per pixel its Fourier transform is (d / 2k)^(n/2) J_(n/2)(pi d k) over n axes; axes of one pixel do
    not count.
    """
    axes = [torch.fft.fftshift(torch.fft.fftfreq(size, dtype=torch.float64)) for size in shape]
    k = torch.stack(torch.meshgrid(*axes, indexing='ij')).square().sum(0).sqrt()
    turn = math.pi * diameter * k.clamp(min=1e-9)
    if sum(size > 1 for size in shape) > 2:
        spectrum = math.pi * diameter**3 / 2 * (turn.sin() - turn * turn.cos()) / turn**3
        spectrum[k == 0] = math.pi * diameter**3 / 6
    else:
        spectrum = math.pi * diameter**2 / 2 * torch.special.bessel_j1(turn) / turn
    return image_from_kspace(spectrum.to(torch.complex128) / k.numel() ** 0.5, tuple(range(k.ndim))).real


def matched_filter(shape: Sequence[int], diameter: float) -> Tensor:
    """Disc less its mean within its surroundings, around pixel n//2; 0 outside of them."""
    axes = [torch.arange(size) - size // 2 for size in shape]
    distance = torch.stack(torch.meshgrid(*axes, indexing='ij')).square().sum(0).sqrt()
    around, disc = distance <= diameter + SURROUNDINGS, disc_image(shape, diameter)
    return torch.where(around, disc - disc[around].mean(), 0.0)


def correlated(image: Tensor, centred: Tensor) -> Tensor:
    """Inner product of a real image with a symmetric one around n//2 moved to every pixel, periodically; same axes."""
    spectrum = torch.fft.fftn(torch.fft.ifftshift(centred))
    return torch.fft.ifftn(torch.fft.fftn(image) * spectrum).real


def spots(signal: Tensor, inside: Tensor, diameter: float, number: int = N_SPOTS) -> Tensor:
    """Places for discs wholly inside an object, axes (spot, image axis): each as far as can be from those before it.

    The signal is a magnitude, axes as the boolean object.
    """
    around = ndimage.distance_transform_edt(torch.nn.functional.pad(inside, (1, 1) * inside.ndim).cpu().numpy())
    room = torch.from_numpy(around)[(slice(1, -1),) * inside.ndim] >= diameter / 2
    smooth = torch.from_numpy(ndimage.uniform_filter(signal.cpu().double().numpy(), max(1, round(diameter))))
    candidates = (room & (smooth > DARK * signal[inside].median().cpu())).nonzero()
    if not len(candidates):
        return candidates
    next_one = int((candidates - candidates.double().mean(0)).square().sum(1).argmin())
    chosen, nearest = [next_one], torch.full((len(candidates),), torch.inf, dtype=torch.float64)
    while len(chosen) < number:
        nearest = torch.minimum(nearest, (candidates - candidates[chosen[-1]]).double().square().sum(1))
        if float(nearest.max()) < max(1.0, NEAREST * diameter) ** 2:
            break
        chosen.append(int(nearest.argmax()))
    return candidates[chosen]


def batches(places: Tensor, distance: float) -> list[list[int]]:
    """Numbers of places (spot, axis) in groups in which no two are nearer than a distance [pixel]."""
    groups: list[list[int]] = []
    apart = torch.cdist(places.double(), places.double()) >= distance
    for number in range(len(places)):
        group = next((group for group in groups if bool(apart[number, group].all())), None)
        if group is None:
            groups.append([number])
        else:
            group.append(number)
    return groups
