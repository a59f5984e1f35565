"""Where other programs put zero frequency and the middle of an image, brought to DC at n//2 on every axis."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Convention:
    """What a file's k-space needs so that `raki.fourier` makes the image of the program that wrote it."""

    is_rolled: bool
    """Whether zero frequency is at index 0 and not at n//2."""

    is_modulated: bool
    """Whether images come out by a transform without shifts, so that their middle is at index 0 of ours."""

    def positions(self, n_samples: int) -> np.ndarray:
        """Index in the file of every sample of ours, axes (sample,)."""
        return np.fft.fftshift(np.arange(n_samples)) if self.is_rolled else np.arange(n_samples)

    def factors(self, n_samples: int) -> Tensor:
        """What every sample of the file is multiplied with, axes (sample,) in our order.

        A shift of the image by n//2, so exactly 1 and -1 where n is even. Where it is odd, phases between them.
        """
        turns = torch.from_numpy(self.positions(n_samples) * (n_samples // 2) % n_samples).double() / n_samples
        if not self.is_modulated:
            return torch.ones(n_samples)
        if n_samples % 2 == 0:
            return (1 - 4 * turns).float()
        return torch.polar(torch.ones_like(turns), 2 * math.pi * turns).to(torch.complex64)

    def applied(self, kspace: Tensor, axis: int) -> Tensor:
        """K-space with this axis in our convention."""
        if self == CENTRED:
            return kspace
        n_samples = kspace.shape[axis]
        taken = kspace.index_select(axis, torch.from_numpy(self.positions(n_samples)))
        return taken * self.factors(n_samples).reshape([-1, *[1] * (kspace.ndim - 1 - axis % kspace.ndim)])


CENTRED = Convention(is_rolled=False, is_modulated=False)
"""`fftshift(ifftn(ifftshift(kspace)))` is the image: ours."""

UNSHIFTED = Convention(is_rolled=True, is_modulated=True)
"""`ifftn(kspace)` is the image, with zero frequency at index 0."""

MODULATED = Convention(is_rolled=False, is_modulated=True)
"""`abs(ifftn(kspace))` is the image, although zero frequency is at n//2: receivers that chop."""

CONVENTIONS: Mapping[str, Convention] = {'centred': CENTRED, 'unshifted': UNSHIFTED}
"""Those that a user names."""
