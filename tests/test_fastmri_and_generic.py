"""Readers of fastMRI-layout files and of any other HDF5, on files written here and on real ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from raki.data.generic import DatasetLayout
from raki.data.load import Reader, in_hdf5, load_scan, open_scan
from raki.data.measured import reached_readout
from raki.data.scan import Scan, ScanFile
from raki.errors import ResourceError, ScanError
from raki.fourier import centre_crop, image_from_kspace, without_oversampling
from tests.toys import random_kspace, stored

KSPACE: Any = random_kspace(2, 3, 20, 17).numpy()
"""Two slices, three coils, axes as in the file: (slice, coil, readout, phase encode)."""

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><trajectory>cartesian</trajectory>
<encodedSpace><matrixSize><x>20</x><y>{encoded_y}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>400</x><y>{height}</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>10</x><y>{recon_y}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>200</x><y>{recon_height}</y><z>5</z></fieldOfView_mm></reconSpace>
</encoding><somethingNew>1</somethingNew></ismrmrdHeader>"""


def write(path: Path, kspace: np.ndarray = KSPACE, **others: object) -> Path:
    with h5py.File(path, 'w') as file:
        file['kspace'] = kspace
        for name, value in others.items():
            file[name] = value
    return path


def header(**values: int) -> str:
    defaults = {'encoded_y': 17, 'height': 340, 'recon_y': 17, 'recon_height': 340}
    return HEADER.format(**(defaults | values))


def test_files_of_fastmri_itself_have_the_readout_along_the_rows(tmp_path: Path) -> None:
    """As its images do; a file that only has its layout is shown as other formats are, and says where that differs."""
    assert open_scan(write(tmp_path / 'a.h5', ismrmrd_header=header())).readout_is_rows
    file = open_scan(write(tmp_path / 'b.h5', reconstruction_rss=np.ones((2, 4, 4), np.float32)))
    assert not file.readout_is_rows
    assert 'reconstruction_rss of the file has the readout vertical' in file.notes[0]


def test_the_readout_becomes_the_last_axis(tmp_path: Path) -> None:
    file = open_scan(write(tmp_path / 'a.h5'))
    scan = file.read()
    np.testing.assert_array_equal(scan.kspace.numpy(), KSPACE.swapaxes(2, 3))
    assert not file.readout_is_rows
    assert (scan.n_slabs, scan.n_coils, scan.n_phase_axes, file.n_slices) == (2, 3, 1, 2)
    assert bool(scan.mask.all())
    assert (scan.calibration, scan.noise, scan.reference, scan.image_shape) == (None, None, None, None)


def test_slices_are_read_one_by_one(tmp_path: Path) -> None:
    file = open_scan(write(tmp_path / 'a.h5'))
    assert file.shape == (2, 3, 17, 20)
    np.testing.assert_array_equal(file.read([1]).kspace[0].numpy(), KSPACE[1].swapaxes(1, 2))
    with pytest.raises(ScanError, match='no slice 2; the file has slices 0 to 1'):
        file.read([2])
    with pytest.raises(ScanError, match='no frame 1; the file has frames 0 to 0'):
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


def test_samples_that_no_readout_reached_are_told_without_their_oversampling(tmp_path: Path) -> None:
    """Of 20 samples 0 to 4 and 19 are missing: of the 10 at 0, 2, ... 18, those at 0, 2 and 4."""
    short = KSPACE.copy()
    short[:, :, :5], short[:, :, 19:] = 0, 0
    path = write(tmp_path / 'a.h5', short, ismrmrd_header=header(), acs=short[..., 4:12])
    scan = load_scan(path)
    torch.testing.assert_close(scan.kspace, without_oversampling(torch.from_numpy(short.swapaxes(2, 3).copy()), 10))
    assert scan.readout == range(3, 10)
    assert scan.calibration is not None
    torch.testing.assert_close(scan.calibration, scan.kspace[..., 4:12, 3:])
    assert load_scan(write(tmp_path / 'b.h5', ismrmrd_header=header())).readout is None


@pytest.mark.parametrize('n_readout', range(11, 20))
def test_an_end_that_was_measured_stays_measured_whatever_the_oversampling(n_readout: int) -> None:
    """Of 19 or 20 samples, those at the end where readouts are whole: the last new one may lie beyond the last."""
    for n_samples in (19, 20):
        kspace = torch.from_numpy(KSPACE[0].swapaxes(1, 2).copy())[..., :n_samples]
        missing = torch.arange(n_samples) < 6
        for cut in (torch.zeros_like(missing), missing, missing.flip(0)):
            n_kept = min(n_readout, n_samples)
            found = reached_readout(torch.where(cut, 0, kspace), n_kept) or range(n_kept)
            assert (found.start > 0, found.stop < n_kept) == (
                (bool(cut[0]), bool(cut[-1])) if n_kept < n_samples else (False, False)
            )


