"""Where images belong: labels, and positions in the patient's space."""

import pytest

from raki.data.place import Direction, Frame, Geometry, Place, columns, named
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError

TILTED = Geometry((0.01, -0.02, 0.03), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0), (0.8, -0.6, 0.0), (0.005, 0.002, 0.001))
FRAMES = [Frame(0, 0), Frame(0, 1), Frame(3, 0)]


def unread(_slab: int, _frame: int) -> Scan:
    raise AssertionError


def file_of(*shape: int, geometries: tuple[Geometry, ...] = ()) -> ScanFile:
    return ScanFile('scan.h5', 'toy', shape, unread, frames=FRAMES, geometries=geometries)


def test_partitions_lie_along_the_slice_direction() -> None:
    moved = TILTED.partition(-2)
    assert moved.position == pytest.approx((0.01 - 0.008, -0.02 + 0.006, 0.03))
    assert moved.partition(2).position == pytest.approx(TILTED.position)
    assert moved.voxel_size == TILTED.voxel_size


@pytest.mark.parametrize(
    ('axes', 'voxel'),
    [
        (((1, 0, 0), (0, 1, 0), (0, 1, 0)), (1, 1, 1)),
        (((2, 0, 0), (0, 1, 0), (0, 0, 1)), (1, 1, 1)),
        (((float('nan'), 0, 0), (0, 1, 0), (0, 0, 1)), (1, 1, 1)),
        (((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0, 1, 1)),
        (((1, 0, 0), (0, 1, 0), (0, 0, 1)), (1, 1e-12, 1)),
        (((1, 0, 0), (0, 1, 0), (0, 0, 1)), (1, 1, float('inf'))),
    ],
)
def test_impossible_geometries_are_refused(axes: tuple[Direction, Direction, Direction], voxel: Direction) -> None:
    with pytest.raises(ScanError, match=r'perpendicular|voxels must'):
        Geometry((0, 0, 0), *axes, voxel)


@pytest.mark.parametrize('at', [float('nan'), float('inf'), -1e30])
def test_a_place_outside_every_scanner_is_none(at: float) -> None:
    with pytest.raises(ScanError, match='must be in the scanner'):
        Geometry((0, at, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.1, 0.1, 0.1))


def test_slices_of_a_volume_have_places_of_their_own() -> None:
    volume = file_of(1, 4, 6, 10, 8, geometries=(TILTED,))
    assert volume.place(3, 1) == Place(3, FRAMES[1], TILTED)
    assert volume.place(0).geometry == TILTED.partition(-3)
    slabs = file_of(2, 4, 5, 10, 8, geometries=(TILTED, TILTED.partition(5)))
    assert slabs.place(6).geometry == TILTED.partition(5).partition(1 - 2)
    slices = file_of(2, 4, 10, 8, geometries=(TILTED, TILTED.partition(1)))
    assert slices.place(1).geometry == TILTED.partition(1)
    assert file_of(2, 4, 10, 8).place(1) == Place(1)


def test_frames_are_found_by_their_labels() -> None:
    file = file_of(1, 4, 10, 8)
    assert file.frames_with() == [0, 1, 2]
    assert file.frames_with(repetition=0, contrast=None) == [0, 1]
    assert file.frames_with(repetition=3) == [2]
    with pytest.raises(ScanError, match='no repetition 1; the file has repetitions 0, 3'):
        file.frames_with(repetition=1)
    with pytest.raises(ScanError, match='no set 1; the file has set 0'):
        file.frames_with(set=1)
    with pytest.raises(ScanError, match='no frame has repetition 3, contrast 1 at once'):
        file.frames_with(repetition=3, contrast=1)


def test_labels_that_a_scan_does_not_use_are_not_listed() -> None:
    places = [Place(1, frame) for frame in FRAMES]
    assert dict(columns(places)) == {'slice': [1, 1, 1], 'repetition': [0, 0, 3], 'contrast': [0, 1, 0]}
    assert str(FRAMES[1]) == 'repetition 0, contrast 1'


@pytest.mark.parametrize(
    ('counters', 'expected'),
    [
        ([(0,)], 'repetition 0'),
        ([(n,) for n in range(60)], 'repetitions 0 to 59'),
        ([(0,), (1,)], 'repetitions 0, 1'),
        ([(n,) for n in range(1, 60, 3)], 'repetitions 1, 4 ... 58'),
        ([(0,), (1,), (5,)], 'repetitions 0, 1, 5'),
        ([(0, 0, n) for n in range(25)], 'repetition 0, phases 0 to 24'),
        ([(3, 2)], 'repetition 3, contrast 2'),
        ([(m, n) for m in range(5) for n in range(3)], 'repetitions 0 to 4, contrasts 0 to 2'),
        ([(0, 0), (1, 0), (2, 0), (0, 1)], 'repetitions 0 to 2; repetition 0, contrast 1'),
    ],
)
def test_many_frames_are_named_in_few_words(counters: list[tuple[int, ...]], expected: str) -> None:
    frames = [Frame(*each) for each in counters]
    assert named(frames) == named(frames[::-1]) == expected
    if len(frames) == 1:
        assert expected == str(frames[0])
