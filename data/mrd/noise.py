"""Noise samples of a scan, with the variance that a sample of its k-space has, channel by channel as the image."""

import numpy as np
import torch
from torch import Tensor

from raki.data.damage.holes import finite_noise
from raki.data.mrd.acquisitions import Acquisitions
from raki.data.mrd.header import Header
from raki.errors import ScanError

WORD = 64
"""Channels that one number of a channel mask tells of."""


def noise_of_scan(
    header: Header, lines: Acquisitions, of_noise: Header, noise: Acquisitions, n_averages: float
) -> Tensor | None:
    """Noise samples, axes (coil, sample), with the variance of the mean of `n_averages` image samples.

    `noise` is the measurement with the noise acquisitions, with its header, mostly `lines` itself.

    Variance goes with bandwidth, the inverse of the dwell time. A receiver's filter takes noise away from the outer
    part of the band, which is in noise samples, but not in image samples without their oversampling: hence the
    bandwidth in the header (Kellman and McVeigh 2005, Magn Reson Med 54:1439).

    A ScanError if noise was measured by other channels than the image and nothing tells which belong together.
    """
    positions = np.flatnonzero(noise.is_noise)
    if len(positions) == 0:
        return None
    channels = _channels(header, lines, of_noise, noise)
    with noise.samples(positions) as readouts:
        samples = np.concatenate([values[channels] for _, values in readouts], axis=1)
    dwells = [
        float(each.head['sample_time_us'][own].mean(dtype=float))  # the same of any number of equal ones
        for each, own in ((noise, positions), (lines, lines.is_image))
    ]
    ratio = dwells[0] / dwells[1] if min(dwells) > 0 else 1.0
    scale = (ratio / (header.noise_bandwidth or 1.0) / n_averages) ** 0.5
    return finite_noise(scale * torch.from_numpy(samples), f'{noise.path}: noise')


def _channels(header: Header, lines: Acquisitions, of_noise: Header, noise: Acquisitions) -> list[int]:
    """Which channels of the noise are those of the image, in the order of these.

    By the labels of coils where both headers have them, else by the masks of channels, else as they come. Masks that
    only count channels, from the first, do not tell which of more they are.
    """
    n_noise, n_image = noise.n_coils(noise.is_noise), lines.n_coils(lines.is_image)
    of_one = [np.flatnonzero(own)[0] for own in (noise.is_noise, lines.is_image)]
    masks = [_numbers(each.head['channel_mask'][own]) for each, own in zip((noise, lines), of_one, strict=True)]
    labels = [list(each.coil_labels) for each in (of_noise, header)]
    is_telling = n_noise == n_image or any(own != list(range(len(own))) for own in masks)
    pairs: list[list[list]] = [labels, masks] if is_telling else [labels]
    for theirs, own in pairs:
        if len(theirs) == n_noise and len(own) == n_image and set(own) <= set(theirs):
            return [theirs.index(each) for each in own]
    if n_noise != n_image:
        raise ScanError(
            f'{noise.path}: noise was measured by {n_noise} channels and the image by {n_image}, and neither coil '
            'labels nor channel masks tell which belong together: leave the noise acquisitions out of the file'
        )
    return list(range(n_image))


def _numbers(mask: np.ndarray) -> list[int]:
    """Channels whose bits are set in a mask of 16 words."""
    return [WORD * word + bit for word, bits in enumerate(mask.tolist()) for bit in range(WORD) if bits >> bit & 1]
