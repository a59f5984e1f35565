"""Volumes in files of named axes: what is read, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

from raki.data.generic import DatasetLayout
from raki.data.load import load_scan, open_scan
from raki.data.save import write_scan
from raki.data.simulate import Simulation, simulate
from raki.errors import ResourceError, ScanError
from tests.toys import random_kspace

AXES = ('coil', 'kz', 'ky', 'kx')


def every_second(*shape: int) -> Tensor:
    """Every second position along both axes with a CAIPI shift, and a block in the middle."""
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[::4, ::2] = True
    mask[2::4, 1::2] = True
    mask[shape[0] // 4 : -shape[0] // 4, shape[1] // 4 : -shape[1] // 4] = True
    return mask


FULL = simulate(Simulation((12, 26, 20), n_coils=4))
MASK = every_second(12, 26)
MEASURED = replace(FULL, kspace=torch.where(MASK[..., None], FULL.kspace, 0), mask=MASK)
KSPACE: Any = MEASURED.kspace[0].numpy()


def plain(path: Path, **datasets: object) -> Path:
    """A file that does not say what its axes are."""
    with h5py.File(path, 'w') as file:
        file.update(datasets)
    return path


def test_what_is_written_is_read_back_without_a_further_word(tmp_path: Path) -> None:
    write_scan(tmp_path / 'a.h5', replace(FULL, mask=MASK), {'source': 'here'})
    file = open_scan(tmp_path / 'a.h5')
    assert (file.shape, file.n_slices, file.readout_is_rows) == ((1, 4, 12, 26, 20), 12, False)
    assert (file.format, file.facts) == ('HDF5 dataset kspace, a volume', {'source': 'here'})
    assert 'a volume is read whole and needs' in file.notes[0]
    for name in ('kspace', 'mask', 'noise', 'reference'):
        assert torch.equal(getattr(file.read(), name), getattr(MEASURED, name)), name


@pytest.mark.parametrize('order', [(0, 1, 2, 3), (1, 2, 3, 0), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_axes_may_come_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    path = plain(tmp_path / 'a.h5', raw=KSPACE.transpose(order), mask=MASK.numpy())
    found = load_scan(path, layout=DatasetLayout('raw', tuple(AXES[axis] for axis in order)))
    assert torch.equal(found.kspace, MEASURED.kspace)
    assert torch.equal(found.mask, MASK)


def test_real_and_imaginary_parts_may_be_an_axis(tmp_path: Path) -> None:
    parts = torch.view_as_real(MEASURED.kspace[0]).numpy()
    path = plain(tmp_path / 'a.h5', raw=parts, where=MASK.numpy())
    for mask in ('where', 'zeros'):
        found = load_scan(path, layout=DatasetLayout('raw', (*AXES, 'complex')), mask=mask)
        assert torch.equal(found.kspace, MEASURED.kspace)
        assert torch.equal(found.mask, MASK)


def test_zeros_around_a_volume_are_padding(tmp_path: Path) -> None:
    """Whatever the mask says, as of lines."""
    padded = torch.nn.functional.pad(torch.view_as_real(FULL.kspace[0]), (0, 0, 0, 0, 2, 3, 1, 4))
    layout = DatasetLayout('raw', AXES)
    for others in ({}, {'mask': np.ones((17, 31), bool)}):
        path = plain(tmp_path / 'a.h5', raw=torch.view_as_complex(padded).numpy(), **others)
        assert torch.equal(load_scan(path, layout=layout).mask, torch.nn.functional.pad(FULL.mask, (2, 3, 1, 4)))


def test_a_plane_of_two_phase_axes_is_a_volume_with_a_readout_of_one_sample(tmp_path: Path) -> None:
    """Hybrid space: its readout may be an axis of length 1, or left out."""
    plane, mask = random_kspace(8, 230, 180, 1), every_second(230, 180)
    plane = torch.where(mask[..., None], plane, 0)
    for axes, stored in [('coil,kz,ky,kx', plane), ('coil,kz,ky', plane[..., 0]), ('ky,coil,kz', plane[..., 0])]:
        order = [AXES.index(axis) for axis in axes.split(',')]
        path = plain(tmp_path / 'a.h5', kspace=stored.permute(order).numpy(), mask=mask.numpy())
        with h5py.File(path, 'r+') as file:
            file['kspace'].attrs['axes'] = axes
        for found in (open_scan(path), open_scan(path, DatasetLayout('kspace', tuple(axes.split(','))))):
            assert found.shape == (1, 8, 230, 180, 1)
            assert torch.equal(found.read().kspace[0], plane)
            assert torch.equal(found.read().mask, mask)


def test_a_volume_may_have_one_partition(tmp_path: Path) -> None:
    """Its mask keeps that axis, whether or not the file's mask has it."""
    one = torch.arange(26)[None] % 2 == 0
    for mask in (one, one[0]):
        path = plain(tmp_path / 'a.h5', kspace=np.where(one[..., None], FULL.kspace[0, :, :1], 0), mask=mask.numpy())
        assert torch.equal(load_scan(path, layout=DatasetLayout('kspace', AXES)).mask, one)


