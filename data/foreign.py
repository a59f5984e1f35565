"""Files of other programs, known by their look, with the way from them to a format that can be read."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from raki.data.numpy_file import ZIP, starts_with

HDF5 = b'\x89HDF\r\n'
"""First bytes of most files of this kind."""


class Foreign(NamedTuple):
    """A format that is not read."""

    name: str
    """What it is, in words."""

    looks_like: Callable[[Path], bool]
    """Whether a file is one, as far as can be told."""

    recipe: str
    """What to do with it."""


def _starts(magic: bytes, offset: int = 0) -> Callable[[Path], bool]:
    return lambda path: starts_with(path, magic, offset)


def _is_named(*endings: str) -> Callable[[Path], bool]:
    """Whether a file that is not HDF5 has such a name."""
    return lambda path: path.name.lower().endswith(endings) and not starts_with(path, HDF5)


def _is_dicom(path: Path) -> bool:
    """Files with a preamble, and older ones by their names."""
    return starts_with(path, b'DICM', 128) or _is_named('.dcm', '.ima')(path)


def _is_old_matlab(path: Path) -> bool:
    """Version 5 to 7 by its content, version 4 by its name."""
    return starts_with(path, b'MATLAB 5.0') or (_is_named('.mat')(path) and not starts_with(path, b'MATLAB'))


FOREIGN = (
    Foreign('an empty file', lambda path: not path.stat().st_size, 'fetch it again from where it came from'),
    Foreign(
        'DICOM', _is_dicom, 'it holds images, not k-space: export the raw data from the scanner (Siemens: twix .dat)'
    ),
    Foreign(
        'a MATLAB file before version 7.3',
        _is_old_matlab,
        "save it again in MATLAB with save('scan.mat', 'kspace', '-v7.3'), or in Python with numpy.save('scan.npy', "
        "scipy.io.loadmat('scan.mat')['kspace']), then give --dataset and --axes",
    ),
    Foreign(
        'a GE P-file', _is_named('.7'), 'convert it with ge_to_ismrmrd of the ISMRMRD project, which needs GE Orchestra'
    ),
    Foreign(
        'a GE ScanArchive',
        lambda path: path.name.startswith('ScanArchive'),
        'convert it with ge_to_ismrmrd of the ISMRMRD project',
    ),
    Foreign(
        'Philips raw data',
        _is_named('.raw', '.lab', '.list', '.data', '.sin'),
        'convert it with philips_to_ismrmrd of the ISMRMRD project',
    ),
    Foreign(
        'Bruker raw data',
        lambda path: path.name in ('fid', 'ser') or path.name.startswith('rawdata.job'),
        'convert it with bruker_to_ismrmrd of the ISMRMRD project',
    ),
    Foreign('NIfTI', _is_named('.nii', '.nii.gz'), 'it holds images, not k-space: export the raw data'),
    Foreign('compressed by gzip', _starts(b'\x1f\x8b'), 'unpack it with gunzip'),
    Foreign('a zip archive', _starts(ZIP), 'unpack it with unzip'),
)
"""What people try, in the order in which it is tried."""


def advice_on(path: Path) -> str | None:
    """Say what a file seems to be and what to do with it, such as `this is DICOM: ...`; None where it is not known."""
    found = next((each for each in FOREIGN if each.looks_like(path)), None)
    return None if found is None else f'this seems to be {found.name}: {found.recipe}'


def order_of_axes(path: Path) -> str:
    """What is to be said of the axes in HDF5 that MATLAB wrote; nothing of other files."""
    return ', in reverse order: (ky, kx, coil) in MATLAB is coil,kx,ky' * starts_with(path, b'MATLAB 7.3')
