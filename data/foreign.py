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


FOREIGN = (
    Foreign('DICOM', _starts(b'DICM', 128), 'it holds images, not k-space: export the raw data from the scanner'),
    Foreign(
        'a MATLAB file before version 7.3',
        _starts(b'MATLAB 5.0'),
        "save it again in MATLAB with save('scan.mat', 'kspace', '-v7.3'), then give --dataset and --axes",
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
