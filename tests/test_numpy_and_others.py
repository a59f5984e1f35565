"""NumPy files, masks in other files, files of no known format, and files that contradict themselves."""

import zipfile
from pathlib import Path
from zlib import crc32

import h5py
import numpy as np
import pytest
import torch

from raki.data.generic import DatasetLayout
from raki.data.load import load_scan, open_scan
from raki.errors import ScanError
from tests.toys import random_kspace

KSPACE = random_kspace(2, 3, 12, 10).numpy()
"""Axes (slice, coil, ky, kx)."""
LAYOUT = DatasetLayout('kspace', ('slice', 'coil', 'ky', 'kx'))


def written(path: Path, kspace: np.ndarray = KSPACE, **others: np.ndarray) -> Path:
    with h5py.File(path, 'w') as file:
        file.update({'kspace': kspace.swapaxes(2, 3), **others})
    return path


@pytest.mark.parametrize('order', ['C', 'F'])
def test_a_npy_file_is_read_by_its_axes(tmp_path: Path, order: str) -> None:
    np.save(tmp_path / 'scan.npy', KSPACE if order == 'C' else np.asfortranarray(KSPACE))
    file = open_scan(tmp_path / 'scan.npy', LAYOUT)
    assert file.format == 'NumPy array kspace'
    np.testing.assert_array_equal(file.read([1]).kspace[0].numpy(), KSPACE[1])


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_a_npz_file_is_read_by_name(tmp_path: Path, save) -> None:
    save(tmp_path / 'scan.npz', other=np.arange(3), raw=KSPACE.swapaxes(2, 3), kept=np.ones(12))
    layout = DatasetLayout('raw', ('slice', 'coil', 'kx', 'ky'))
    np.testing.assert_array_equal(load_scan(tmp_path / 'scan.npz', layout=layout, mask='kept').kspace.numpy(), KSPACE)
    with pytest.raises(ScanError, match=r"no array 'kspace'; the file has other \(3,\), raw \(2, 3, 10, 12\)"):
        load_scan(tmp_path / 'scan.npz', layout=LAYOUT)
    with pytest.raises(ScanError, match="no array 'pattern' for the mask"):
        load_scan(tmp_path / 'scan.npz', layout=layout, mask='pattern')


def test_without_axes_the_way_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / 'scan.npy', KSPACE)
    with pytest.raises(ScanError, match=r'it holds kspace \(2, 3, 12, 10\): name the axes with --dataset NAME --axes'):
        open_scan(tmp_path / 'scan.npy')


def test_objects_and_truncated_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / 'objects.npy', np.array([{}], object), allow_pickle=True)
    with pytest.raises(ScanError, match='Python objects, which are never loaded'):
        load_scan(tmp_path / 'objects.npy', layout=LAYOUT)
    np.save(tmp_path / 'scan.npy', KSPACE)
    whole = (tmp_path / 'scan.npy').read_bytes()
    (tmp_path / 'short.npy').write_bytes(whole[:-8])
    with pytest.raises(ScanError, match=r'truncated, an array complex64 \(2, 3, 12, 10\) needs 5760 bytes, and 5752'):
        load_scan(tmp_path / 'short.npy', layout=LAYOUT)
    giant = whole.replace(b'(2, 3, 12, 10)', b'(9999, 3, 9, )')
    (tmp_path / 'giant.npy').write_bytes(giant)
    with zipfile.ZipFile(tmp_path / 'giant.npz', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('kspace.npy', giant)
    for name in ('giant.npy', 'giant.npz'):
        with pytest.raises(ScanError, match=r'truncated, an array complex64 \(9999, 3, 9\) needs'):
            load_scan(tmp_path / name, layout=LAYOUT)
    (tmp_path / 'broken.npy').write_bytes(whole[:20])
    with pytest.raises(ScanError, match=r'cannot be read as \.npy'):
        load_scan(tmp_path / 'broken.npy', layout=LAYOUT)
    np.savez(tmp_path / 'scan.npz', kspace=KSPACE)
    (tmp_path / 'scan.npz').write_bytes((tmp_path / 'scan.npz').read_bytes()[:-30])
    with pytest.raises(ScanError, match='truncated or damaged'):
        load_scan(tmp_path / 'scan.npz', layout=LAYOUT)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('IM0001', b'\0' * 128 + b'DICM', 'seems to be DICOM: it holds images, not k-space'),
        ('a.ima', b'\x08\0\x05\0', 'seems to be DICOM: .* export the raw data'),
        ('a.mat', b'MATLAB 5.0 MAT-file, Platform', "before version 7.3: save it again .*'-v7.3'"),
        ('b.mat', b'\0' * 20, r'before version 7.3: .* or in Python with numpy.save.*scipy.io.loadmat'),
        ('P12345.7', b'\0' * 64, 'a GE P-file: convert it with ge_to_ismrmrd'),
        ('scan.raw', b'\0' * 64, 'Philips raw data: convert it with philips_to_ismrmrd'),
        ('fid', b'\0' * 64, 'Bruker raw data: convert it with bruker_to_ismrmrd'),
        ('a.h5.gz', b'\x1f\x8b\x08', 'compressed by gzip: unpack it'),
        ('a.zip', b'PK\x03\x04', 'a zip archive: unpack it'),
        ('empty.h5', b'', 'an empty file: fetch it again'),
        ('a.txt', b'hello', 'cannot be read as HDF5'),
    ],
)
def test_a_file_of_another_program_is_named_with_the_way(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ScanError, match=message) as caught:
        open_scan(tmp_path / name)
    assert '\n' not in str(caught.value)
    with pytest.raises(ScanError, match=message):
        open_scan(tmp_path / name, LAYOUT)


