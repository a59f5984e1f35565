"""Any array whose axes are named: by the user, by the format, or by the file in an attribute `axes` of `kspace`.

Slices have axes coil, ky, kx, and slice where there are several; a volume has coil, kz, ky, kx, or no kx if it is a
plane; in any order. A dataset `mask`, axes (ky,) or (kz, ky), tells which readouts were measured. A file that names its
axes itself, as `raki simulate` writes volumes, may also have `noise` (coil, sample) and `reference` (fully sampled
truth, axes as kspace). Arrays may be datasets of HDF5, or of .npy and .npz.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
from torch import Tensor

from raki.data.convention import CENTRED, Convention
from raki.data.damage.holes import finite
from raki.data.hdf5 import (
    complex_tensor,
    dataset,
    dataset_names,
    facts_of,
    noise_of,
    opened,
    require_held,
    text_of,
)
from raki.data.measured import Masking, lines_in_file, measured_only
from raki.data.memory import COMPLEX64_BYTES, require_memory_of_slab, require_stored
from raki.data.notes import Note
from raki.data.numpy_file import is_numpy, opened_numpy
from raki.data.place import LABELS, Frame
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError
from raki.fourier import READOUT, kspace_from_image

ALTERNATING = 'coil-complex'
"""A coil axis along which real and imaginary parts alternate."""

WORDS = {'coil', ALTERNATING, 'ky', 'kx', 'x', 'kz', 'slice', 'complex', *LABELS}

FRAME_BYTES = 512
"""What a frame takes in lists of them, about [byte]."""

Arrays: TypeAlias = h5py.File | Mapping[str, np.ndarray]
"""What a file holds, by name."""

Source: TypeAlias = Callable[[str], AbstractContextManager[Arrays]]
"""Opens a path for reading."""


@dataclass(frozen=True, slots=True)
class DatasetLayout:
    """Where k-space is in a file, and what its axes are."""

    dataset: str
    """Name of the dataset; `kspace` in a .npy file."""

    axes: tuple[str, ...]
    """Its axes in order: coil, ky, kx (which a plane of kz and ky does not need, and which is x if the readout is an
    image already); slice or kz, repetition, contrast, phase, set, and complex (real and imaginary part, the last axis)
    where there are. The axis coil-complex has real and imaginary parts of coils in turn."""

    convention: Convention = CENTRED
    """Where zero frequency is, and the middle of images."""

    def __post_init__(self) -> None:
        named = {axis if axis not in (ALTERNATING, 'x') else {'x': 'kx'}.get(axis, 'coil') for axis in self.axes}
        wanted = {'coil', 'ky', 'kx'} - ({'kx'} if 'kz' in named else set())
        if len(named) != len(self.axes) or set(self.axes) - WORDS or {'slice', 'kz'} <= named or not wanted <= named:
            raise ValueError(
                'axes must name coil, ky and kx, slice or kz, and complex where there are, each once, '
                f'got {",".join(self.axes) or "nothing"}: for example --axes slice,coil,ky,kx'
            )
        if 'complex' in named and (self.axes[-1] != 'complex' or ALTERNATING in self.axes):
            raise ValueError(f'the complex axis must be the last one, got {",".join(self.axes)}')

    @property
    def is_volume(self) -> bool:
        """Whether there is a second phase-encoding axis."""
        return 'kz' in self.axes

    @property
    def readout(self) -> str | None:
        """Name of the readout axis, which a plane does not have."""
        return next((axis for axis in ('kx', 'x') if axis in self.axes), None)

    @property
    def readout_is_rows(self) -> bool:
        """Whether images with axes in the order of the file have the readout along their rows."""
        return self.readout is not None and self.axes.index(self.readout) < self.axes.index('ky')

    def sizes(self, shape: Sequence[int]) -> dict[str, int]:
        """Size of every axis of an array of this shape, by the names coil, ky, kx and so on."""
        sizes = dict(zip(self.axes, shape, strict=True))
        if ALTERNATING in sizes:
            sizes['coil'] = sizes.pop(ALTERNATING) // 2
        return {'kx' if axis == 'x' else axis: size for axis, size in sizes.items()}


def names_its_axes(file: h5py.File) -> bool:
    """Whether the dataset `kspace` names its axes itself."""
    kspace = file.get('kspace')
    return isinstance(kspace, h5py.Dataset) and 'axes' in kspace.attrs


@contextmanager
def opened_arrays(path: str) -> Iterator[Arrays]:
    """Open a file of NumPy or HDF5 for reading; a ScanError if it is neither."""
    with (opened_numpy if is_numpy(Path(path)) else opened)(path) as arrays:
        yield arrays


def open_generic(path: str, layout: DatasetLayout | None = None, mask: str | None = None) -> ScanFile:
    """Read the headers, `mask` as in `open_scan`, `layout` by default what the file names itself.

    A ScanError if the dataset does not exist or does not have these axes.
    """
    if layout is None:
        with opened_arrays(path) as arrays:
            layout = _layout_in_file(arrays, path)
    return open_layout(path, layout, mask)


def open_layout(
    path: str,
    layout: DatasetLayout,
    mask: str | None = None,
    source: Source = opened_arrays,
    notes: Sequence[Note] = (),
    kind: str | None = None,
) -> ScanFile:
    """Read the headers of what `source` opens at `path`: an array with the axes of `layout`.

    `notes` come before those that arise here; `kind` is what people read as the format. Errors as `open_generic`.
    """
    with source(path) as arrays:
        samples = _array(arrays, layout.dataset, path)
        _require_axes(samples, layout, f'{path}: {layout.dataset}')
        if 0 in samples.shape:
            raise ScanError(f'{path}: {layout.dataset} is empty, its shape is {samples.shape}')
        sizes = layout.sizes(samples.shape)
        phase = [sizes[axis] for axis in ('kz', 'ky') if axis in sizes]
        shape = (sizes.get('slice', 1), sizes['coil'], *phase, sizes.get('kx', 1))
        facts = facts_of(arrays) if isinstance(arrays, h5py.File) else {}
        n_frames = prod(sizes[name] for name in LABELS if name in sizes)
        memory = require_memory_of_slab(shape, COMPLEX64_BYTES * prod(shape[1:]), path)
        if isinstance(samples, h5py.Dataset):
            require_held(samples, samples.nbytes // (shape[0] * n_frames))
            require_stored(FRAME_BYTES * n_frames, samples.id.get_storage_size(), f'{path}: the list of frames')
    reader = _Reader(path, layout, mask, source)
    return ScanFile(
        path=path,
        format=(kind or f'{_family(path)} {layout.dataset}') + (', a volume' if layout.is_volume else ''),
        shape=shape,
        read_slab=reader.read_slab,
        frames=[Frame(**_frame(sizes, number)) for number in range(n_frames)],
        facts=facts,
        notes=[*notes, *memory],
        readout_is_rows=layout.readout_is_rows and shape[-1] > 1,
    )


def names_of(arrays: Arrays) -> list[str]:
    """Names of all arrays of a file with their shapes."""
    if isinstance(arrays, h5py.File):
        return dataset_names(arrays)
    return [f'{name} {array.shape}' for name, array in arrays.items()]


def _family(path: str) -> str:
    return 'NumPy array' if is_numpy(Path(path)) else 'HDF5 dataset'


def _array(arrays: Arrays, name: str, path: str) -> h5py.Dataset | np.ndarray:
    if isinstance(arrays, h5py.File):
        return dataset(arrays, name)
    if name not in arrays:
        raise ScanError(f'{path}: no array {name!r}; the file has {", ".join(names_of(arrays)) or "none"}')
    return arrays[name]


def _layout_in_file(arrays: Arrays, path: str) -> DatasetLayout:
    if not isinstance(arrays, h5py.File):
        known = ', '.join(names_of(arrays)) or 'no array'
        raise ScanError(f'{path}: it holds {known}: name the axes with --dataset NAME --axes coil,ky,kx')
    try:
        return DatasetLayout('kspace', tuple(text_of(arrays['kspace'].attrs['axes']).split(',')))
    except ValueError as error:
        raise ScanError(f'{path}: attribute axes of kspace: {error}') from error


def _require_axes(samples: h5py.Dataset | np.ndarray, layout: DatasetLayout, name: str) -> None:
    if samples.ndim != len(layout.axes):
        raise ScanError(
            f'{name} has {samples.ndim} axes {samples.shape}, but {len(layout.axes)} are named: {",".join(layout.axes)}'
        )


@dataclass(frozen=True, slots=True)
class _Reader:
    path: str
    layout: DatasetLayout
    mask: str | None
    source: Source

    def read_slab(self, index: int, frame: int) -> Scan:
        """Read one slice, or the volume, of one frame."""
        name, layout = f'{self.path}: {self.layout.dataset}', self.layout
        with self.source(self.path) as arrays:
            samples = _array(arrays, layout.dataset, self.path)
            _require_axes(samples, layout, name)
            at = _frame(layout.sizes(samples.shape), frame) | ({} if layout.is_volume else {'slice': index})
            kspace = _slab(samples, layout, at, name)
            own = arrays if isinstance(arrays, h5py.File) and 'axes' in arrays[layout.dataset].attrs else None
            reference = None if own is None or 'reference' not in own else dataset(own, 'reference')
            here = name if layout.is_volume else f'{name}, slice {index}'
            mask = lines_in_file(arrays, kspace, Masking(self.mask, layout.convention, frame), here)
            return Scan(
                kspace=measured_only(kspace, mask)[None],
                mask=mask,
                noise=None if own is None else noise_of(own),
                reference=None if reference is None else _slab(reference, layout, at, f'{self.path}: reference')[None],
            )


def _frame(sizes: Mapping[str, int], number: int) -> dict[str, int]:
    """Position of a frame on the axes along which all was measured again."""
    names = [name for name in LABELS if name in sizes]
    return dict(zip(names, map(int, np.unravel_index(number, [sizes[name] for name in names])), strict=True))


def _slab(samples: h5py.Dataset | np.ndarray, layout: DatasetLayout, at: Mapping[str, int], name: str) -> Tensor:
    """Read one slice (coil, ky, kx), or a volume (coil, kz, ky, kx) by partitions, never twice in memory as a whole."""
    _require_axes(samples, layout, name)
    if not layout.is_volume:
        return _plane(samples, layout, at, f'{name}, slice {at["slice"]}')
    n_partitions, convention = samples.shape[layout.axes.index('kz')], layout.convention
    planes: Tensor | None = None
    steps = zip(convention.positions(n_partitions).tolist(), convention.factors(n_partitions), strict=True)
    for partition, (step, factor) in enumerate(steps):
        plane = _plane(samples, layout, {**at, 'kz': step}, f'{name}, partition {step}')
        planes = plane.new_empty(len(plane), n_partitions, *plane.shape[1:]) if planes is None else planes
        planes[:, partition] = plane * factor if convention.is_modulated else plane
    assert planes is not None
    return planes


def _plane(samples: Any, layout: DatasetLayout, at: Mapping[str, int], name: str) -> Tensor:
    """Read what is at one position of other axes, as complex (coil, ky, kx) in our convention."""
    values = np.asarray(samples[tuple(at.get(axis, slice(None)) for axis in layout.axes)])
    rest = [axis for axis in layout.axes if axis not in at and axis != 'complex']
    if 'complex' in layout.axes:
        if values.shape[-1] != 2 or values.dtype.kind != 'f':
            raise ScanError(f'{name}: a complex axis needs two real numbers, got {values.dtype} {values.shape}')
        values = values[..., 0] + 1j * values[..., 1]
    if layout.readout is None:
        values, rest = values[..., None], [*rest, 'kx']
    coil = ALTERNATING if ALTERNATING in rest else 'coil'
    values = values.transpose([rest.index(axis) for axis in (coil, 'ky', layout.readout or 'kx')])
    if coil == ALTERNATING:
        values = _from_alternating(values, name)
    plane = finite(complex_tensor(values, name), name)
    plane = layout.convention.applied(plane, 1)
    return kspace_from_image(plane, READOUT) if layout.readout == 'x' else layout.convention.applied(plane, 2)


def _from_alternating(values: np.ndarray, name: str) -> np.ndarray:
    if len(values) % 2 or values.dtype.kind != 'f':
        raise ScanError(f'{name}: an axis {ALTERNATING} needs pairs of real numbers, got {values.dtype} {values.shape}')
    return values[::2] + 1j * values[1::2]
