"""How the pages of the gallery draw: images side by side in one window. Everything else on them is the package."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
from torch import Tensor

THUMBNAILS = Path(__file__).parent / 'thumbnails'
"""Where the index finds a picture of each symptom; made by the pages."""

BRIGHTEST = 0.9
"""Part of the largest value that is shown white [1]."""


def panels(images: Mapping[str, Tensor], peak: float | None = None, *, colours: str = 'gray', n_columns: int = 4) -> None:
    """Show images (y, x), all from 0 to `peak`, by default BRIGHTEST of the largest value of the first one."""
    first = next(iter(images.values()))
    peak = BRIGHTEST * float(first.abs().max()) if peak is None else peak
    n_columns = min(n_columns, len(images))
    n_rows = -(-len(images) // n_columns)
    size = (2.6 * n_columns, 2.6 * n_rows * first.shape[0] / first.shape[1] + 0.3 * n_rows)
    _, places = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False, layout='constrained')
    for place in places.flat:
        place.axis('off')
    for place, (title, image) in zip(places.flat, images.items(), strict=False):
        place.imshow(image.abs().numpy(), cmap=colours, vmin=0, vmax=peak)
        place.set_title(title, fontsize=10)
    plt.show()


def thumbnail(name: str, image: Tensor, peak: float | None = None) -> None:
    """Write the picture of a symptom for the index; `peak` as of `panels`."""
    THUMBNAILS.mkdir(exist_ok=True)
    peak = BRIGHTEST * float(image.abs().max()) if peak is None else peak
    plt.imsave(THUMBNAILS / f'{name}.png', image.abs().numpy(), cmap='gray', vmin=0, vmax=peak)
