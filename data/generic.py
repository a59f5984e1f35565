"""Any HDF5 dataset whose axes are named: by the user, or by the file itself in an attribute `axes` of `kspace`.

Slices have axes coil, ky, kx, and slice where there are several; a volume has coil, kz, ky, kx, in any order. A dataset
`mask`, axes (ky,) or (kz, ky), tells which lines were measured. A volume that names its axes itself, as `raki simulate`
writes it, may also have `noise` (coil, sample) and `reference` (fully sampled truth, axes as kspace).
"""

from dataclasses import dataclass

import h5py
import numpy as np
import torch
from torch import Tensor

from raki.data.hdf5 import complex_tensor, dataset, opened, require_finite, require_memory, text_of, volume_bytes
from raki.data.measured import lines_in_file
from raki.data.scan import Scan, ScanFile
from raki.data.volume import Volume, slices_of
from raki.errors import ScanError

AXES = ('slice', 'coil', 'ky', 'kx')
VOLUME_AXES = ('coil', 'kz', 'ky', 'kx')

FACTS = ('source', 'notes')
"""Attributes of a volume's file that people want to see."""


@dataclass(frozen=True, slots=True)
class DatasetLayout:
    """Where k-space is in a file, and what its axes are."""

    dataset: str
    """Name of the dataset."""

    axes: tuple[str, ...]
    """Its axes in order: coil, ky, kx; slice or kz, and complex (real and imaginary part, the last axis) where there
    are."""

    def __post_init__(self) -> None:
        named, others = set(self.axes), set(self.axes) - set(AXES[1:])
        is_known = others - {'complex'} in (set(), {'slice'}, {'kz'})
        if len(named) != len(self.axes) or not is_known or not set(AXES[1:]) <= named:
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


def layout_in_file(file: h5py.File) -> DatasetLayout | None:
    """Axes that the dataset `kspace` names itself, where it does.

    Raises
    ------
    ScanError
        If they are not axes of k-space.
    """
    kspace = file.get('kspace')
    if not isinstance(kspace, h5py.Dataset) or 'axes' not in kspace.attrs:
        return None
    try:
        return DatasetLayout('kspace', tuple(text_of(kspace.attrs['axes']).split(',')))
    except ValueError as error:
        raise ScanError(f'{file.filename}: attribute axes of kspace: {error}') from error


def open_generic(path: str, layout: DatasetLayout, mask: str | None = None) -> ScanFile:
    """Read the headers; `mask` as in `open_scan`.

    Raises
    ------
    ScanError
        If the dataset does not exist or does not have these axes.
    """
    with opened(path) as file:
        samples = dataset(file, layout.dataset)
        if samples.ndim != len(layout.axes):
            raise ScanError(
                f'{path}: {layout.dataset} has {samples.ndim} axes {samples.shape}, '
                f'but {len(layout.axes)} are named: {",".join(layout.axes)}'
            )
        if 0 in samples.shape:
            raise ScanError(f'{path}: {layout.dataset} is empty, its shape is {samples.shape}')
        sizes = dict(zip(layout.axes, samples.shape, strict=True))
        mask = mask or ('mask' if 'mask' in file else None)
        if layout.is_volume:
            return _open_volume(path, layout, sizes, mask)
        require_memory(samples.nbytes // sizes.get('slice', 1), f'{path}: one slice')
    return ScanFile(
        path=path,
        format=f'HDF5 dataset {layout.dataset}',
        shape=(sizes.get('slice', 1), sizes['coil'], sizes['ky'], sizes['kx']),
        read_slice=lambda index, _repetition: _read_slice(path, layout, index, mask),
    )


def _open_volume(path: str, layout: DatasetLayout, sizes: dict[str, int], mask: str | None) -> ScanFile:
    n_bytes = volume_bytes([sizes[axis] for axis in VOLUME_AXES], path)
    with opened(path) as file:
        facts = {name: text_of(file.attrs[name]) for name in FACTS if name in file.attrs}

    def read_volume(_repetition: int) -> Volume:
        return _read_volume(path, layout, mask)

    return ScanFile(
        path=path,
        format=f'HDF5 dataset {layout.dataset}, a volume',
        shape=(sizes['kz'], sizes['coil'], sizes['ky'], sizes['kx']),
        read_slice=slices_of(read_volume),
        facts=facts,
        notes=[f'a volume is read whole and needs {n_bytes / 1e9:.2g} GB of memory'],
        read_volume=read_volume,
    )


def _read_volume(path: str, layout: DatasetLayout, mask: str | None) -> Volume:
    name = f'{path}: {layout.dataset}'
    with opened(path) as file:
        samples = dataset(file, layout.dataset)
        kspace = _partitions(samples, layout, name)
        is_own = 'axes' in samples.attrs
        noise, reference = (dataset(file, key) if is_own and key in file else None for key in ('noise', 'reference'))
        return Volume(
            kspace,
            lines_in_file(file, kspace, mask, name),
            noise=None if noise is None else complex_tensor(noise[()], f'{path}: noise'),
            reference=None if reference is None else _partitions(reference, layout, f'{path}: reference'),
        )


def _partitions(samples: h5py.Dataset, layout: DatasetLayout, name: str) -> Tensor:
    """Read a volume (coil, kz, ky, kx), one partition after the other: other layouts are never in memory as a whole."""
    if samples.ndim != len(layout.axes):
        raise ScanError(f'{name} must have the axes {",".join(layout.axes)}, got {samples.shape}')
    axis = layout.axes.index('kz')
    rest = [axis for axis in layout.axes if axis != 'kz']
    partitions = []
    for index in range(samples.shape[axis]):
        partition = _ordered(samples[(slice(None),) * axis + (index,)], rest, name)
        require_finite(partition, f'{name}, partition {index}')
        partitions.append(partition)
    return torch.stack(partitions, dim=1)


def _read_slice(path: str, layout: DatasetLayout, index: int, mask: str | None) -> Scan:
    name = f'{path}: {layout.dataset}, slice {index}'
    with opened(path) as file:
        samples = dataset(file, layout.dataset)
        where = tuple(index if axis == 'slice' else slice(None) for axis in layout.axes)
        kspace = _ordered(samples[where], [axis for axis in layout.axes if axis != 'slice'], name)
        require_finite(kspace, name)
        return Scan(kspace[None], lines_in_file(file, kspace, mask, name))


def _ordered(samples: np.ndarray, axes: list[str], name: str) -> Tensor:
    """Samples with these axes as complex (coil, ky, kx)."""
    if axes[-1] == 'complex':
        if samples.shape[-1] != 2 or samples.dtype.kind != 'f':
            raise ScanError(f'{name}: a complex axis needs two real numbers, got {samples.dtype} {samples.shape}')
        samples, axes = samples[..., 0] + 1j * samples[..., 1], axes[:-1]
    return complex_tensor(samples.transpose([axes.index(axis) for axis in AXES[1:]]), name)