def test_hdf5_of_another_program_is_not_taken_for_what_its_name_says(tmp_path: Path) -> None:
    for name, message in (('scan.raw', 'none of the known formats'), ('ScanArchive_1.h5', 'a GE ScanArchive')):
        with h5py.File(tmp_path / name, 'w') as file:
            file['group/measured'] = KSPACE
        with pytest.raises(ScanError, match=message):
            open_scan(tmp_path / name)


def test_arrays_of_matlab_are_said_to_have_reverse_axes(tmp_path: Path) -> None:
    """Known by the head that MATLAB puts before HDF5, as user block; other HDF5 has no such hint."""
    for name in ('kspace', 'kdata'):
        path = tmp_path / f'{name}.h5'
        with h5py.File(path, 'w', userblock_size=512) as file:
            file[name] = KSPACE[0]
        with pytest.raises(ScanError, match=r'--axes [a-z,.]+$'):
            open_scan(path)
        path.write_bytes(b'MATLAB 7.3 MAT-file'.ljust(512) + path.read_bytes()[512:])
        with pytest.raises(ScanError, match=r'in reverse order: \(ky, kx, coil\) in MATLAB is coil,kx,ky$'):
            open_scan(path)


MASK = np.arange(12) % 2 == 0


def test_a_mask_may_be_in_another_file(tmp_path: Path) -> None:
    """Also as a plane that is constant along the readout, as some public sets have it, either way round."""
    path = written(tmp_path / 'a.h5', np.where(MASK[:, None], KSPACE, 0))
    np.save(tmp_path / 'lines.npy', MASK)
    np.save(tmp_path / 'plane.npy', np.repeat(MASK[:, None], 10, axis=1))
    np.save(tmp_path / 'turned.npy', np.repeat(MASK[None], 10, axis=0))
    with h5py.File(tmp_path / 'mask.mat', 'w') as file:
        file['mask04'] = MASK[:, None].astype('u1')
    for name in ('lines.npy', 'plane.npy', 'turned.npy', 'mask.mat'):
        assert load_scan(path, mask=str(tmp_path / name)).mask.tolist() == MASK.tolist()
    np.save(tmp_path / 'other.npy', MASK[:-1])
    with pytest.raises(ScanError, match=r'one entry per phase-encoding line \(12\), got \(11,\)'):
        load_scan(path, mask=str(tmp_path / 'other.npy'))


def test_a_mask_with_frames_is_taken_frame_by_frame(tmp_path: Path) -> None:
    masks = np.stack([MASK, ~MASK])
    frames = np.where(masks[:, None, :, None], KSPACE, 0)
    np.savez(tmp_path / 'a.npz', kspace=frames, mask=masks)
    file = open_scan(tmp_path / 'a.npz', DatasetLayout('kspace', ('repetition', 'coil', 'ky', 'kx')))
    for frame in range(2):
        assert file.read(frame=frame).mask.tolist() == masks[frame].tolist()


