"""Any HDF5 dataset whose axes the user names."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from raki.data.hdf5 import complex_tensor, dataset, opened, require_finite, require_memory
from raki.data.measured import lines_in_file
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError

AXES = ('slice', 'coil', 'ky', 'kx')


@dataclass(frozen=True, slots=True)
class DatasetLayout:
    """Where k-space is in a file, and what its axes are."""

    dataset: str
    """Name of the dataset."""

    axes: tuple[str, ...]
    """Its axes in order: coil, ky, kx; slice and complex (real and imaginary part, the last axis) where there are."""

    def __post_init__(self) -> None:
        known, named = {*AXES, 'complex'}, set(self.axes)
        if len(named) != len(self.axes) or not named <= known or not set(AXES[1:]) <= named:
            raise ValueError(
                'axes must name coil, ky and kx, and slice and complex where there are, each once, '
                f'got {",".join(self.axes) or "nothing"}: for example --axes slice,coil,ky,kx'
            )
        if 'complex' in named and self.axes[-1] != 'complex':
            raise ValueError(f'the complex axis must be the last one, got {",".join(self.axes)}')


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
        require_memory(samples.nbytes // sizes.get('slice', 1), f'{path}: one slice')
    return ScanFile(
        path=path,
        format=f'HDF5 dataset {layout.dataset}',
        shape=(sizes.get('slice', 1), sizes['coil'], sizes['ky'], sizes['kx']),
        read_slice=lambda index, _repetition: _read_slice(path, layout, index, mask),
    )


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
