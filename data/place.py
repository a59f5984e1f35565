"""Where an image belongs: its label among those of a scan, and its place in the patient's space."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import prod

from raki.errors import ScanError

Direction = tuple[float, float, float]
"""Components along the patient's left, posterior and superior (LPS), as scanners and DICOM count them."""

ORTHONORMAL = 1e-3
"""How far directions from a file may be from unit length and from each other's perpendicular [1]."""

VOXELS = 1e-8, 10.0
"""Sizes that voxels can have, from microscopy on; whatever a header says beyond is none [m]."""

FARTHEST = 1e3
"""No place in a scanner is further from its middle along an axis [m]."""


@dataclass(frozen=True, slots=True, order=True)
class Frame:
    """One complete set of slices or volumes among those that a scan measured, by the counters of its file."""

    repetition: int = 0
    contrast: int = 0
    phase: int = 0
    set: int = 0

    def __str__(self) -> str:
        named = asdict(self)
        others = [f'{name} {value}' for name, value in named.items() if value and name != 'repetition']
        return ', '.join([f'repetition {self.repetition}', *others])


LABELS = tuple(asdict(Frame()))
"""Names of the counters of a frame."""


def named(frames: Collection[Frame]) -> str:
    """Name many frames in few words, such as `repetitions 0 to 59`, or `repetition 0, phases 0 to 24`."""
    counters = {name: sorted({getattr(frame, name) for frame in frames}) for name in LABELS}
    if prod(map(len, counters.values())) == len(set(frames)):
        return ', '.join(_counted(*each) for each in counters.items() if each[0] == LABELS[0] or each[1] != [0])
    slowest = next(name for name in reversed(LABELS) if len(counters[name]) > 1)
    parts = ([each for each in frames if getattr(each, slowest) == value] for value in counters[slowest])
    return '; '.join(map(named, parts))


def _counted(name: str, values: Sequence[int]) -> str:
    """A counter and its values, in ascending order; evenly spaced ones by their ends."""
    steps = {after - before for before, after in pairwise(values)}
    if len(values) == 1:
        return f'{name} {values[0]}'
    if len(values) > 2 and steps == {1}:
        return f'{name}s {values[0]} to {values[-1]}'
    if len(values) > 3 and len(steps) == 1:
        return f'{name}s {values[0]}, {values[1]} ... {values[-1]}'
    return f'{name}s {", ".join(map(str, values))}'


@dataclass(frozen=True, slots=True)
class Geometry:
    """Place of one slice or volume: that of the whole matrix, whatever images are cropped to.

    Phase zero of all gradients is at DC, so `position` is the middle of voxel n//2 along every axis, which crops of the
    image keep.
    """

    position: tuple[float, float, float]
    """Centre of voxel n//2 along every axis, LPS [m]."""

    read_dir: Direction
    """Unit vector along the readout, from pixel kx to kx + 1."""

    phase_dir: Direction
    """Unit vector along ky."""

    slice_dir: Direction
    """Unit vector along kz, or from slice to slice."""

    voxel_size: tuple[float, float, float]
    """Along (slice, phase, readout) of the encoded matrix; of a slice the first is its thickness [m]."""

    def __post_init__(self) -> None:
        axes = (self.read_dir, self.phase_dir, self.slice_dir)
        products = [_dot(axes[i], axes[j]) - (i == j) for i in range(3) for j in range(i, 3)]
        if not all(abs(product) <= ORTHONORMAL for product in products):
            raise ScanError(f'directions must be perpendicular unit vectors (LPS), got {axes}')
        if not all(map(is_voxel, self.voxel_size)):
            raise ScanError(f'voxels must have a size along (slice, phase, readout) [m], got {self.voxel_size}')
        if not all(abs(each) <= FARTHEST for each in self.position):
            raise ScanError(f'the middle of the field of view must be in the scanner [m], got {self.position}')

    def partition(self, offset: float) -> 'Geometry':
        """Place of the slice so many voxels along `slice_dir` from the middle one."""
        step = offset * self.voxel_size[0]
        moved = tuple(at + step * along for at, along in zip(self.position, self.slice_dir, strict=True))
        return replace(self, position=(moved[0], moved[1], moved[2]))

    def first_pixel(self, shape: tuple[int, int]) -> tuple[float, float, float]:
        """Centre of the first pixel of an image of this size (y, x), LPS [m]."""
        along_y, along_x = (-(size // 2) * voxel for size, voxel in zip(shape, self.voxel_size[1:], strict=True))
        axes = zip(self.position, self.phase_dir, self.read_dir, strict=True)
        moved = [at + along_y * phase + along_x * read for at, phase, read in axes]
        return (moved[0], moved[1], moved[2])


def is_voxel(size: float) -> bool:
    """Whether a voxel can be so large [m]; NaN is no size."""
    return VOXELS[0] <= size <= VOXELS[1]


def _dot(one: Direction, other: Direction) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@dataclass(frozen=True, slots=True)
class Place:
    """Which image of a scan it is."""

    slice: int
    """Counted from 0 over the slices of all slabs."""

    frame: Frame = Frame()
    """The set of slices that it belongs to."""

    geometry: Geometry | None = None
    """Its place in space, where the file tells."""

    def labels(self) -> dict[str, int]:
        """Counters by name."""
        return {'slice': self.slice, **asdict(self.frame)}


def columns(places: list[Place]) -> Iterator[tuple[str, list[int]]]:
    """Counters of many images by name; those that nothing sets apart from 0 only where every file has them."""
    for name in ('slice', *LABELS):
        values = [place.labels()[name] for place in places]
        if name in ('slice', 'repetition') or any(values):
            yield name, values
