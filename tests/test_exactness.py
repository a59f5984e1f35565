"""GRAPPA on sources that determine the target: exact everywhere, edges included, on every lattice."""

import pytest
import torch
from torch import Tensor

from raki.data.lattice import Lattice
from raki.data.sampling import Sampling
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method
from raki.interpolation.fit import fit
from raki.interpolation.neighbours import Kernel
from tests.toys import largest_error as error_of
from tests.toys import lattice_with_acs, measured_only, plane_wave, point_sources, sampled_volume

LINES = [Lattice.of((rate,), first=(first,)) for rate in range(2, 7) for first in range(rate)]
KERNELS = [Kernel(4, 5), Kernel(2, 3), Kernel(3, 7), Kernel(5, 4)]
PLANES = [
    Lattice.of((rate // n_lines, n_lines), shift)
    for rate in range(2, 7)
    for n_lines in range(1, rate + 1)
    if rate % n_lines == 0
    for shift in range(n_lines)
]
"""All CAIPI lattices with R up to 6."""

OFFSETS = [
    Lattice(lattice.basis, (z, y))
    for lattice in PLANES
    if lattice.rate <= 4
    for z in range(lattice.spacing[0])
    for y in range(lattice.spacing[1])
]
SMALL = Grappa(Kernel(2, 3), regularization=1e-9)
SHAPES = [(17, 28, 13), (18, 29, 12)]
ACS = (range(3, 15), range(4, 24))


def largest_error(full: Tensor, sampling: Sampling, method: Method, calibration: Tensor | None = None) -> float:
    """Largest deviation of any sample that is filled in, relative to the largest sample."""
    measured = measured_only(full, sampling)
    filled = fit(method, measured, sampling, calibration).fill(measured)
    return error_of(filled, full)


@pytest.mark.parametrize('n_lines', [53, 54])
@pytest.mark.parametrize('lattice', LINES, ids=str)
def test_a_plane_wave_is_filled_in_exactly(lattice: Lattice, n_lines: int) -> None:
    """Default settings; the last lattice line must leave a margin narrower than R, so all lines are filled."""
    full, sampling = plane_wave(6, n_lines, 31), sampled_volume((n_lines,), lattice, (range(14, 40),))
    assert Sampling.from_mask(sampling.mask).filled == (range(n_lines),)
    assert largest_error(full, sampling, Grappa()) < 1e-4


@pytest.mark.parametrize('kernel', KERNELS, ids=str)
@pytest.mark.parametrize('lattice', LINES, ids=str)
def test_noise_free_low_rank_is_filled_in_exactly(lattice: Lattice, kernel: Kernel) -> None:
    """Four points seen by eight coils: one line of sources determines the rest, so even the margins are exact."""
    full, sampling = point_sources(4, 8, 54, 31), sampled_volume((54,), lattice, (range(14, 44),))
    assert largest_error(full, sampling, Grappa(kernel, regularization=1e-9)) < 1e-4


@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('lattice', [*OFFSETS, *PLANES[-18:]], ids=lambda lattice: f'{lattice} {lattice.first}')
def test_noise_free_low_rank_is_filled_in_exactly_on_two_axes(lattice: Lattice, shape: tuple[int, ...]) -> None:
    """Every lattice with R up to 6, at every offset up to R=4; one position of sources determines the rest."""
    full, sampling = point_sources(4, 6, *shape), sampled_volume(shape[:2], lattice, ACS)
    read = Sampling.from_mask(sampling.mask)
    assert read.filled == tuple(map(range, shape[:2]))
    assert torch.equal(read.points, sampling.points)
    assert largest_error(full, sampling, SMALL) < 1e-4


@pytest.mark.parametrize('is_embedded', [True, False], ids=['embedded', 'separate'])
@pytest.mark.parametrize('lattice', PLANES, ids=str)
def test_a_plane_wave_is_filled_in_exactly_on_two_axes(lattice: Lattice, is_embedded: bool) -> None:
    """Default settings, on all CAIPI lattices with R up to 6."""
    full = plane_wave(3, 22, 31, 14)
    sampling = sampled_volume((22, 31), lattice, (range(3, 19), range(5, 27)) if is_embedded else (range(0), range(0)))
    calibration = None if is_embedded else full[:, 3:19, 5:27]
    assert largest_error(full, sampling, Grappa(), calibration) < 1e-4


@pytest.mark.parametrize('step', [1, -1])
@pytest.mark.parametrize(
    ('shape', 'lattice', 'acs', 'axis'),
    [
        pytest.param((54, 31), Lattice.of((3,), first=(1,)), (range(14, 40),), 1, id='lines'),
        pytest.param(SHAPES[0], Lattice.of((2, 2), 1), ACS, 1, id='kz'),
        pytest.param(SHAPES[0], Lattice.of((2, 2), 1), ACS, 2, id='ky'),
    ],
)
def test_the_exactness_test_notices_a_position_shifted_by_one(
    shape: tuple[int, ...], lattice: Lattice, acs: tuple[range, ...], axis: int, step: int
) -> None:
    full, sampling = point_sources(4, 6, *shape), sampled_volume(shape[:-1], lattice, acs)
    interpolator = fit(SMALL, full, sampling)
    assert error_of(interpolator.fill(full.roll(step, dims=axis)), full) > 0.1


def test_the_exactness_test_notices_another_caipi_shift() -> None:
    full = point_sources(4, 6, *SHAPES[0])
    shifted, other = (sampled_volume(SHAPES[0][:2], Lattice.of((2, 3), shift), ACS) for shift in (1, 2))
    assert error_of(fit(SMALL, full, shifted).fill(measured_only(full, other)), full) > 0.1


def test_fewer_lattice_lines_than_the_kernel_has_are_still_filled_in_exactly() -> None:
    full = plane_wave(6, 30, 31)
    sampling = sampled_volume((30,), Lattice.of((10,), first=(3,)), (range(0),))
    assert largest_error(full, sampling, Grappa(), plane_wave(6, 60, 31)[:, :40]) < 1e-4


def test_lines_beyond_the_acquired_range_stay_empty() -> None:
    """Partial Fourier: a margin of R lines or more is not invented."""
    full, mask = plane_wave(6, 54, 31), lattice_with_acs(54, 3, 1, range(14, 38)).mask
    mask[38:] = False
    sampling = Sampling.from_mask(mask)
    filled = fit(Grappa(), full, sampling).fill(full)
    assert sampling.filled == (range(38),)
    assert not bool(filled[:, 38:].any())
    assert error_of(filled[:, :38], full[:, :38]) < 1e-4


@pytest.mark.parametrize('lattice', [lattice for lattice in PLANES if lattice.rate in (4, 6)], ids=str)
def test_positions_beyond_the_acquired_range_stay_empty(lattice: Lattice) -> None:
    """Partial Fourier on both axes: a margin as wide as the spacing or wider is not invented."""
    full = point_sources(4, 6, 24, 37, 12)
    inside = range(18), range(8, 37)
    sampling = sampled_volume((24, 37), lattice, (range(3, 15), range(9, 29)), inside)
    filled = fit(SMALL, measured_only(full, sampling), sampling).fill(full)
    box = slice(None), slice(18), slice(8, None)
    assert error_of(filled[box], full[box]) < 1e-4
    filled[box] = 0
    assert not bool(filled.any())
