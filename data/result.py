"""Reconstructions that `raki reconstruct` wrote, read image by image."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from raki.data.hdf5 import dataset, opened, require_held, text_of
from raki.data.place import LABELS
from raki.errors import ScanError

NAME = 'reconstruction'

MAPS = (NAME, 'gfactor')
"""Datasets that hold an image of every place; the first is always there."""

COUNTERS = ('slice', *LABELS)
"""Attributes that list a number for every image."""


@dataclass(frozen=True, slots=True)
class ReconstructionFile:
    """A reconstruction, of which only the attributes have been read."""

    path: str
    shape: tuple[int, int, int]
    """Axes (image, y, x)."""
    manifest: Mapping[str, Any]
    """What made the file; lists and settings as they were."""

    read: Callable[..., Tensor]
    """One magnitude image by its number, axes (y, x), in the orientation of the file; a ScanError if not finite.

    With the number of one of `MAPS` behind it that of this map; g-factors are 0 where they are not finite [1].
    """

    pixel_size: tuple[float, float] | None = None
    """Along (y, x) [m], where the file tells."""
    has_gfactors: bool = False
    """Whether it has g-factor maps of all images."""

    @property
    def places(self) -> list[dict[str, int]]:
        """Counters of every image by name, as the manifest tells; slices in a row where it does not."""
        known = {name: self.manifest[name] for name in COUNTERS if self.manifest.get(name) is not None}
        if not {'slice', 'repetition'} <= set(known):
            known = {'slice': list(range(self.shape[0])), 'repetition': [0] * self.shape[0]}
        return [{name: values[index] for name, values in known.items()} for index in range(self.shape[0])]


def open_reconstruction(path: str | Path) -> ReconstructionFile:
    """Read the attributes of a reconstruction in fastMRI's layout, `reconstruction` (image, y, x).

    A ScanError if there is no such file, it is not HDF5, or holds no reconstruction.
    """
    with opened(path) as file:
        if NAME not in file:
            raise ScanError(f'{path}: holds no dataset {NAME!r}: name a file that raki reconstruct wrote')
        has_gfactors = MAPS[1] in file
        n_images, height, width = shape = _shape(file, NAME)
        if has_gfactors and (other := _shape(file, MAPS[1])) != shape:
            raise ScanError(f'{path}: {MAPS[1]} must have the shape of {NAME}, {shape}, got {other}')
        manifest = {name: _value(value) for name, value in file.attrs.items() if name != 'sha256'}
        size = _pixel_size(file, n_images)
    found = ReconstructionFile(str(path), (n_images, height, width), manifest, partial(_read, path), size, has_gfactors)
    for name in COUNTERS:
        numbers = manifest.get(name)
        if numbers is not None and not (isinstance(numbers, list) and len(numbers) == n_images):
            raise ScanError(f'{path}: attribute {name!r} must list a number per image ({n_images}), got {numbers}')
    return found


def _shape(file: h5py.File, name: str) -> tuple[int, int, int]:
    """Shape (image, y, x) of a dataset of images; a ScanError if it is none."""
    images = dataset(file, name)
    if images.ndim != 3 or 0 in images.shape or images.dtype.kind not in 'fiuc':
        got = f'{images.dtype} {images.shape}'
        raise ScanError(f'{file.filename}: {name} must hold numbers with axes (image, y, x), got {got}')
    return images.shape


def _read(path: str | Path, index: int, kind: int = 0) -> Tensor:
    with opened(path) as file:
        images = dataset(file, MAPS[kind])
        require_held(images, images.nbytes // len(images))
        image = torch.from_numpy(np.abs(images[index]).astype(np.float32))
    if kind:
        return image.nan_to_num(0.0, 0.0, 0.0)
    if not bool(torch.isfinite(image).all()):
        raise ScanError(f'{path}: image {index} holds NaN or infinite values: reconstruct the scan again')
    return image


def _pixel_size(file: h5py.File, n_images: int) -> tuple[float, float] | None:
    """Size (y, x) of the first image's pixels [m] from `voxel_size` along (slice, phase encode, readout)."""
    stored = file.get('voxel_size')
    if not isinstance(stored, h5py.Dataset) or stored.shape != (n_images, 3) or stored.dtype.kind != 'f':
        return None
    phase, readout = map(float, dataset(file, 'voxel_size')[0, 1:])
    if not (0 < phase < math.inf and 0 < readout < math.inf):
        return None
    is_turned = text_of(file.attrs.get('image_axes', '')).startswith('image, readout')
    return (readout, phase) if is_turned else (phase, readout)


def _value(value: object) -> object:
    """An attribute as `raki.data.save.describe_in` was given it."""
    if isinstance(value, np.generic):
        return value.item()
    text = text_of(value)
    try:
        return json.loads(text) if text[:1] in ('[', '{') or text == 'null' else text
    except json.JSONDecodeError:
        return text
