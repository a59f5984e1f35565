"""What a scan in MRD is refused for, by name, and what people should know about how it was read."""

import numpy as np

from raki.data.acquisitions import Acquisitions
from raki.data.header import Header
from raki.data.mrd_lines import Grid
from raki.errors import ScanError


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


def notes_of(header: Header, lines: Acquisitions, grid: Grid) -> list[str]:
    """What was decided or is remarkable, one sentence each."""
    first, spacing = header.first, _spacing(lines)
    mode, stated = first.calibration_mode, first.acceleration[0]
    labels = np.unique(lines.labels()[lines.is_calibration], axis=0)
    n_frames = len(np.unique(lines.labels()[lines.is_image], axis=0))
    notes = {f'{count} {name} acquisitions left out': True for name, count in lines.left_out.items()}
    notes |= {
        f'readout oversampling removed: {grid.n_samples} to {grid.n_readout} samples': grid.n_readout < grid.n_samples,
        'the header does not state relativeReceiverNoiseBandwidth: 1 is assumed, and if it is 0.79 as on many '
        'scanners, the noise is 12 % more than its samples tell': lines.is_noise.any() and not header.noise_bandwidth,
        'the header says interleaved calibration, but lines are flagged as calibration: taken as embedded': mode
        == 'interleaved'
        and len(labels) > 0,
        'the header does not say whether calibration lines belong to the image: they train, and do not enter it': mode
        == ''
        and lines.is_calibration_only.any(),
        f'calibration was measured in repetition {[int(each[0]) for each in labels[:1]]} only, and serves all': 1
        == len(labels)
        < n_frames,
        f'the header says R={stated}, the lines say R={spacing}: the lines are believed': stated > 0
        and spacing not in (stated, 0),
    }
    return [note for note, is_due in notes.items() if is_due]


def _spacing(lines: Acquisitions) -> int:
    """Largest gap between neighbouring image lines of the first slice and frame; 0 with fewer than two lines."""
    image = lines.is_image
    first = image & (lines.index('slice') == lines.index('slice')[image].min())
    first &= (lines.labels() == min(map(tuple, np.unique(lines.labels()[image], axis=0).tolist()))).all(axis=1)
    return int(np.diff(np.unique(lines.index('kspace_encode_step_1')[first])).max(initial=0))