def test_what_does_not_fit_a_volume_is_refused(tmp_path: Path) -> None:
    mask, broken = MASK.numpy(), KSPACE.copy()
    broken[2, 4, 6, 8] = np.nan
    for datasets, message in [
        ({'kspace': KSPACE}, r'lines \(kz, ky\) hold only zeros \(the first is line \[0, 1\]\) .* --mask zeros'),
        ({'kspace': KSPACE, 'mask': mask[:, :20]}, r'must have axes \(kz, ky\) of size \(12, 26\), got \(12, 20'),
        ({'kspace': KSPACE, 'mask': mask | True}, r'lines \(kz, ky\) \[\[0, 1\], .* are marked as measured'),
        ({'kspace': broken, 'mask': mask}, 'partition 4: 1 samples are NaN or infinite, the first in coil 2, line 6'),
        ({'kspace': KSPACE[0], 'mask': mask}, r'kspace has 3 axes \(12, 26, 20\), but 4 are named: coil,kz,ky,kx'),
        ({'kspace': KSPACE[:, :0], 'mask': mask}, 'kspace is empty'),
    ]:
        with pytest.raises(ScanError, match=message):
            load_scan(plain(tmp_path / 'a.h5', **datasets), layout=DatasetLayout('kspace', AXES))


def test_a_volume_in_fastmri_layout_is_told_apart(tmp_path: Path) -> None:
    path = plain(tmp_path / 'a.h5', kspace=KSPACE, mask=MASK.numpy())
    with pytest.raises(ScanError, match='if this is a volume, name its axes: --dataset NAME --axes coil,kz,ky,kx'):
        open_scan(path).read([0])


@pytest.mark.parametrize('axes', ['coil,kz,kx', 'slice,coil,kz,ky,kx', 'coil,ky', ''])
def test_axes_in_the_file_that_make_no_sense_are_refused(tmp_path: Path, axes: str) -> None:
    path = plain(tmp_path / 'a.h5', kspace=KSPACE)
    with h5py.File(path, 'r+') as file:
        file['kspace'].attrs['axes'] = axes
    with pytest.raises(ScanError, match='attribute axes of kspace: axes must name coil, ky and kx'):
        open_scan(path)


@pytest.mark.parametrize(
    ('name', 'values', 'message'),
    [
        ('reference', KSPACE[:, :5], 'reference must have the shape of kspace'),
        ('reference', KSPACE[0], 'reference has 3 axes'),
        ('noise', np.full((4, 5), np.nan + 0j), 'noise: 20 samples are NaN or infinite'),
        ('noise', np.ones((4, 5)), 'noise must hold complex samples'),
        ('noise', KSPACE[:3, 0, 0], 'noise must have axes .* with 4 coils'),
    ],
)
def test_what_is_beside_a_volume_must_fit_it(tmp_path: Path, name: str, values: np.ndarray, message: str) -> None:
    path = tmp_path / 'a.h5'
    write_scan(path, MEASURED, {})
    with h5py.File(path, 'r+') as file:
        del file[name]
        file[name] = values
    with pytest.raises(ScanError, match=message):
        load_scan(path)


def test_a_volume_beyond_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file.create_dataset('kspace', (64, 4096, 4096, 4096), 'c8').attrs['axes'] = 'coil,kz,ky,kx'
    with pytest.raises(
        ResourceError, match=r'a volume of 64 x 4096 x 4096 x 4096 .* is read whole and needs 281476\.2 GB'
    ):
        open_scan(tmp_path / 'a.h5')


def test_only_one_volume_is_written_into_a_file(tmp_path: Path) -> None:
    twice = replace(FULL, kspace=FULL.kspace.expand(2, -1, -1, -1, -1), reference=None)
    for scan in (twice, replace(FULL, calibration=FULL.kspace)):
        with pytest.raises(ScanError, match='a file holds one volume without separate calibration'):
            write_scan(tmp_path / 'a.h5', scan, {})
    assert list(tmp_path.iterdir()) == []
