"""Reconstructions that `raki reconstruct` wrote, read image by image."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raki.data.hdf5 import dataset, opened, text_of
from raki.errors import ScanError

NAME = 'reconstruction'


@dataclass(frozen=True, slots=True)
class ReconstructionFile:
    """A reconstruction, of which only the attributes have been read."""

    path: str
    shape: tuple[int, int, int]
    """Axes (image, y, x)."""
    manifest: Mapping[str, Any]
    """What made the file; lists and settings as they were."""

    @property
    def places(self) -> list[tuple[int, int]]:
        """(slice, repetition) of every image, as the manifest tells; slices in a row where it does not."""
        slices, repetitions = (self.manifest.get(name) for name in ('slice', 'repetition'))
        if slices is None or repetitions is None:
            return [(index, 0) for index in range(self.shape[0])]
        return list(zip(slices, repetitions, strict=True))

    def read(self, index: int) -> Tensor:
        """One magnitude image, axes (y, x), in the orientation of the file; a ScanError if it is not finite."""
        with opened(self.path) as file:
            image = torch.from_numpy(np.abs(dataset(file, NAME)[index]).astype(np.float32))
        if not bool(torch.isfinite(image).all()):
            raise ScanError(f'{self.path}: image {index} holds NaN or infinite values: reconstruct the scan again')
        return image


def open_reconstruction(path: str | Path) -> ReconstructionFile:
    """Read the attributes of a reconstruction in fastMRI's layout, `reconstruction` (image, y, x).

    A ScanError if there is no such file, it is not HDF5, or holds no reconstruction.
    """
    with opened(path) as file:
        if NAME not in file:
            raise ScanError(f'{path}: holds no dataset {NAME!r}: name a file that raki reconstruct wrote')
        images = dataset(file, NAME)
        if images.ndim != 3 or 0 in images.shape or images.dtype.kind not in 'fiuc':
            got = f'{images.dtype} {images.shape}'
            raise ScanError(f'{path}: {NAME} must hold numbers with axes (image, y, x), got {got}')
        n_images, height, width = images.shape
        manifest = {name: _value(value) for name, value in file.attrs.items()}
    found = ReconstructionFile(str(path), (n_images, height, width), manifest)
    for name in ('slice', 'repetition'):
        numbers = manifest.get(name)
        if numbers is not None and not (isinstance(numbers, list) and len(numbers) == n_images):
            raise ScanError(f'{path}: attribute {name!r} must list a number per image ({n_images}), got {numbers}')
    return found


def _value(value: object) -> object:
    """An attribute as `ReconstructionWriter.describe` was given it."""
    if isinstance(value, np.generic):
        return value.item()
    text = text_of(value)
    try:
        return json.loads(text) if text[:1] in ('[', '{') else text
    except json.JSONDecodeError:
        return text
