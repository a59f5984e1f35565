"""From the headers of a scan to the patient: a bright point lies in every format where the scanner put it.

Positions are computed from the headers alone: oblique, not square, oversampled and cropped, three slices with gaps.
"""

from pathlib import Path
from typing import Any

import ismrmrd
import nibabel
import numpy as np
import pydicom
import pytest
import torch

from raki.cli import main
from raki.fourier import kspace_from_image
from tests.toys import stored

N_COILS, N_LINES, N_SAMPLES, N_SLICES = 3, 14, 24, 3
KEPT = (9, 12)
"""Size (y, x) of images, of 14 lines and 24 samples of which half are oversampled."""

VOXEL = (4.0, 2.5, 1.5)
"""Along (slice, phase, readout) [mm]."""

READ, PHASE = np.array([0.6, 0.64, 0.48]), np.array([-0.8, 0.48, 0.36])
SLICE = np.cross(READ, PHASE)
CENTRES = [np.array([11.0, -22.0, 33.0]) + 6.5 * number * SLICE for number in range(N_SLICES)]
"""Of the field of view of every slice, LPS [mm]: gaps of 2.5 mm."""

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<acquisitionSystemInformation><systemVendor>{vendor}</systemVendor></acquisitionSystemInformation>
<experimentalConditions><H1resonanceFrequency_Hz>127740000</H1resonanceFrequency_Hz></experimentalConditions>
<encoding><encodedSpace><matrixSize><x>24</x><y>14</y><z>1</z></matrixSize>
<fieldOfView_mm><x>36</x><y>35</y><z>4</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>12</x><y>9</y><z>1</z></matrixSize>
<fieldOfView_mm><x>18</x><y>22.5</y><z>4</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>13</maximum><center>7</center>
</kspace_encoding_step_1></encodingLimits><trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"""

POINTS = [(0, 0, 0), (2, 8, 3), (1, 3, 11)]
"""Pixels (slice, y, x) of images."""


def write(path: Path, point: tuple[int, int, int], vendor: str) -> Path:
    """A scan of one bright point on a faint background, seen by three coils."""
    dataset = ismrmrd.Dataset(str(path), 'dataset')
    dataset.write_xml_header(HEADER.format(vendor=vendor).encode())
    for number in range(N_SLICES):
        image = 0.1 + torch.rand(N_COILS, N_LINES, N_SAMPLES, generator=torch.Generator().manual_seed(number))
        if number == point[0]:
            image[:, N_LINES // 2 - KEPT[0] // 2 + point[1], N_SAMPLES // 2 - KEPT[1] // 2 + point[2]] = 10
        kspace = kspace_from_image(image.to(torch.complex64)).numpy()
        for line in range(N_LINES):
            acquisition: Any = ismrmrd.Acquisition.from_array(np.ascontiguousarray(kspace[:, line]))
            acquisition.idx.kspace_encode_step_1, acquisition.idx.slice = line, number
            acquisition.center_sample = N_SAMPLES // 2
            acquisition.position[:] = tuple(CENTRES[number])
            acquisition.read_dir[:], acquisition.phase_dir[:] = tuple(READ), tuple(PHASE)
            acquisition.slice_dir[:] = tuple(SLICE)
            dataset.append_acquisition(acquisition)
    dataset.close()
    return path


def expected(point: tuple[int, int, int], vendor: str) -> np.ndarray:
    """Where a pixel lies, LPS [mm]; Siemens counts k, and so pixels, the other way round."""
    number, y, x = point
    sign = -1 if vendor == 'SIEMENS' else 1
    shift = (y - KEPT[0] // 2) * VOXEL[1] * PHASE + (x - KEPT[1] // 2) * VOXEL[2] * READ
    return CENTRES[number] + sign * shift


def in_nifti(folder: Path) -> np.ndarray:
    image: Any = nibabel.load(folder / 'out.nii.gz')
    values = image.get_fdata()
    at = np.unravel_index(values.argmax(), values.shape)
    return (image.affine @ [*at, 1])[:3] * (-1, -1, 1)


def in_dicom(folder: Path) -> np.ndarray:
    files = [pydicom.dcmread(path) for path in folder.glob('out*.dcm')]
    file = max(files, key=lambda each: int(each.pixel_array.max()))
    row, column = np.unravel_index(file.pixel_array.argmax(), file.pixel_array.shape)
    along_row, along_column = np.reshape(file.ImageOrientationPatient, (2, 3)).astype(float)
    between_rows, between_columns = map(float, file.PixelSpacing)
    at = np.asarray(file.ImagePositionPatient, float)
    return at + along_row * between_columns * column + along_column * between_rows * row


def in_hdf5(folder: Path) -> np.ndarray:
    path = folder / 'out.h5'
    images = stored(path, 'reconstruction')
    number, y, x = np.unravel_index(images.argmax(), images.shape)
    sizes, read, phase = (stored(path, name)[number] for name in ('voxel_size', 'read_dir', 'phase_dir'))
    shift = (y - images.shape[1] // 2) * sizes[1] * phase + (x - images.shape[2] // 2) * sizes[2] * read
    return 1000 * (stored(path, 'position')[number] + shift)


def in_mrd(folder: Path) -> np.ndarray:
    dataset = ismrmrd.Dataset(str(folder / 'out.mrd.h5'), create_if_needed=False)
    images = [dataset.read_image('image_0', number) for number in range(dataset.number_of_images('image_0') or 0)]
    dataset.close()
    image: Any = max(images, key=lambda each: float(each.data.max()))
    head = image.getHead()
    _, _, y, x = np.unravel_index(image.data.argmax(), image.data.shape)
    width, height, _ = np.divide(list(head.field_of_view), list(head.matrix_size))
    shift = (y - image.data.shape[2] // 2) * height * np.array(list(head.phase_dir))
    return (
        np.array(list(head.position)) + shift + (x - image.data.shape[3] // 2) * width * np.array(list(head.read_dir))
    )


PLACES = {'.nii.gz': in_nifti, '.dcm': in_dicom, '.h5': in_hdf5, '.mrd.h5': in_mrd}


@pytest.mark.parametrize('vendor', ['GE', 'SIEMENS'])
@pytest.mark.parametrize('point', POINTS)
def test_a_point_is_where_the_scanner_put_it(tmp_path: Path, point: tuple[int, int, int], vendor: str) -> None:
    """To a thousandth of a millimetre, in all formats; after a conversion, too."""
    scan = write(tmp_path / 'scan.h5', point, vendor)
    assert main(['convert', str(scan), str(tmp_path / 'again.mrd.h5')]) == 0
    for source in (scan, tmp_path / 'again.mrd.h5'):
        for suffix, place in PLACES.items():
            words = ['reconstruct', str(source), '--method', 'zero-filled', '-o', str(tmp_path / f'out{suffix}')]
            assert main(words) == 0
            np.testing.assert_allclose(place(tmp_path), expected(point, vendor), atol=1e-3, err_msg=suffix)


VOLUME, KEPT_VOLUME = (6, 14, 12), (4, 9, 12)
"""Size (z, y, x) of a volume and of what is kept of it."""


def write_volume(path: Path, point: tuple[int, int, int], vendor: str) -> Path:
    """The same of a volume, whose partitions are Fourier encoded."""
    header = HEADER.format(vendor=vendor).replace('<x>24</x>', '<x>12</x>').replace('<x>36</x>', '<x>18</x>')
    header = header.replace('<z>1</z>', '<z>6</z>', 1).replace('<z>4</z>', '<z>24</z>', 1)
    head, recon, tail = header.partition('<reconSpace>')
    tail = tail.replace('<z>1</z>', '<z>4</z>').replace('<z>4</z></fieldOfView', '<z>16</z></fieldOfView')
    limits = (
        '<kspace_encoding_step_2><minimum>0</minimum><maximum>5</maximum><center>3</center></kspace_encoding_step_2>'
    )
    dataset = ismrmrd.Dataset(str(path), 'dataset')
    dataset.write_xml_header((head + recon + tail.replace('</encodingLimits>', f'{limits}</encodingLimits>')).encode())
    image = 0.1 + torch.rand(N_COILS, *VOLUME, generator=torch.Generator().manual_seed(0))
    at = [whole // 2 - kept // 2 + index for whole, kept, index in zip(VOLUME, KEPT_VOLUME, point, strict=True)]
    image[:, at[0], at[1], at[2]] = 10
    kspace = kspace_from_image(image.to(torch.complex64), (-3, -2, -1)).numpy()
    for partition, line in np.ndindex(VOLUME[:2]):
        acquisition: Any = ismrmrd.Acquisition.from_array(np.ascontiguousarray(kspace[:, partition, line]))
        acquisition.idx.kspace_encode_step_1, acquisition.idx.kspace_encode_step_2 = line, partition
        acquisition.center_sample = VOLUME[2] // 2
        acquisition.position[:] = tuple(CENTRES[0])
        acquisition.read_dir[:], acquisition.phase_dir[:] = tuple(READ), tuple(PHASE)
        acquisition.slice_dir[:] = tuple(SLICE)
        dataset.append_acquisition(acquisition)
    dataset.close()
    return path


@pytest.mark.parametrize('vendor', ['GE', 'SIEMENS'])
@pytest.mark.parametrize('point', [(0, 0, 0), (3, 8, 2)])
def test_a_point_in_a_volume_is_where_the_scanner_put_it(
    tmp_path: Path, point: tuple[int, int, int], vendor: str
) -> None:
    scan = write_volume(tmp_path / 'scan.h5', point, vendor)
    sign = -1 if vendor == 'SIEMENS' else 1
    axes = zip(point, KEPT_VOLUME, VOXEL, (SLICE, PHASE, READ), strict=True)
    where = CENTRES[0] + sign * sum((index - kept // 2) * size * axis for index, kept, size, axis in axes)
    for suffix, place in PLACES.items():
        words = ['reconstruct', str(scan), '--method', 'zero-filled', '-o', str(tmp_path / f'out{suffix}')]
        assert main(words) == 0
        np.testing.assert_allclose(place(tmp_path), where, atol=1e-3, err_msg=suffix)
    image: Any = nibabel.load(tmp_path / 'out.nii.gz')
    assert image.shape == KEPT_VOLUME[::-1]
