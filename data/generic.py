"""Any HDF5 dataset whose axes the user names."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raki.data.hdf5 import complex_tensor, dataset, opened, require_finite, require_memory
from raki.data.measured import lines_that_hold_samples, measured_lines
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError

AXES = ('slice', 'coil', 'ky', 'kx')
ZEROS = 'zeros'


@dataclass(frozen=True, slots=True)
class DatasetLayout:
    """Where k-space is in a file, and what its axes are."""

    dataset: str
    """Name of the dataset."""

    axes: tuple[str, ...]
    """Its axes in order: coil, ky, kx; slice and complex (real and imaginary part, the last axis) where there are."""

    mask: str | None = None
    """Name of the dataset with the line mask; `zeros` if lines of zeros were not measured; None if all were."""

    def __post_init__(self) -> None:
        known, named = {*AXES, 'complex'}, set(self.axes)
        if len(named) != len(self.axes) or not named <= known or not set(AXES[1:]) <= named:
            raise ScanError(
                'axes must name coil, ky and kx, and slice and complex where there are, each once, '
                f'got {",".join(self.axes) or "nothing"}: for example --axes slice,coil,ky,kx'
            )
        if 'complex' in named and self.axes[-1] != 'complex':
            raise ScanError(f'the complex axis must be the last one, got {",".join(self.axes)}')


def open_generic(path: str, layout: DatasetLayout) -> ScanFile:
    """Read the headers.

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
        sizes = dict(zip(layout.axes, samples.shape, strict=True))
        require_memory(samples.nbytes // sizes.get('slice', 1), f'{path}: one slice')
    return ScanFile(
        path=path,
        format=f'HDF5 dataset {layout.dataset}',
        shape=(sizes.get('slice', 1), sizes['coil'], sizes['ky'], sizes['kx']),
        read_slice=lambda index, _repetition: _read_slice(path, layout, index),
    )


def _read_slice(path: str, layout: DatasetLayout, index: int) -> Scan:
    name = f'{path}: {layout.dataset}, slice {index}'
    with opened(path) as file:
        samples = dataset(file, layout.dataset)
        where = tuple(index if axis == 'slice' else slice(None) for axis in layout.axes)
        kspace = _ordered(samples[where], [axis for axis in layout.axes if axis != 'slice'], name)
        stated = None
        if layout.mask not in (None, ZEROS):
            stated = torch.from_numpy(np.asarray(dataset(file, layout.mask)[()]).squeeze() != 0)
    require_finite(kspace, name)
    if layout.mask == ZEROS:
        return Scan(kspace[None], lines_that_hold_samples(kspace))
    if stated is not None and tuple(stated.shape) != (kspace.shape[1],):
        raise ScanError(f'{name}: mask must have one entry per ky line ({kspace.shape[1]}), got {tuple(stated.shape)}')
    return Scan(kspace[None], measured_lines(kspace, stated, path))


def _ordered(samples: np.ndarray, axes: list[str], name: str) -> Tensor:
    """Samples with these axes as complex (coil, ky, kx)."""
    if axes[-1] == 'complex':
        if samples.shape[-1] != 2 or samples.dtype.kind != 'f':
            raise ScanError(f'{name}: a complex axis needs two real numbers, got {samples.dtype} {samples.shape}')
        samples, axes = samples[..., 0] + 1j * samples[..., 1], axes[:-1]
    return complex_tensor(samples.transpose([axes.index(axis) for axis in AXES[1:]]), name)
