"""Images of the MRD format (version 1): their header of 198 bytes and their attributes, in files and in streams."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from xml.etree import ElementTree

import numpy as np

IMAGE_HEADER = np.dtype(
    [
        ('version', '<u2'),
        ('data_type', '<u2'),
        ('flags', '<u8'),
        ('measurement_uid', '<u4'),
        ('matrix_size', '<u2', 3),
        ('field_of_view', '<f4', 3),
        ('channels', '<u2'),
        ('position', '<f4', 3),
        ('read_dir', '<f4', 3),
        ('phase_dir', '<f4', 3),
        ('slice_dir', '<f4', 3),
        ('patient_table_position', '<f4', 3),
        ('average', '<u2'),
        ('slice', '<u2'),
        ('contrast', '<u2'),
        ('phase', '<u2'),
        ('repetition', '<u2'),
        ('set', '<u2'),
        ('acquisition_time_stamp', '<u4'),
        ('physiology_time_stamp', '<u4', 3),
        ('image_type', '<u2'),
        ('image_index', '<u2'),
        ('image_series_index', '<u2'),
        ('user_int', '<i4', 8),
        ('user_float', '<f4', 8),
        ('attribute_string_len', '<u4'),
    ]
)
"""The header of an image as the standard lays it out: no gaps, little-endian. Lengths in mm, directions in LPS."""

DATA_TYPES = MappingProxyType(
    {
        np.dtype('<u2'): 1,
        np.dtype('<i2'): 2,
        np.dtype('<u4'): 3,
        np.dtype('<i4'): 4,
        np.dtype('<f4'): 5,
        np.dtype('<f8'): 6,
        np.dtype('<c8'): 7,
        np.dtype('<c16'): 8,
    }
)
"""The number by which a header names the type of the samples."""

MAGNITUDE, COMPLEX = 1, 5
"""Numbers of image types."""

FROM_ACQUISITION = (
    'measurement_uid',
    'position',
    'read_dir',
    'phase_dir',
    'slice_dir',
    'patient_table_position',
    'acquisition_time_stamp',
    'physiology_time_stamp',
    'user_int',
    'user_float',
)
LABELS = ('average', 'slice', 'contrast', 'phase', 'repetition', 'set')
"""What an image takes from the header of an acquisition, and from its counters."""

RESEARCH_ONLY = 'research only, not for diagnosis'

AXIAL = MappingProxyType({'read_dir': (1, 0, 0), 'phase_dir': (0, 1, 0), 'slice_dir': (0, 0, 1)})
"""Directions where nobody states any."""


def image_header(
    image: np.ndarray,
    field_of_view: Sequence[float],
    acquisition: np.void | None = None,
    fields: Mapping[str, object] = MappingProxyType({}),
) -> np.ndarray:
    """Make the header of one image, a scalar of IMAGE_HEADER.

    Parameters
    ----------
    image
        Axes (y, x), (z, y, x) or (channel, z, y, x); x is the readout.
    field_of_view
        Extent (x, y, z) of the image [mm]; z is the thickness of a slice.
    acquisition
        Header of a readout of this image: gives position, directions, counters, and time stamps.
    fields
        Further fields of the header by name, such as `image_index`; these have the last word.

    Raises
    ------
    ValueError
        If the image has other axes, the format has no such type of samples, or a header no such field.
    """
    if image.ndim not in (2, 3, 4) or image.dtype not in DATA_TYPES:
        raise ValueError(f'an MRD image has axes (channel, z, y, x) and numbers, got {image.dtype} {image.shape}')
    unknown = sorted(set(fields) - set(IMAGE_HEADER.names or ()))
    if unknown:
        raise ValueError(f'an MRD image header has no field {unknown[0]!r}')
    n_channels, *matrix = (1, 1, *image.shape)[-4:]
    header = np.zeros((), IMAGE_HEADER)
    known = {
        'version': 1,
        'data_type': DATA_TYPES[image.dtype],
        'matrix_size': matrix[::-1],
        'channels': n_channels,
        'field_of_view': field_of_view,
        'image_type': COMPLEX if np.iscomplexobj(image) else MAGNITUDE,
        **(AXIAL if acquisition is None else _of_acquisition(acquisition)),
        **fields,
    }
    for name, value in known.items():
        header[name] = value
    return header


def _of_acquisition(head: np.void) -> dict[str, object]:
    return {name: head[name] for name in FROM_ACQUISITION} | {name: head['idx'][name] for name in LABELS}


def image_attributes(values: Mapping[str, object]) -> str:
    """Write attributes of an image as the standard's XML; a list gives several values."""
    root = ElementTree.Element('ismrmrdMeta')
    for name, value in values.items():
        meta = ElementTree.SubElement(root, 'meta')
        ElementTree.SubElement(meta, 'name').text = name
        for each in value if isinstance(value, list | tuple) else [value]:
            ElementTree.SubElement(meta, 'value').text = str(each)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding='unicode')


def attributes_of_method(method: str) -> dict[str, object]:
    """Attributes that every image carries: what it is, how it came about, and what it is not for."""
    return {
        'DataRole': 'Image',
        'ImageProcessingHistory': ['raki', method],
        'ImageComments': f'raki {method}: {RESEARCH_ONLY}',
        'Keep_image_geometry': 1,
    }
