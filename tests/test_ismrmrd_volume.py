"""ISMRMRD files with a second phase-encoding axis."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import ismrmrd
import pytest
import torch
from torch import Tensor

from raki.data.load import load_scan, open_scan
from raki.errors import SamplingError, ScanError
from raki.fourier import image_from_kspace
from tests.test_ismrmrd import N_COILS, N_LINES, N_SAMPLES, Line, write
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


def positions(mask: Tensor) -> list[tuple[int, int]]:
    return [(kz, ky) for kz, ky in mask.nonzero().tolist()]


def every_second() -> Tensor:
    """Every second position along both axes, shifted by one from partition to partition."""
    mask = torch.zeros_like(FULL_MASK)
    mask[::4, ::2] = True
    mask[2::4, 1::2] = True
    return mask


def test_a_volume_is_one_slab_of_a_repetition(tmp_path: Path) -> None:
    """Fully sampled kz can then be transformed away."""
    file = open_scan(write(tmp_path / 'a.h5', lines_of(positions(FULL_MASK)), z=N_PARTITIONS))
    assert file.shape == (1, N_COILS, N_PARTITIONS, N_LINES, N_SAMPLES)
    assert (file.n_slices, file.readout_is_rows) == (6, False)
    scan = file.read()
    assert torch.equal(scan.kspace[0], VOLUME)
    assert bool(scan.mask.all())
    slices = scan.as_slices()
    assert slices.voxel_size == pytest.approx((0.02, 0.02))
    expected = image_from_kspace(VOLUME, (-3, -2, -1)).transpose(0, 1)
    torch.testing.assert_close(image_from_kspace(slices.kspace), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ScanError, match='no volume 1; the file has volumes 0 to 0'):
        file.read([1])


def test_a_slab_wider_than_wanted_is_cut(tmp_path: Path) -> None:
    """Slice oversampling: 6 partitions over 7.5 mm, of which 5 mm are wanted, are the 4 slices in the middle."""
    file = open_scan(write(tmp_path / 'a.h5', lines_of(positions(FULL_MASK)), z=N_PARTITIONS, depth=7.5))
    volume = file.read()
    assert volume.image_shape == file.image_shape == (4, N_LINES, N_SAMPLES)
    assert file.n_slices == 4
    assert volume.voxel_size == pytest.approx((0.00125, 0.02, 0.02))
    assert torch.equal(volume.as_slices().kspace, replace(volume, image_shape=None).as_slices().kspace[1:5])
    with pytest.raises(ScanError, match='no slice 4; the file has slices 0 to 3'):
        file.require_known([4])


def test_an_undersampled_ky_goes_the_way_of_all_slices(tmp_path: Path) -> None:
    mask = torch.zeros_like(FULL_MASK)
    mask[:, ::3] = True
    mask[:, 5:8] = True
    scan = load_scan(write(tmp_path / 'a.h5', lines_of(positions(mask)), z=N_PARTITIONS)).as_slices()
    assert torch.equal(scan.mask, mask[0])


def test_two_accelerated_axes_are_read_as_they_were_measured(tmp_path: Path) -> None:
    """Calibration-only acquisitions between lattice partitions belong to k-space where the header says embedded."""
    lattice, mask = every_second(), every_second()
    mask[2:5, 4:8] = True
    acquisitions = [
        *lines_of(positions(lattice)),
        *lines_of(positions(mask & ~lattice), (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,)),
    ]
    volume = load_scan(write(tmp_path / 'a.h5', acquisitions, z=N_PARTITIONS))
    assert torch.equal(volume.mask, mask)
    assert torch.equal(volume.kspace[0], VOLUME * mask[..., None])
    assert not volume.has_full_kz
    with pytest.raises(SamplingError, match='two axes are accelerated, so reconstruct the volume as a whole'):
        volume.as_slices()


def test_repetitions_of_a_volume_have_their_own_masks(tmp_path: Path) -> None:
    masks = [FULL_MASK, every_second()]
    acquisitions = [
        replace(line, counters=(*line.counters, ('repetition', repetition)))
        for repetition, mask in enumerate(masks)
        for line in lines_of(positions(mask))
    ]
    file = open_scan(write(tmp_path / 'a.h5', acquisitions, z=N_PARTITIONS))
    assert file.n_frames == 2
    for repetition, mask in enumerate(masks):
        volume = file.read(frame=repetition)
        assert torch.equal(volume.mask, mask)
        assert torch.equal(volume.kspace[0], VOLUME * mask[..., None])


def test_partitions_lie_where_the_centre_of_the_header_says(tmp_path: Path) -> None:
    """Without a stated centre it is n//2, or the only one that fits; a partition beyond the matrix is refused."""
    file = open_scan(write(tmp_path / 'a.h5', lines_of(positions(FULL_MASK), first=1), z=N_PARTITIONS))
    assert any(note.startswith('partition 4 is taken as the centre of k-space') for note in file.notes)
    assert torch.equal(file.read().kspace[0], VOLUME)
    more = [*lines_of(positions(FULL_MASK)), *lines_of([(0, 0)], first=6)]
    with pytest.raises(ScanError, match='repetition 0, partition 6 lies outside the encoded matrix of 6 partitions'):
        load_scan(write(tmp_path / 'b.h5', more, z=N_PARTITIONS))


def test_the_counter_of_partitions_means_nothing_in_a_slice(tmp_path: Path) -> None:
    scan = load_scan(write(tmp_path / 'a.h5', lines_of([(0, ky) for ky in range(N_LINES)], first=5)))
    assert torch.equal(scan.kspace[0], VOLUME[:, 0])
