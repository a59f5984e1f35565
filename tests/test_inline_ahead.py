"""Lines that are placed while they come are placed as all at once, bit for bit, or not at all."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from raki.data.mrd.header import header_from
from raki.inline.ahead import Begun, Known
from raki.inline.frames import Gathered, Waiting
from raki.inline.images import scan_of
from raki.inline.messages import ByteReader, Limits, Line, messages
from tests.clients import Series, stream_of

SERIES = Series(n_slices=1, n_repetitions=2, n_lines=24, n_samples=20, n_acs=10, n_noise=2)
HEADER = header_from(SERIES.xml, 'a')


def gathered(series: Series) -> list[Gathered]:
    """Every repetition of a slice, as a stream delivers it."""
    source, waiting = io.BytesIO(stream_of(series.xml, series.every())), Waiting(header_from(series.xml, 'a'), 1 << 30)
    lines = [each for each in messages(ByteReader(source.readinto), Limits()) if isinstance(each, Line)]
    return [frame for line in lines for frame in waiting.add(line)]


def begun(known: Known, frame: Gathered) -> Begun:
    """All of its own lines placed one by one."""
    result = Begun.of(known)
    for line in frame.lines[frame.n_others :]:
        result.add(line)
    return result


def known_by(frame: Gathered, series: Series = SERIES) -> Known:
    known = scan_of(header_from(series.xml, 'a'), frame)[2]
    assert known is not None
    return known


@pytest.mark.parametrize(
    'series',
    [SERIES, replace(SERIES, n_noise=0, n_averages=3), replace(SERIES, acceleration=1), replace(SERIES, n_lines=25)],
    ids=['calibration and noise', 'averages', 'fully sampled', 'odd'],
)
def test_a_repetition_placed_line_by_line_is_the_one_that_is_read_at_once(series: Series) -> None:
    first, second = gathered(series)
    expected, notes, _ = scan_of(header_from(series.xml, 'a'), second)
    known = known_by(first, series)
    scan = begun(known, second).scan(second)
    assert scan is not None
    assert torch.equal(scan.kspace, expected.kspace)
    assert torch.equal(scan.mask, expected.mask)
    assert (scan.noise is None) == (expected.noise is None) == (series.n_noise == 0)
    assert scan.noise is None or torch.equal(scan.noise, expected.noise)  # type: ignore[arg-type]
    assert (scan.image_shape, scan.voxel_size, known.notes) == (expected.image_shape, expected.voxel_size, notes)


def changed(lines: tuple[Line, ...], number: int, change: Callable[[np.ndarray], None]) -> tuple[Line, ...]:
    head = np.frombuffer(bytearray(lines[number].head.tobytes()), lines[number].head.dtype)
    change(head)
    return (*lines[:number], Line(head[0], lines[number].samples), *lines[number + 1 :])


def moved(head: np.ndarray) -> None:
    head['idx']['kspace_encode_step_1'] += 1


def reverse(head: np.ndarray) -> None:
    head['flags'] |= np.uint64(1 << 21)


def of_no_number(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    samples = lines[5].samples.copy()
    samples[1, 3] = np.nan
    return (*lines[:5], Line(lines[5].head, samples), *lines[6:])


UNEXPECTED: dict[str, Callable[[tuple[Line, ...]], tuple[Line, ...]]] = {
    'another order': lambda lines: (*lines[:4], lines[5], lines[4], *lines[6:]),
    'one missing': lambda lines: lines[:-1],
    'one too many': lambda lines: (*lines, lines[-1]),
    'another line': lambda lines: changed(lines, 4, moved),
    'read out backwards': lambda lines: changed(lines, 4, reverse),
    'NaN': of_no_number,
    'noise of its own': lambda lines: (Line(lines[0].head, lines[0].samples), *lines[1:]),
}


@pytest.mark.parametrize('case', UNEXPECTED)
def test_what_is_not_as_before_goes_the_ordinary_way(case: str) -> None:
    first, second = gathered(SERIES)
    other = Gathered(second.key, UNEXPECTED[case](second.lines), second.n_others)
    assert begun(known_by(first), other).scan(other) is None


@pytest.mark.parametrize(
    'change', [lambda head: head['idx']['repetition'].fill(9), lambda head: head['scan_counter'].fill(77)]
)
def test_the_moment_of_a_line_changes_nothing(change: Callable[[np.ndarray], None]) -> None:
    first, second = gathered(SERIES)
    other = Gathered(second.key, changed(second.lines, 4, change), second.n_others)
    assert begun(known_by(first), other).scan(other) is not None


def test_calibration_that_is_not_its_own_is_not_placed_ahead() -> None:
    series = replace(SERIES, mode='separate')
    assert all(scan_of(header_from(series.xml, 'a'), frame)[2] is None for frame in gathered(series))
