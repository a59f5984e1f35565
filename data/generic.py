"""Any HDF5 dataset whose axes are named: by the user, or by the file itself in an attribute `axes` of `kspace`.

Slices have axes coil, ky, kx, and slice where there are several; a volume has coil, kz, ky, kx, or no kx if it is a
plane; in any order. A dataset `mask`, axes (ky,) or (kz, ky), tells which readouts were measured. A file that names its
axes itself, as `raki simulate` writes volumes, may also have `noise` (coil, sample) and `reference` (fully sampled
truth, axes as kspace).
"""

from dataclasses import dataclass

import h5py
import numpy as np
import torch
from torch import Tensor

from raki.data.hdf5 import complex_tensor, dataset, facts_of, finite, noise_of, opened, require_memory_of_slab, text_of
from raki.data.measured import lines_in_file
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError

PLANE = ('coil', 'ky', 'kx')


@dataclass(frozen=True, slots=True)
class DatasetLayout:
    """Where k-space is in a file, and what its axes are."""

    dataset: str
    """Name of the dataset."""

    axes: tuple[str, ...]
    """Its axes in order: coil, ky, kx (which a plane of kz and ky does not need); slice or kz, and complex (real and
    imaginary part, the last axis) where there are."""

    def __post_init__(self) -> None:
        named, others = set(self.axes), set(self.axes) - {*PLANE, 'complex'}
        wanted = set(PLANE) - ({'kx'} if 'kz' in named else set())
        if len(named) != len(self.axes) or others not in (set(), {'slice'}, {'kz'}) or not wanted <= named:
            raise ValueError(
                'axes must name coil, ky and kx, slice or kz, and complex where there are, each once, '
                f'got {",".join(self.axes) or "nothing"}: for example --axes slice,coil,ky,kx'
            )
        if 'complex' in named and self.axes[-1] != 'complex':
            raise ValueError(f'the complex axis must be the last one, got {",".join(self.axes)}')

    @property
    def is_volume(self) -> bool:
        """Whether there is a second phase-encoding axis."""
        return 'kz' in self.axes

    @property
    def readout_is_rows(self) -> bool:
        """Whether images with axes in the order of the file have the readout along their rows."""
        return 'kx' in self.axes and self.axes.index('kx') < self.axes.index('ky')


def names_its_axes(file: h5py.File) -> bool:
    """Whether the dataset `kspace` names its axes itself."""
    kspace = file.get('kspace')
    return isinstance(kspace, h5py.Dataset) and 'axes' in kspace.attrs


def _layout_in_file(file: h5py.File) -> DatasetLayout:
    try:
        return DatasetLayout('kspace', tuple(text_of(file['kspace'].attrs['axes']).split(',')))
    except ValueError as error:
        raise ScanError(f'{file.filename}: attribute axes of kspace: {error}') from error


def open_generic(path: str, layout: DatasetLayout | None = None, mask: str | None = None) -> ScanFile:
    """Read the headers, `mask` as in `open_scan`, `layout` by default what the file names itself.

    A ScanError if the dataset does not exist or does not have these axes.
    """
    with opened(path) as file:
        layout = layout or _layout_in_file(file)
        samples = dataset(file, layout.dataset)
        _require_axes(samples, layout, f'{path}: {layout.dataset}')
        if 0 in samples.shape:
            raise ScanError(f'{path}: {layout.dataset} is empty, its shape is {samples.shape}')
        sizes = dict(zip(layout.axes, samples.shape, strict=True))
        phase = [sizes[axis] for axis in ('kz', 'ky') if axis in sizes]
        shape = (sizes.get('slice', 1), sizes['coil'], *phase, sizes.get('kx', 1))
        facts, notes = facts_of(file), require_memory_of_slab(shape, samples.nbytes // shape[0], path)
    return ScanFile(
        path=path,
        format=f'HDF5 dataset {layout.dataset}' + (', a volume' if layout.is_volume else ''),
        shape=shape,
        read_slab=lambda index, _repetition: _read_slab(path, layout, index, mask),
        facts=facts,
        notes=notes,
        readout_is_rows=layout.readout_is_rows and shape[-1] > 1,
    )


def _require_axes(samples: h5py.Dataset, layout: DatasetLayout, name: str) -> None:
    if samples.ndim != len(layout.axes):
        raise ScanError(
            f'{name} has {samples.ndim} axes {samples.shape}, but {len(layout.axes)} are named: {",".join(layout.axes)}'
        )


def _read_slab(path: str, layout: DatasetLayout, index: int, mask: str | None) -> Scan:
    name = f'{path}: {layout.dataset}'
    with opened(path) as file:
        samples = dataset(file, layout.dataset)
        kspace = _slab(samples, layout, index, name)
        is_own = 'axes' in samples.attrs
        reference = dataset(file, 'reference') if is_own and 'reference' in file else None
        return Scan(
            kspace=kspace[None],
            mask=lines_in_file(file, kspace, mask, name if layout.is_volume else f'{name}, slice {index}'),
            noise=noise_of(file) if is_own else None,
            reference=None if reference is None else _slab(reference, layout, index, f'{path}: reference')[None],
        )


def _slab(samples: h5py.Dataset, layout: DatasetLayout, index: int, name: str) -> Tensor:
    """Read one slice (coil, ky, kx), or a volume (coil, kz, ky, kx) by partitions, never twice in memory as a whole."""
    _require_axes(samples, layout, name)
    if not layout.is_volume:
        return _plane(samples, layout.axes, ('slice', index), name)
    n_partitions = samples.shape[layout.axes.index('kz')]
    return torch.stack([_plane(samples, layout.axes, ('kz', step), name) for step in range(n_partitions)], dim=1)


def _plane(samples: h5py.Dataset, axes: tuple[str, ...], chosen: tuple[str, int], name: str) -> Tensor:
    """Read what is at one position of an axis, as complex (coil, ky, kx)."""
    name = f'{name}, {"partition" if chosen[0] == "kz" else "slice"} {chosen[1]}'
    values: np.ndarray = samples[tuple(chosen[1] if axis == chosen[0] else slice(None) for axis in axes)]
    rest = [axis for axis in axes if axis not in (chosen[0], 'complex')]
    if 'complex' in axes:
        if values.shape[-1] != 2 or values.dtype.kind != 'f':
            raise ScanError(f'{name}: a complex axis needs two real numbers, got {values.dtype} {values.shape}')
        values = values[..., 0] + 1j * values[..., 1]
    if 'kx' not in axes:
        values, rest = values[..., None], [*rest, 'kx']
    return finite(complex_tensor(values.transpose([rest.index(axis) for axis in PLANE]), name), name)
