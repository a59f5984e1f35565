"""Formats of reconstructions, by the suffix of their file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from raki.data.cfl_images import write_cfl_images
from raki.data.dicom import write_dicom
from raki.data.gathered import Finish, GatheringWriter
from raki.data.mrd_images import write_mrd_images
from raki.data.nifti import write_nifti
from raki.data.png import write_png
from raki.data.save import ReconstructionWriter, Writer


@dataclass(frozen=True, slots=True)
class Output:
    """A format of reconstructions."""

    name: str
    """The format, for people."""

    write: Callable[[str | Path, int], Writer]
    """Gives the writer of a path and a number of images."""

    can_hold_kspace: bool = False
    """Whether the filled k-space has a place in it."""

    is_kspace: bool = False
    """Whether it is the filled k-space, so that this is always needed."""


def _gathering(finish: Finish) -> Callable[[str | Path, int], Writer]:
    """Give a writer that needs all images first."""
    return lambda path, _n_images: GatheringWriter(path, finish)


HDF5 = Output('HDF5 in fastMRI layout', ReconstructionWriter, can_hold_kspace=True)

WRITERS: Mapping[str, Output] = {
    '.mrd.h5': Output('ISMRMRD images', _gathering(write_mrd_images)),
    '.h5': HDF5,
    '.hdf5': HDF5,
    '.hdf': HDF5,
    '.nii': Output('NIfTI', _gathering(write_nifti)),
    '.nii.gz': Output('NIfTI, compressed', _gathering(write_nifti)),
    '.dcm': Output('DICOM', _gathering(write_dicom)),
    '.png': Output('PNG', _gathering(write_png)),
    '.cfl': Output('filled k-space of BART', _gathering(write_cfl_images), can_hold_kspace=True, is_kspace=True),
}
"""What writes a reconstruction, by the suffix of its file; the first that fits decides."""


def output_of(path: str | Path) -> Output:
    """Give the format that the suffix of a path asks for; a ValueError names the known ones."""
    name = Path(path).name.lower()
    found = next((output for suffix, output in WRITERS.items() if name.endswith(suffix) and name != suffix), None)
    if found is None:
        raise ValueError(f'{path}: no format has this suffix: choose from {", ".join(WRITERS)}')
    return found


def reconstruction_writer(path: str | Path, n_images: int) -> Writer:
    """Give the writer for a file; a ValueError if no format has its suffix."""
    return output_of(path).write(path, n_images)
