"""Public data sets with a layout of their own, recognised by it: CMRxRecon, Calgary-Campinas, SKM-TEA.

Wang et al. 2024, Sci Data 11:687 (CMRxRecon); Souza et al. 2018, NeuroImage 170:482 (Calgary-Campinas); Desai et al.
2021, arXiv:2203.06823 (SKM-TEA).
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import h5py
import numpy as np

from raki.data.convention import MODULATED, UNSHIFTED, Convention
from raki.data.generic import DatasetLayout, open_layout
from raki.data.hdf5 import dataset, is_complex, opened
from raki.data.measured import ZEROS
from raki.data.notes import Note, caution
from raki.data.scan import ScanFile
from raki.errors import ScanError

TRANSFORMED = 'the readout was transformed to an image already: it is transformed back'
UNCHECKED = 'the layout is that of its documentation, and was not checked on a file of the data set'

CMR_NAME = re.compile(r'kspace_(full|sub\d+)|kus|kspace')
CMR_AXES = ('phase', 'slice', 'coil', 'ky', 'kx')


class Preset(NamedTuple):
    """A data set."""

    name: str
    """It, and what gives it away, for people."""

    recognises: Callable[[h5py.File], bool]
    """Whether a file is of it, by its content."""

    open: Callable[[str, DatasetLayout | None, str | None], ScanFile]
    """Read the headers of a path; layout and mask as in `open_scan`."""


def _kspace(file: h5py.File) -> h5py.Dataset | None:
    found = file.get('kspace')
    return found if isinstance(found, h5py.Dataset) else None


def _cmr_kspace(file: h5py.File) -> h5py.Dataset | None:
    """The k-space of a CMRxRecon file: compound (real, imag) as MATLAB writes it, of four or five axes."""
    for name in filter(CMR_NAME.fullmatch, map(str, file)):
        array = file[name]
        if isinstance(array, h5py.Dataset) and array.dtype.names == ('real', 'imag'):
            return array if array.ndim in ((5,) if name == 'kspace' else (4, 5)) else None
    return None


def _open_cmr(path: str, _layout: DatasetLayout | None, mask: str | None) -> ScanFile:
    with opened(path) as file:
        kspace = _cmr_kspace(file)
        if kspace is None or kspace.name is None:
            raise ScanError(f'{path}: no k-space of CMRxRecon')
        name = kspace.name.strip('/')
        layout = DatasetLayout(name, CMR_AXES[-kspace.ndim :])
    notes = [
        caution(f'taken as CMRxRecon: {UNCHECKED}'),
        Note('its R does not count the central 16 lines, which are the ACS'),
    ]
    if name.startswith(('kspace_sub', 'kus')):
        mask = mask or ZEROS
        notes.append(caution(f'{name} is undersampled: lines of zeros are taken as not measured'))
    return open_layout(path, layout, mask, notes=notes, kind=f'CMRxRecon {name}')


def _is_calgary(file: h5py.File) -> bool:
    """Whether `kspace` is real, with x, ky, kz and an even number of alternating real and imaginary parts."""
    kspace = _kspace(file)
    return kspace is not None and kspace.ndim == 4 and kspace.dtype.kind == 'f' and kspace.shape[-1] % 2 == 0


def _open_calgary(path: str, _layout: DatasetLayout | None, mask: str | None) -> ScanFile:
    with opened(path) as file:
        convention = _convention_of(dataset(file, 'kspace'))
    origin = 'index 0' if convention.is_rolled else 'n//2'
    notes = [
        caution(f'taken as Calgary-Campinas: {UNCHECKED}'),
        caution(
            f'most energy is at {origin} of ky and kz: zero frequency is taken to be there, and the image is that of '
            'an inverse transform without shifts'
        ),
        Note(TRANSFORMED),
        Note('the last partitions are zero in this data set: they count as not measured'),
    ]
    layout = DatasetLayout('kspace', ('x', 'ky', 'kz', 'coil-complex'), convention)
    return open_layout(path, layout, mask, notes=notes, kind='Calgary-Campinas')


def _convention_of(kspace: h5py.Dataset) -> Convention:
    """Tell where zero frequency is by the energy in the middle of the readout: nearer to the corner, or to n//2."""
    energy = np.square(kspace[kspace.shape[0] // 2]).sum(-1)
    peaks = [int(energy.sum(1 - axis).argmax()) for axis in (0, 1)]
    distances = [min(peak, size - peak) / size for peak, size in zip(peaks, energy.shape, strict=True)]
    return UNSHIFTED if max(distances) < 0.25 else MODULATED


def _is_skm_tea(file: h5py.File) -> bool:
    """Whether `kspace` is complex with x, ky, kz, echo and coil, and `maps` or `target` stand beside it."""
    kspace = _kspace(file)
    has_others = any(name in file for name in ('maps', 'target'))
    return kspace is not None and kspace.ndim == 5 and is_complex(kspace.dtype) and has_others


def _open_skm_tea(path: str, _layout: DatasetLayout | None, mask: str | None) -> ScanFile:
    notes = [
        caution(f'taken as SKM-TEA: {UNCHECKED}'),
        caution(
            'its k-space was filled in by the parallel imaging of the scanner (2 x 1): it is no truth to judge GRAPPA '
            'by'
        ),
        Note(TRANSFORMED),
    ]
    layout = DatasetLayout('kspace', ('x', 'ky', 'kz', 'contrast', 'coil'))
    return open_layout(path, layout, mask, notes=notes, kind='SKM-TEA')


PRESETS = (
    Preset('SKM-TEA ("kspace" of five axes, beside "maps" or "target")', _is_skm_tea, _open_skm_tea),
    Preset(
        'CMRxRecon ("kspace_full", "kspace_sub04" and so on)', lambda file: _cmr_kspace(file) is not None, _open_cmr
    ),
    Preset('Calgary-Campinas ("kspace" of real numbers)', _is_calgary, _open_calgary),
)
"""Every data set."""
