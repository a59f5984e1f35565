"""Readers of fastMRI-layout files and of any other HDF5, on files written here and on real ones."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from raki.data.generic import DatasetLayout
from raki.data.load import load_scan, open_scan
from raki.data.sampling import Sampling
from raki.errors import ResourceError, ScanError
from raki.fourier import centre_crop, image_from_kspace
from tests.toys import random_kspace, stored

KSPACE: Any = random_kspace(2, 3, 20, 17).numpy()
"""Two slices, three coils, axes as in the file: (slice, coil, readout, phase encode)."""

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><trajectory>cartesian</trajectory>
<encodedSpace><matrixSize><x>20</x><y>{encoded_y}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>400</x><y>{height}</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>10</x><y>{recon_y}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>200</x><y>{recon_height}</y><z>5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{maximum}</maximum><center>{center}</center>
</kspace_encoding_step_1></encodingLimits></encoding><somethingNew>1</somethingNew></ismrmrdHeader>"""


def write(path: Path, kspace: np.ndarray = KSPACE, **others: object) -> Path:
    with h5py.File(path, 'w') as file:
        file['kspace'] = kspace
        for name, value in others.items():
            file[name] = value
    return path


def header(**values: int) -> str:
    defaults = {'encoded_y': 17, 'height': 340, 'recon_y': 17, 'recon_height': 340, 'maximum': 16, 'center': 8}
    return HEADER.format(**(defaults | values))


def test_the_readout_becomes_the_last_axis(tmp_path: Path) -> None:
    scan = load_scan(write(tmp_path / 'a.h5'))
    np.testing.assert_array_equal(scan.kspace.numpy(), KSPACE.swapaxes(2, 3))
    assert scan.readout_is_rows
    assert bool(scan.mask.all())
    assert (scan.calibration, scan.noise, scan.reference, scan.image_shape) == (None, None, None, None)


def test_slices_are_read_one_by_one(tmp_path: Path) -> None:
    file = open_scan(write(tmp_path / 'a.h5'))
    assert file.shape == (2, 3, 17, 20)
    np.testing.assert_array_equal(file.read([1]).kspace[0].numpy(), KSPACE[1].swapaxes(1, 2))
    with pytest.raises(ScanError, match='no slice 2; the file has slices 0 to 1'):
        file.read([2])
    with pytest.raises(ScanError, match='no repetition 1; the file has repetitions 0 to 0'):
        file.read([0], 1)


@pytest.mark.parametrize('names', [('r', 'i'), ('real', 'imag')], ids=['h5py before complex', 'MATLAB and MRD'])
def test_compound_complex_is_understood(tmp_path: Path, names: tuple[str, str]) -> None:
    compound = np.zeros(KSPACE.shape, [(names[0], 'f4'), (names[1], 'f4')])
    compound[names[0]], compound[names[1]] = KSPACE.real, KSPACE.imag
    scan = load_scan(write(tmp_path / 'a.h5', compound))
    np.testing.assert_array_equal(scan.kspace.numpy(), KSPACE.swapaxes(2, 3))


def test_complex128_is_read_as_complex64(tmp_path: Path) -> None:
    scan = load_scan(write(tmp_path / 'a.h5', KSPACE.astype(complex)))
    assert scan.kspace.dtype == torch.complex64


def test_mask_noise_reference_and_calibration_are_found(tmp_path: Path) -> None:
    mask = np.arange(17) % 2 == 1
    noise = random_kspace(3, 50).numpy()
    path = write(tmp_path / 'a.h5', mask=mask.astype('u1'), noise=noise, reference=2 * KSPACE, acs=KSPACE[..., 4:12])
    scan = load_scan(path)
    assert scan.mask.tolist() == mask.tolist()
    assert scan.noise is not None
    assert scan.reference is not None
    assert scan.calibration is not None
    np.testing.assert_array_equal(scan.noise.numpy(), noise)
    np.testing.assert_array_equal(scan.reference.numpy(), 2 * KSPACE.swapaxes(2, 3))
    np.testing.assert_array_equal(scan.calibration.numpy(), KSPACE[..., 4:12].swapaxes(2, 3))


def test_calibration_loses_readout_samples_that_nobody_measured(tmp_path: Path) -> None:
    """Asymmetric echo of a reference scan: zeros are not data to learn from."""
    acs = KSPACE[..., 4:12].copy()
    acs[:, :, :3] = 0
    acs[:, :, 18:] = 0
    scan = load_scan(write(tmp_path / 'a.h5', acs=acs))
    assert scan.calibration is not None
    np.testing.assert_array_equal(scan.calibration.numpy(), acs[:, :, 3:18].swapaxes(2, 3))


def test_the_header_removes_readout_oversampling_and_crops_the_image(tmp_path: Path) -> None:
    scan = load_scan(write(tmp_path / 'a.h5', ismrmrd_header=header(recon_y=11, recon_height=220)))
    assert scan.kspace.shape == (2, 3, 17, 10)
    assert scan.image_shape == (11, 10)
    assert scan.voxel_size == pytest.approx((0.02, 0.02))
    whole = image_from_kspace(torch.from_numpy(KSPACE.swapaxes(2, 3).copy()))
    torch.testing.assert_close(image_from_kspace(scan.kspace), centre_crop(whole, (17, 10)), rtol=1e-4, atol=1e-5)