def test_samples_where_the_mask_says_none_contradict_it(tmp_path: Path) -> None:
    """A mask that undersamples a full scan is another matter, fine and said; what it leaves out is not handed on."""
    path = written(tmp_path / 'full.h5', mask=MASK)
    assert any('hold samples, such as line 5: they are left out' in note for note in open_scan(path).notes)
    for layout in (None, DatasetLayout('kspace', ('slice', 'coil', 'kx', 'ky'))):
        scan = load_scan(path, layout=layout)
        assert scan.mask.tolist() == MASK.tolist()
        np.testing.assert_array_equal(scan.kspace.numpy(), np.where(MASK[:, None], KSPACE, 0))
    kspace = np.where((MASK | (np.arange(12) == 5))[:, None], KSPACE, 0)
    with pytest.raises(
        ScanError, match='1 lines hold samples although the mask calls them missing, the first is line 5'
    ):
        load_scan(written(tmp_path / 'a.h5', kspace, mask=MASK))


def test_swapped_axes_are_told_by_a_lattice_along_the_readout(tmp_path: Path) -> None:
    lattice = np.where(np.arange(10) % 2 == 0, KSPACE, 0)
    for mask in (None, 'zeros'):
        with pytest.raises(ScanError, match='readout and phase encoding seem swapped'):
            load_scan(written(tmp_path / 'a.h5', lattice), mask=mask)
    with pytest.raises(ScanError, match='readout and phase encoding seem swapped'):
        load_scan(written(tmp_path / 'masked.h5', lattice, mask=MASK))
    asymmetric = np.where(np.arange(10) > 3, KSPACE, 0)
    assert bool(load_scan(written(tmp_path / 'b.h5', asymmetric)).mask.all())


@pytest.mark.parametrize('axis', [1, 2], ids=['lines', 'readout'])
def test_half_a_coil_of_zeros_is_damage(tmp_path: Path, axis: int) -> None:
    kspace = KSPACE.copy()
    kspace[1, 2].swapaxes(0, axis - 1)[:6] = 0
    with pytest.raises(ScanError, match=r'slice 1: coil 2 holds only zeros in 6 of 1[02]'):
        load_scan(written(tmp_path / 'a.h5', kspace))


def test_a_dead_coil_is_not_damage(tmp_path: Path) -> None:
    kspace = KSPACE.copy()
    kspace[:, 1] = 0
    assert torch.equal(load_scan(written(tmp_path / 'a.h5', kspace)).kspace, torch.from_numpy(kspace))


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_every_changed_byte_of_an_array_in_an_archive_is_found(tmp_path: Path, save) -> None:
    save(tmp_path / 'whole.npz', kspace=KSPACE)
    whole = (tmp_path / 'whole.npz').read_bytes()
    with zipfile.ZipFile(tmp_path / 'whole.npz') as archive:
        [member] = archive.infolist()
    for number in range(8):
        position = len(whole) - member.compress_size * (number + 1) // 9 - 150
        path = tmp_path / f'{number}.npz'
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(ScanError, match=rf'{number}.npz: .*damaged'):
            load_scan(path, layout=LAYOUT)


def test_an_archive_is_summed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / 'a.npz', kspace=KSPACE)
    sums: list[int] = []
    monkeypatch.setattr('raki.data.numpy_file.crc32', lambda block, before: sums.append(0) or crc32(block, before))
    load_scan(tmp_path / 'a.npz', layout=LAYOUT)
    assert len(sums) == 1


@pytest.mark.parametrize('options', [{'fletcher32': True}, {'compression': 'gzip'}])
def test_samples_that_hdf5_has_a_sum_of_are_not_read_with_another(tmp_path: Path, options: dict) -> None:
    kspace = KSPACE.swapaxes(2, 3)
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file.create_dataset('kspace', data=kspace, chunks=kspace.shape, **options)
        chunk = file['kspace'].id.get_chunk_info(0)  # type: ignore[attr-defined]
    content = bytearray((tmp_path / 'a.h5').read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 1
    (tmp_path / 'a.h5').write_bytes(content)
    with pytest.raises(ScanError, match='may be truncated or damaged'):
        load_scan(tmp_path / 'a.h5')


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_mask_that_is_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    kspace = np.where(MASK[:, None], KSPACE, 0)
    with pytest.raises(ScanError, match='the mask mask holds NaN or infinite values'):
        load_scan(written(tmp_path / 'a.h5', kspace, mask=np.where(MASK, value, 0)))
