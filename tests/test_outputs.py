"""Formats of reconstructions: the same image at the same place in all of them, judged by the formats' own packages."""

import json
import os
import shutil
import stat
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import nibabel
import numpy as np
import pydicom
import pydicom.uid
import pytest
import torch

from raki.cli import main
from raki.data.images.outputs import WRITERS, output_of, reconstruction_writer
from raki.data.place import Frame, Geometry, Place
from raki.data.save import OutputImage
from raki.errors import ScanError, TrainingError
from tests.toys import random_kspace, stored

SHAPE = (7, 5)
"""Size (y, x) of images; of a larger matrix, which does not matter to where they are."""

VOXEL = (5.0, 2.0, 1.25)
"""Along (slice, phase, readout) [mm]."""

GAP = 1.4
"""From slice to slice over their thickness [1]."""

MIDDLE = np.array([12.0, -31.0, 47.0])
"""Centre of voxel n//2 of slice 0, LPS [mm]."""

MANIFEST = {'method': 'gated', 'acceleration': [3], 'versions': {'raki': '1'}, 'slice': [0], 'seconds_fit': 1.0}


def oblique() -> np.ndarray:
    """Unit vectors (read, phase, slice) as columns, none of them near an axis of the patient, LPS."""
    (a, b), (c, d) = ((np.cos(turn), np.sin(turn)) for turn in (0.5, 0.7))
    return np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -d], [0, d, c]])


READ, PHASE, SLICE = oblique().T


def place(number: int, frame: Frame | None = None, sign: int = 1) -> Place:
    """Place of a slice; slices are counted against or along their direction."""
    position = (MIDDLE + sign * number * GAP * VOXEL[0] * SLICE) / 1000
    directions = (tuple(map(float, each)) for each in (READ, PHASE, SLICE))
    thickness, height, width = (size / 1000 for size in VOXEL)
    geometry = Geometry((position[0], position[1], position[2]), *directions, (thickness, height, width))  # type: ignore[arg-type]
    return Place(number, frame or Frame(), geometry)


def millimetres(pixel: tuple[int, int, int], sign: int = 1) -> np.ndarray:
    """Where the pixel (slice, y, x) is, LPS, from what a scanner states."""
    number, y, x = pixel
    along = sign * number * GAP * VOXEL[0] * SLICE + (y - 3) * VOXEL[1] * PHASE + (x - 2) * VOXEL[2] * READ
    return MIDDLE + along


def bright(pixel: tuple[int, int, int], number: int) -> torch.Tensor:
    """A slice whose brightest pixel, if it is the one with this pixel, is that."""
    image = torch.rand(SHAPE, generator=torch.Generator().manual_seed(number))
    if number == pixel[0]:
        image[pixel[1], pixel[2]] = 2
    return image


def written(path: Path, images: list[OutputImage], manifest: dict[str, Any] | None = None) -> Path:
    with reconstruction_writer(path, len(images)) as writer:
        for index, image in enumerate(images):
            writer.put(index, image)
        writer.describe(manifest or MANIFEST)
    return path


def stack(pixel: tuple[int, int, int], sign: int = 1) -> list[OutputImage]:
    return [OutputImage(bright(pixel, number), place(number, sign=sign)) for number in range(3)]


PIXELS = [(0, 0, 0), (2, 6, 1), (1, 2, 4)]


@pytest.mark.parametrize('suffix', ['.nii', '.nii.gz'])
@pytest.mark.parametrize('sign', [1, -1])
@pytest.mark.parametrize('pixel', PIXELS)
def test_a_pixel_is_where_the_scanner_says_in_nifti(
    tmp_path: Path, suffix: str, sign: int, pixel: tuple[int, int, int]
) -> None:
    image: Any = nibabel.load(written(tmp_path / f'a{suffix}', stack(pixel, sign), MANIFEST))
    assert image.shape == (5, 7, 3)
    found = np.argwhere(image.get_fdata() == 2)[0]
    for affine in (image.affine, image.get_qform(), image.get_sform()):
        ras = affine @ [*found, 1]
        np.testing.assert_allclose(ras[:3] * (-1, -1, 1), millimetres(pixel, sign), atol=1e-4)
    assert (int(image.header['qform_code']), int(image.header['sform_code'])) == (1, 1)
    assert image.header.get_xyzt_units()[0] == 'mm'
    np.testing.assert_allclose(image.header.get_zooms(), (1.25, 2, 5 * GAP), rtol=1e-6)
    assert np.dot(image.affine[:3, 2] * (-1, -1, 1), SLICE) > 0


