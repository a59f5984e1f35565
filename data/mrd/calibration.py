"""Calibration of parallel imaging in MRD: which lines train, which belong to the image, and which block they make."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from raki.data.blocks import acs_of, slices
from raki.data.measured import calibration_block
from raki.data.mrd.acquisitions import Acquisitions
from raki.data.mrd.header import ROUNDED, Encoding, Header
from raki.data.mrd.lines import Grid, placed
from raki.data.place import LABELS
from raki.errors import ScanError

MERGED = ('embedded', 'interleaved')
"""Calibration modes whose flagged lines belong to the image too; generators write `interleaved` for embedded lines."""

SEPARATE = ('separate', 'external', '')
"""Calibration modes whose calibration-only lines may have another contrast: they train, and never enter k-space."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What trains, in terms of acquisitions."""

    grid: Grid
    """The matrix that calibration lines are placed in."""

    n_readout: int
    """Samples of their readout over the field of view of the image."""

    steps: tuple[int, ...]
    """Every how manieth line, or (partition, line), of theirs is as far from the next as lines of the image are."""

    is_merged: bool
    """Whether calibration lines belong to the image, too."""

    interleaved_over: str | None
    """The counter of frames with shifted lines that are averaged to train (TGRAPPA); None where lines are flagged."""

    def lines_for(self, lines: Acquisitions, in_slab: np.ndarray, in_frame: np.ndarray) -> np.ndarray:
        """Which acquisitions train for the part of a scan in one slab and frame, boolean; none where it has its own.

        A frame that was measured without calibration takes that of the first frame that has any in this slab.
        """
        if self.interleaved_over:
            others = [name for name in LABELS if name != self.interleaved_over]
            own = lines.labels(others)[np.flatnonzero(in_frame & in_slab)[0]]
            return in_slab & lines.is_image & (lines.labels(others) == own).all(axis=1)
        calibration = in_slab & lines.is_calibration
        own, nothing = calibration & in_frame, np.zeros(len(lines), bool)
        if own.any() or not calibration.any():
            return nothing if self.is_merged else own
        labels = lines.labels()
        first = min(map(tuple, labels[calibration].tolist()))
        return calibration & (labels == first).all(axis=1)

    def block(self, lines: Acquisitions, chosen: np.ndarray, name: str) -> Tensor:
        """The block (coil, phase axes, kx) that these acquisitions fill, as spaced as lines of the image are.

        Of volumes and interleaved calibration the largest block; otherwise a ScanError if lines are not one.
        """
        box = self.grid.around(lines, chosen)
        whole = placed(lines, chosen, box, name)
        echo = [
            own + n // 2 - moved for own, n, moved in zip(self.grid.centre, box.phase_shape, box.centre, strict=True)
        ]
        every = tuple(slice(middle % step, None, step) for middle, step in zip(echo, self.steps, strict=True))
        held, kspace = whole.held[every], whole.kspace[(slice(None), *every)]
        block = acs_of(held)
        is_one = held.ndim == 2 or self.interleaved_over or len(block[-1]) == int(held.sum())
        if not all(block) or not is_one:
            positions = np.unique(self.grid.rows(lines)[chosen]).tolist()
            raise ScanError(f'{name}: the separate calibration lines {positions} are not one block')
        return calibration_block(kspace[(slice(None), *slices(block))], self.n_readout)


def calibration_of(header: Header, lines: Acquisitions, grid: Grid) -> Calibration:
    """Decide from the headers; a ScanError if nothing can train, or calibration does not fit the image."""
    numbers = np.unique(lines.head['encoding_space_ref'][lines.is_calibration]).tolist()
    if len(numbers) > 1:
        raise ScanError(f'{lines.path}: calibration lines are in several encodings {numbers}: leave one of them in')
    is_other = numbers not in ([], [0]) and numbers[0] < len(header.encodings)
    mode, flagged = header.first.calibration_mode, bool(lines.is_calibration.any())
    if lines.is_calibration_only.any() and mode not in MERGED + SEPARATE:
        raise ScanError(
            f'{lines.path}: calibration mode {mode} cannot be reconstructed, because it does not say whether '
            'calibration lines belong to the image: state embedded or separate in the header'
        )
    over = _interleaved_over(header.first, lines) if mode == 'interleaved' and not flagged else None
    if is_other:
        return _of_other_encoding(header.first, header.encodings[numbers[0]], grid, lines.path)
    return Calibration(grid, grid.n_readout, (1,) * len(grid.phase_shape), mode in MERGED, over)


def _of_other_encoding(first: Encoding, other: Encoding, grid: Grid, path: str) -> Calibration:
    """Lines of a reference scan with a matrix of its own: a multiple of the field of view is every so manieth line."""
    if first.is_volume != other.is_volume:
        raise ScanError(f'{path}: the calibration of another encoding must have as many axes as the image')
    wide, whole = (each.encoded.field_of_view for each in (other, first))
    ratios = [a / b if a > 0 and b > 0 else 1.0 for a, b in zip(wide, whole, strict=True)]
    steps = tuple(round(ratio) for ratio in ratios[first.n_axes - 1 : 0 : -1])
    uneven = [
        ratio
        for ratio, step in zip(ratios[first.n_axes - 1 : 0 : -1], steps, strict=True)
        if step < 1 or abs(ratio / step - 1) > ROUNDED
    ]
    n_readout = other.encoded.matrix[0] * grid.n_readout / (first.encoded.matrix[0] * ratios[0])
    if uneven or abs(round(n_readout) / n_readout - 1) > ROUNDED or round(n_readout) > other.encoded.matrix[0]:
        sizes = [' x '.join(f'{1000 * size:g}' for size in each.encoded.field_of_view) for each in (other, first)]
        raise ScanError(
            f'{path}: calibration has a field of view of {sizes[0]} mm (readout x phase x partitions), which is not '
            f"the image's {sizes[1]} mm or a multiple of it: measure it over the same field of view"
        )
    return Calibration(
        Grid.of(other, other.encoded.matrix[0]), round(n_readout), steps, is_merged=False, interleaved_over=None
    )


def _interleaved_over(first: Encoding, lines: Acquisitions) -> str | None:
    """The counter whose frames, averaged, train; None where a frame has neighbouring lines itself."""
    image = lines.is_image
    frame = image & (lines.labels() == lines.labels()[image][0]).all(axis=1)
    steps = lines.index('kspace_encode_step_1')
    if (np.diff(np.unique(steps[frame])) == 1).any():
        return None
    counters = [name for name in LABELS if len(np.unique(lines.index(name)[image])) > 1]
    over = first.interleaved_over if first.interleaved_over in counters else next(iter(counters), None)
    if over is None or not (np.diff(np.unique(steps[image])) == 1).any():
        raise ScanError(
            f'{lines.path}: interleaved calibration (TGRAPPA) cannot train: the lines of all repetitions together '
            'have no neighbours; reconstruct a series whose lines shift from frame to frame, or add calibration lines'
        )
    return over
