"""Reading a lattice with two accelerated axes off a mask, and undersampling on one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raki.data.lattice import Lattice, VolumeSampling, acs_of, undersample_volume
from raki.errors import SamplingError

FULL = torch.ones(19, 26, dtype=torch.bool)


def mask_of(lattice: Lattice, shape: tuple[int, int], acs: tuple[range, range]) -> Tensor:
    mask = lattice.on(shape)
    mask[acs[0].start : acs[0].stop, acs[1].start : acs[1].stop] = True
    return mask


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    n_partitions, n_lines = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    first = draw(st.integers(0, n_partitions - 1)), draw(st.integers(0, n_lines - 1))
    return Lattice((n_partitions, n_lines), draw(st.integers(0, n_lines - 1)), first)


@given(
    lattice=lattices(),
    n_acs=st.tuples(st.integers(2, 9), st.integers(2, 12)),
    size=st.tuples(st.integers(17, 20), st.integers(24, 29)),
)
def test_a_lattice_with_acs_is_recognised(lattice: Lattice, n_acs: tuple[int, int], size: tuple[int, int]) -> None:
    acs = range(4, 4 + n_acs[0]), range(6, 6 + n_acs[1])
    mask = mask_of(lattice, size, acs)
    sampling = VolumeSampling.from_mask(mask)
    assert (sampling.lattice.acceleration, sampling.lattice.shift) == (lattice.acceleration, lattice.shift)
    assert torch.equal(sampling.lattice.on(size), lattice.on(size))
    assert sampling.filled == (range(size[0]), range(size[1]))
    assert sampling.net_acceleration == pytest.approx(mask.numel() / int(mask.sum()))
    if lattice.acceleration != (1, 1):
        assert all(set(wanted) <= set(found) for wanted, found in zip(acs, sampling.acs, strict=True))


@given(lattice=lattices())
def test_a_cell_holds_every_position_once(lattice: Lattice) -> None:
    """The measured position and the missing offsets tile the matrix."""
    points = lattice.on((24, 40)).nonzero().tolist()
    cells = [(z + dz, y + dy) for z, y in points for dz, dy in ((0, 0), *lattice.missing)]
    n_partitions, n_lines = lattice.acceleration
    inside = [(z, y) for z, y in cells if n_partitions <= z < 24 and n_lines <= y < 40]
    assert sorted(inside) == [(z, y) for z in range(n_partitions, 24) for y in range(n_lines, 40)]


@given(lattice=lattices())
def test_lines_of_a_lattice_repeat_after_its_period(lattice: Lattice) -> None:
    points = lattice.on((30, 10))
    rows = points[lattice.first[0] :: lattice.acceleration[0]]
    for row, lines in enumerate(rows):
        assert lines.nonzero()[0] == lattice.line(row)
        assert torch.equal(lines, rows[row % lattice.period])


@pytest.mark.parametrize('shift', [0, 1, 2])
def test_undersampling_and_reading_the_mask_agree(shift: int) -> None:
    made = undersample_volume(FULL, (2, 3), shift, (7, 10), (1, 2))
    read = VolumeSampling.from_mask(made.mask)
    assert (read.lattice, read.filled) == (made.lattice, made.filled)
    assert made.acs == read.acs == (range(6, 13), range(8, 18))


def test_an_acs_that_hides_lattice_partitions_is_seen_through() -> None:
    """All lines of the central partitions, or the central lines of all partitions."""
    for acs in ((range(6, 13), range(26)), (range(19), range(8, 18))):
        mask = mask_of(Lattice((3, 2), 1, (1, 1)), (19, 26), acs)
        sampling = VolumeSampling.from_mask(mask)
        assert (sampling.lattice, sampling.acs) == (Lattice((3, 2), 1, (1, 1)), acs)
        assert sampling.filled == (range(19), range(26))


def test_partial_fourier_stays_empty_on_both_axes() -> None:
    mask = mask_of(Lattice((2, 3), 1), (19, 26), (range(6, 13), range(8, 18)))
    mask[14:], mask[:, 22:] = False, False
    sampling = VolumeSampling.from_mask(mask)
    assert sampling.filled == (range(13), range(22))


def test_a_narrow_margin_in_which_lattice_points_were_not_measured_stays_empty() -> None:
    """Zero padding by less than the spacing of a sheared lattice; margins without lattice points belong to it."""
    mask = mask_of(Lattice((2, 4), 1, (1, 0)), (19, 26), (range(6, 13), range(8, 18)))
    mask[:, 24:] = False
    assert VolumeSampling.from_mask(mask).filled == (range(19), range(24))


def test_one_partition_is_one_accelerated_axis() -> None:
    mask = mask_of(Lattice((1, 4), 0, (0, 3)), (1, 30), (range(1), range(10, 20)))
    sampling = VolumeSampling.from_mask(mask)
    assert (sampling.lattice, sampling.acs) == (Lattice((1, 4), 0, (0, 3)), (range(1), range(10, 20)))


def test_a_fully_sampled_volume_has_rate_one() -> None:
    sampling = VolumeSampling.from_mask(FULL)
    assert (sampling.acceleration, sampling.acs, sampling.net_acceleration) == ((1, 1), (range(19), range(26)), 1)


def test_the_largest_block_is_the_acs() -> None:
    mask = torch.zeros(9, 9, dtype=torch.bool)
    mask[0:2, 0:2], mask[3:6, 3:8], mask[:, 8] = True, True, True
    assert acs_of(mask) == (range(3, 6), range(3, 9))
    assert acs_of(torch.zeros(3, 3, dtype=torch.bool)) == (range(0), range(0))


def test_what_breaks_the_lattice_is_named() -> None:
    mask = mask_of(Lattice((2, 2), 1), (19, 26), (range(6, 13), range(8, 18)))
    stray, lost = mask.clone(), mask.clone()
    stray[15, 3], lost[2, 1], lost[0, 0] = True, False, False
    with pytest.raises(SamplingError, match=r'outside the ACS \(partitions 6 to 12, .* 1 of them .* = \(15, 3\)'):
        VolumeSampling.from_mask(stray)
    with pytest.raises(SamplingError, match=r'2 points of R=2x2 shift 1 are missing, first \(kz, ky\) = \(0, 0\)'):
        VolumeSampling.from_mask(lost)


def test_elliptical_sampling_is_refused() -> None:
    z, y = torch.meshgrid(torch.linspace(-1, 1, 19), torch.linspace(-1, 1, 26), indexing='ij')
    mask = mask_of(Lattice((2, 2), 1), (19, 26), (range(6, 13), range(8, 18))) & (z**2 + y**2 <= 1)
    with pytest.raises(SamplingError, match='elliptical and random patterns are not handled yet'):
        VolumeSampling.from_mask(mask)


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        (
            torch.zeros(4, 5, dtype=torch.bool),
            'two measured lines on each of two partitions, got 0 positions on 0 of 4',
        ),
        (torch.eye(4, dtype=torch.bool), 'got 4 positions on 4 of 4'),
        (torch.ones(4, 5), r'boolean with axes \(kz, ky\), got torch.float32 \(4, 5\)'),
    ],
)
def test_too_little_to_see_a_lattice_is_refused(mask: Tensor, message: str) -> None:
    with pytest.raises(SamplingError, match=message):
        VolumeSampling.from_mask(mask)


def test_undersampling_needs_a_full_volume_and_an_acs_that_fits() -> None:
    holed = FULL.clone()
    holed[3, 4] = False
    with pytest.raises(SamplingError, match='only 493 of 494 positions'):
        undersample_volume(holed, (2, 2), 1, (4, 4))
    with pytest.raises(SamplingError, match='an ACS of 20 partitions does not fit into partitions 0 to 18'):
        undersample_volume(FULL, (2, 2), 1, (20, 4))
    with pytest.raises(SamplingError, match=r'R=2x26 leaves fewer than two partitions or lines of 19 x 26'):
        undersample_volume(FULL, (2, 26), 1, (4, 4))
    with pytest.raises(SamplingError, match='0 <= shift < Ry'):
        Lattice((2, 2), 2)
