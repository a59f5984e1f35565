"""Reconstructions for formats that need all images before the first is written: images wait on the disk until then."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Self

import numpy as np
import torch

from raki.data.place import LABELS, Geometry, Place
from raki.data.save import NewFiles, OutputImage, replacing_all, require_replaceable
from raki.errors import ScanError, TrainingError

IMAGE = 'reconstruction'
"""Name of images among the maps, as in HDF5."""

KSPACE = 'kspace'


def label_of(places: Sequence[Place], index: int) -> str:
    """What tells the file of one of several places from those of the others, such as `_slice003_repetition001`."""
    every = [place.labels() for place in places]
    telling = [name for name in ('slice', *LABELS) if len({labels[name] for labels in every}) > 1]
    return ''.join(f'_{name}{every[index][name]:03d}' for name in telling)


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """Equal arrays on the disk, in a file without a name, which vanishes with the program."""

    file: IO[bytes]
    """Array after array."""

    shape: tuple[int, ...]
    """Size of each."""

    dtype: np.dtype
    """Type of its samples."""

    def put(self, index: int, array: np.ndarray) -> None:
        """Keep an array; ValueError if it is not like the others."""
        if array.shape != self.shape:
            raise ValueError(f'images of one file must have the same size, got {array.shape} beside {self.shape}')
        self.file.seek(index * array.nbytes)
        self.file.write(np.ascontiguousarray(array, self.dtype).tobytes())

    def __getitem__(self, index: int) -> np.ndarray:
        """Read an array back."""
        n_bytes = self.dtype.itemsize * int(np.prod(self.shape))
        self.file.seek(index * n_bytes)
        return np.frombuffer(self.file.read(n_bytes), self.dtype).reshape(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """All images of a reconstruction, of which only the places are in memory."""

    arrays: dict[str, Waiting] = field(default_factory=dict)
    """`reconstruction`, axes (y, x), float32, and where they were wanted `gfactor`, alike, and `kspace` (coil, ky, kx),
    complex64."""

    images: dict[int, OutputImage] = field(default_factory=dict)
    """Every image by its number, without its pixels."""

    manifest: dict[str, Any] = field(default_factory=dict)
    """What made them."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    @property
    def places(self) -> list[Place]:
        """Where every image belongs."""
        return [self.images[index].place for index in range(len(self))]

    @property
    def made(self) -> dict[str, Any]:
        """What made them, for a file beside those that may tell who the patient is."""
        return {'Reconstruction': {name: value for name, value in self.manifest.items() if name != 'subject'}}

    @property
    def maps(self) -> Iterator[tuple[str, Waiting]]:
        """Maps of pixels, with what their files are called beyond the name of the output."""
        for name, waiting in self.arrays.items():
            if name != KSPACE:
                yield '' if name == IMAGE else f'_{name}', waiting

    def label(self, index: int) -> str:
        """As `label_of`."""
        return label_of(self.places, index)

    def geometry(self, index: int) -> Geometry | None:
        """Place of one image in space."""
        return self.images[index].place.geometry

    def pixel_size(self, index: int) -> tuple[float, float] | None:
        """Size (y, x) of a pixel [m], where it is known."""
        geometry, stated = self.geometry(index), self.images[index].voxel_size
        if geometry is not None:
            return geometry.voxel_size[1:]
        return None if stated is None else (stated[0], stated[1])


def require_sizes(sizes: Sequence[int], most: int, kind: str) -> None:
    """Raise a ScanError if a format has no place for so many pixels along an axis."""
    if max(sizes) > most:
        raise ScanError(
            f'{kind} holds up to {most} pixels along an axis, got {" x ".join(map(str, sizes))}: choose .h5'
        )


Finish = Callable[[Path, Gathered, NewFiles], None]
"""Writes the files of an output from (its path, all images, what gives a new file in the stead of a path)."""


class GatheringWriter:
    """Write a reconstruction when all of its images are there, all or nothing; see `raki.data.save.Writer`."""

    def __init__(self, path: str | Path, finish: Finish) -> None:
        self._path, self._finish, self._gathered = Path(path), finish, Gathered()
        self._files = ExitStack()

    def __enter__(self) -> Self:
        require_replaceable(self._path)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: Any) -> None:
        with self._files:
            if kind is None:
                with replacing_all() as new_file:
                    self._finish(self._path, self._gathered, new_file)

    def put(self, index: int, image: OutputImage) -> None:
        """Keep one image until all are there; a TrainingError if it is not finite, which no other program expects."""
        if not bool(torch.isfinite(image.image).all()):
            raise TrainingError(f'image {index} holds NaN or infinite values: HDF5 can keep it, other formats cannot')
        arrays = {IMAGE: image.image.float(), 'gfactor': image.gfactor, KSPACE: image.kspace}
        for name, array in arrays.items():
            if array is not None:
                self._waiting(name, values := array.cpu().numpy()).put(index, values)
        nothing = torch.empty(0)
        self._gathered.images[index] = OutputImage(
            nothing, image.place, readout_is_rows=image.readout_is_rows, voxel_size=image.voxel_size
        )

    def _waiting(self, name: str, like: np.ndarray) -> Waiting:
        arrays = self._gathered.arrays
        if name not in arrays:
            file = self._files.enter_context(TemporaryFile(dir=self._path.parent))  # noqa: SIM115
            arrays[name] = Waiting(file, like.shape, like.dtype)
        return arrays[name]

    def describe(self, manifest: Mapping[str, object]) -> None:
        """Keep what made the images."""
        self._gathered.manifest.update(manifest)
