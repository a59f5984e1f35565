"""Raw data in fastMRI layout, slab by slab: `kspace` (slice, coil, readout, phase encode), and what belongs to it.

A volume names its axes (coil, kz, ky, kx) in an attribute. Frames are files of their own, as M4Raw has repetitions.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import torch
from torch import Tensor

from raki.data.images.gathered import label_of
from raki.data.mrd.description import Description, header_xml, scanner_of
from raki.data.place import Place
from raki.data.save import NewFiles, describe_in, hdf5_in, reserve
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError

VOLUME_AXES = 'coil,kz,ky,kx'


def write_fastmri_raw(
    path: Path, scan: ScanFile, subject: Mapping[str, str], made: Mapping[str, object], new_file: NewFiles
) -> list[str]:
    """Write every frame, and say what the layout cannot hold.

    A ScanError if there are several volumes, or slices whose masks differ: no reader would find them.
    """
    lost: list[str] = []
    places = [Place(0, frame) for frame in scan.frames]
    for number in range(scan.n_frames):
        target = path.with_name(f'{path.stem}{label_of(places, number)}{path.suffix}')
        if os.path.realpath(target) == os.path.realpath(scan.path):
            raise ScanError(f'{target}: frame {number} would replace the scan itself: choose another name')
        temporary = new_file(target)
        with hdf5_in(temporary) as file:
            lost += _write_frame(_Growing(temporary, file, scan.shape[0]), scan, number, subject)
            describe_in(file, made)
    if scan.n_frames > 1:
        lost.append(f'labels in one file: {scan.n_frames} files, a frame each')
    if scan.geometries:
        lost.append('position and orientation')
    return list(dict.fromkeys(lost))


@dataclass(frozen=True, slots=True, eq=False)
class _Growing:
    """A file that slabs are put into."""

    path: Path
    file: h5py.File
    n_slabs: int
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of every array, all slabs together."""

    def put(self, name: str, slab: int, array: Tensor) -> None:
        """One slab (coil, ky, kx) of an array that has (slab, coil, kx, ky)."""
        values = array.transpose(-1, -2).contiguous().numpy()
        if name not in self.file:
            self.sizes[name] = self.n_slabs * values.nbytes
            reserve(self.path, sum(self.sizes.values()))
            self.file.create_dataset(name, (self.n_slabs, *values.shape), values.dtype)
        target = self.file[name]
        assert isinstance(target, h5py.Dataset)
        if target.shape[1:] != values.shape:
            raise ScanError(f'{name} has {values.shape} in slice {slab} and {target.shape[1:]} before: use .mrd.h5')
        target[slab] = values


def _write_frame(growing: _Growing, scan: ScanFile, frame: int, subject: Mapping[str, str]) -> list[str]:
    is_volume, first = len(scan.shape) == 5, scan.read([0], frame)
    lost = (
        _write_volume(growing, scan, first, subject)
        if is_volume
        else _write_slices(growing, scan, frame, first, subject)
    )
    if not bool(first.mask.all()):
        growing.file['mask'] = first.mask.numpy()
    if first.noise is not None:
        growing.file['noise'] = first.noise.numpy()
    growing.file.attrs.update({name: scan.facts[name] for name in ('acquisition',) if name in scan.facts})
    growing.file.attrs.update({name: text for name, text in subject.items() if name == 'patient_id'})
    return lost


def _write_volume(growing: _Growing, scan: ScanFile, volume: Scan, subject: Mapping[str, str]) -> list[str]:
    if scan.shape[0] > 1:
        raise ScanError(f'{scan.path}: one file holds one volume, got {scan.shape[0]}: choose .mrd.h5 or .cfl')
    for name, array in (('kspace', volume.kspace), ('reference', volume.reference)):
        if array is not None:
            reserve(growing.path, 2 * array.nbytes)
            growing.file[name] = _held(array, volume)[0].numpy() if name == 'kspace' else array[0].numpy()
    growing.file['kspace'].attrs['axes'] = VOLUME_AXES
    lost = {'the separate calibration': volume.calibration is not None, 'the size of a voxel': bool(volume.voxel_size)}
    lost['vendor, system and field strength'] = bool(scanner_of(scan))
    lost['who the patient is, but for patient_id'] = bool(set(subject) - {'patient_id'})
    lost['the matrix of the image'] = tuple(scan.image_shape or scan.shape[2:]) != tuple(scan.shape[2:])
    return [name for name, is_there in lost.items() if is_there]


def _held(kspace: Tensor, scan: Scan) -> Tensor:
    return torch.where(scan.mask[..., None], kspace, 0)


def _write_slices(growing: _Growing, scan: ScanFile, frame: int, first: Scan, subject: Mapping[str, str]) -> list[str]:
    for slab in range(scan.shape[0]):
        read = first if slab == 0 else scan.read([slab], frame)
        if not torch.equal(read.mask, first.mask):
            raise ScanError(f'{scan.path}: slice {slab} has other lines than slice 0, but one mask: choose .mrd.h5')
        growing.put('kspace', slab, _held(read.kspace, read)[0])
        for name, array in (('acs', read.calibration), ('reference', read.reference)):
            if array is not None:
                growing.put(name, slab, array[0])
    if not (scan.image_shape or first.voxel_size or subject or scanner_of(scan)):
        return []
    growing.file['ismrmrd_header'] = header_xml(_description(scan, first, subject))
    cropped = (scan.image_shape or scan.shape[2:])[1] < scan.shape[-1]
    return ['the crop along the readout'] * cropped


def _description(scan: ScanFile, first: Scan, subject: Mapping[str, str]) -> Description:
    """The readout is not cropped: a reader would take it for oversampled."""
    n_y, n_x = scan.shape[2:]
    height, width = first.voxel_size or (0.0, 0.0)
    thickness = scan.geometries[0].voxel_size[0] if scan.geometries else 0.0
    lines = first.mask.nonzero().flatten()
    return Description(
        matrix=(1, n_y, n_x),
        voxel_size=(thickness, height, width),
        image_shape=(1, scan.image_shape[0] if scan.image_shape else n_y, n_x),
        limits={'kspace_encoding_step_1': _padding(n_y, int(lines[0]), int(lines[-1]))},
        n_coils=scan.shape[1],
        scanner=scanner_of(scan),
        subject=subject,
    )


def _padding(n_lines: int, first: int, last: int) -> tuple[int, int, int]:
    """Limits from which fastMRI's own programs find the lines that were not padded: n//2 - centre, then + maximum."""
    return 0, last - first, n_lines // 2 - first
