"""Formats of reconstructions, by the suffix of their file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raki.data.images.cfl import write_cfl_images
from raki.data.images.dicom import write_dicom
from raki.data.images.gathered import Finish, GatheringWriter
from raki.data.images.hdf5 import ReconstructionWriter
from raki.data.images.mrd import write_mrd_images
from raki.data.images.nifti import sidecar_beside, write_nifti
from raki.data.images.png import write_png
from raki.data.place import Place
from raki.data.save import Writer, by_suffix

UNPLACED = 'the scan does not tell its place in space: orientation and position of the images are unknown'


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

    is_placed: bool = False
    """Whether programs that read it take it for placed in space."""

    can_hold_identity: bool = False
    """Whether who the patient is has a place in it."""

    beside: Callable[[Path], Path] | None = None
    """Gives another file that is written and that others may have put there, as its name does not tell whose it is."""

    def shortcomings(self, places: Sequence[Place], *, is_identity_wanted: bool) -> list[str]:
        """What is not as its readers, or those who asked for identities, may expect, one sentence each."""
        is_unknown = self.is_placed and any(place.geometry is None for place in places)
        unkept = is_identity_wanted and not self.can_hold_identity
        return [UNPLACED] * is_unknown + [f'{self.name} has no place for who the patient is'] * unkept


def _gathering(finish: Finish) -> Callable[[str | Path, int], Writer]:
    """Give a writer that needs all images first."""
    return lambda path, _n_images: GatheringWriter(path, finish)


HDF5 = Output('HDF5 in fastMRI layout', ReconstructionWriter, can_hold_kspace=True, can_hold_identity=True)

WRITERS: Mapping[str, Output] = {
    '.mrd.h5': Output('ISMRMRD images', _gathering(write_mrd_images), is_placed=True, can_hold_identity=True),
    '.h5': HDF5,
    '.hdf5': HDF5,
    '.hdf': HDF5,
    '.nii': Output('NIfTI', _gathering(write_nifti), is_placed=True, beside=sidecar_beside),
    '.nii.gz': Output('NIfTI, compressed', _gathering(write_nifti), is_placed=True, beside=sidecar_beside),
    '.dcm': Output('DICOM', _gathering(write_dicom), is_placed=True, can_hold_identity=True),
    '.png': Output('PNG', _gathering(write_png)),
    '.cfl': Output('filled k-space of BART', _gathering(write_cfl_images), can_hold_kspace=True, is_kspace=True),
}
"""What writes a reconstruction, by the suffix of its file; the first that fits decides."""


def output_of(path: str | Path) -> Output:
    """Give the format that the suffix of a path asks for; a ValueError names the known ones."""
    return by_suffix(path, WRITERS, 'format has')


def reconstruction_writer(path: str | Path, n_images: int) -> Writer:
    """Give the writer for a file; a ValueError if no format has its suffix."""
    return output_of(path).write(path, n_images)
