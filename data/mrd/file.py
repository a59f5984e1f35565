"""ISMRMRD (MRD version 1) HDF5: acquisitions with headers whose flags decide what they are.

Inati et al. 2017, Magn Reson Med 77:411. The headers are read once and in bulk, samples as they are needed.
"""

import h5py

from raki.data.generic import DatasetLayout
from raki.data.hdf5 import dataset, opened
from raki.data.mrd.acquisitions import Acquisitions
from raki.data.mrd.header import Header, header_of
from raki.data.mrd.scan import ALL_BY_FILE, RawChoice, scan_file_of
from raki.data.mrd.stored import stored
from raki.data.notes import Note
from raki.data.scan import ScanFile
from raki.errors import ScanError


def is_ismrmrd(file: h5py.File) -> bool:
    """Whether the file has a group with acquisitions and a header."""
    return bool(_measurements(file))


def open_ismrmrd(
    path: str, _layout: DatasetLayout | None = None, mask: str | None = None, choice: RawChoice = ALL_BY_FILE
) -> ScanFile:
    """Read the headers of the measurement that is chosen, by default the last in the file that has an image.

    Noise is taken from the latest measurement before it that has any, if it has none itself.

    A ScanError if they are not those of one Cartesian scan that we can read, there is no such measurement, or a mask is
    given.
    """
    if mask is not None:
        raise ScanError(f'{path}: an ISMRMRD file tells itself which lines were measured: leave the mask {mask!r} out')
    with opened(path) as file:
        names = _measurements(file)
        name = choice.measurement or _last_with_image(file, names)
        if name not in names:
            raise ScanError(f'{path}: no measurement {name!r}; the file has {", ".join(names)}')
        header, lines = _measurement(file, name)
        is_quiet = not lines.is_noise.any()
        others = [_measurement(file, other) for other in names[: names.index(name)] if is_quiet]
    noise = next((other for other in reversed(others) if other[1].is_noise.any()), None)
    last = 'the last' if name == names[-1] else 'the last with an image'
    told = Note(
        f'{len(names)} measurements in the file, {last} ({name}) is read: choose another with --measurement NAME'
    )
    is_told = len(names) > 1 and choice.measurement is None
    return scan_file_of(header, lines, path, 'ISMRMRD HDF5', notes=[told] * is_told, centre=choice.centre, noise=noise)


def _measurement(file: h5py.File, name: str) -> tuple[Header, Acquisitions]:
    """Header and acquisitions of a group."""
    return header_of(file, f'{name}/xml'), stored(dataset(file, f'{name}/data'), file.filename)


def _last_with_image(file: h5py.File, names: list[str]) -> str:
    """The last measurement, unless it is an adjustment only, such as noise, after one with image lines."""
    found = (name for name in reversed(names) if len(names) == 1 or _measurement(file, name)[1].is_image.any())
    return next(found, names[-1])


def _measurements(file: h5py.File) -> list[str]:
    """Names of the groups that hold acquisitions, in order of measurement."""
    groups = [name for name, item in file.items() if isinstance(item, h5py.Group) and {'data', 'xml'} <= set(item)]
    return sorted(groups, key=lambda name: (len(name), name))
