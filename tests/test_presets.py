"""Public data sets: files crafted in the layout that their documentation gives, of images that are known."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from raki.data.load import load_scan, open_scan
from raki.data.notes import cautions_of
from raki.data.scan import ScanFile
from raki.fourier import image_from_kspace, kspace_from_image
from tests.toys import random_kspace

N_PHASES, N_SLICES, N_COILS, N_LINES, N_READOUT = 2, 3, 4, 20, 14


def as_matlab(kspace: Any) -> np.ndarray:
    """Compound (real, imag), as MATLAB stores complex numbers."""
    stored = np.zeros(kspace.shape, [('real', 'f4'), ('imag', 'f4')])
    stored['real'], stored['imag'] = kspace.real, kspace.imag
    return stored


def written(path: Path, **arrays: np.ndarray) -> Path:
    with h5py.File(path, 'w') as file:
        file.update(arrays)
    return path


def says(file: ScanFile, text: str) -> bool:
    return any(text in note for note in file.notes)


def warns(file: ScanFile, text: str) -> bool:
    return any(text in note for note in cautions_of(file.notes))


CINE = random_kspace(N_PHASES, N_SLICES, N_COILS, N_LINES, N_READOUT).numpy()
"""As h5py shows MATLAB's (nx, ny, nc, nz, nt)."""


@pytest.mark.parametrize('name', ['kspace_full', 'kspace'])
def test_full_cmrxrecon_is_slices_of_several_phases(tmp_path: Path, name: str) -> None:
    file = open_scan(written(tmp_path / 'cine_sax.mat', **{name: as_matlab(CINE)}))
    assert file.format == f'CMRxRecon {name}'
    assert file.shape == CINE.shape[1:]
    assert warns(file, 'not checked on a file of the data set')
    for phase in range(N_PHASES):
        scan = file.read(frame=phase)
        np.testing.assert_array_equal(scan.kspace.numpy(), CINE[phase])
        assert bool(scan.mask.all())


@pytest.mark.parametrize('name', ['kspace_sub04', 'kus'])
def test_undersampled_cmrxrecon_has_its_own_lines_in_every_phase(tmp_path: Path, name: str) -> None:
    masks = np.stack([np.arange(N_LINES) % 4 == phase for phase in range(N_PHASES)])
    masks[:, 2:18] = True  # 16 central lines
    under = np.where(masks[:, None, None, :, None], CINE, 0)
    file = open_scan(written(tmp_path / 'a.mat', **{name: as_matlab(under)}))
    assert warns(file, 'lines of zeros are taken as not measured')
    mask = written(tmp_path / 'mask.mat', mask=np.repeat(masks[..., None], N_READOUT, axis=-1).astype('f8'))
    for found in (file, open_scan(tmp_path / 'a.mat', mask=str(mask))):
        for phase in range(N_PHASES):
            assert found.read(frame=phase).mask.tolist() == masks[phase].tolist()


def calgary(tmp_path: Path, image: np.ndarray) -> Path:
    """Write coil images (coil, x, y, z) whose magnitude a transform without shifts of the file gives."""
    hybrid = np.fft.fft2(image, axes=(2, 3), norm='ortho').transpose(1, 2, 3, 0)
    parts = np.stack([hybrid.real, hybrid.imag], axis=-1).reshape(*hybrid.shape[:3], -1)
    return written(tmp_path / 'e14089s3_P53248.7.h5', kspace=parts.astype(np.float32))


def blob(*shape: int) -> np.ndarray:
    """Coil images (coil, x, y, z): smooth, not symmetric, and with energy at zero frequency."""
    grids = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape[1:]), indexing='ij')
    distance = sum(((grid - 0.2 * axis) * (2 + axis)) ** 2 for axis, grid in enumerate(grids))
    return np.stack([np.exp(-distance) * (1 + coil) * np.exp(1j * coil) for coil in range(shape[0])])


@pytest.mark.parametrize('is_centred', [False, True], ids=['zero frequency at index 0', 'at n//2'])
def test_calgary_campinas_gives_the_image_of_a_transform_without_shifts(tmp_path: Path, is_centred: bool) -> None:
    image = blob(3, 10, 12, 16)
    alternating = (-1.0) ** np.add.outer(np.arange(12), np.arange(16)) if is_centred else 1.0
    file = open_scan(calgary(tmp_path, image * alternating))
    assert (file.format, file.shape) == ('Calgary-Campinas, a volume', (1, 3, 16, 12, 10))
    assert warns(file, f'most energy is at {"n//2" if is_centred else "index 0"}')
    kspace = file.read().kspace[0]
    found = image_from_kspace(kspace, (-3, -2, -1)).abs().permute(0, 3, 2, 1)
    np.testing.assert_allclose(found.numpy(), np.abs(image), rtol=1e-4, atol=1e-5)
    energy = kspace.abs().square().sum((0, 3))
    assert divmod(int(energy.argmax()), 12) == (8, 6)


def test_the_last_partitions_of_calgary_campinas_were_not_measured(tmp_path: Path) -> None:
    path = calgary(tmp_path, blob(3, 10, 12, 16) * (-1.0) ** np.add.outer(np.arange(12), np.arange(16)))
    with h5py.File(path, 'r+') as file:
        kspace: Any = file['kspace']
        kspace[:, :, 14:] = 0
    scan = load_scan(path)
    assert scan.mask.any(1).tolist() == [True] * 14 + [False] * 2


def test_skm_tea_is_a_volume_of_two_echoes_and_no_truth(tmp_path: Path) -> None:
    image = random_kspace(2, N_COILS, 8, 10, 12)  # echo, coil, z, y, x
    kspace = kspace_from_image(image, (-3, -2, -1))
    hybrid = image_from_kspace(kspace, (-1,)).permute(4, 3, 2, 0, 1).numpy()
    file = open_scan(written(tmp_path / 'a.h5', kspace=hybrid, target=np.ones(3)))
    assert file.shape == (1, N_COILS, 8, 10, 12)
    assert warns(file, 'no truth to judge GRAPPA by')
    for echo in range(2):
        torch.testing.assert_close(file.read(frame=echo).kspace[0], kspace[echo], rtol=1e-4, atol=1e-5)


def test_files_of_fastmri_are_none_of_them(tmp_path: Path) -> None:
    for others in ({}, {'mask': np.ones(N_LINES)}):
        path = written(tmp_path / 'a.h5', kspace=random_kspace(2, 3, N_READOUT, N_LINES).numpy(), **others)
        assert open_scan(path).format == 'fastMRI-layout HDF5'