def test_the_header_removes_readout_oversampling_and_crops_the_image(tmp_path: Path) -> None:
    scan = load_scan(write(tmp_path / 'a.h5', ismrmrd_header=header(recon_y=11, recon_height=220)))
    assert scan.kspace.shape == (2, 3, 17, 10)
    assert scan.image_shape == (11, 10)
    assert scan.voxel_size == pytest.approx((0.02, 0.02))
    whole = image_from_kspace(torch.from_numpy(KSPACE.swapaxes(2, 3).copy()))
    torch.testing.assert_close(image_from_kspace(scan.kspace), centre_crop(whole, (17, 10)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ('recon_y', 'recon_height', 'expected'),
    [
        (14, 340, 17),  # the same field of view on fewer voxels
        (34, 340, 17),  # or on more
        (22, 220, 11),  # a part of it, on a finer matrix
        (17, 338, 17),  # rounded
        (11, 0, 11),  # not stated
        (17, 680, 17),  # more than was measured
    ],
)
def test_images_are_cropped_to_the_wanted_field_of_view_not_interpolated(
    tmp_path: Path, recon_y: int, recon_height: int, expected: int
) -> None:
    scan = load_scan(write(tmp_path / 'a.h5', ismrmrd_header=header(recon_y=recon_y, recon_height=recon_height)))
    assert scan.image_shape == (expected, 10)


@pytest.mark.parametrize(
    'stored_as', [str, str.encode, lambda xml: [xml.encode()], lambda xml: np.bytes_(xml.encode())], ids=range(4)
)
def test_the_header_may_be_any_kind_of_text(tmp_path: Path, stored_as: Callable[[str], object]) -> None:
    xml = header().replace('<?xml version="1.0"?>', '<?xml version="1.0" encoding="x-unknown"?>')
    assert load_scan(write(tmp_path / 'a.h5', ismrmrd_header=stored_as(xml))).image_shape == (17, 10)


def test_separate_calibration_loses_the_oversampling_of_the_readout_too(tmp_path: Path) -> None:
    """Else it would be lines of another field of view than those that it is used for."""
    acs = KSPACE[..., 4:12]
    scan = load_scan(write(tmp_path / 'a.h5', ismrmrd_header=header(), acs=acs))
    whole = load_scan(write(tmp_path / 'b.h5', ismrmrd_header=header()))
    assert scan.calibration is not None
    torch.testing.assert_close(scan.calibration, whole.kspace[:, :, 4:12])


def test_samples_in_another_file_are_not_followed(tmp_path: Path) -> None:
    """A crafted file could otherwise show the content of any file that the user can read."""
    secret = write(tmp_path / 'secret.h5')
    (tmp_path / 'secret.bin').write_bytes(KSPACE.tobytes())
    layout = h5py.VirtualLayout(KSPACE.shape, KSPACE.dtype)
    layout[:] = h5py.VirtualSource(secret, 'kspace', KSPACE.shape)
    with h5py.File(tmp_path / 'link.h5', 'w') as file:
        file['kspace'] = h5py.ExternalLink(secret, 'kspace')
    with h5py.File(tmp_path / 'external.h5', 'w') as file:
        storage = [(tmp_path / 'secret.bin', 0, KSPACE.nbytes)]
        file.create_dataset('kspace', KSPACE.shape, KSPACE.dtype, external=storage)
    with h5py.File(tmp_path / 'virtual.h5', 'w') as file:
        file.create_virtual_dataset('kspace', layout)
    for name in ('link', 'external', 'virtual'):
        with pytest.raises(ScanError, match='kspace points to samples in another file'):
            load_scan(tmp_path / f'{name}.h5')


def test_padding_is_not_measured_whatever_the_mask_says(tmp_path: Path) -> None:
    """Masks do not know about it; lines that are exactly zero at the ends are it."""
    kspace = KSPACE.copy()
    kspace[..., :3] = 0
    kspace[..., 15:] = 0
    xml = header()
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
    with pytest.raises(ScanError, match=r'lines \[6\] are marked as measured, but hold only zeros'):
        load_scan(write(tmp_path / 'a.h5', kspace, mask=np.ones(17)))


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_sample_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    kspace = KSPACE.copy()
    kspace[1, 2, :, 5] = value
    assert open_scan(write(tmp_path / 'a.h5', kspace)).read([0]).n_slabs == 1
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
        ({'noise': np.full((3, 5), np.nan + 0j)}, 'noise: 15 samples are NaN or infinite'),
        ({'reference': KSPACE[..., :16]}, r'reference must have the shape of kspace \(2, 3, 20, 17\)'),
        ({'ismrmrd_header': np.array([], 'S9')}, 'a text is wanted, got an empty array'),
        ({'ismrmrd_header': '<a><encoding><encodedSpace><matrixSize><x>nan</x>'}, 'not valid XML'),
        ({'ismrmrd_header': header().replace('<x>20</x>', '<x>nan</x>')}, "matrixSize/x, got 'nan'"),
        ({'ismrmrd_header': header(), 'acs': KSPACE[:, :, :12]}, 'acs must have the 20 readout samples of kspace'),
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
    with pytest.raises(ScanError, match='is a folder, name a file in it'):
        open_scan(tmp_path)
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


def test_a_new_format_is_its_reader_and_a_line_in_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_toy(path: str, _layout: DatasetLayout | None, mask: str | None) -> ScanFile:
        def read_slab(index: int, _repetition: int) -> Scan:
            kspace = torch.from_numpy(stored(Path(path), f'toy/{index}'))
            return Scan(kspace[None], torch.ones(kspace.shape[1], dtype=torch.bool))

        return ScanFile(path, f'toy, {mask}', (2, 3, 20, 17), read_slab)

    monkeypatch.setattr('raki.data.load.READERS', [Reader('a toy', in_hdf5(lambda file: 'toy' in file), open_toy)])
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file.update({f'toy/{index}': KSPACE[index] for index in range(2)})
    assert open_scan(tmp_path / 'a.h5', mask='m').format == 'toy, m'
    np.testing.assert_array_equal(load_scan(tmp_path / 'a.h5').kspace.numpy(), KSPACE)
    with pytest.raises(ScanError, match='known formats, which are a toy; it holds'):
        open_scan(write(tmp_path / 'b.h5'))


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
    is_transposed = order.index(AXES.index('kx')) < order.index(AXES.index('ky'))
    assert open_scan(tmp_path / 'a.h5', layout).readout_is_rows == is_transposed


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
    for layout in (None, DatasetLayout('kspace', AXES)):
        for mask in ('zeros', 'pattern'):
            scan = load_scan(path, layout=layout, mask=mask)
            assert scan.mask.tolist() == (np.arange(17) % 2 == 0).tolist()
    with pytest.raises(ScanError, match='--mask zeros'):
        load_scan(path)
    with pytest.raises(ScanError, match='--mask zeros'):
        load_scan(path, layout=DatasetLayout('kspace', AXES))


@pytest.mark.parametrize(
    ('layout', 'message'),
    [
        (('kspace', ('coil', 'ky', 'kx')), 'has 4 axes .* but 3 are named'),
        (('nothing', AXES), r"no dataset 'nothing'; the file has kspace \(2, 3, 20, 17\)"),
    ],
)
def test_a_layout_that_the_file_does_not_have_is_refused(tmp_path: Path, layout: tuple, message: str) -> None:
    with pytest.raises(ScanError, match=message):
        load_scan(write(tmp_path / 'a.h5'), layout=DatasetLayout(*layout))


def test_a_mask_that_the_file_does_not_have_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / 'a.h5')
    for layout in (None, DatasetLayout('kspace', AXES)):
        with pytest.raises(ScanError, match="no dataset 'nothing'"):
            load_scan(path, layout=layout, mask='nothing')


def test_an_empty_axis_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / 'a.h5', KSPACE[:0])
    with pytest.raises(ScanError, match=r'kspace is empty, its shape is \(0, 3, 20, 17\)'):
        load_scan(path, layout=DatasetLayout('kspace', AXES))


@pytest.mark.parametrize('axes', [('coil', 'ky'), ('coil', 'ky', 'kx', 'kx'), ('coil', 'ky', 'kx', 'time')])
def test_axes_must_be_named_completely(axes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match='axes must name coil, ky and kx'):
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
    assert scan.mask.nonzero().flatten().tolist() == list(range(1, 62, 2))
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