@pytest.mark.parametrize('pixel', PIXELS)
def test_a_pixel_is_where_the_scanner_says_in_dicom(tmp_path: Path, pixel: tuple[int, int, int]) -> None:
    """By the standard's formula, PS3.3 C.7.6.2.1.1."""
    written(tmp_path / 'a.dcm', stack(pixel))
    files = [pydicom.dcmread(path) for path in sorted(tmp_path.glob('*.dcm'))]
    [(file, found)] = [(file, np.argwhere(file.pixel_array == 65535)[0]) for file in files if 65535 in file.pixel_array]
    row_direction, column_direction = np.reshape(file.ImageOrientationPatient, (2, 3)).astype(float)
    row_spacing, column_spacing = map(float, file.PixelSpacing)
    y, x = found
    at = np.asarray(file.ImagePositionPatient, float) + x * column_spacing * row_direction
    np.testing.assert_allclose(at + y * row_spacing * column_direction, millimetres(pixel), atol=1e-6)
    assert float(file.SliceThickness) == VOXEL[0]


@pytest.mark.parametrize('pixel', PIXELS)
def test_a_pixel_is_where_the_scanner_says_in_hdf5_and_mrd(tmp_path: Path, pixel: tuple[int, int, int]) -> None:
    path = written(tmp_path / 'a.h5', stack(pixel))
    number, y, x = np.argwhere(stored(path, 'reconstruction') == 2)[0]
    where = {name: stored(path, name)[number] for name in ('position', 'read_dir', 'phase_dir', 'voxel_size')}
    _, height, width = where['voxel_size']
    at = where['position'] + (y - 3) * height * where['phase_dir'] + (x - 2) * width * where['read_dir']
    np.testing.assert_allclose(1000 * at, millimetres(pixel), atol=1e-9)

    dataset = ismrmrd.Dataset(str(written(tmp_path / 'a.mrd.h5', stack(pixel))), create_if_needed=False)
    image: Any = next(
        image for image in (dataset.read_image('image_0', number) for number in range(3)) if 2 in image.data
    )
    header = image.getHead()
    size = np.divide(list(header.field_of_view), list(header.matrix_size))
    _, _, y, x = np.argwhere(image.data == 2)[0]
    at = np.array(list(header.position)) + (x - 5 // 2) * size[0] * np.array(list(header.read_dir))
    np.testing.assert_allclose(
        at + (y - 7 // 2) * size[1] * np.array(list(header.phase_dir)), millimetres(pixel), atol=1e-4
    )
    np.testing.assert_allclose(list(header.slice_dir), SLICE, atol=1e-6)
    attributes = ismrmrd.Meta.deserialize(image.attribute_string)
    assert attributes['ImageComments'] == 'raki gated: research only, not for diagnosis'
    dataset.close()


def test_slices_that_make_no_volume_are_a_file_each(tmp_path: Path) -> None:
    """Unequal distances, and a slice that is turned."""
    images = stack((0, 0, 0))
    images[2] = OutputImage(images[2].image, replace(images[2].place, geometry=place(4).geometry))
    written(tmp_path / 'a.nii.gz', images)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'a.json',
        *(f'a_slice00{number}.nii.gz' for number in range(3)),
    ]
    found: Any = nibabel.load(tmp_path / 'a_slice002.nii.gz')
    np.testing.assert_array_equal(found.get_fdata()[..., 0].T, images[2].image.numpy())
    np.testing.assert_allclose((found.affine @ [2, 3, 0, 1])[:3] * (-1, -1, 1), millimetres((4, 3, 2)), atol=1e-4)
    turned = Geometry((0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (0.005, 0.002, 0.00125))
    pair = [images[0], OutputImage(images[1].image, Place(1, geometry=turned))]
    written(tmp_path / 'b.nii', pair)
    assert {path.name for path in tmp_path.glob('b*')} == {'b.json', 'b_slice000.nii', 'b_slice001.nii'}


def test_frames_are_the_fourth_axis_of_nifti(tmp_path: Path) -> None:
    frames = [Frame(0), Frame(2)]
    images = [
        OutputImage(torch.full(SHAPE, 10.0 * frame.repetition + number), place(number, frame))
        for frame in frames
        for number in range(3)
    ]
    found: Any = nibabel.load(written(tmp_path / 'a.nii', images))
    assert found.shape == (5, 7, 3, 2)
    np.testing.assert_array_equal(found.get_fdata()[0, 0], [[0, 20], [1, 21], [2, 22]])


def test_without_geometry_nifti_says_so_and_dicom_is_a_secondary_capture(tmp_path: Path) -> None:
    images = [OutputImage(torch.rand(SHAPE), Place(number), voxel_size=(0.002, 0.00125)) for number in range(2)]
    found: Any = nibabel.load(written(tmp_path / 'a.nii', images))
    assert (int(found.header['qform_code']), int(found.header['sform_code'])) == (0, 0)
    np.testing.assert_allclose(found.header.get_zooms()[:2], (1.25, 2))
    written(tmp_path / 'a.dcm', images)
    file = pydicom.dcmread(tmp_path / 'a_slice001.dcm')
    assert file.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
    assert [float(size) for size in file.PixelSpacing] == [2, 1.25]
    assert 'ImagePositionPatient' not in file
    assert np.isnan(stored(written(tmp_path / 'a.h5', images), 'voxel_size')[0, 0])


def test_dicom_scales_back_says_what_it_is_and_repeats_its_identifiers(tmp_path: Path) -> None:
    image = torch.rand(SHAPE) * 1e-6
    files = []
    for name in ('a', 'b', 'c'):
        shown = image + 1e-9 if name == 'c' else image
        files.append(pydicom.dcmread(written(tmp_path / f'{name}.dcm', [OutputImage(shown, place(0))])))
    first, again, other = files
    values = first.pixel_array * float(first.RescaleSlope) + float(first.RescaleIntercept)
    np.testing.assert_allclose(values, image.numpy(), atol=float(image.max()) / 65535)
    assert list(first.ImageType)[:2] == ['DERIVED', 'SECONDARY']
    assert 'research only, not for diagnosis' in first.ImageComments
    for name in ('StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID'):
        assert first[name].value == again[name].value != other[name].value
        assert first[name].value.is_valid
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert (first.PatientName, first.PatientID, first.PatientIdentityRemoved) == ('', '', 'YES')


def test_the_same_reconstruction_is_the_same_bytes(tmp_path: Path) -> None:
    for suffix in ('.nii.gz', '.dcm', '.png', '.cfl'):
        pair = [
            written(tmp_path / f'{name}{suffix}', [OutputImage(torch.ones(SHAPE), place(0), random_kspace(2, *SHAPE))])
            for name in 'ab'
        ]
        assert pair[0].read_bytes() == pair[1].read_bytes(), suffix


def chunks(path: Path) -> dict[bytes, bytes]:
    """Contents of a PNG by the names of its chunks, each with a right checksum."""
    content, found = path.read_bytes()[8:], {}
    while content:
        size, name = struct.unpack('>I4s', content[:8])
        found[name] = content[8 : 8 + size]
        assert struct.unpack('>I', content[8 + size : 12 + size])[0] == zlib.crc32(name + found[name])
        content = content[12 + size :]
    return found


def test_png_is_one_window_for_all_and_states_it(tmp_path: Path) -> None:
    from PIL import Image

    images = [OutputImage(torch.full(SHAPE, value), place(number)) for number, value in enumerate((1.0, 4.0))]
    written(tmp_path / 'a.png', images)
    for number, grey in enumerate((64, 255)):
        with Image.open(tmp_path / f'a_slice00{number}.png') as picture:
            assert np.asarray(picture).shape == SHAPE
            assert set(np.asarray(picture).flat) == {grey}
            assert picture.info['Description'] == 'gated; black 0, white 4'
    found = chunks(tmp_path / 'a_slice001.png')
    assert struct.unpack('>2IB', found[b'pHYs']) == (800, 500, 1)


def test_png_lies_as_the_images_of_the_file(tmp_path: Path) -> None:
    from PIL import Image

    image = torch.arange(35.0).view(SHAPE)
    written(tmp_path / 'a.png', [OutputImage(image, Place(0), readout_is_rows=True)])
    with Image.open(tmp_path / 'a.png') as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.rint(np.clip(image.numpy().T / 34, 0, 1) * 255))


def test_cfl_has_the_axes_of_bart(tmp_path: Path) -> None:
    kspace = random_kspace(2, 3, 4, 7, 5)
    images = [
        OutputImage(torch.ones(SHAPE), Place(number, Frame(contrast=echo)), kspace[echo, number])
        for echo in range(2)
        for number in range(3)
    ]
    path = written(tmp_path / 'a.cfl', images)
    sizes = list(map(int, path.with_suffix('.hdr').read_text().splitlines()[1].split()))
    assert sizes == [5, 7, 1, 4, 1, 2, 1, 1, 1, 1, 1, 1, 1, 3, 1, 1]
    found = np.fromfile(path, np.complex64).reshape(sizes, order='F')
    np.testing.assert_array_equal(
        found[:, :, 0, :, 0, :, 0, 0, 0, 0, 0, 0, 0, :, 0, 0].transpose(3, 4, 2, 1, 0), kspace
    )
    with pytest.raises(ScanError, match='5 images do not fill a grid of 2 contrasts, 3 slices'):
        written(tmp_path / 'b.cfl', images[:5])


def test_images_that_are_not_numbers_are_refused_where_formats_cannot_hold_them(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match='image 0 holds NaN'):
        written(tmp_path / 'a.png', [OutputImage(torch.full(SHAPE, torch.nan), place(0))])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('suffix', WRITERS)
def test_gfactors_come_along_and_a_failure_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    images = [
        replace(image, gfactor=torch.full(SHAPE, 1.5), kspace=random_kspace(2, *SHAPE)) for image in stack((0, 0, 0))
    ]
    target = tmp_path / 'good' / f'a{suffix}'
    target.parent.mkdir()
    written(target, images)
    names = [path.name for path in target.parent.iterdir()]
    assert all(name.startswith('a') for name in names)
    if output_of(target).name.startswith('HDF5'):
        assert stored(target, 'gfactor').shape == (3, *SHAPE)
    elif suffix == '.mrd.h5':
        assert (stored(target, 'dataset/image_1/data') == 1.5).all()
    else:
        assert any('_gfactor' in name for name in names)
    (tmp_path / 'bad').mkdir()
    with pytest.raises(KeyError), reconstruction_writer(tmp_path / 'bad' / f'a{suffix}', 3) as writer:  # noqa: PT012
        writer.put(0, images[0])
        raise KeyError
    assert list((tmp_path / 'bad').iterdir()) == []


@pytest.mark.parametrize('suffix', ['.h5', '.nii', '.dcm'])
@pytest.mark.parametrize('permissions', [0o600, 0o440, 0o666])
def test_what_is_replaced_keeps_its_permissions(tmp_path: Path, suffix: str, permissions: int) -> None:
    path = tmp_path / f'a{suffix}'
    path.write_bytes(b'old')
    path.chmod(permissions)
    written(path, [OutputImage(torch.ones(SHAPE), place(0))])
    assert path.read_bytes() != b'old'
    assert stat.S_IMODE(path.stat().st_mode) == permissions


def test_a_set_of_files_is_replaced_by_all_or_none(tmp_path: Path) -> None:
    """The sidecar cannot be written, so the images stay as they were."""
    (tmp_path / 'a.nii').write_bytes(b'old')
    (tmp_path / 'a.json').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(OSError, match=r'a\.json is a link, which is never replaced'):
        written(tmp_path / 'a.nii', stack((0, 0, 0)))
    assert (tmp_path / 'a.nii').read_bytes() == b'old'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.json', 'a.nii']


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / 'scan.h5'
    words = ['simulate', '-o', str(path), '--matrix', '36x28', '--coils', '4', '--slices', '2', '--rate', '2']
    assert main([*words, '--acs', '12']) == 0
    return path


@pytest.mark.parametrize('suffix', WRITERS)
def test_the_suffix_decides(scan: Path, tmp_path: Path, suffix: str) -> None:
    words = ['reconstruct', str(scan), '--method', 'grappa', '--gfactor']
    assert main([*words, '-o', str(tmp_path / f'out{suffix}')]) == 0
    assert not [path for path in tmp_path.iterdir() if path.name.endswith('.part')]


@pytest.mark.parametrize(
    ('name', 'words', 'message'),
    [
        ('out', [], 'no format has this suffix: choose from .mrd.h5, .h5, .hdf5'),
        ('out.jpg', [], 'no format has this suffix'),
        ('.h5', [], 'no format has this suffix'),
        ('link.h5', [], 'is a link'),
        ('pipe.h5', [], 'is a pipe'),
        ('folder.h5', [], 'is a folder'),
        ('out.nii.gz', ['--kspace'], 'NIfTI, compressed has no place for the filled k-space'),
        ('scan.h5', [], 'is the input'),
    ],
)
def test_other_outputs_are_refused_before_any_work(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: list[str], message: str
) -> None:
    (tmp_path / 'elsewhere.h5').write_bytes(b'mine')
    (tmp_path / 'link.h5').symlink_to(tmp_path / 'elsewhere.h5')
    os.mkfifo(tmp_path / 'pipe.h5')
    (tmp_path / 'folder.h5').mkdir()
    before = {path.name: path.lstat().st_mtime_ns for path in tmp_path.iterdir()}
    capsys.readouterr()
    assert main(['reconstruct', str(scan), '-o', str(tmp_path / name), *words]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert '\n' not in said
    assert {path.name: path.lstat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize('suffix', ['.h5', '.nii', '.dcm', '.png', '.cfl', '.mrd.h5'])
def test_names_in_no_coding_are_written_and_shown_escaped(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    source = tmp_path / os.fsdecode(b'in\xff\x1b[31m.h5')
    scan.rename(source)
    output = tmp_path / os.fsdecode(b'out\xff' + suffix.encode())
    capsys.readouterr()
    assert main(['reconstruct', str(source), '-o', str(output), '--method', 'zero-filled', '--slice', '0']) == 0
    assert f'out\\udcff{suffix}: 1 image(s)' in capsys.readouterr().out
    assert output.is_file()
    assert main(['info', str(source)]) == 0
    assert '\x1b[31m' not in capsys.readouterr().out


def test_devices_are_refused(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(['reconstruct', str(scan), '-o', '/dev/null']) == 2
    assert '-o must name a file, but /dev/null is a device' in capsys.readouterr().err


def test_what_a_format_lacks_is_a_warning(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(scan, 'a') as file:
        file.attrs['patient_id'] = 'abc'
    unplaced = 'raki: warning: the scan does not tell its place in space: orientation and position of the images are'
    unkept = 'raki: warning: NIfTI has no place for who the patient is'
    for option, expected in ([], [unplaced]), (['--keep-phi'], [unplaced, unkept]):
        capsys.readouterr()
        words = ['reconstruct', str(scan), '-o', str(tmp_path / 'out.nii'), '--method', 'zero-filled']
        assert main([*words, *option]) == 0
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith('raki: ')]
        assert [line.startswith(each) for line, each in zip(said, expected, strict=True)] == [True] * len(expected)
    assert main(['reconstruct', str(scan), '-o', str(tmp_path / 'out.png'), '--method', 'zero-filled']) == 0
    assert 'warning' not in capsys.readouterr().err


def test_files_written_beside_are_never_the_input(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['convert', str(scan), str(tmp_path / 'a.cfl')]) == 0
    assert main(['reconstruct', str(tmp_path / 'a_noise.cfl'), '-o', str(tmp_path / 'a.cfl')]) == 2
    assert 'is the input' in capsys.readouterr().err


def test_the_sidecar_has_the_names_of_bids(scan: Path, tmp_path: Path) -> None:
    assert main(['reconstruct', str(scan), '-o', str(tmp_path / 'out.nii.gz'), '--method', 'grappa']) == 0
    found = json.loads((tmp_path / 'out.json').read_text())
    assert found['ParallelReductionFactorInPlane'] == 2
    assert found['ParallelAcquisitionTechnique'] == 'grappa'
    assert found['Reconstruction']['source_file'] == 'scan.h5'


@pytest.mark.parametrize('field', ['nan', '1e400'])
def test_a_sidecar_is_json_whatever_the_scanner_says(tmp_path: Path, field: str) -> None:
    manifest = MANIFEST | {'scanner': {'field strength [T]': field}}
    written(tmp_path / 'a.nii', [OutputImage(torch.ones(3, 4), Place(0))], manifest)
    assert 'MagneticFieldStrength' not in json.loads((tmp_path / 'a.json').read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize(('suffix', 'size'), [('.nii', 32768), ('.dcm', 65536), ('.mrd.h5', 65536)])
def test_more_pixels_than_a_format_has_place_for_are_refused(tmp_path: Path, suffix: str, size: int) -> None:
    with pytest.raises(ScanError, match=f'holds up to {size - 1} pixels along an axis, got .*: choose .h5'):
        written(tmp_path / f'a{suffix}', [OutputImage(torch.ones(1, size), Place(0))])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['scan', 'volume'])
def test_bart_makes_our_image_of_our_kspace(scan: Path, tmp_path: Path, name: str) -> None:
    """Its inverse Fourier transform and root sum of squares, of every slice."""
    bart = shutil.which('bart')
    if bart is None:
        pytest.skip('needs bart')
    if name == 'volume':
        scan = tmp_path / 'volume.h5'
        words = ['simulate', '-o', str(scan), '--matrix', '16x33x24', '--coils', '4', '--rate', '2x1', '--acs', '8x16']
        assert main(words) == 0
    for suffix in ('.cfl', '.h5'):
        assert main(['reconstruct', str(scan), '-o', str(tmp_path / f'out{suffix}'), '--method', 'grappa']) == 0
    for command in (['fft', '-u', '-i', '3', 'out', 'coils'], ['rss', '8', 'coils', 'rss']):
        subprocess.run([bart, *command], check=True, cwd=tmp_path, capture_output=True)
    expected = stored(tmp_path / 'out.h5', 'reconstruction')
    n_images, height, width = expected.shape
    found = np.fromfile(tmp_path / 'rss.cfl', np.complex64).reshape(n_images, height, width)
    assert np.linalg.norm(np.abs(found) - expected) <= 1e-5 * np.linalg.norm(expected)


def test_bart_calibrates_on_our_kspace(scan: Path, tmp_path: Path) -> None:
    """ESPIRiT of one slice finds coils whose combination is our image."""
    bart = shutil.which('bart')
    if bart is None:
        pytest.skip('needs bart')
    words = ['reconstruct', str(scan), '--slice', '1', '--method', 'grappa', '-o']
    for suffix in ('.cfl', '.h5'):
        assert main([*words, str(tmp_path / f'out{suffix}')]) == 0
    for command in (['ecalib', '-m', '1', 'out', 'maps'], ['pics', '-S', '-i', '5', 'out', 'maps', 'image']):
        subprocess.run([bart, *command], check=True, cwd=tmp_path, capture_output=True)
    found = np.abs(np.fromfile(tmp_path / 'image.cfl', np.complex64).reshape(36, 28)).ravel()
    expected = stored(tmp_path / 'out.h5', 'reconstruction')[0].ravel()
    assert np.corrcoef(found, expected)[0, 1] > 0.95