def test_a_finer_reconstruction_matrix_is_no_reason_to_crop(tmp_path: Path) -> None:
    """Same field of view on fewer or more voxels is interpolation, not a crop."""
    scan = load_scan(write(tmp_path / 'a.h5', ismrmrd_header=header(recon_y=14, recon_height=340)))
    assert scan.image_shape == (17, 10)


def test_padding_is_not_measured_whatever_the_mask_says(tmp_path: Path) -> None:
    """Left = encoded y // 2 - centre, right = left + maximum, as fastMRI defines them."""
    kspace = KSPACE.copy()
    kspace[..., :3] = 0
    kspace[..., 15:] = 0
    xml = header(maximum=11, center=5)
    for others in ({'ismrmrd_header': xml}, {'ismrmrd_header': xml, 'mask': np.ones(17)}, {'mask': np.ones(17)}, {}):
        mask = load_scan(write(tmp_path / 'a.h5', kspace, **others)).mask
        assert mask.nonzero().flatten().tolist() == list(range(3, 15))


def test_an_undersampled_file_without_a_mask_is_refused(tmp_path: Path) -> None:
    kspace = KSPACE.copy()
    kspace[..., 1::2] = 0
    with pytest.raises(ScanError, match=r'8 lines hold only zeros .* line 1.* there is no mask'):
        load_scan(write(tmp_path / 'a.h5', kspace[..., :17]))


def test_a_measured_line_of_zeros_is_damage(tmp_path: Path) -> None:
    kspace = KSPACE.copy()
    kspace[..., 6] = 0
    with pytest.raises(ScanError, match=r'lines \[6\] were measured, but they hold only zeros'):
        load_scan(write(tmp_path / 'a.h5', kspace, mask=np.ones(17)))


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_sample_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    kspace = KSPACE.copy()
    kspace[1, 2, :, 5] = value
    assert open_scan(write(tmp_path / 'a.h5', kspace)).read([0]).n_slices == 1
    with pytest.raises(
        ScanError, match='slice 1: 20 samples are NaN or infinite, the first in coil 2, line 5, sample 0'
    ):
        load_scan(tmp_path / 'a.h5')


@pytest.mark.parametrize(
    ('kspace', 'message'),
    [
        (KSPACE.real, r'must be complex with axes \(slice, coil, readout, phase encode\), got float32'),
        (KSPACE[0], r'got complex64 \(3, 20, 17\): for another layout give --dataset kspace --axes'),
        (KSPACE.transpose(0, 2, 3, 1), 'more coils than lines; if the coils are the last axis'),
        (KSPACE[:0], 'kspace is empty'),
        (np.zeros_like(KSPACE), 'nothing but zeros'),
    ],
    ids=['real', 'three axes', 'coil last', 'empty', 'zeros'],
)
def test_another_layout_is_refused_with_what_to_do(tmp_path: Path, kspace: np.ndarray, message: str) -> None:
    with pytest.raises(ScanError, match=message):
        load_scan(write(tmp_path / 'a.h5', kspace))


@pytest.mark.parametrize(
    ('others', 'message'),
    [
        ({'mask': np.ones(16)}, r'one entry per phase-encoding line \(17\), got \(16,\)'),
        ({'acs': KSPACE[:, :2]}, '2 slices and 3 coils'),
        ({'acs': KSPACE[0]}, 'has no slice axis, but kspace has 2 slices'),
        ({'noise': KSPACE[0]}, r'noise must have axes \(coil, sample\)'),
        ({'noise': np.ones((3, 5))}, 'noise must hold complex samples'),
        ({'ismrmrd_header': '<!DOCTYPE a [<!ENTITY b "c">]><a/>'}, 'document type or entities'),
        ({'ismrmrd_header': '<a'}, 'not valid XML'),
        ({'ismrmrd_header': '<a/>'}, 'no <encoding>'),
        ({'ismrmrd_header': '<a><encoding/></a>'}, 'needs a number in encodedSpace/matrixSize/x, got None'),
    ],
)
def test_what_does_not_fit_the_scan_is_refused(tmp_path: Path, others: dict, message: str) -> None:
    with pytest.raises(ScanError, match=message):
        load_scan(write(tmp_path / 'a.h5', **others))


def test_a_missing_file_and_one_that_is_not_hdf5_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match='no such file'):
        open_scan(tmp_path / 'none.h5')
    (tmp_path / 'text.h5').write_text('hello')
    with pytest.raises(ScanError, match='cannot be read as HDF5'):
        open_scan(tmp_path / 'text.h5')


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / 'a.h5').read_bytes()
    (tmp_path / 'a.h5').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ScanError, match='truncated or damaged'):
        open_scan(tmp_path / 'a.h5')


