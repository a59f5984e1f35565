"""PNG pictures, 8 bit grey, one for each image, oriented as in HDF5.

All of an output have one window, which stands in the text of the picture.
"""

from pathlib import Path

import numpy as np

from raki.data.images.gathered import Gathered, Waiting
from raki.data.images.grey import encoded
from raki.data.save import NewFiles

WINDOW = 0.999
"""White is the largest of all images' quantiles; black is 0."""

COMMENT = 'research only, not for diagnosis'


def write_png(path: Path, images: Gathered, new_file: NewFiles) -> None:
    """Write `NAME.png`, or of several images `NAME_slice003.png` and so on; g-factors as `NAME_gfactor.png`."""
    for kind, pixels in images.maps:
        white = _white(pixels, len(images))
        for index in range(len(images)):
            target = path.with_name(f'{path.stem}{kind}{images.label(index)}{path.suffix}')
            new_file(target).write_bytes(_picture(images, index, pixels[index], white))
    new_file.describe(path.with_name(f'{path.name}.json'), images.made)


def _white(pixels: Waiting, n_images: int) -> float:
    values = (np.sort(pixels[index], axis=None) for index in range(n_images))
    return max(float(each[round(WINDOW * (len(each) - 1))]) for each in values) or 1.0


def _picture(images: Gathered, index: int, image: np.ndarray, white: float) -> bytes:
    size, is_turned = images.pixel_size(index), images.images[index].readout_is_rows
    grey = np.rint(np.clip(image / white, 0, 1) * 255).astype(np.uint8)
    method = images.manifest.get('method', '')
    texts = {'Software': 'raki', 'Description': f'{method}; black 0, white {white:.6g}', 'Comment': COMMENT}
    if is_turned:
        return encoded(grey.T, texts, None if size is None else (size[1], size[0]))
    return encoded(grey, texts, size)
