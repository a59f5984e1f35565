"""How MRD version 1 lays out headers in memory, in streams and in HDF5: acquisitions, images, flags.

The structures and numbers of the standard (ISMRMRD 1.4; Inati et al. 2017, Magn Reson Med 77:411), packed without gaps.
"""

import numpy as np

from raki.errors import ScanError

XYZ = 3

COUNTERS = np.dtype(
    [(name, '<u2') for name in ('kspace_encode_step_1', 'kspace_encode_step_2', 'average', 'slice', 'contrast')]
    + [(name, '<u2') for name in ('phase', 'repetition', 'set', 'segment')]
    + [('user', '<u2', 8)]
)
"""Encoding counters of an acquisition, 34 bytes."""

ACQUISITION = np.dtype(
    [
        ('version', '<u2'),
        ('flags', '<u8'),
        ('measurement_uid', '<u4'),
        ('scan_counter', '<u4'),
        ('acquisition_time_stamp', '<u4'),
        ('physiology_time_stamp', '<u4', XYZ),
        ('number_of_samples', '<u2'),
        ('available_channels', '<u2'),
        ('active_channels', '<u2'),
        ('channel_mask', '<u8', 16),
        ('discard_pre', '<u2'),
        ('discard_post', '<u2'),
        ('center_sample', '<u2'),
        ('encoding_space_ref', '<u2'),
        ('trajectory_dimensions', '<u2'),
        ('sample_time_us', '<f4'),
        ('position', '<f4', XYZ),
        ('read_dir', '<f4', XYZ),
        ('phase_dir', '<f4', XYZ),
        ('slice_dir', '<f4', XYZ),
        ('patient_table_position', '<f4', XYZ),
        ('idx', COUNTERS),
        ('user_int', '<i4', 8),
        ('user_float', '<f4', 8),
    ]
)
"""Header of an acquisition, 340 bytes: samples (coil, sample) and their trajectory follow. Lengths in mm, LPS."""

IMAGE = np.dtype(
    [
        ('version', '<u2'),
        ('data_type', '<u2'),
        ('flags', '<u8'),
        ('measurement_uid', '<u4'),
        ('matrix_size', '<u2', XYZ),
        ('field_of_view', '<f4', XYZ),
        ('channels', '<u2'),
        ('position', '<f4', XYZ),
        ('read_dir', '<f4', XYZ),
        ('phase_dir', '<f4', XYZ),
        ('slice_dir', '<f4', XYZ),
        ('patient_table_position', '<f4', XYZ),
        ('average', '<u2'),
        ('slice', '<u2'),
        ('contrast', '<u2'),
        ('phase', '<u2'),
        ('repetition', '<u2'),
        ('set', '<u2'),
        ('acquisition_time_stamp', '<u4'),
        ('physiology_time_stamp', '<u4', XYZ),
        ('image_type', '<u2'),
        ('image_index', '<u2'),
        ('image_series_index', '<u2'),
        ('user_int', '<i4', 8),
        ('user_float', '<f4', 8),
        ('attribute_string_len', '<u4'),
    ]
)
"""Header of an image, 198 bytes: attributes as text and pixels (channel, z, y, x) follow. Lengths in mm, LPS."""

FLAGS = {
    'first in encode step 1': 1,
    'last in encode step 1': 2,
    'first in encode step 2': 3,
    'last in encode step 2': 4,
    'first in average': 5,
    'last in average': 6,
    'first in slice': 7,
    'last in slice': 8,
    'first in contrast': 9,
    'last in contrast': 10,
    'first in phase': 11,
    'last in phase': 12,
    'first in repetition': 13,
    'last in repetition': 14,
    'first in set': 15,
    'last in set': 16,
    'first in segment': 17,
    'last in segment': 18,
    'noise': 19,
    'calibration': 20,
    'calibration and image': 21,
    'reversed': 22,
    'navigation': 23,
    'phase correction': 24,
    'last in measurement': 25,
    'feedback': 26,
    'dummy': 27,
    'real-time feedback': 28,
    'surface-coil correction': 29,
    'phase stabilisation reference': 30,
    'phase stabilisation': 31,
}
"""Flags of an acquisition; the standard counts them from 1, so that flag n is bit n - 1."""

NEITHER_IMAGE_NOR_CALIBRATION = (
    'navigation',
    'phase correction',
    'feedback',
    'dummy',
    'real-time feedback',
    'surface-coil correction',
    'phase stabilisation reference',
    'phase stabilisation',
)
"""Flags of acquisitions that are left out, counted and reported."""

IMAGE_TYPES = {'magnitude': 1, 'phase': 2, 'real': 3, 'imaginary': 4, 'complex': 5}
"""Numbers of `image_type`."""

DATA_TYPES = {
    np.dtype('<u2'): 1,
    np.dtype('<i2'): 2,
    np.dtype('<u4'): 3,
    np.dtype('<i4'): 4,
    np.dtype('<f4'): 5,
    np.dtype('<f8'): 6,
    np.dtype('<c8'): 7,
    np.dtype('<c16'): 8,
}
"""Numbers of `data_type`."""


def bit(flag: str) -> np.uint64:
    """The bit of `flags` that a flag sets."""
    return np.uint64(1 << (FLAGS[flag] - 1))


def headers(array: np.ndarray) -> np.ndarray:
    """Acquisition headers of any packing, byte order or subset of fields as ACQUISITION; what is missing is zero."""
    if array.dtype == ACQUISITION:
        return array
    result = np.zeros(array.shape, ACQUISITION)
    _copy(array, result)
    return result


def _copy(source: np.ndarray, target: np.ndarray) -> None:
    """Copy fields of the same name, those of a structure within a structure included."""
    for name in set(source.dtype.names or ()) & set(target.dtype.names or ()):
        if target.dtype[name].names:
            _copy(source[name], target[name])
        elif source.dtype[name].base.kind not in 'iufb':
            raise ScanError(f'the field {name} of acquisitions must hold numbers, got {source.dtype[name]}')
        else:
            target[name] = source[name]
