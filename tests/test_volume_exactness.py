"""GRAPPA with two accelerated axes on sources that determine the target: exact everywhere, edges included."""

import pytest
import torch
from torch import Tensor

from raki.data.lattice import Lattice, VolumeSampling
from raki.data.sampling import Sampling
from raki.grappa.method import Grappa
from raki.interpolation.fit import fit
from raki.interpolation.kernel import Kernel
from raki.interpolation.volume import fit_volume
from tests.toys import point_sources_volume, random_kspace, sampled_volume

RATES = [(1, 4), (2, 2), (2, 3), (3, 2)]
SHIFTED = [(rate, shift) for rate in RATES for shift in range(rate[1])]
LATTICES = [Lattice(rate, shift, (z, y)) for rate, shift in SHIFTED for z in range(rate[0]) for y in range(rate[1])]
SIZES = [(15, 22, 13), (16, 23, 12)]
ACS = (range(4, 13), range(4, 19))
SMALL = Grappa(Kernel(2, 3, partitions=2), regularization=1e-9)


def filled(full: Tensor, sampling: VolumeSampling, method: Grappa, *, knows_edges: bool) -> Tensor:
    """Fit on the ACS of a full volume, and fill what its sampling leaves."""
    measured = torch.where(sampling.mask[..., None], full, 0)
    interpolator = fit_volume(method, sampling.acs_block(full), sampling, measured if knows_edges else None)
    return interpolator.fill(measured)


def largest_error(found: Tensor, full: Tensor) -> float:
    """Largest deviation of any sample, relative to the largest sample."""
    return float((found - full).abs().max() / full.abs().max())


@pytest.mark.parametrize('shape', SIZES)
@pytest.mark.parametrize('lattice', LATTICES, ids=str)
def test_noise_free_low_rank_is_filled_in_exactly(lattice: Lattice, shape: tuple[int, int, int]) -> None:
    """Four points seen by six coils: one position of sources determines the rest, so even the margins are exact."""
    full = point_sources_volume(4, 6, shape)
    sampling = sampled_volume(shape, lattice, ACS)
    assert VolumeSampling.from_mask(sampling.mask).filled == (range(shape[0]), range(shape[1]))
    assert largest_error(filled(full, sampling, SMALL, knows_edges=True), full) < 1e-4


@pytest.mark.parametrize('knows_edges', [True, False])
@pytest.mark.parametrize(('rate', 'shift'), SHIFTED)
def test_a_plane_wave_is_filled_in_exactly(rate: tuple[int, int], shift: int, knows_edges: bool) -> None:
    """Default settings."""
    full = point_sources_volume(1, 3, (16, 31, 22))
    sampling = sampled_volume((16, 31, 22), Lattice(rate, shift, (rate[0] - 1, 1)), (range(3, 13), range(6, 26)))
    assert largest_error(filled(full, sampling, Grappa(), knows_edges=knows_edges), full) < 1e-4


@pytest.mark.parametrize('axis', [1, 2])
@pytest.mark.parametrize('step', [1, -1])
def test_the_exactness_test_notices_a_position_shifted_by_one(axis: int, step: int) -> None:
    full = point_sources_volume(4, 6, SIZES[0])
    sampling = sampled_volume(SIZES[0], Lattice((2, 2), 1), ACS)
    interpolator = fit_volume(SMALL, sampling.acs_block(full), sampling)
    assert largest_error(interpolator.fill(full.roll(step, dims=axis)), full) > 0.1


def test_the_exactness_test_notices_another_caipi_shift() -> None:
    full = point_sources_volume(4, 6, SIZES[0])
    shifted, other = (sampled_volume(SIZES[0], Lattice((2, 3), shift), ACS) for shift in (1, 2))
    interpolator = fit_volume(SMALL, shifted.acs_block(full), shifted)
    assert largest_error(interpolator.fill(torch.where(other.mask[..., None], full, 0)), full) > 0.1


@pytest.mark.parametrize(('rate', 'shift'), SHIFTED)
def test_positions_beyond_the_acquired_range_stay_empty(rate: tuple[int, int], shift: int) -> None:
    """Partial Fourier on both axes: a margin as wide as the spacing or wider is not invented."""
    full = point_sources_volume(4, 6, (18, 31, 12))
    inside = range(14), range(5, 31)
    sampling = sampled_volume((18, 31, 12), Lattice(rate, shift), (range(3, 12), range(9, 24)), inside)
    found = filled(full, sampling, SMALL, knows_edges=True)
    box = slice(None), slice(14), slice(5, None)
    assert largest_error(found[box], full[box]) < 1e-4
    found[box] = 0
    assert not bool(found.any())


@pytest.mark.parametrize('first', [0, 3])
def test_one_partition_is_filled_in_as_lines_are(first: int) -> None:
    """One accelerated axis is a lattice with one partition: the same numbers as from `raki.fit`."""
    full = point_sources_volume(9, 4, (1, 54, 31)) + 0.1 * random_kspace(4, 1, 54, 31)
    sampling = sampled_volume((1, 54), Lattice((1, 4), 0, (0, first)), (range(1), range(15, 40)))
    lines = Sampling.from_mask(sampling.mask[0])
    method = Grappa(regularization=1e-3)
    expected = fit(method, full[:, 0, 15:40], lines).fill(full[:, 0])
    found = fit_volume(method, full[:, :, 15:40], sampling).fill(full)
    torch.testing.assert_close(found[:, 0], expected, rtol=1e-4, atol=1e-4)
