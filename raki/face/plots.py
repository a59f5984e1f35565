"""Figures by matplotlib, which is imported here only; it is optional."""

from collections.abc import Sequence
from io import BytesIO
from math import ceil

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from raki.evaluation.figure import figure_of
from raki.evaluation.sheet import Sheet

MOST = 8
"""Images that are drawn where nobody says which."""

COLUMNS = 4
"""Images side by side."""

SIDE = 3.0
"""Of an image on paper [inch]."""

WINDOW = 0.999
"""White is this quantile of all images that are drawn; black is 0."""


class Drawing(Figure):
    """A figure that Jupyter shows where it is the value of a cell, once, and nothing keeps when it is let go."""

    def _repr_png_(self) -> bytes:
        target = BytesIO()
        FigureCanvasAgg(self).print_png(target)
        return target.getvalue()


def paper_drawn(sheet: Sheet) -> Drawing:
    """Draw what a figure of a comparison shows, as `raki.evaluation.figure.figure_of`."""
    figure = figure_of(sheet, Drawing)
    assert isinstance(figure, Drawing)
    return figure


def images_drawn(images: np.ndarray, slices: Sequence[int] | None, title: str, pixel_aspect: float) -> Drawing:
    """Images (slice, y, x) side by side on one grey scale; `pixel_aspect` is height of a pixel over its width [1].

    A ValueError if there is no such slice.
    """
    chosen = _chosen(len(images), slices)
    white = float(np.quantile(images[chosen], WINDOW)) or 1.0
    n_columns, n_rows = min(COLUMNS, len(chosen)), ceil(len(chosen) / COLUMNS)
    figure = Drawing(figsize=(SIDE * n_columns, SIDE * n_rows + 0.4), layout='constrained')
    figure.suptitle(title, fontsize='medium')
    for number, index in enumerate(chosen):
        panel = figure.add_subplot(n_rows, n_columns, number + 1)
        panel.imshow(images[index], cmap='gray', vmin=0, vmax=white, aspect=pixel_aspect)
        panel.set(xticks=[], yticks=[])
        if len(images) > 1:
            panel.set_title(f'slice {index}', fontsize='small')
    return figure


def _chosen(n_images: int, slices: Sequence[int] | None) -> list[int]:
    if slices is None:
        return sorted({round(each) for each in np.linspace(0, n_images - 1, min(MOST, n_images))})
    unknown = [index for index in slices if not 0 <= index < n_images]
    if unknown or not slices:
        raise ValueError(f'no slice {unknown[0] if unknown else ""}: there are slices 0 to {n_images - 1}')
    return list(slices)