def test_an_unknown_file_says_what_it_holds(tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['group/measured'] = KSPACE
    with pytest.raises(ScanError, match=r'it holds group/measured \(2, 3, 20, 17\): name the k-space with --dataset'):
        open_scan(tmp_path / 'a.h5')


def test_a_declared_giant_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file.create_dataset('kspace', (2, 64, 65536, 65536), 'c8')
    with pytest.raises(ResourceError, match='one slice needs 2199'):
        open_scan(tmp_path / 'a.h5')


AXES = ('slice', 'coil', 'kx', 'ky')


@pytest.mark.parametrize('order', [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_any_order_of_axes_gives_the_same_scan(tmp_path: Path, order: tuple[int, ...]) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['deep/data'] = KSPACE.transpose(order)
    layout = DatasetLayout('deep/data', tuple(AXES[axis] for axis in order))
    np.testing.assert_array_equal(load_scan(tmp_path / 'a.h5', layout=layout).kspace.numpy(), KSPACE.swapaxes(2, 3))


def test_real_and_imaginary_part_may_be_the_last_axis(tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['data'] = np.stack([KSPACE[0].real, KSPACE[0].imag], axis=-1)
    layout = DatasetLayout('data', ('coil', 'kx', 'ky', 'complex'))
    np.testing.assert_array_equal(
        load_scan(tmp_path / 'a.h5', layout=layout).kspace[0].numpy(), KSPACE[0].swapaxes(1, 2)
    )


def test_zero_lines_are_missing_only_if_the_user_says_so(tmp_path: Path) -> None:
    kspace = KSPACE.copy()
    kspace[..., 1::2] = 0
    path = write(tmp_path / 'a.h5', kspace, pattern=np.arange(17) % 2 == 0)
    for mask in ('zeros', 'pattern'):
        scan = load_scan(path, layout=DatasetLayout('kspace', AXES, mask))
        assert scan.mask.tolist() == (np.arange(17) % 2 == 0).tolist()
    with pytest.raises(ScanError, match='--mask zeros'):
        load_scan(path, layout=DatasetLayout('kspace', AXES))


@pytest.mark.parametrize(
    ('layout', 'message'),
    [
        (('kspace', ('coil', 'ky', 'kx')), 'has 4 axes .* but 3 are named'),
        (('nothing', AXES), r"no dataset 'nothing'; the file has kspace \(2, 3, 20, 17\)"),
        (('kspace', AXES, 'nothing'), "no dataset 'nothing'"),
    ],
)
def test_a_layout_that_the_file_does_not_have_is_refused(tmp_path: Path, layout: tuple, message: str) -> None:
    with pytest.raises(ScanError, match=message):
        load_scan(write(tmp_path / 'a.h5'), layout=DatasetLayout(*layout))


@pytest.mark.parametrize('axes', [('coil', 'ky'), ('coil', 'ky', 'kx', 'kx'), ('coil', 'ky', 'kx', 'time')])
def test_axes_must_be_named_completely(axes: tuple[str, ...]) -> None:
    with pytest.raises(ScanError, match='axes must name coil, ky and kx'):
        DatasetLayout('kspace', axes)


def test_the_input_file_is_not_touched(tmp_path: Path) -> None:
    path = write(tmp_path / 'a.h5')
    before = path.read_bytes(), path.stat().st_mtime_ns
    load_scan(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize('name', ['pulseq_brain16.h5', 'pulseq_phantom32.h5', 'iraki_prescan16.h5', 'twix_gre2.h5'])
def test_real_scans_give_the_images_stored_beside_them(shared_scan, name: str) -> None:
    path = shared_scan(name)
    scan = load_scan(path)
    image = image_from_kspace(scan.kspace).abs().square().sum(1).sqrt().transpose(1, 2).numpy()
    expected = stored(path, 'reconstruction_rss')
    np.testing.assert_allclose(image, expected, rtol=0, atol=1e-5 * expected.max())


def test_a_real_scan_with_separate_calibration(shared_scan) -> None:
    """Odd lines 1 to 61 were measured; the reference scan has empty readout ends."""
    scan = load_scan(shared_scan('xingkong_R2_16.h5'))
    sampling = Sampling.from_mask(scan.mask)
    assert (sampling.acceleration, sampling.lattice, len(sampling.acs)) == (2, range(1, 62, 2), 0)
    assert scan.calibration is not None
    assert scan.calibration.shape == (1, 16, 24, 55)


def test_a_volume_larger_than_memory_is_read_slice_by_slice(tmp_path: Path) -> None:
    """8 TB are declared, of which one slice is written: that slice reads, the whole is refused."""
    n_slices, shape = 10**9, KSPACE.shape[1:]
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        kspace = file.create_dataset('kspace', (n_slices, *shape), 'c8', chunks=(1, *shape))
        kspace[777_777] = KSPACE[0]
    scan = open_scan(tmp_path / 'a.h5').read([777_777])
    np.testing.assert_array_equal(scan.kspace[0].numpy(), KSPACE[0].swapaxes(1, 2))
    with pytest.raises(ResourceError, match=r'needs 8160.0 GB at once, of .* GB of memory: read fewer slices'):
        load_scan(tmp_path / 'a.h5')
