"""Reconstructions as HDF5 in fastMRI's layout, with what made them and where every image is."""

from collections.abc import Mapping
from dataclasses import asdict
from math import nan
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from raki.data.save import OutputImage, describe_in, new_hdf5, reserve


class ReconstructionWriter:
    """Write a reconstruction image by image; the file appears when the block ends without an error.

    The layout is fastMRI's: `reconstruction` float32 (image, y, x), which fastMRI's evaluation reads unchanged, and
    on request `gfactor`, laid out alike, and `kspace` (image, coil, readout, phase encode), the filled k-space. Images
    are ordered by frame, then slice. Where they are: `position`, `read_dir`, `phase_dir`, `slice_dir` and `voxel_size`,
    axes (image, 3), as in `raki.data.place.Geometry`; a size that the file did not tell is NaN.
    """

    def __init__(self, path: str | Path, n_images: int) -> None:
        self._path, self._n_images = path, n_images

    def __enter__(self) -> Self:
        self._open = new_hdf5(self._path)
        self._file = self._open.__enter__()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._open.__exit__(*error)

    def put(self, index: int, image: OutputImage) -> None:
        """Write one image, oriented as in the input file, its k-space, its g-factors and its place."""
        arrays = image.maps
        if image.kspace is not None:
            arrays['kspace'] = image.kspace.transpose(-1, -2)
        if not len(self._file):
            reserve(Path(self._file.filename), self._n_images * sum(array.nbytes for array in arrays.values()))
            axes = ('phase encode, readout', 'readout, phase encode')[image.readout_is_rows]
            self._file.attrs['image_axes'] = f'image, {axes}'
        for name, array in (arrays | _where(image)).items():
            values = array.cpu().numpy()
            self._file.require_dataset(name, (self._n_images, *values.shape), values.dtype)[index] = values

    def describe(self, manifest: Mapping[str, object]) -> None:
        """Store what made the file, as attributes."""
        describe_in(self._file, manifest)


def _where(image: OutputImage) -> dict[str, Tensor]:
    """Place of an image by the names of `Geometry`, as much as is known."""
    if image.place.geometry is not None:
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in asdict(image.place.geometry).items()}
    return (
        {} if image.voxel_size is None else {'voxel_size': torch.tensor((nan, *image.voxel_size), dtype=torch.float64)}
    )
