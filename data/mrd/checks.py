"""What a scan in MRD is refused for, by name, and what people should know about how it was read."""

import numpy as np

from raki.data.mrd.acquisitions import Acquisitions
from raki.data.mrd.centre import STEPS
from raki.data.mrd.header import Header
from raki.data.mrd.lines import Grid
from raki.data.notes import AVERAGES, LEFT_OUT, Note, caution, oversampling_removed
from raki.data.place import LABELS
from raki.errors import ScanError

UNEQUAL = 'lines are the mean of {} to {} averages, and noise is taken as that of their mean number'
BANDWIDTH = (
    'the header does not state relativeReceiverNoiseBandwidth: 1 is assumed, and if it is 0.79 as on many scanners, '
    'the noise is 12 % more than its samples tell'
)
DWELL = 'dwell times are not stated: those of noise and image are assumed to be the same'
EMBEDDED = 'the header says interleaved calibration, but lines are flagged as calibration: taken as embedded'
UNCLEAR = 'the header does not say whether calibration lines belong to the image: they train, and do not enter it'


def require_handled(header: Header, lines: Acquisitions) -> None:
    """Raise a ScanError that names what kind of scan this is, if it is not a Cartesian one that we can read."""
    if not lines.is_image.any():
        kinds = {**lines.left_out, 'noise': int(lines.is_noise.sum())}
        there = ', '.join(f'{count} {kind}' for kind, count in kinds.items() if count) or 'calibration only'
        raise ScanError(f'{lines.path}: none of the {len(lines)} acquisitions is an image line ({there})')
    image, first = lines.is_image | lines.is_calibration, header.first
    is_backward, is_corrected = bool(lines.is_reversed[image].any()), bool(lines.has('phase correction').any())
    n_partitions = len(np.unique(lines.index('kspace_encode_step_2')[lines.is_image]))
    unhandled = {
        f'trajectory {first.trajectory}': first.trajectory != 'cartesian',
        'simultaneous multi-slice': first.is_multiband,
        'reversed readouts with phase correction (EPI)': is_backward and is_corrected,
        'partitions of a two-dimensional matrix': not first.is_volume and n_partitions > 1,
    }
    for name, found in unhandled.items():
        if found:
            raise ScanError(f'{lines.path}: {name} cannot be reconstructed yet: convert to a single Cartesian scan')


def notes_of(header: Header, lines: Acquisitions, grid: Grid) -> list[Note]:
    """What was decided or is remarkable, one sentence each."""
    left_out = [Note(f'{count} {name} acquisitions left out', LEFT_OUT) for name, count in lines.left_out.items()]
    return [
        *left_out,
        *_about_samples(header, lines, grid),
        *_about_calibration(header, lines),
        *_about_rates(header, lines),
        *_about_ends(lines),
    ]


def _about_samples(header: Header, lines: Acquisitions, grid: Grid) -> list[Note]:
    least, most = int(lines.n_averages.min()), int(lines.n_averages.max())
    notes = {
        oversampling_removed(grid.n_samples, grid.n_readout): grid.n_readout < grid.n_samples,
        Note(f'lines are the mean of {most} averages', AVERAGES): least == most > 1,
        caution(UNEQUAL.format(least, most), AVERAGES): least < most,
        caution(BANDWIDTH): lines.is_noise.any() and not header.noise_bandwidth,
        caution(DWELL): lines.is_noise.any() and not _dwell(lines, lines.is_noise) * _dwell(lines, lines.is_image),
        Note('readouts are run backwards on some lines: turned'): lines.is_reversed[lines.is_image].any(),
    }
    return [note for note, is_due in notes.items() if is_due]


def _dwell(lines: Acquisitions, chosen: np.ndarray) -> float:
    return float(lines.head['sample_time_us'][chosen].mean())


def _about_calibration(header: Header, lines: Acquisitions) -> list[Note]:
    mode, is_flagged = header.first.calibration_mode, bool(lines.is_calibration.any())
    labels = np.unique(lines.labels()[lines.is_calibration], axis=0)
    n_frames = len(np.unique(lines.labels()[lines.is_image], axis=0))
    is_shared = len(labels) == 1 < n_frames
    is_unclear = mode == '' and bool(lines.is_calibration_only.any())
    spaces = np.unique(lines.head['encoding_space_ref'][lines.is_calibration]).tolist()
    notes = {
        caution(EMBEDDED): is_flagged and mode == 'interleaved',
        caution(UNCLEAR): is_unclear,
        Note(f'calibration was measured in repetition {labels[:1, 0].tolist()} only, and serves all'): is_shared,
        Note(f'calibration lines are those of encoding {spaces[-1:]}, with a matrix of their own'): any(spaces),
    }
    return [note for note, is_due in notes.items() if is_due]


def _about_rates(header: Header, lines: Acquisitions) -> list[Note]:
    """Where the header states another acceleration than lines have, along ky, and kz of volumes."""
    notes = []
    names = tuple(zip(STEPS, ('R', 'Rz'), strict=True))
    for stated, (step, name) in zip(header.first.acceleration, names[: header.first.n_axes - 1], strict=False):
        spacing, own = _spacing(lines, step)
        if stated > 0 and stated not in (spacing, own) and spacing:
            text = f'the header says {name}={stated}, the lines say {name}={spacing}: the lines are believed'
            notes.append(caution(text))
    return notes


def _about_ends(lines: Acquisitions) -> list[Note]:
    """Which slice of which frame lacks an end of ky that others have, as where a measurement was stopped.

    Frames without all slices are left out anyway.
    """
    names, image = ['slice', *LABELS], lines.is_image
    labels, which = np.unique(lines.labels(names)[image], axis=0, return_inverse=True)
    counters, which = lines.index(STEPS[0])[image].astype(int), which.reshape(-1)
    first, last = np.full(len(labels), counters.max()), np.full(len(labels), counters.min())
    np.minimum.at(first, which, counters)
    np.maximum.at(last, which, counters)
    margin = max(1, _spacing(lines, STEPS[0])[0])
    _, frame, n_slices = np.unique(labels[:, 1:], axis=0, return_inverse=True, return_counts=True)
    is_whole = n_slices[frame.reshape(-1)] == n_slices.max()
    short = np.flatnonzero(is_whole & ((first > first.min() + margin) | (last < last.max() - margin)))
    if not len(short):
        return []
    own = ', '.join(f'{name} {value}' for name, value in zip(names, labels[short[0]].tolist(), strict=True) if value)
    text = (
        f'{own or "slice 0"} has lines {first[short[0]]} to {last[short[0]]}, others {first.min()} to {last.max()}, '
        'which is taken for partial Fourier: was the measurement stopped?'
    )
    return [caution(text)]


def _spacing(lines: Acquisitions, step: str) -> tuple[int, int]:
    """Largest gap between neighbouring image lines of the first slice and frame; 0 with fewer than two lines.

    Of all lines, and of those that share the other counter: a CAIPI shift fills gaps of one with lines of another.
    """
    image, [other] = lines.is_image, [each for each in STEPS if each != step]
    first = image & (lines.index('slice') == lines.index('slice')[image].min())
    first &= (lines.labels() == lines.labels()[first][0]).all(axis=1)
    counters, others = lines.index(step)[first].astype(int), lines.index(other)[first].astype(int)
    own = np.unique(np.stack([others, counters]), axis=1)
    gaps = np.diff(own[1])[np.diff(own[0]) == 0]
    return int(np.diff(np.unique(counters)).max(initial=0)), int(gaps.max(initial=0))
