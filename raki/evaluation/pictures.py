"""Images as a page carries them: whole multiples of a step, compressed; the page windows and subtracts them."""

import base64
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LARGEST = (1 << 16) - 1
"""Of the whole numbers that are stored."""

STEPS_PER_ERROR = 64
"""Steps per root-mean-square error: rounding then adds 1 / (64 sqrt(12)) = 0.5 % of the error to what a map shows."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image; `value = step * number`."""

    shape: tuple[int, int]
    """Size (y, x) [pixel]."""
    step: float
    """What one stands for, in the unit of the image."""
    data: str
    """The numbers, 16 bit: all high bytes, then all low bytes, row by row; zlib, base64."""


def picture(image: Tensor, step: float = 0.0) -> Picture:
    """Round an image to whole steps and compress it.

    Parameters
    ----------
    image
        Real, not negative, finite, axes (y, x).
    step
        Wanted step, in the unit of the image; 16 bits may ask for a coarser one, and with 0 they decide.

    Raises
    ------
    ValueError
        If a value is negative, infinite or NaN.
    """
    image = image.cpu().double()
    if image.ndim != 2 or not bool((torch.isfinite(image) & (image >= 0)).all()):
        raise ValueError(f'a picture needs finite values of 0 or more on axes (y, x), got {tuple(image.shape)}')
    step = max(step, float(image.max()) / LARGEST) or 1.0
    numbers = (image / step).round().int().clamp(max=LARGEST)
    planes = torch.stack([numbers >> 8, numbers & 255]).byte().numpy().tobytes()
    return Picture((image.shape[0], image.shape[1]), step, base64.b64encode(zlib.compress(planes)).decode())


def image_of(picture: Picture) -> Tensor:
    """Give the image (y, x) that a picture shows, in its unit."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(picture.data)), np.uint8).reshape(2, *picture.shape)
    high, low = torch.from_numpy(planes.astype(np.float32))
    return picture.step * (256 * high + low)


def judged_picture(image: Tensor, reference: Tensor) -> Picture:
    """An image (y, x) that will be subtracted from its reference: as fine as its own error asks for."""
    return picture(image, float((image - reference).square().mean().sqrt()) / STEPS_PER_ERROR)


def quantile(image: Tensor, part: float) -> float:
    """Value of an image that this part of its pixels does not exceed; of any size, unlike torch's own."""
    values = image.flatten().sort().values
    return float(values[round(part * (len(values) - 1))])
