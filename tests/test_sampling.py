"""Reading the lattice, the ACS block and the acquired range off a mask."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raki.data.sampling import Sampling, longest_run, undersample
from raki.errors import SamplingError


def mask_of(lines: list[int], n_lines: int) -> Tensor:
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
    assert (sampling.acceleration, sampling.first_line) == (acceleration, first_line)
    assert bool(mask[list(sampling.lattice)].all())
    assert set(range(acs_start, acs_start + n_acs)) <= set(sampling.acs)
    assert sampling.filled_range == range(n_lines)
    assert sampling.net_acceleration == pytest.approx(n_lines / int(mask.sum()))


def test_a_fully_sampled_scan_has_rate_one() -> None:
    sampling = Sampling.from_mask(torch.ones(31, dtype=torch.bool))
    assert (sampling.acceleration, sampling.acs, sampling.net_acceleration) == (1, range(31), 1.0)


def test_a_lattice_without_acs_has_none() -> None:
    sampling = Sampling.from_mask(mask_of([1, 4, 7, 10], 12))
    assert sampling.acceleration == 3
    assert len(sampling.acs) == 0


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
    assert Sampling.from_mask(mask_of(lines, n_lines)).filled_range == filled


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
        Sampling.from_mask(mask_of(lines, 30))


def test_one_line_is_too_few() -> None:
    with pytest.raises(SamplingError, match=re.escape('at least two measured lines, got 1 of 9')):
        Sampling.from_mask(mask_of([4], 9))


@pytest.mark.parametrize('acceleration', [2, 3, 4, 5, 6])
@pytest.mark.parametrize('n_lines', [64, 65])
def test_undersampling_is_read_back(acceleration: int, n_lines: int) -> None:
    made = undersample(torch.ones(n_lines, dtype=torch.bool), acceleration, 20, first_line=1)
    read = Sampling.from_mask(made.mask)
    assert (read.acceleration, read.first_line, read.lattice) == (acceleration, 1, made.lattice)
    assert (n_lines - 20 + 1) // 2 in read.acs


def test_undersampling_keeps_to_the_lines_there_are() -> None:
    """A fully sampled partial-Fourier scan stays within its range."""
    measured = mask_of(list(range(10, 64)), 64)
    sampling = undersample(measured, 3, 20)
    assert not bool(sampling.mask[:10].any())
    assert (sampling.first_line, sampling.filled_range) == (10, range(10, 64))


@pytest.mark.parametrize(
    ('measured', 'acceleration', 'n_acs', 'message'),
    [
        (mask_of([0, 2, 4], 6), 2, 2, 'only 3 of 6 lines are measured'),
        (torch.ones(16, dtype=torch.bool), 2, 20, 'ACS of 20 lines does not fit'),
        (torch.ones(16, dtype=torch.bool), 16, 4, 'leaves 1 of 16 lines'),
    ],
)
def test_impossible_undersampling_is_refused(measured: Tensor, acceleration: int, n_acs: int, message: str) -> None:
    with pytest.raises(SamplingError, match=message):
        undersample(measured, acceleration, n_acs)


@given(st.lists(st.booleans(), max_size=40))
def test_the_longest_run_is_the_longest(flags: list[bool]) -> None:
    run = longest_run(torch.tensor(flags, dtype=torch.bool))
    assert all(flags[index] for index in run)
    lengths = [len(part) for part in ''.join('1' if flag else '0' for flag in flags).split('0')]
    assert len(run) == max(lengths)
