"""Headers and attributes of MRD images, as the standard's own package reads them."""

import ctypes

import ismrmrd
import numpy as np
import pytest

from raki.data.mrd.image import attributes_of_method, image_attributes, image_header
from raki.data.mrd.layout import DATA_TYPES, IMAGE


def acquisition_header() -> np.void:
    """A header with a number of its own in every field that an image takes over."""
    vectors = [
        (name, '<f4', 3) for name in ('position', 'read_dir', 'phase_dir', 'slice_dir', 'patient_table_position')
    ]
    counters = [(name, '<u2') for name in ('average', 'slice', 'contrast', 'phase', 'repetition', 'set')]
    stamps = [('measurement_uid', '<u4'), ('acquisition_time_stamp', '<u4'), ('physiology_time_stamp', '<u4', 3)]
    users = [('user_int', '<i4', 8), ('user_float', '<f4', 8)]
    head = np.zeros(1, np.dtype([*vectors, *stamps, *users, ('idx', np.dtype(counters))]))[0]
    for number, (name, *_) in enumerate([*vectors, *stamps, *users], start=1):
        head[name] = number
    for number, (name, _) in enumerate(counters, start=20):
        head['idx'][name] = number
    return head


def test_the_layout_is_that_of_the_standards_own_package() -> None:
    theirs = ismrmrd.ImageHeader
    assert IMAGE.itemsize == ctypes.sizeof(theirs) == 198
    assert IMAGE.fields is not None
    ours = {name: offset for name, (_, offset, *_) in IMAGE.fields.items()}
    assert ours == {name: getattr(theirs, name).offset for name in ours}
    assert len(ours) == len(theirs._fields_)


@pytest.mark.parametrize('dtype', [dtype for dtype in DATA_TYPES if dtype != np.dtype('<i4')], ids=str)
def test_types_of_samples_have_the_standards_numbers(dtype: np.dtype) -> None:
    """The package takes its number 4, a 32-bit integer in the standard, for Python's 64 bits: that one is left out."""
    assert ismrmrd.image.get_dtype_from_data_type(DATA_TYPES[dtype]) == dtype


def test_an_image_takes_place_counters_and_stamps_from_its_acquisition() -> None:
    head = acquisition_header()
    header = image_header(np.zeros((5, 4, 3), np.float32), (30, 40, 50), head, {'image_index': 7, 'slice': 2})
    theirs = ismrmrd.ImageHeader.from_buffer_copy(header.tobytes())
    assert list(theirs.matrix_size) == [3, 4, 5]
    assert list(theirs.field_of_view) == [30, 40, 50]
    assert (theirs.channels, theirs.data_type, theirs.image_type, theirs.image_index) == (1, 5, 1, 7)
    assert list(theirs.position) == [1, 1, 1]
    assert list(theirs.slice_dir) == [4, 4, 4]
    assert list(theirs.physiology_time_stamp) == [8, 8, 8]
    assert (theirs.average, theirs.slice, theirs.contrast, theirs.phase, theirs.repetition, theirs.set) == (
        20,
        2,
        22,
        23,
        24,
        25,
    )


def test_complex_images_of_channels_say_so() -> None:
    header = image_header(np.zeros((2, 1, 4, 3), np.complex64), (1, 1, 1))
    assert (int(header['channels']), int(header['image_type'])) == (2, 5)
    assert header['read_dir'].tolist() == [1, 0, 0]


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r'numbers, got bool \(4, 3\)'):
        image_header(np.zeros((4, 3), bool), (1, 1, 1))
    with pytest.raises(ValueError, match="no field 'colour'"):
        image_header(np.zeros((4, 3), np.float32), (1, 1, 1), fields={'colour': 1})


def test_attributes_come_back_through_the_standards_own_package() -> None:
    text = image_attributes({**attributes_of_method('gated'), 'Note': 'a < b & c'})
    found = ismrmrd.Meta.deserialize(text)
    assert found['ImageProcessingHistory'] == ['raki', 'gated']
    assert found['Keep_image_geometry'] == '1'
    assert found['Note'] == 'a < b & c'
    assert 'research only' in found['ImageComments']
