"""K-space of other conventions gives the image of the program that wrote it, on even and odd sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raki.cli import main
from raki.data.convention import CENTRED, MODULATED, UNSHIFTED
from raki.data.generic import DatasetLayout
from raki.data.load import load_scan, open_scan
from raki.errors import ScanError
from raki.fourier import READOUT, image_from_kspace, kspace_from_image
from tests.toys import random_kspace, stored

SHAPES = [(12, 8), (13, 8), (12, 9), (13, 9)]


def near(found: object, expected: object) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-4, atol=1e-5)


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize('shape', SHAPES)
def test_unshifted_kspace_gives_the_image_of_a_plain_transform(tmp_path: Path, shape: tuple[int, int]) -> None:
    """Sample by sample, phase included."""
    kspace = random_kspace(3, *shape).numpy()
    layout = DatasetLayout('kspace', ('coil', 'ky', 'kx'), UNSHIFTED)
    scan = load_scan(saved(tmp_path / 'a.npy', kspace), layout=layout)
    near(image_from_kspace(scan.kspace[0]), np.fft.ifft2(kspace, norm='ortho'))


@pytest.mark.parametrize('shape', SHAPES)
def test_zero_frequency_of_unshifted_kspace_goes_to_the_middle(tmp_path: Path, shape: tuple[int, int]) -> None:
    kspace = np.fft.fft2(np.ones((2, *shape))) + 1e-3
    layout = DatasetLayout('kspace', ('coil', 'ky', 'kx'), UNSHIFTED)
    found = load_scan(saved(tmp_path / 'a.npy', kspace), layout=layout).kspace[0, 0].abs()
    assert divmod(int(found.argmax()), shape[1]) == (shape[0] // 2, shape[1] // 2)


@pytest.mark.parametrize('shape', SHAPES)
def test_modulated_kspace_gives_the_magnitude_of_a_plain_transform(tmp_path: Path, shape: tuple[int, int]) -> None:
    kspace = random_kspace(3, *shape).numpy()
    layout = DatasetLayout('kspace', ('coil', 'ky', 'kx'), MODULATED)
    scan = load_scan(saved(tmp_path / 'a.npy', kspace), layout=layout)
    near(image_from_kspace(scan.kspace[0]).abs(), np.abs(np.fft.ifft2(kspace, norm='ortho')))


@pytest.mark.parametrize('n_partitions', [6, 7])
def test_all_axes_of_an_unshifted_volume_are_brought_over(tmp_path: Path, n_partitions: int) -> None:
    kspace = random_kspace(2, n_partitions, 9, 8).numpy()
    layout = DatasetLayout('kspace', ('coil', 'kz', 'ky', 'kx'), UNSHIFTED)
    scan = load_scan(saved(tmp_path / 'a.npy', kspace), layout=layout)
    near(image_from_kspace(scan.kspace[0], (-3, -2, -1)), np.fft.ifftn(kspace, axes=(1, 2, 3), norm='ortho'))


@pytest.mark.parametrize('n_lines', [8, 9])
def test_lines_of_a_mask_stay_with_their_samples(tmp_path: Path, n_lines: int) -> None:
    """Order of the mask is that of the file."""
    kspace, mask = random_kspace(2, n_lines, 6).numpy(), np.arange(n_lines) % 3 != 1
    kspace[:, ~mask] = 0
    np.savez(tmp_path / 'a.npz', raw=kspace, mask=mask)
    layout = DatasetLayout('raw', ('coil', 'ky', 'kx'), UNSHIFTED)
    by_mask, by_zeros = (load_scan(tmp_path / 'a.npz', layout=layout, mask=name).mask for name in (None, 'zeros'))
    assert torch.equal(by_mask, by_zeros)
    assert by_mask.tolist() == np.fft.fftshift(mask).tolist()


def test_a_readout_that_is_an_image_is_transformed_back(tmp_path: Path) -> None:
    kspace = random_kspace(3, 8, 13)
    hybrid = image_from_kspace(kspace, READOUT).numpy().transpose(2, 1, 0)
    layout = DatasetLayout('kspace', ('x', 'ky', 'coil'))
    file = open_scan(saved(tmp_path / 'a.npy', hybrid), layout)
    near(file.read().kspace[0], kspace)
    assert file.readout_is_rows
    assert file.shape == (1, 3, 8, 13)


def test_only_the_phase_axes_of_hybrid_space_have_another_convention(tmp_path: Path) -> None:
    image = random_kspace(2, 9, 12)
    hybrid = np.fft.fft(image.numpy(), axis=1, norm='ortho')
    layout = DatasetLayout('kspace', ('coil', 'ky', 'x'), UNSHIFTED)
    near(load_scan(saved(tmp_path / 'a.npy', hybrid), layout=layout).kspace[0], kspace_from_image(image))


def test_alternating_parts_of_coils_are_joined(tmp_path: Path) -> None:
    kspace: Any = random_kspace(3, 8, 10).numpy()
    parts = np.stack([kspace.real, kspace.imag], axis=1).reshape(6, 8, 10)
    layout = DatasetLayout('kspace', ('coil-complex', 'ky', 'kx'))
    np.testing.assert_array_equal(load_scan(saved(tmp_path / 'a.npy', parts), layout=layout).kspace[0].numpy(), kspace)
    with pytest.raises(ScanError, match='coil-complex needs pairs of real numbers'):
        load_scan(saved(tmp_path / 'a.npy', kspace), layout=layout)


def test_frames_are_read_one_by_one(tmp_path: Path) -> None:
    kspace = random_kspace(2, 3, 4, 8, 9).numpy()  # phase, slice, coil, ky, kx
    layout = DatasetLayout('kspace', ('phase', 'slice', 'coil', 'ky', 'kx'))
    file = open_scan(saved(tmp_path / 'a.npy', kspace), layout)
    assert file.shape == (3, 4, 8, 9)
    for frame in range(2):
        np.testing.assert_array_equal(file.read(frame=frame).kspace.numpy(), kspace[frame])


def test_centred_samples_come_bit_for_bit(tmp_path: Path) -> None:
    kspace = random_kspace(2, 5, 8, 9)
    for name, axes in (('a', ('coil', 'kz', 'ky', 'kx')), ('b', ('slice', 'coil', 'ky', 'kx'))):
        scan = load_scan(saved(tmp_path / f'{name}.npy', kspace.numpy()), layout=DatasetLayout('kspace', axes, CENTRED))
        assert torch.equal(scan.kspace.reshape(kspace.shape), kspace)


def test_the_command_line_takes_the_convention_and_the_axes_of_a_npy_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images of both conventions are one shifted by half its size."""
    image = image_from_kspace(random_kspace(2, 16, 12)).numpy()
    path, found = saved(tmp_path / 'a.npy', np.fft.fft2(image)), {}
    for fft in ('centred', 'unshifted'):
        output = tmp_path / f'{fft}.h5'
        assert main(['reconstruct', str(path), '-o', str(output), '--axes', 'coil,ky,kx', '--fft', fft]) == 0
        found[fft] = stored(output, 'reconstruction')[0]
    capsys.readouterr()
    near(found['unshifted'] / found['unshifted'].max(), rss(image) / rss(image).max())
    near(found['centred'], np.fft.fftshift(found['unshifted']))


def rss(image: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(np.abs(image)).sum(0))
