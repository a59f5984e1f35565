"""GRAPPA on sources that determine the target: exact everywhere, edges included."""

import pytest
import torch
from torch import Tensor

from raki.data.sampling import Sampling
from raki.grappa.method import Grappa
from raki.interpolation.fit import fit
from raki.interpolation.kernel import Kernel
from tests.toys import acs_of, lattice_with_acs, measured_only, plane_wave, point_sources

LATTICES = [(rate, first) for rate in range(2, 7) for first in range(rate)]
KERNELS = [Kernel(4, 5), Kernel(2, 3), Kernel(3, 7), Kernel(5, 4)]


def largest_error(full: Tensor, sampling: Sampling, method: Grappa, *, knows_edges: bool) -> float:
    """Largest deviation of any sample, relative to the largest sample."""
    measured = measured_only(full, sampling)
    filled = fit(method, acs_of(full, sampling), sampling, measured if knows_edges else None).fill(measured)
    return float((filled - full).abs().max() / full.abs().max())


@pytest.mark.parametrize('knows_edges', [True, False])
@pytest.mark.parametrize('n_lines', [53, 54])
@pytest.mark.parametrize(('acceleration', 'first_line'), LATTICES)
def test_a_plane_wave_is_filled_in_exactly(acceleration: int, first_line: int, n_lines: int, knows_edges: bool) -> None:
    """Default settings; the last lattice line must leave a margin narrower than R, so all lines are filled."""
    full = plane_wave(n_coils=6, n_lines=n_lines, n_readout=31)
    sampling = lattice_with_acs(n_lines, acceleration, first_line, range(14, 40))
    assert sampling.filled_range == range(n_lines)
    assert largest_error(full, sampling, Grappa(), knows_edges=knows_edges) < 1e-4


@pytest.mark.parametrize('knows_edges', [True, False])
@pytest.mark.parametrize('kernel', KERNELS, ids=str)
@pytest.mark.parametrize(('acceleration', 'first_line'), LATTICES)
def test_noise_free_low_rank_is_filled_in_exactly(
    acceleration: int, first_line: int, kernel: Kernel, knows_edges: bool
) -> None:
    """Four points seen by eight coils: one line of sources determines the rest, so even the margins are exact."""
    full = point_sources(n_sources=4, n_coils=8, n_lines=54, n_readout=31)
    sampling = lattice_with_acs(54, acceleration, first_line, range(14, 44))
    method = Grappa(kernel, regularization=1e-9)
    assert largest_error(full, sampling, method, knows_edges=knows_edges) < 1e-4


@pytest.mark.parametrize('shift', [1, -1])
def test_the_exactness_test_notices_a_line_shifted_by_one(shift: int) -> None:
    full = plane_wave(n_coils=6, n_lines=54, n_readout=31)
    sampling = lattice_with_acs(54, 3, 1, range(14, 40))
    shifted = full.roll(shift, dims=1)
    filled = fit(Grappa(), acs_of(full, sampling), sampling).fill(measured_only(shifted, sampling))
    assert float((filled - full).abs().max()) > 0.1


def test_fewer_lattice_lines_than_the_kernel_has_are_still_filled_in_exactly() -> None:
    full = plane_wave(n_coils=6, n_lines=30, n_readout=31)
    mask = torch.zeros(30, dtype=torch.bool)
    mask[[3, 13, 23]] = True
    sampling = Sampling(mask, 10, 3, 3)
    long = plane_wave(n_coils=6, n_lines=60, n_readout=31)
    filled = fit(Grappa(), long[:, :40], sampling, measured_only(full, sampling)).fill(full)
    torch.testing.assert_close(filled, full, rtol=0, atol=1e-4 * float(full.abs().max()))


def test_lines_beyond_the_acquired_range_stay_empty() -> None:
    """Partial Fourier: a margin of R lines or more is not invented."""
    full = plane_wave(n_coils=6, n_lines=54, n_readout=31)
    mask = torch.zeros(54, dtype=torch.bool)
    mask[1:40:3] = True
    mask[14:38] = True
    sampling = Sampling.from_mask(mask)
    filled = fit(Grappa(), acs_of(full, sampling), sampling, full).fill(full)
    assert sampling.filled_range == range(38)
    assert not bool(filled[:, 38:].any())
    torch.testing.assert_close(filled[:, :38], full[:, :38], rtol=0, atol=1e-4 * float(full.abs().max()))
