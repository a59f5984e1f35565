"""Images of the MRD format (version 1): their header of 198 bytes and their attributes, in files and in streams."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from xml.etree import ElementTree

import numpy as np

from raki.data.mrd.layout import DATA_TYPES, IMAGE, IMAGE_TYPES

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
    """Make the header of one image, a scalar of `raki.data.mrd.layout.IMAGE`.

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
    unknown = sorted(set(fields) - set(IMAGE.names or ()))
    if unknown:
        raise ValueError(f'an MRD image header has no field {unknown[0]!r}')
    n_channels, *matrix = (1, 1, *image.shape)[-4:]
    header = np.zeros((), IMAGE)
    known = {
        'version': 1,
        'data_type': DATA_TYPES[image.dtype],
        'matrix_size': matrix[::-1],
        'channels': n_channels,
        'field_of_view': field_of_view,
        'image_type': IMAGE_TYPES['complex' if np.iscomplexobj(image) else 'magnitude'],
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
