"""ISMRMRD files with a second phase-encoding axis."""

from collections.abc import Iterable
from pathlib import Path

import ismrmrd
import pytest
import torch

from raki.data.lattice import VolumeSampling, undersample_volume
from raki.data.load import load_scan, load_volume, open_scan
from raki.data.volume import Volume
from raki.errors import SamplingError, ScanError
from raki.fourier import image_from_kspace
from tests.test_ismrmrd import FULLY, N_COILS, N_LINES, N_SAMPLES, Line, write
from tests.toys import random_kspace

N_PARTITIONS = 6
VOLUME = random_kspace(N_COILS, N_PARTITIONS, N_LINES, N_SAMPLES)
FULL_MASK = torch.ones(N_PARTITIONS, N_LINES, dtype=torch.bool)


def lines_of(positions: Iterable[tuple[int, int]], flags: tuple[int, ...] = (), first: int = 0) -> list[Line]:
    """Acquisitions at (kz, ky); `first` is the counter of the first partition."""
    return [
        Line(ky, flags, VOLUME[:, kz, ky].numpy(), counters=(('kspace_encode_step_2', kz + first),))
        for kz, ky in positions
    ]


def positions(mask: torch.Tensor) -> list[tuple[int, int]]:
    return [(kz, ky) for kz, ky in mask.nonzero().tolist()]


def test_fully_sampled_kz_is_read_as_slices(tmp_path: Path) -> None:
    file = open_scan(write(tmp_path / 'a.h5', lines_of(positions(FULL_MASK)), z=N_PARTITIONS))
    assert file.shape == (N_PARTITIONS, N_COILS, N_LINES, N_SAMPLES)
    scan = file.read()
    assert scan.voxel_size == pytest.approx((0.02, 0.02))
    expected = image_from_kspace(VOLUME, (-3, -2, -1)).transpose(0, 1)
    torch.testing.assert_close(image_from_kspace(scan.kspace), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(file.read([2, 4]).kspace, scan.kspace[[2, 4]])


def test_a_slab_wider_than_wanted_is_cut(tmp_path: Path) -> None:
    """Slice oversampling: 6 partitions over 7.5 mm, of which 5 mm are wanted, are the 4 slices in the middle."""
    path = write(tmp_path / 'a.h5', lines_of(positions(FULL_MASK)), z=N_PARTITIONS, depth=7.5)
    slices = load_scan(path).kspace
    volume = load_volume(path)
    assert volume.image_shape == (4, N_LINES, N_SAMPLES)
    assert volume.voxel_size == pytest.approx((0.00125, 0.02, 0.02))
    assert torch.equal(slices, Volume(volume.kspace, volume.mask).as_slices().kspace[1:5])


def test_an_undersampled_ky_goes_the_way_of_all_slices(tmp_path: Path) -> None:
    mask = undersample_volume(FULL_MASK, (1, 3), 0, (N_PARTITIONS, 4)).mask
    scan = load_scan(write(tmp_path / 'a.h5', lines_of(positions(mask)), z=N_PARTITIONS))
    assert torch.equal(scan.mask, mask[0])


def test_two_accelerated_axes_are_read_as_a_volume(tmp_path: Path) -> None:
    """Calibration-only acquisitions between lattice partitions belong to k-space where the header says embedded."""
    sampling = undersample_volume(FULL_MASK, (2, 2), 1, (3, 4))
    lattice = sampling.lattice.on((N_PARTITIONS, N_LINES))
    acquisitions = [
        *lines_of(positions(lattice)),
        *lines_of(positions(sampling.mask & ~lattice), (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,)),
    ]
    path = write(tmp_path / 'a.h5', acquisitions, z=N_PARTITIONS)
    volume = load_volume(path)
    assert VolumeSampling.from_mask(volume.mask).lattice == sampling.lattice
    assert torch.equal(volume.kspace, VOLUME * sampling.mask[..., None])
    with pytest.raises(SamplingError, match=r'use raki reconstruct, or raki\.load_volume and raki\.reconstruct_vol'):
        load_scan(path)


def test_partitions_lie_where_the_centre_of_the_header_says(tmp_path: Path) -> None:
    """Without a stated centre it is n//2; a partition beyond the matrix is refused."""
    with pytest.raises(ScanError, match='partition 6, repetition 0 lies outside the encoded matrix of 6 partitions'):
        load_volume(write(tmp_path / 'a.h5', lines_of(positions(FULL_MASK), first=1), z=N_PARTITIONS))


def test_one_phase_encoding_axis_is_no_volume(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match='ISMRMRD HDF5 with one phase-encoding axis is no volume: use load_scan'):
        load_volume(write(tmp_path / 'a.h5', FULLY))
