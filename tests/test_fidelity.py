"""What low noise may cost, where the answer is known by construction."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from raki.coils.combine import matched_weights, root_sum_of_squares
from raki.data.lattice import Lattice
from raki.data.sampling import undersample
from raki.data.simulate import Simulation, simulate
from raki.evaluation.fidelity import PointResponse, ghost_index, noise_bias, noise_std, point_response
from raki.evaluation.metrics import object_mask
from raki.evaluation.noise_maps import NoiseMap
from raki.fourier import image_from_kspace, kspace_from_image
from tests.toys import lattice_with_acs, measured_only, random_kspace, sampled_volume

N_LINES, N_READOUT = 60, 44


def truth() -> Tensor:
    """Noise-free k-space, axes (coil, ky, kx)."""
    reference = simulate(Simulation((N_LINES, N_READOUT), n_coils=5)).reference
    assert reference is not None
    return reference[0]


def shifted(kspace: Tensor, shift: float) -> Tensor:
    """K-space of the images moved by a part of the field of view along y."""
    return kspace * torch.exp(-2j * torch.pi * shift * torch.arange(kspace.shape[1]))[:, None]


@pytest.mark.parametrize('acceleration', [2, 3, 4])
def test_a_pure_ghost_has_an_index_of_one(acceleration: int) -> None:
    sampling = lattice_with_acs(N_LINES, acceleration, 1, range(0))
    full = truth()
    for strength in (0.01, 0.3j):
        ghost = strength * shifted(full, 1 / acceleration)
        assert ghost_index(full + ghost, full, sampling) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize('acs', [range(0), range(22, 38)])
def test_zero_filling_leaves_nothing_but_ghosts(acs: range) -> None:
    full, sampling = truth(), lattice_with_acs(N_LINES, 3, 1, acs)
    assert ghost_index(torch.where(sampling.mask[:, None], full, 0), full, sampling) == pytest.approx(1, abs=1e-5)


def test_a_ghost_may_vary_smoothly_over_the_image() -> None:
    full, sampling = truth(), lattice_with_acs(N_LINES, 2, 0, range(0))
    strength = torch.cos(torch.pi * (torch.arange(N_LINES) + 0.5) / N_LINES)[:, None]
    ghost = kspace_from_image(strength * image_from_kspace(shifted(full, 0.5)))
    assert ghost_index(full + 0.1 * ghost, full, sampling) == pytest.approx(1, abs=1e-4)


def test_noise_is_no_ghost_whatever_its_map() -> None:
    """Even where noise is amplified exactly where copies of the object overlap."""
    full, sampling = truth(), lattice_with_acs(N_LINES, 3, 0, range(22, 38))
    amplified = root_sum_of_squares(image_from_kspace(shifted(full, 1 / 3)))
    noise = [image_from_kspace(random_kspace(*full.shape, seed=seed)) for seed in range(5)]
    every = [*noise, *(amplified * values for values in noise)]
    found = [ghost_index(full + kspace_from_image(values), full, sampling) for values in every]
    assert max(found) < 0.06
    assert sum(found) / len(found) < 0.03


def test_a_ghost_in_noise_has_its_share_of_the_energy() -> None:
    """1 - s / s_0 with s the noise, s_0 noise and ghost less what the unshifted object explains of it."""
    full, sampling = truth(), lattice_with_acs(N_LINES, 2, 0, range(0))
    conjugate = matched_weights(image_from_kspace(full)).conj()
    ghost, noise = shifted(full, 0.5), random_kspace(*full.shape, seed=3)
    copy, object_ = ((conjugate * image_from_kspace(k)).sum(0).flatten().to(torch.complex128) for k in (ghost, full))
    y, x = (torch.cos(torch.pi * torch.outer((torch.arange(n) + 0.5) / n, torch.arange(3.0))) for n in (60, 44))
    smooth = torch.einsum('ya,xb->yxab', y, x).flatten(0, 1).flatten(1)
    columns = object_[:, None] * smooth
    left = copy - columns @ torch.linalg.lstsq(columns, copy[:, None], driver='gelsd').solution[:, 0]
    strength = 0.2
    scale = strength * left.norm() / (noise.norm() / math.sqrt(len(full)))  # as much ghost as noise
    found = ghost_index(full + strength * ghost + float(scale) * noise, full, sampling)
    assert found == pytest.approx(0.5, abs=0.05)


def test_lost_intensity_is_no_ghost_and_a_perfect_result_has_none() -> None:
    full, sampling = truth(), lattice_with_acs(N_LINES, 3, 0, range(0))
    assert ghost_index(full, full, sampling) == 0
    assert ghost_index(0.7 * full, full, sampling) == pytest.approx(0, abs=1e-3)
    rate_one = lattice_with_acs(N_LINES, 1, 0, range(0))
    assert ghost_index(full + random_kspace(*full.shape), full, rate_one) == 0


def response(fill: Callable[[Tensor], Tensor], filled: Tensor, full: Tensor) -> PointResponse:
    """What becomes of points in the object where all lines are measured."""
    inside, mask = object_mask(root_sum_of_squares(image_from_kspace(full))), torch.ones(N_LINES, dtype=torch.bool)
    return point_response(fill, full, filled, full, inside, mask)


def test_points_come_back_from_a_perfect_reconstruction() -> None:
    full = truth()
    found = response(lambda kspace: kspace, full, full)
    assert len(found.places) == 9
    assert len(set(found.places[:, 1].tolist())) == 9
    torch.testing.assert_close(found.peak, torch.ones(9), rtol=1e-3, atol=0)
    torch.testing.assert_close(found.width, torch.ones(9), rtol=1e-3, atol=0)
    image = root_sum_of_squares(image_from_kspace(full))
    assert float(image[tuple(found.places.T)].min()) > 0.05 * float(image.max())


def test_shrinking_shows_in_the_peak_and_zero_filling_has_its_share_of_lines() -> None:
    full, sampling = truth(), lattice_with_acs(N_LINES, 3, 0, range(0))
    shrunk = response(lambda kspace: 0.6 * kspace, 0.6 * full, full)
    torch.testing.assert_close(shrunk.peak, torch.full((9,), 0.6), rtol=1e-3, atol=0)

    def zero_filled(kspace: Tensor) -> Tensor:
        return torch.where(sampling.mask[:, None], kspace, 0)

    found = response(zero_filled, zero_filled(full), full)
    assert float(found.peak.mean()) == pytest.approx(1 / 3, abs=0.15)


@pytest.mark.parametrize('part', [0.0, 0.4, 1.0])
def test_retained_is_the_part_of_what_zero_filling_loses(part: float) -> None:
    """A reconstruction that is a part of the way from zero filling to the truth retains that part of each point."""
    full, sampling = truth(), lattice_with_acs(N_LINES, 3, 0, range(22, 38))

    def fill(kspace: Tensor) -> Tensor:
        return torch.lerp(measured_only(kspace, sampling), kspace, part)

    inside = object_mask(root_sum_of_squares(image_from_kspace(full)))
    found = point_response(fill, full, fill(full), full, inside, sampling.mask)
    torch.testing.assert_close(found.retained, torch.full((9,), part), rtol=0, atol=5e-3)  # weights change
    assert float(found.measured.mean()) == pytest.approx(float(sampling.mask.double().mean()), abs=0.1)


@pytest.mark.parametrize('part', [0.5, 0.75])
def test_the_width_is_the_resolution(part: float) -> None:
    """Keeping the central half of the lines doubles the width, but where the combination varies over a point."""
    full = truth()
    offset = (torch.arange(N_LINES) - N_LINES // 2 + 0.5).abs()
    kept = (offset < part * N_LINES / 2)[:, None]
    found = response(lambda kspace: kspace * kept, full * kept, full)
    assert float(found.width.median()) == pytest.approx(1 / part, rel=0.05)
    torch.testing.assert_close(found.peak.mean(), torch.tensor(part), rtol=0.05, atol=0)


def test_noise_and_bias_are_on_the_scale_of_the_error() -> None:
    """A std of 2 and a bias of 3 in an object of 10, in 101 replicas: the bias loses the 4 / 101 that scatter gives."""
    inside = torch.ones(4, 5, dtype=torch.bool)
    inside[0] = False
    std, bias = (torch.where(inside, value, 99.0) for value in (2.0, 3.0))
    noise = NoiseMap(std, std, 2.0, 101, 0.1, bias)
    reference = torch.full((4, 5), 10.0)
    assert noise_std(noise, reference, inside) == pytest.approx(0.2)
    assert noise_bias(noise, reference, inside) == pytest.approx(((9 - 4 / 101) / 100) ** 0.5)
    assert noise_bias(replace(noise, bias=None), reference, inside) is None


def test_empty_lines_beyond_the_acquired_range_are_nobodys_ghost() -> None:
    full, measured = truth(), torch.arange(N_LINES) >= 12
    sampling = undersample(measured, (2,), (16,))
    filled = full * measured[:, None]
    assert ghost_index(filled, full, sampling) == 0


VOLUME = (24, 30, 20)


@cache
def true_volume() -> Tensor:
    """Noise-free k-space, axes (coil, kz, ky, kx)."""
    reference = simulate(Simulation(VOLUME, n_coils=4)).reference
    assert reference is not None
    return reference[0]


LATTICES = [
    pytest.param(Lattice.of((2, 2)), id='2x2'),
    pytest.param(Lattice.of((2, 2), 1, (1, 0)), id='2x2-shift-1'),
    pytest.param(Lattice.of((1, 3), 2, (0, 1)), id='1x3-shift-2'),
    pytest.param(Lattice.of((3, 2), 1), id='3x2-shift-1'),
]


@pytest.mark.parametrize('lattice', LATTICES)
def test_a_ghost_of_a_volume_is_one_along_both_axes(lattice: Lattice) -> None:
    """Copies that zero filling would leave, and any one of them, are shifted to where the lattice says."""
    full, sampling = true_volume(), sampled_volume(VOLUME[:2], lattice, (range(0), range(0)))
    assert ghost_index(measured_only(full, sampling), full, sampling) == pytest.approx(1, abs=1e-5)
    (n_partitions, shift), (_, n_lines) = lattice.basis
    kz, ky = torch.meshgrid(*map(torch.arange, VOLUME[:2]), indexing='ij')
    turn = ky / n_lines - kz * shift / (n_partitions * n_lines)  # whole from one lattice point to another
    ghost = full * torch.exp(2j * torch.pi * turn)[..., None]
    assert ghost_index(full + 0.1 * ghost, full, sampling) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize('lattice', LATTICES)
def test_noise_in_a_volume_is_no_ghost(lattice: Lattice) -> None:
    full, sampling = true_volume(), sampled_volume(VOLUME[:2], lattice, (range(8, 16), range(9, 21)))
    found = [ghost_index(full + random_kspace(*full.shape, seed=seed), full, sampling) for seed in range(3)]
    assert max(found) < 0.05
    bare = sampled_volume(VOLUME[:2], lattice, (range(0), range(0)))
    assert ghost_index(0.7 * full, full, bare) == pytest.approx(0, abs=1e-3)


def test_one_partition_has_the_ghosts_of_lines() -> None:
    full, sampling = truth(), lattice_with_acs(N_LINES, 3, 1, range(22, 38))
    volume = sampled_volume((1, N_LINES), Lattice.of((1, 3), first=(0, 1)), (range(1), range(22, 38)))
    ghost, noise = full - measured_only(full, sampling), random_kspace(*full.shape)
    error = ghost + 0.5 * float(ghost.norm() / noise.norm()) * noise
    expected = ghost_index(full + error, full, sampling)
    assert 0.05 < expected < 0.95
    assert ghost_index((full + error)[:, None], full[:, None], volume) == pytest.approx(expected, abs=0.02)


def volume_response(fill: Callable[[Tensor], Tensor]) -> PointResponse:
    full = true_volume()
    inside = object_mask(root_sum_of_squares(image_from_kspace(full, (-3, -2, -1))))
    return point_response(fill, full, fill(full), full, inside, torch.ones(VOLUME[:2], dtype=torch.bool))


def test_points_of_a_volume_come_back_from_a_perfect_reconstruction() -> None:
    found = volume_response(lambda kspace: kspace)
    assert found.places.shape == (9, 3)
    assert bool((found.places >= 0).all())
    assert bool((found.places < torch.tensor(VOLUME)).all())
    assert len(set(found.places[:, 0].tolist())) > 3
    torch.testing.assert_close(found.peak, torch.ones(9), rtol=2e-3, atol=0)
    torch.testing.assert_close(found.width, torch.ones(9), rtol=2e-3, atol=0)


def test_points_of_a_volume_shrink_and_blur_as_it_does() -> None:
    shrunk = volume_response(lambda kspace: 0.6 * kspace)
    torch.testing.assert_close(shrunk.peak, torch.full((9,), 0.6), rtol=2e-3, atol=0)
    kept = ((torch.arange(VOLUME[1]) - VOLUME[1] // 2 + 0.5).abs() < VOLUME[1] / 4)[:, None]
    blurred = volume_response(lambda kspace: kspace * kept)
    assert float(blurred.width.median()) == pytest.approx(2, rel=0.1)
    torch.testing.assert_close(blurred.peak.mean(), torch.tensor(0.5), rtol=0.1, atol=0)
