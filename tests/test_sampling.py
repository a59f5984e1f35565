"""Reading the lattice, the ACS block and the acquired range off a mask, and undersampling on one."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raki.data.blocks import acs_of, longest_run
from raki.data.lattice import Lattice
from raki.data.sampling import Sampling, undersample
from raki.errors import SamplingError


def lines_mask(lines: list[int], n_lines: int) -> Tensor:
    mask = torch.zeros(n_lines, dtype=torch.bool)
    mask[lines] = True
    return mask


@given(
    acceleration=st.integers(2, 8),
    first_line=st.integers(0, 7),
    n_acs=st.integers(2, 30),
    acs_start=st.integers(8, 40),
    n_lines=st.integers(90, 101),
)
def test_a_lattice_with_acs_is_recognised(
    acceleration: int, first_line: int, n_acs: int, acs_start: int, n_lines: int
) -> None:
    first_line %= acceleration
    mask = torch.zeros(n_lines, dtype=torch.bool)
    mask[first_line::acceleration] = True
    mask[acs_start : acs_start + n_acs] = True
    sampling = Sampling.from_mask(mask)
    assert sampling.acceleration == acceleration
    assert sampling.points.nonzero().flatten().tolist() == list(range(first_line, n_lines, acceleration))
    assert set(range(acs_start, acs_start + n_acs)) <= set(sampling.acs[0])
    assert sampling.filled == (range(n_lines),)
    assert sampling.net_acceleration == pytest.approx(n_lines / int(mask.sum()))


def test_a_fully_sampled_scan_has_rate_one() -> None:
    sampling = Sampling.from_mask(torch.ones(31, dtype=torch.bool))
    assert (sampling.acceleration, sampling.acs, sampling.net_acceleration) == (1, (range(31),), 1.0)


def test_a_lattice_without_acs_has_none() -> None:
    sampling = Sampling.from_mask(lines_mask([1, 4, 7, 10], 12))
    assert sampling.acceleration == 3
    assert sampling.acs == (range(0),)


@pytest.mark.parametrize(
    ('lines', 'n_lines', 'filled'),
    [
        ([2, 5, 8, 9, 10, 11, 14, 17], 20, range(20)),
        ([3, 6, 9, 10, 11, 12, 15], 18, range(3, 18)),
        ([0, 3, 6, 7, 8, 9, 12], 18, range(13)),
    ],
)
def test_margins_narrower_than_the_rate_are_filled_and_wider_ones_are_not(
    lines: list[int], n_lines: int, filled: range
) -> None:
    assert Sampling.from_mask(lines_mask(lines, n_lines)).filled == (filled,)


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        (
            [0, 4, 8, 12, 13, 14, 15, 16, 20, 23, 28],
            r'gaps of 4 \(4x\), 3 \(1x\), 5 \(1x\), first between lines 20 and 23',
        ),
        ([0, 4, 8, 12, 13, 14, 15, 16, 24, 28], r'gaps of 4 \(4x\), 8 \(1x\)'),
        ([0, 4, 8, 10, 12, 13, 14, 15, 16, 20], r'gaps of 4 \(3x\), 2 \(2x\)'),
        ([0, 3, 7, 11, 15], r'evenly spaced, got gaps of 4 \(3x\), 3 \(1x\)'),
        ([1, 3, 4, 8, 9, 15, 22], 'evenly spaced'),
    ],
)
def test_an_uneven_mask_is_refused_with_its_gaps(lines: list[int], message: str) -> None:
    with pytest.raises(SamplingError, match=message):
        Sampling.from_mask(lines_mask(lines, 30))


def test_one_line_is_too_few() -> None:
    with pytest.raises(SamplingError, match=re.escape('at least two measured lines, got 1 of 9')):
        Sampling.from_mask(lines_mask([4], 9))


@pytest.mark.parametrize('acceleration', [2, 3, 4, 5, 6])
@pytest.mark.parametrize('n_lines', [64, 65])
def test_undersampling_is_read_back(acceleration: int, n_lines: int) -> None:
    made = undersample(torch.ones(n_lines, dtype=torch.bool), (acceleration,), (20,), first=(1,))
    read = Sampling.from_mask(made.mask)
    assert (read.acceleration, read.lattice, read.filled) == (acceleration, made.lattice, made.filled)
    assert (n_lines - 20 + 1) // 2 in read.acs[0]


def test_undersampling_keeps_to_the_lines_there_are() -> None:
    """A fully sampled partial-Fourier scan stays within its range."""
    measured = lines_mask(list(range(10, 64)), 64)
    sampling = undersample(measured, (3,), (20,))
    assert not bool(sampling.mask[:10].any())
    assert (sampling.lattice.first, sampling.filled) == ((10,), (range(10, 64),))


@pytest.mark.parametrize(
    ('measured', 'acceleration', 'n_acs', 'message'),
    [
        (lines_mask([0, 2, 4], 6), 2, 2, 'only 3 of 6 lines are measured'),
        (torch.ones(16, dtype=torch.bool), 2, 20, 'ACS of 20 lines does not fit'),
        (torch.ones(16, dtype=torch.bool), 16, 4, 'leaves 1 of 16 lines'),
    ],
)
def test_impossible_undersampling_is_refused(measured: Tensor, acceleration: int, n_acs: int, message: str) -> None:
    with pytest.raises(SamplingError, match=message):
        undersample(measured, (acceleration,), (n_acs,))


@given(st.lists(st.booleans(), max_size=40))
def test_the_longest_run_is_the_longest(flags: list[bool]) -> None:
    run = longest_run(torch.tensor(flags, dtype=torch.bool))
    assert all(flags[index] for index in run)
    lengths = [len(part) for part in ''.join('1' if flag else '0' for flag in flags).split('0')]
    assert len(run) == max(lengths)


FULL = torch.ones(19, 26, dtype=torch.bool)


def mask_of(lattice: Lattice, shape: tuple[int, int], acs: tuple[range, range]) -> Tensor:
    mask = lattice.on(shape)
    mask[acs[0].start : acs[0].stop, acs[1].start : acs[1].stop] = True
    return mask


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    n_partitions, n_lines = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    first = draw(st.integers(0, n_partitions - 1)), draw(st.integers(0, n_lines - 1))
    return Lattice.of((n_partitions, n_lines), draw(st.integers(0, n_lines - 1)), first)


@given(
    lattice=lattices(),
    n_acs=st.tuples(st.integers(2, 9), st.integers(2, 12)),
    size=st.tuples(st.integers(17, 20), st.integers(24, 29)),
)
def test_a_lattice_of_two_axes_with_acs_is_recognised(
    lattice: Lattice, n_acs: tuple[int, int], size: tuple[int, int]
) -> None:
    acs = range(4, 4 + n_acs[0]), range(6, 6 + n_acs[1])
    mask = mask_of(lattice, size, acs)
    sampling = Sampling.from_mask(mask)
    assert sampling.lattice.basis == lattice.basis
    assert torch.equal(sampling.lattice.on(size), lattice.on(size))
    assert sampling.filled == (range(size[0]), range(size[1]))
    assert sampling.net_acceleration == pytest.approx(mask.numel() / int(mask.sum()))
    if lattice.rate > 1:
        assert all(set(wanted) <= set(found) for wanted, found in zip(acs, sampling.acs, strict=True))


@given(lattice=lattices())
def test_a_cell_holds_every_position_once(lattice: Lattice) -> None:
    """The measured position and the missing offsets tile the matrix."""
    points = lattice.on((24, 40)).nonzero().tolist()
    cells = [(z + dz, y + dy) for z, y in points for dz, dy in ((0, 0), *lattice.missing)]
    assert lattice.rate == len(lattice.missing) + 1
    n_partitions, n_lines = lattice.spacing
    inside = [(z, y) for z, y in cells if n_partitions <= z < 24 and n_lines <= y < 40]
    assert sorted(inside) == [(z, y) for z in range(n_partitions, 24) for y in range(n_lines, 40)]


@given(lattice=lattices(), steps=st.tuples(st.integers(-3, 3), st.integers(-3, 3)))
def test_steps_lead_from_one_point_to_another_and_are_the_shortest(lattice: Lattice, steps: tuple[int, int]) -> None:
    """Any whole number of them joins points; as many of them as of the basis rows span a cell of R positions."""
    (a, b), (c, d) = lattice.steps
    assert abs(a * d - b * c) == lattice.rate
    step = torch.tensor([steps[0] * a + steps[1] * c, steps[0] * b + steps[1] * d])
    assert bool(lattice.joins(step))
    assert not any(bool(lattice.joins(step + torch.tensor(missing))) for missing in lattice.missing)
    assert 2 * abs(b) <= d


@pytest.mark.parametrize('rate', [2, 5])
def test_a_lattice_of_lines_joins_every_rth(rate: int) -> None:
    lattice = Lattice.of((rate,), first=(1,))
    assert lattice.on((13,)).nonzero().flatten().tolist() == list(range(1, 13, rate))
    assert (lattice.missing, lattice.cell, lattice.steps) == (tuple((n,) for n in range(1, rate)), (rate,), ((rate,),))
    assert str(lattice) == f'R={rate}'


@pytest.mark.parametrize('shift', [0, 1, 2])
def test_undersampling_and_reading_the_mask_agree(shift: int) -> None:
    made = undersample(FULL, (2, 3), (7, 10), shift, (1, 2))
    read = Sampling.from_mask(made.mask)
    assert (read.lattice, read.filled) == (made.lattice, made.filled)
    assert made.acs == read.acs == (range(6, 13), range(8, 18))


def test_an_acs_that_hides_lattice_partitions_is_seen_through() -> None:
    """All lines of the central partitions, or the central lines of all partitions."""
    for acs in ((range(6, 13), range(26)), (range(19), range(8, 18))):
        mask = mask_of(Lattice.of((3, 2), 1, (1, 1)), (19, 26), acs)
        sampling = Sampling.from_mask(mask)
        assert (sampling.lattice, sampling.acs) == (Lattice.of((3, 2), 1, (1, 1)), acs)
        assert sampling.filled == (range(19), range(26))


def test_partial_fourier_stays_empty_on_both_axes() -> None:
    mask = mask_of(Lattice.of((2, 3), 1), (19, 26), (range(6, 13), range(8, 18)))
    mask[14:], mask[:, 22:] = False, False
    sampling = Sampling.from_mask(mask)
    assert sampling.filled == (range(13), range(22))


def test_a_narrow_margin_in_which_lattice_points_were_not_measured_stays_empty() -> None:
    """Zero padding by less than the spacing of a sheared lattice; margins without lattice points belong to it."""
    mask = mask_of(Lattice.of((2, 4), 1, (1, 0)), (19, 26), (range(6, 13), range(8, 18)))
    mask[:, 24:] = False
    assert Sampling.from_mask(mask).filled == (range(19), range(24))


def test_one_partition_is_one_accelerated_axis() -> None:
    mask = mask_of(Lattice.of((1, 4), 0, (0, 3)), (1, 30), (range(1), range(10, 20)))
    sampling = Sampling.from_mask(mask)
    assert (sampling.lattice, sampling.acs) == (Lattice.of((1, 4), 0, (0, 3)), (range(1), range(10, 20)))


def test_a_fully_sampled_volume_has_rate_one() -> None:
    sampling = Sampling.from_mask(FULL)
    assert (sampling.acceleration, sampling.acs, sampling.net_acceleration) == (1, (range(19), range(26)), 1)


def test_the_largest_block_is_the_acs() -> None:
    mask = torch.zeros(9, 9, dtype=torch.bool)
    mask[0:2, 0:2], mask[3:6, 3:8], mask[:, 8] = True, True, True
    assert acs_of(mask) == (range(3, 6), range(3, 9))
    assert acs_of(torch.zeros(3, 3, dtype=torch.bool)) == (range(0), range(0))


def test_what_breaks_the_lattice_is_named() -> None:
    mask = mask_of(Lattice.of((2, 2), 1), (19, 26), (range(6, 13), range(8, 18)))
    stray, lost = mask.clone(), mask.clone()
    stray[15, 3], lost[2, 1], lost[0, 0] = True, False, False
    with pytest.raises(SamplingError, match=r'outside the ACS \(partitions 6 to 12, .* 1 of them .* = \(15, 3\)'):
        Sampling.from_mask(stray)
    with pytest.raises(SamplingError, match=r'2 points of R=2x2 shift 1 are missing, first \(kz, ky\) = \(0, 0\)'):
        Sampling.from_mask(lost)


def test_elliptical_sampling_is_refused() -> None:
    z, y = torch.meshgrid(torch.linspace(-1, 1, 19), torch.linspace(-1, 1, 26), indexing='ij')
    mask = mask_of(Lattice.of((2, 2), 1), (19, 26), (range(6, 13), range(8, 18))) & (z**2 + y**2 <= 1)
    with pytest.raises(SamplingError, match='spirit and sparse take any pattern'):
        Sampling.from_mask(mask)


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        (
            torch.zeros(4, 5, dtype=torch.bool),
            'two measured lines on each of two partitions, got 0 positions on 0 of 4',
        ),
        (torch.eye(4, dtype=torch.bool), 'got 4 positions on 4 of 4'),
        (torch.ones(4, 5), r'boolean, axes \(ky,\) or \(kz, ky\), got torch.float32 4x5'),
    ],
)
def test_too_little_to_see_a_lattice_is_refused(mask: Tensor, message: str) -> None:
    with pytest.raises(SamplingError, match=message):
        Sampling.from_mask(mask)


def test_undersampling_needs_a_full_volume_and_an_acs_that_fits() -> None:
    holed = FULL.clone()
    holed[3, 4] = False
    with pytest.raises(SamplingError, match='only 493 of 494 lines'):
        undersample(holed, (2, 2), (4, 4), 1)
    with pytest.raises(
        SamplingError, match='an ACS of 20 partitions does not fit into the measured partitions 0 to 18'
    ):
        undersample(FULL, (2, 2), (20, 4), 1)
    with pytest.raises(SamplingError, match='R=26 leaves 1 of 26 lines; need at least two'):
        undersample(FULL, (2, 26), (4, 4), 1)
    with pytest.raises(SamplingError, match='2 phase axes needs as many sizes of rate and ACS, got 2, 4x4'):
        undersample(FULL, (2,), (4, 4))
    with pytest.raises(SamplingError, match='0 <= shift < Ry'):
        Lattice.of((2, 2), 2)
