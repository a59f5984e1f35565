"""Volumes: the domain type, and simulated ones."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from raki.coils.noise import noise_covariance
from raki.data.phantoms import birdcage_maps
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.errors import ResourceError, SamplingError, ScanError
from raki.fourier import image_from_kspace
from tests.toys import random_kspace

SMALL = Simulation((10, 24, 18), n_coils=4, noise=0.01, seed=3)


def test_the_same_seed_gives_the_same_volume() -> None:
    first, second = simulate(SMALL), simulate(SMALL)
    assert torch.equal(first.kspace, second.kspace)
    assert first.kspace.shape == (1, 4, 10, 24, 18)
    assert first.mask.shape == (10, 24)
    assert bool(first.mask.all())


def test_noise_samples_have_the_covariance_of_the_noise_in_k_space() -> None:
    volume = simulate(Simulation((20, 24, 18), n_coils=4, noise=0.01, seed=3))
    assert volume.reference is not None
    assert volume.noise is not None
    seen = noise_covariance((volume.kspace - volume.reference)[0].flatten(1))
    told = noise_covariance(volume.noise)
    assert float((seen - told).norm() / told.norm()) < 0.05
    peak = image_from_kspace(volume.reference, (-3, -2, -1)).abs().square().sum(1).sqrt().max()
    assert float(told.diagonal().real.mean().sqrt() / peak) == pytest.approx(0.01, rel=0.05)


def test_coils_differ_along_every_axis() -> None:
    maps = birdcage_maps(8, (10, 24, 18))
    torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(10, 24, 18))
    for axis in (1, 2, 3):
        assert float((maps.narrow(axis, 0, 1) - maps.narrow(axis, -1, 1)).abs().max()) > 0.1


def test_coils_around_a_slice_are_straight_wires() -> None:
    """The field of one at w is i / conj(z - w) at z = x + i y; the coil at the angle a turns it back by a."""
    maps = birdcage_maps(5, (12, 8))
    place = (torch.arange(8) / 4 - 1) + 1j * (torch.arange(12) / 6 - 1)[:, None]
    turns = torch.polar(torch.ones(5), 2 * torch.pi * torch.arange(5) / 5)[:, None, None]
    fields = 1j / (place - 1.5 * turns).conj() / turns
    torch.testing.assert_close(maps, fields / fields.abs().square().sum(0).sqrt())


@pytest.mark.parametrize(('n_coils', 'shape'), [(8, (160, 128)), (5, (33, 27)), (7, (9, 11, 13)), (8, (10, 24, 18))])
def test_coils_are_those_of_sigpy(n_coils: int, shape: tuple[int, ...]) -> None:
    """Bit for bit, so that simulated scans are what they were while sigpy made their coils."""
    mri = pytest.importorskip('sigpy.mri')
    if len(shape) == 2:
        expected = torch.from_numpy(mri.birdcage_maps((n_coils, *shape)))
    else:
        sizes = n_coils, shape[1], shape[0], shape[2]
        expected = torch.from_numpy(mri.birdcage_maps(sizes, nzz=-(-n_coils // 2))).transpose(1, 2)
    assert torch.equal(birdcage_maps(n_coils, shape), expected.to(torch.complex64))


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'matrix': (0, 4, 4)}, 'must be positive, and noise from 0'),
        ({'matrix': (4, 4, 4), 'n_slices': 2}, 'a volume has partitions instead of slices, got 2 slices'),
        ({'noise': float('nan')}, 'noise from 0 to 1e'),
        ({'noise': float('inf')}, 'noise from 0 to 1e'),
        ({'noise': -1.0}, 'noise from 0 to 1e'),
        ({'matrix': (4,)}, r'must have 2 sizes \(ky, kx\), or 3'),
    ],
)
def test_settings_without_sense_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Simulation(**wrong)


@pytest.mark.parametrize('large', [{'n_coils': 10**9}, {'n_slices': 10**9}, {'matrix': (10**20, 9)}])
def test_what_memory_does_not_hold_is_not_begun(large: dict[str, Any]) -> None:
    with pytest.raises(ResourceError, match=r'the simulation needs .* GB at once'):
        simulate(Simulation(**large))


@pytest.mark.parametrize('matrix', [(23, 18, 1), (1, 20, 16), (3, 4, 5), (2, 3), (1, 1)])
def test_matrices_may_be_tiny(matrix: tuple[int, ...]) -> None:
    """A plane of hybrid space has a readout of one sample."""
    scan = simulate(Simulation(matrix, n_coils=3))
    assert scan.kspace.shape == (1, 3, *matrix)
    assert bool(torch.isfinite(scan.kspace.abs()).all())


def test_fully_sampled_kz_is_transformed_away() -> None:
    """Slices then are those of the three-dimensional image."""
    volume = simulate(SMALL)
    slices = volume.as_slices()
    assert slices.reference is not None
    assert (slices.n_slabs, slices.n_phase_axes, slices.noise) == (10, 1, volume.noise)
    torch.testing.assert_close(
        image_from_kspace(slices.kspace).transpose(0, 1), image_from_kspace(volume.kspace[0], (-3, -2, -1))
    )
    assert slices.as_slices() is slices
    mask = torch.zeros_like(volume.mask)
    mask[:, ::3] = True
    undersampled = Scan(volume.kspace * mask[..., None], mask, volume.kspace[..., :9, :], image_shape=(6, 24, 18))
    slices = undersampled.as_slices()
    assert torch.equal(slices.mask, mask[0])
    assert slices.calibration is not None
    assert (slices.n_slabs, slices.image_shape, slices.calibration.shape) == (6, (24, 18), (6, 4, 9, 18))


def test_volumes_become_slices_one_after_the_other() -> None:
    kspace, mask = random_kspace(2, 3, 4, 5, 6), torch.ones(4, 5, dtype=torch.bool)
    both, second = Scan(kspace, mask).as_slices(), Scan(kspace[1:], mask).as_slices()
    assert torch.equal(both.kspace[4:], second.kspace)


def test_kz_that_was_not_fully_sampled_stays() -> None:
    volume = simulate(SMALL)
    mask = torch.ones_like(volume.mask)
    mask[::2, ::2] = False
    with pytest.raises(SamplingError, match=r'all 10 partitions have the same lines, .* \[12, 24\] lines'):
        replace(volume, mask=mask).as_slices()
    with pytest.raises(SamplingError, match='calibration has 6 partitions'):
        replace(volume, calibration=volume.kspace[:, :, :6]).as_slices()
    nothing = replace(volume, mask=torch.zeros_like(mask))
    assert (nothing.has_full_kz, volume.has_full_kz, replace(volume, mask=mask).has_full_kz) == (False, True, False)


KSPACE = {1: random_kspace(1, 2, 4, 5), 2: random_kspace(1, 2, 3, 4, 5)}


@pytest.mark.parametrize('n_phase_axes', [1, 2])
def test_a_scan_whose_parts_do_not_match_is_refused(n_phase_axes: int) -> None:
    """Of one phase axis or two."""
    kspace = KSPACE[n_phase_axes]
    mask = torch.ones(kspace.shape[2:-1], dtype=torch.bool)
    names = {1: r'\(ky,\) of size \(4,\)', 2: r'\(kz, ky\) of size \(3, 4\)'}[n_phase_axes]
    assert Scan(kspace, mask, image_shape=tuple(kspace.shape[2:])).n_phase_axes == n_phase_axes
    wrong: dict[str, dict[str, Any]] = {
        r'complex with axes \(slab, coil, ky, kx\) or \(slab, coil, kz, ky, kx\), got': {'kspace': kspace[0, 0]},
        r'\(slab, coil, kz, ky, kx\), got torch.float32': {'kspace': kspace.real},
        rf'mask must be boolean with axes {names}, got torch.bool': {'mask': mask[:2]},
        rf'mask must be boolean with axes {names}, got torch.float32': {'mask': mask.float()},
        'noise must have axes .* with 2 coils': {'noise': random_kspace(3, 9)},
        'reference must have the shape': {'reference': kspace[:, :1]},
        'calibration must have . axes and the slabs and coils': {'calibration': kspace[:, :1]},
        'image_shape must have': {'image_shape': (4,)},
        'voxel_size must have': {'voxel_size': (4.0, 1.0, 1.0, 1.0)},
    }
    for message, parts in wrong.items():
        with pytest.raises(ScanError, match=message):
            Scan(**{'kspace': kspace, 'mask': mask, **parts})


def test_a_plane_is_one_slice_of_kz_and_ky() -> None:
    """A readout of one sample leaves nothing to see along x: the image has axes (z, y)."""
    kspace = random_kspace(1, 3, 6, 8, 1)
    plane = Scan(kspace, torch.ones(6, 8, dtype=torch.bool), image_shape=(4, 8, 1), voxel_size=(3.0, 2.0, 1.0))
    found = plane.as_slices()
    assert torch.equal(found.kspace, kspace[..., 0])
    assert (found.mask.tolist(), found.image_shape, found.voxel_size) == ([True] * 6, (4, 8), (3.0, 2.0))
    every_second = torch.arange(8).remainder(2).eq(0).expand(6, 8)
    assert not replace(plane, mask=every_second).has_full_kz
    with pytest.raises(SamplingError, match='reconstruct the volume as a whole'):
        replace(plane, mask=every_second).as_slices()
