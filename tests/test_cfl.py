"""BART's files: what we read is what was written, by BART itself where it is installed, and the other way round."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from raki.coils.combine import root_sum_of_squares
from raki.data.cfl import write_cfl
from raki.data.generic import DatasetLayout
from raki.data.load import load_scan, open_scan
from raki.data.notes import cautions_of
from raki.errors import ScanError
from raki.fourier import image_from_kspace
from tests.toys import random_kspace

KSPACE = random_kspace(12, 10, 1, 3).numpy()
"""Axes READ, PHS1, PHS2, COIL."""

needs_bart = pytest.mark.skipif(shutil.which('bart') is None, reason='needs the program bart')


def padded(array: np.ndarray, **sizes: int) -> np.ndarray:
    """With the 16 axes of BART; `sizes` puts the last ones at axes such as `a13`."""
    shape = [*array.shape[: array.ndim - len(sizes)], *[1] * 16][:16]
    for axis, size in sizes.items():
        shape[int(axis[1:])] = size
    return array.reshape(shape)


def bart(*words: object) -> None:
    subprocess.run(['bart', *map(str, words)], check=True, capture_output=True, timeout=60)


def test_a_slice_is_read_by_any_of_its_names(tmp_path: Path) -> None:
    write_cfl(tmp_path / 'scan', padded(KSPACE))
    for name in ('scan', 'scan.cfl', 'scan.hdr'):
        file = open_scan(tmp_path / name)
        assert (file.format, file.shape, file.readout_is_rows) == ('BART cfl', (1, 3, 10, 12), True)
        np.testing.assert_array_equal(file.read().kspace[0].numpy(), KSPACE[:, :, 0].transpose(2, 1, 0))
    assert 'no mask: lines of zeros are taken as not measured' in cautions_of(open_scan(tmp_path / 'scan').notes)[0]


def test_lines_of_zeros_were_not_measured(tmp_path: Path) -> None:
    mask = np.arange(10) % 3 == 1
    write_cfl(tmp_path / 'scan.cfl', padded(np.where(mask[:, None, None], KSPACE, 0)))
    assert load_scan(tmp_path / 'scan').mask.tolist() == mask.tolist()
    np.save(tmp_path / 'mask.npy', mask)
    assert load_scan(tmp_path / 'scan', mask=str(tmp_path / 'mask.npy')).mask.tolist() == mask.tolist()


def test_slices_and_frames_are_read_one_by_one(tmp_path: Path) -> None:
    kspace = random_kspace(12, 10, 1, 3, 2, 4, 5).numpy()  # contrast, repetition, slice
    write_cfl(tmp_path / 'scan', padded(kspace, a5=2, a10=4, a13=5))
    file = open_scan(tmp_path / 'scan')
    assert file.shape == (5, 3, 10, 12)
    frames = [(contrast, repetition) for repetition in range(4) for contrast in range(2)]
    found = {float(file.read([2], frame).kspace[0, 0, 0, 0].real) for frame in range(8)}
    assert found == {float(kspace[0, 0, 0, 0, contrast, repetition, 2].real) for contrast, repetition in frames}


def test_a_volume_and_a_plane_are_read(tmp_path: Path) -> None:
    kspace = random_kspace(6, 10, 8, 3).numpy()
    write_cfl(tmp_path / 'volume', padded(kspace))
    np.testing.assert_array_equal(load_scan(tmp_path / 'volume').kspace[0].numpy(), kspace.transpose(3, 2, 1, 0))
    write_cfl(tmp_path / 'plane', padded(kspace[:1]))
    scan = load_scan(tmp_path / 'plane')
    np.testing.assert_array_equal(scan.kspace[0].numpy(), kspace[:1].transpose(3, 2, 1, 0))


def test_only_a_slab_is_taken_into_memory(tmp_path: Path) -> None:
    """A sparse file larger than this machine reads slice by slice."""
    n_slices = 1 << 20
    (tmp_path / 'a.hdr').write_text(f'# Dimensions\n128 128 1 8 1 1 1 1 1 1 1 1 1 {n_slices}\n')
    with (tmp_path / 'a.cfl').open('wb') as file:
        file.truncate(8 * 128 * 128 * 8 * n_slices)
        file.seek(8 * 128 * 128 * 8 * (n_slices - 1))
        file.write(np.ones(128 * 128 * 8, np.complex64).tobytes())
    scan = open_scan(tmp_path / 'a').read([n_slices - 1])
    assert bool((scan.kspace == 1).all())


@pytest.mark.parametrize(
    ('header', 'message'),
    [
        ('# Dimensions\n12 10 1 4\n', r'has 2880 bytes, but a.hdr says 12 x 10 x 1 x 4, 3840 bytes'),
        ('# Dimensions\n12 ten 1 3\n', r'a line "# Dimensions" and one of sizes below it, got'),
        ('# Dimensions\n12 -10 1 -3\n', 'needs a line'),
        ('', 'needs a line'),
        ('# Dimensions\n12 10 1 3' + 13 * ' 1' + '\n', 'BART has 16 axes, but it names the sizes of 17'),
        ('# Dimensions\n12 10 1 1 3\n', 'the axis MAPS has size 3, which is not handled: these seem to be sensi'),
        ('# Dimensions\n12 10 1 1 1 1 1 1 1 1 1 1 1 1 3\n', r'AVG has size 3, .* `bart avg 16384 IN OUT`'),
        ('# Dimensions\n1 10 1 36\n', 'one readout sample and one partition'),
        ('# Dimensions\n2 3 10 2 1 1 1 1 1 1 1 1 1 3\n', 'several slabs of a volume'),
    ],
)
def test_what_is_not_one_scan_is_refused(tmp_path: Path, header: str, message: str) -> None:
    write_cfl(tmp_path / 'a', padded(KSPACE))
    (tmp_path / 'a.hdr').write_text(header)
    with pytest.raises(ScanError, match=message):
        open_scan(tmp_path / 'a')


def test_half_a_pair_and_another_layout_are_refused(tmp_path: Path) -> None:
    write_cfl(tmp_path / 'a', padded(KSPACE))
    with pytest.raises(ScanError, match='leave --dataset and --axes out'):
        open_scan(tmp_path / 'a', DatasetLayout('kspace', ('coil', 'ky', 'kx')))
    (tmp_path / 'a.hdr').unlink()
    with pytest.raises(ScanError, match=r'a pair of .cfl and .hdr, but there is no .*a\.hdr'):
        open_scan(tmp_path / 'a.cfl')


def test_both_files_are_written_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError('No space left on device')

    monkeypatch.setattr(Path, 'write_text', full)
    with pytest.raises(OSError, match='No space'):
        write_cfl(tmp_path / 'a', padded(KSPACE))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match='have 16 axes, got 4'):
        write_cfl(tmp_path / 'a', KSPACE)


@needs_bart
def test_bart_combines_our_coil_images_as_we_do(tmp_path: Path) -> None:
    """To 1e-5 of the largest value."""
    coils = image_from_kspace(random_kspace(4, 20, 14))
    write_cfl(tmp_path / 'coils', padded(coils.numpy().transpose(2, 1, 0)[:, :, None]))
    bart('rss', 8, tmp_path / 'coils', tmp_path / 'rss')
    found = np.fromfile(tmp_path / 'rss.cfl', np.complex64).reshape(20, 14)
    expected = root_sum_of_squares(coils, None).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * expected.max())


@needs_bart
def test_bart_transforms_our_kspace_as_we_do(tmp_path: Path) -> None:
    """Odd and even sizes: zero frequency is where BART has it."""
    kspace = random_kspace(4, 15, 14)
    write_cfl(tmp_path / 'k', padded(kspace.numpy().transpose(2, 1, 0)[:, :, None]))
    bart('fft', '-iu', 3, tmp_path / 'k', tmp_path / 'i')
    found = torch.from_numpy(np.fromfile(tmp_path / 'i.cfl', np.complex64).reshape(4, 15, 14))
    torch.testing.assert_close(found, image_from_kspace(kspace), rtol=1e-4, atol=1e-4)


@needs_bart
def test_a_phantom_of_bart_is_seen_the_right_way_round(tmp_path: Path) -> None:
    """K-space of 96 x 64 gives, within truncation, the image that BART makes of it."""
    for words in (('phantom', '-x', 96, '-k', '-s', 8, 'full'), ('resize', '-c', 1, 64, 'full', 'k')):
        bart(*(tmp_path / str(word) if word in ('full', 'k') else word for word in words))
    bart('fft', '-iu', 3, tmp_path / 'k', tmp_path / 'i')
    bart('rss', 8, tmp_path / 'i', tmp_path / 'rss')
    scan = load_scan(tmp_path / 'k')
    assert scan.kspace.shape == (1, 8, 64, 96)
    expected = np.fromfile(tmp_path / 'rss.cfl', np.complex64).reshape(64, 96).real
    image = root_sum_of_squares(image_from_kspace(scan.kspace[0]), None).numpy()
    np.testing.assert_allclose(image, expected, rtol=0, atol=1e-5 * expected.max())
    assert relative_asymmetry(expected) > 0.1


def relative_asymmetry(image: np.ndarray) -> float:
    """How much an image differs from its own reflections, the nearest of them."""
    mirrored = (image[::-1], image[:, ::-1], image[::-1, ::-1])
    return min(float(np.linalg.norm(image - other) / np.linalg.norm(image)) for other in mirrored)
