"""From a header and acquisitions, wherever they come from, to a scan: the one place where raw lines become k-space."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from torch import Tensor

from raki.data.memory import COMPLEX64_BYTES, require_memory_of_slab, require_stored
from raki.data.mrd.acquisitions import Acquisitions
from raki.data.mrd.calibration import Calibration, calibration_of
from raki.data.mrd.centre import centre_of
from raki.data.mrd.checks import notes_of, require_handled
from raki.data.mrd.geometry import geometries_of
from raki.data.mrd.header import Header
from raki.data.mrd.lines import Grid, Placed, Placing, joined, placed
from raki.data.mrd.noise import noise_of_scan
from raki.data.mrd.readout import with_image_encoding, with_readouts, with_samples, with_slices
from raki.data.notes import LEFT_OUT, Note, caution
from raki.data.place import LABELS, Frame, named
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError

SIZES = ('active_channels', 'number_of_samples')
"""Of an acquisition, by their names in its header."""


@dataclass(frozen=True, slots=True)
class RawChoice:
    """What a user may say about a file of raw data."""

    measurement: str | None = None
    """Which of several measurements in the file; the last where nothing is said."""

    centre: tuple[int, ...] = ()
    """Counters (ky,) or (ky, kz) of the centre of k-space, in place of what the file says."""


ALL_BY_FILE = RawChoice()
"""Nothing said: the file decides."""


def scan_file_of(
    header: Header,
    lines: Acquisitions,
    path: str,
    name: str,
    *,
    notes: Sequence[Note] = (),
    centre: Sequence[int] = (),
    noise: tuple[Header, Acquisitions] | None = None,
) -> ScanFile:
    """Understand a scan by its headers; samples are placed later, slab by slab.

    Parameters
    ----------
    header
        What the scan tells about itself.
    lines
        Its acquisitions.
    path
        File or stream, for errors.
    name
        The format, in words.
    notes
        What was decided before, one sentence each.
    centre
        Counters (ky,) or (ky, kz) of the line and partition through the centre of k-space, in place of what the scan
        says.
    noise
        Another measurement with noise acquisitions, for a scan that has none.

    Raises
    ------
    ScanError
        If it is not one Cartesian scan that we can read.
    ResourceError
        If a single slice, or a volume with its reconstruction, does not fit into memory.
    """
    reader, decided = understood(header, lines, centre=centre, noise=noise)
    _require_filled(header, lines, path)
    return file_of(reader, path, name, (*notes, *decided))


def _require_filled(header: Header, lines: Acquisitions, path: str) -> None:
    """Refuse one line, and a matrix that would hold zeros almost everywhere."""
    n_lines, matrix = int(lines.is_image.sum()), header.first.encoded.matrix
    if n_lines < 2:
        raise ScanError(f'{path}: one of {prod(matrix[1:])} lines was measured, but an image needs many')
    n_coils, n_samples = (lines.head[each][lines.is_image].astype(int) for each in SIZES)
    sizes = COMPLEX64_BYTES * int(n_coils.max()) * prod(matrix), COMPLEX64_BYTES * int((n_coils * n_samples).sum())
    require_stored(*sizes, f'{path}: the encoded matrix {" x ".join(map(str, matrix))} (readout, ky, kz)')


def understood(
    header: Header,
    lines: Acquisitions,
    *,
    centre: Sequence[int] = (),
    noise: tuple[Header, Acquisitions] | None = None,
) -> tuple['SlabReader', list[Note]]:
    """What reads a scan, and what was decided; parameters and errors as of `scan_file_of`."""
    lines, about_samples = with_samples(lines)
    require_handled(header, lines)
    header, lines, about_encodings = with_image_encoding(header, lines)
    header, about_slices = with_slices(header, lines)
    header, lines, about_readouts = with_readouts(header, lines)
    middle, about_centre = centre_of(header, lines, centre)
    grid = Grid.of(header.first, header.first.image_shape(2)[1], middle)
    reader = SlabReader(header, lines, grid, calibration_of(header, lines, grid), noise or (header, lines))
    return reader, [*about_samples, *about_encodings, *about_slices, *about_readouts, *about_centre]


def file_of(reader: 'SlabReader', path: str, name: str, decided: Sequence[Note]) -> ScanFile:
    """A file of what is understood, with all that people should know about it; errors as of `scan_file_of`."""
    header, lines, grid = reader.header, reader.lines, reader.grid
    encoding = header.first
    if not reader.frames:
        raise ScanError(f'{path}: no repetition, contrast, phase and set has lines in all of the slices {reader.slabs}')
    n_coils = lines.n_coils(lines.is_image)
    shape = (len(reader.slabs), n_coils, *encoding.phase_shape, grid.n_readout)
    memory = require_memory_of_slab(shape, COMPLEX64_BYTES * n_coils * prod(encoding.encoded.matrix[:2]), path)
    about = list(decided)
    if over := reader.calibration.interleaved_over:
        about.append(Note(f'the mean over every {over} trains (interleaved calibration, TGRAPPA)'))
    about += [
        caution(f'{named(frames)} left out: no lines in slices {list(gaps)}', LEFT_OUT)
        for gaps, frames in reader.incomplete.items()
    ]
    return ScanFile(
        path=path,
        format=name,
        shape=shape,
        read_slab=reader.read_slab,
        frames=reader.frames,
        geometries=geometries_of(header, lines, reader.slabs),
        image_shape=encoding.image_shape(encoding.n_axes),
        facts=dict(header.facts),
        identity=dict(header.identity),
        notes=[*about, *notes_of(header, lines, grid), *memory],
    )


@dataclass(frozen=True, eq=False)
class SlabReader:
    """Reads slices or volumes of a scan whose headers are understood."""

    header: Header
    lines: Acquisitions
    grid: Grid
    """Where lines of the image lie."""
    calibration: Calibration
    """What trains."""
    noise: tuple[Header, Acquisitions]
    """The measurement with the noise acquisitions."""

    @cached_property
    def slabs(self) -> list[int]:
        """Counters of slices, or of volumes; there may be holes."""
        return np.unique(self.lines.index('slice')[self.lines.is_image]).tolist()

    @cached_property
    def frames(self) -> list[Frame]:
        """Repetitions, contrasts, phases and sets that have lines in every slab, by their counters."""
        return [frame for frame, slabs in self._slabs_of.items() if len(slabs) == len(self.slabs)]

    @cached_property
    def incomplete(self) -> dict[tuple[int, ...], list[Frame]]:
        """Frames that lack slabs, by the counters of these."""
        found: dict[tuple[int, ...], list[Frame]] = {}
        for frame, slabs in self._slabs_of.items():
            if missing := tuple(sorted(set(self.slabs) - slabs)):
                found.setdefault(missing, []).append(frame)
        return found

    @cached_property
    def _slabs_of(self) -> dict[Frame, set[int]]:
        lines, found = self.lines, {}
        labels = np.unique(lines.labels(['slice', *LABELS])[lines.is_image].astype(int), axis=0)
        for slab, *counters in labels[np.lexsort(labels.T[:0:-1])].tolist():
            found.setdefault(Frame(*counters), set()).add(slab)
        return found

    def read_slab(self, index: int, frame: int) -> Scan:
        """Read one slice, or the volume, of one frame, by its number."""
        lines, name = self.lines, f'{self.lines.path}: slice {index}, {self.frames[frame]}'
        in_slab = lines.index('slice') == self.slabs[index]
        in_frame = lines.in_frame(self.frames[frame])
        here = in_slab & in_frame
        if not (here & lines.is_image).any():
            raise ScanError(f'{name}: no image lines')
        image = placed(lines, here & lines.is_image, self.grid, name)
        more = here & lines.is_calibration_only
        if self.calibration.is_merged and more.any():
            image = joined(image, placed(lines, more, self.grid, name))
        training = self.calibration.lines_for(lines, in_slab, in_frame)
        return self.scan_with(image, self.calibration.block(lines, training, name) if training.any() else None)

    def begun(self) -> list[Placing]:
        """What places the lines of its one slice as they come, those of the image and calibration beside it.

        None where more is to be done than to place them, as in volumes, or where others train: read those at once.
        """
        lines = self.lines
        image, more = lines.is_image, lines.is_calibration_only
        is_more = self.grid.is_volume or len(self.slabs) * len(self.frames) > 1 or lines.numbers is not None
        if is_more or self.calibration.lines_for(lines, image | more, image | more).any():
            return []
        chosen = [image, more] if more.any() else [image]
        return [Placing(lines, np.flatnonzero(own), self.grid, lines.path) for own in chosen]

    def scan_with(self, image: Placed, calibration: Tensor | None) -> Scan:
        """A scan of what is placed, and of what trains, axes (coil, phase axes, kx)."""
        n_axes = self.header.first.n_axes
        return Scan(
            kspace=image.kspace[None],
            mask=image.held,
            calibration=None if calibration is None else calibration[None],
            noise=self._noise,
            image_shape=self.header.image_shape(n_axes),
            voxel_size=self.header.voxel_size(n_axes),
            readout=image.readout,
        )

    @cached_property
    def _noise(self) -> Tensor | None:
        return noise_of_scan(self.header, self.lines, *self.noise, float(self.lines.n_averages.mean()))
