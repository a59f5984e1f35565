"""Images as an MRD file (version 1) holds them: group `dataset` with `image_0`, and `image_1` for g-factors.

Positions are those of acquisitions: the middle of pixel n//2, where all gradients have phase zero.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from raki.data.images.gathered import Gathered, Waiting, require_sizes
from raki.data.mrd.description import MM, Description, header_xml
from raki.data.mrd.image import attributes_of_method, image_attributes, image_header
from raki.data.place import Geometry
from raki.data.save import NewFiles, describe_in, hdf5_in

LARGEST = (1 << 16) - 1
"""Size of an image along an axis [pixel]."""

DIRECTIONS = ('read_dir', 'phase_dir', 'slice_dir')


def write_mrd_images(path: Path, images: Gathered, new_file: NewFiles) -> None:
    """Write all images, magnitude float32, each map in a group of its own."""
    n_bytes = len(images) * sum(int(np.prod(pixels.shape)) * 4 for _, pixels in images.maps)
    with hdf5_in(new_file(path), 2 * n_bytes) as file:
        group = file.create_group('dataset')
        text = h5py.string_dtype()
        group.create_dataset('xml', data=[header_xml(_described(images))], dtype=text)
        for number, (kind, pixels) in enumerate(images.maps):
            height, width = pixels.shape
            shape = (len(images), 1, 1, height, width)
            target = group.create_group(f'image_{number}')
            data = target.create_dataset('data', shape, '<f4', chunks=(1, *shape[1:]))
            attributes = image_attributes(_attributes(images, kind))
            headers = [_header(images, index, pixels, number, len(attributes)) for index in range(len(images))]
            for index in range(len(images)):
                data[index, 0, 0] = pixels[index].astype('<f4')
            target.create_dataset('header', data=np.stack(headers))
            target.create_dataset('attributes', data=[attributes] * len(images), dtype=text)
        describe_in(file, images.manifest)


def _described(images: Gathered) -> Description:
    height, width = images.arrays['reconstruction'].shape
    geometry, size, manifest = images.geometry(0), images.pixel_size(0), images.manifest
    voxel = (0.0 if geometry is None else geometry.voxel_size[0], *(size or (0.0, 0.0)))
    return Description(
        matrix=(1, height, width),
        voxel_size=(voxel[0], voxel[1], voxel[2]),
        scanner=manifest.get('scanner') or {},
        subject=manifest.get('subject') or {},
    )


def _attributes(images: Gathered, kind: str) -> Mapping[str, Any]:
    attributes = attributes_of_method(str(images.manifest.get('method', '')))
    return attributes | ({'ImageTypeValue3': kind.strip('_')} if kind else {})


def _header(images: Gathered, index: int, pixels: Waiting, series: int, n_characters: int) -> np.ndarray:
    place, size = images.places[index], images.pixel_size(index)
    (height, width), geometry = pixels.shape, place.geometry
    require_sizes((height, width), LARGEST, 'MRD')
    thickness = 0.0 if geometry is None else geometry.voxel_size[0]
    extent = (0.0, 0.0) if size is None else (MM * width * size[1], MM * height * size[0])
    labels = {name: value for name, value in place.labels().items() if name in _COUNTERS}
    fields = labels | _where(geometry)
    fields |= {'image_index': index + 1, 'image_series_index': series, 'attribute_string_len': n_characters}
    return image_header(np.zeros((height, width), '<f4'), (*extent, MM * thickness), fields=fields)


_COUNTERS = ('slice', 'repetition', 'contrast', 'phase', 'set')


def _where(geometry: Geometry | None) -> dict[str, Any]:
    if geometry is None:
        return {}
    position = tuple(MM * each for each in geometry.position)
    return {'position': position} | {name: getattr(geometry, name) for name in DIRECTIONS}
