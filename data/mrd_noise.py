"""Noise samples of a scan, with the variance that a sample of its k-space has, channel by channel as the image."""

import numpy as np
import torch
from torch import Tensor

from raki.data.acquisitions import Acquisitions
from raki.data.hdf5 import finite
from raki.data.header import Header
from raki.errors import ScanError

WORD = 64
"""Channels that one number of a channel mask tells of."""


def noise_of_scan(header: Header, lines: Acquisitions, n_averages: float) -> Tensor | None:
    """Noise samples, axes (coil, sample), with the variance of the mean of `n_averages` image samples.

    Variance goes with bandwidth, the inverse of the dwell time. A receiver's filter takes noise away from the outer
    part of the band, which is in noise samples, but not in image samples without their oversampling: hence the
    bandwidth in the header (Kellman and McVeigh 2005, Magn Reson Med 54:1439).

    A ScanError if noise was measured by other channels than the image and nothing tells which belong together.
    """
    positions = np.flatnonzero(lines.is_noise)
    if len(positions) == 0:
        return None
    channels = _channels(lines, positions)
    samples = np.concatenate([values[channels] for _, values in lines.samples(positions)], axis=1)
    dwell = lines.head['sample_time_us']
    of_noise, of_image = float(dwell[lines.is_noise].mean()), float(dwell[lines.is_image].mean())
    ratio = of_noise / of_image if of_noise > 0 and of_image > 0 else 1.0
    scale = (ratio / (header.noise_bandwidth or 1.0) / n_averages) ** 0.5
    return finite(scale * torch.from_numpy(samples)[:, None], f'{lines.path}: noise')[:, 0]


def _channels(lines: Acquisitions, positions: np.ndarray) -> list[int]:
    """Which channels of the noise are those of the image, in the order of these, by the masks of both."""
    image = lines.head[np.flatnonzero(lines.is_image)[0]]
    noise = lines.head[positions[0]]
    n_noise, n_image = lines.n_coils(positions), int(image['active_channels'])
    of_noise, of_image = _numbers(noise['channel_mask']), _numbers(image['channel_mask'])
    is_told = len(of_noise) == n_noise and len(of_image) == n_image and set(of_image) <= set(of_noise)
    if is_told:
        return [of_noise.index(number) for number in of_image]
    if n_noise != n_image:
        raise ScanError(
            f'{lines.path}: noise was measured by {n_noise} channels and the image by {n_image}, and channel_mask does '
            'not tell which belong together: leave the noise acquisitions out of the file'
        )
    return list(range(n_image))


def _numbers(mask: np.ndarray) -> list[int]:
    """Channels whose bits are set in a mask of 16 words."""
    return [WORD * word + bit for word, bits in enumerate(mask.tolist()) for bit in range(WORD) if bits >> bit & 1]
