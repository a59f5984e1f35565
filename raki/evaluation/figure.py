"""Figures as papers print them, drawn with matplotlib, which is an optional dependency: the extra `figure`.

Pixels stay pixels and text stays text: nothing is smoothed, and the words of a PDF can be searched. Sizes are those on
paper, 180 mm wide as two columns of a journal are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil, floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from raki.evaluation.paper import BAR, GAP, LEFT, LINE, NOTE, POINTS, TICKS, TITLE, Paper
from raki.evaluation.sheet import Region, Sheet, Strip
from raki.evaluation.verdict import PRICE, PRICED, STAR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ('.png', '.pdf')
"""Suffixes of figures; a name without a suffix asks for all."""

BAR_TALL, N_STEPS, STEP = 0.9, 5, 6.0
"""Height of a colour bar as a part of that of a picture [1], how many steps are marked on it at most, and their height
at least [mm]."""
NUMBER = 9.0
"""Width of a figure of merit [mm]."""
BAR_PART, MARGIN = 0.35, 0.05
"""The most that a scale bar takes of the width of a picture, and its distance from the edges, as parts of it [1]."""
DOTS_PER_INCH = 300
"""Of a PNG, at least."""
N_COLOURS = 256
MM_PER_METRE = 1000.0
MM_PER_INCH = 25.4

GREY = 'gray'
INK, FAINT, GOOD, PAID, FRAME = '#1a1a1a', '#666666', '#00695c', '#b04a00', '#ffd54f'
MARKED = {STAR: GOOD, PRICED: PAID, PRICE: PAID, '': INK}
"""Colour of a figure of merit by its mark."""


def figure_paths(names: Sequence[Path]) -> list[Path]:
    """Files that names of figures ask for: a name without a suffix asks for one of each format.

    Raises
    ------
    ValueError
        If another format is asked for, or what has no name.
    """
    for name in names:
        if name.name in ('', '..'):
            raise ValueError(f'a figure needs a name such as brain.png, got {name}')
        if name.suffix and name.suffix.lower() not in FORMATS:
            raise ValueError(f'a figure is a {" or ".join(FORMATS)}, or both of a name without suffix, got {name}')
    every = ([name] if name.suffix else [name.with_name(name.name + suffix) for suffix in FORMATS] for name in names)
    return list(dict.fromkeys(path for paths in every for path in paths))


def write_figure(figure: 'Figure', file: Path, suffix: str) -> None:
    """Write a figure to a file, whatever it is called, in the format of a suffix; equal figures are equal bytes.

    A PDF holds pixels and letters as they are. A PNG has at least 300 dots per inch, a whole number of them for every
    pixel, and the N_COLOURS that come nearest, which makes it a third as large.
    """
    from matplotlib import rc_context
    from PIL import Image

    if suffix.lower() == '.pdf':
        with rc_context({'pdf.fonttype': 42}):  # letters as outlines of a font, which programs that draw can edit
            figure.savefig(file, format='pdf', metadata={'CreationDate': None})
        return
    drawn, dots_per_inch = BytesIO(), _resolution(figure)
    figure.savefig(drawn, format='png', dpi=dots_per_inch)
    colours = Image.open(drawn).convert('RGB')
    few = colours.quantize(N_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(file, format='png', dpi=(dots_per_inch, dots_per_inch), optimize=True)


def _resolution(figure: 'Figure') -> float:
    """Dots per inch at which every pixel of the first picture takes a whole number of dots."""
    axes = figure.axes[0]
    n_pixels, inches = axes.images[0].get_size()[1], axes.get_position().width * figure.get_figwidth()
    return ceil(DOTS_PER_INCH * inches / n_pixels) * n_pixels / inches


def figure_of(sheet: Sheet, kind: 'type[Figure] | None' = None) -> 'Figure':
    """Draw a sheet: columns are strips, rows are images, the zoomed region, errors and g-factors as far as there are.

    Under them are figures of merit and the note. The figure is of a kind that may know more than matplotlib's own.
    """
    from matplotlib.figure import Figure

    layers = [layer for layer in _layers(sheet) if any(layer.of(strip) is not None for strip in sheet.strips)]
    paper = Paper(sheet, len(layers), has_bars=any(layer.unit for layer in layers))
    figure = (kind or Figure)((paper.width / MM_PER_INCH, paper.height / MM_PER_INCH), facecolor='white')
    canvas = _Canvas(paper, figure)
    for column, strip in enumerate(sheet.strips):
        at = paper.left(column) + paper.wide / 2, TITLE / 2
        canvas.write(*at, strip.title, size=paper.title_points, weight='bold')
    for row, layer in enumerate(layers):
        _draw_row(canvas, row, layer)
    if sheet.zoom:
        _draw_frame(figure.axes[0], sheet.zoom)
    _draw_figures(canvas)
    for number, line in enumerate(paper.note):
        canvas.write(LEFT, paper.below + NOTE * (number + 0.5), line, ha='left', color=FAINT)
    return figure


class _Layer(NamedTuple):
    """One row of pictures."""

    label: str
    of: Callable[[Strip], Tensor | None]
    colours: str
    end: float
    """Where the scale ends; it starts at 0."""
    unit: str = ''
    """What its colour bar says; without it there is no bar."""


def _layers(sheet: Sheet) -> list[_Layer]:
    zoom = sheet.zoom
    return [
        _Layer('image', lambda strip: strip.image, GREY, sheet.window),
        _Layer('enlarged', lambda strip: None if zoom is None else zoom.of(strip.image), GREY, sheet.window),
        _Layer(
            f'error × {sheet.amplification:g}',
            lambda strip: strip.error,
            'inferno',
            sheet.window / sheet.amplification,
            '|image − reference|',
        ),
        _Layer('g-factor', lambda strip: strip.gfactor, 'viridis', sheet.gfactor_end, 'g'),
    ]


@dataclass(frozen=True)
class _Canvas:
    """A figure on which places are in mm from the left and upper edge."""

    paper: Paper
    figure: 'Figure'

    def write(self, x: float, y: float, text: str, **style: Any) -> None:
        """Write a line of text whose middle is there."""
        usual = {'ha': 'center', 'va': 'center', 'size': POINTS, 'color': INK}
        self.figure.text(x / self.paper.width, 1 - y / self.paper.height, text, parse_math=False, **usual | style)

    def axes(self, x: float, y: float, width: float, height: float) -> 'Axes':
        """Axes with a left upper corner and a size, and nothing around them."""
        box = (
            x / self.paper.width,
            1 - (y + height) / self.paper.height,
            width / self.paper.width,
            height / self.paper.height,
        )
        axes = self.figure.add_axes(box)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes

    def picture(self, row: int, column: int) -> 'Axes':
        """Axes of a picture."""
        return self.axes(self.paper.left(column), self.paper.top(row), self.paper.wide, self.paper.tall)


def _draw_row(canvas: _Canvas, row: int, layer: _Layer) -> None:
    paper = canvas.paper
    canvas.write(LEFT / 2, paper.top(row) + paper.tall / 2, layer.label, rotation=90)
    if layer.unit:
        _draw_bar(canvas, row, layer)
    for column, strip in enumerate(paper.sheet.strips):
        pixels = layer.of(strip)
        if pixels is not None:
            axes = canvas.picture(row, column)
            style = {'vmin': 0, 'vmax': layer.end, 'aspect': paper.pixel_ratio, 'interpolation': 'none'}
            axes.imshow(pixels.numpy(), layer.colours, **style)
            if not column and layer.colours == GREY:
                _draw_scale(axes, paper.sheet.pixel_size, pixels.shape[1])
        elif column or strip.figures:
            x, y = paper.left(column) + paper.wide / 2, paper.top(row) + paper.tall / 2
            canvas.write(x, y, 'no map', color=FAINT)


def _draw_bar(canvas: _Canvas, row: int, layer: _Layer) -> None:
    """Draw a colour bar at the left of the pictures that it belongs to, or at the right of them all."""
    from matplotlib.ticker import MaxNLocator

    paper = canvas.paper
    at_right, y = bool(paper.right), paper.top(row)
    x = paper.width - TICKS - BAR if at_right else paper.left(1) - 2 * GAP - BAR
    axes = canvas.axes(x, y + (1 - BAR_TALL) / 2 * paper.tall, BAR, BAR_TALL * paper.tall)
    gradient = [[level / 255] for level in range(256)]
    axes.imshow(gradient, layer.colours, vmin=0, vmax=1, aspect='auto', origin='lower', extent=(0, 1, 0, layer.end))
    n_steps = max(1, min(N_STEPS, int(paper.tall / STEP)))
    axes.yaxis.set_major_locator(MaxNLocator(n_steps, steps=[1, 2, 5, 10]))
    axes.yaxis.set_ticks_position('right' if at_right else 'left')
    axes.tick_params(labelsize=POINTS, length=1.5, width=0.5, pad=1.5)
    if not at_right:
        canvas.write(x - TICKS, y + paper.tall / 2, layer.unit, ha='right', rotation=90)


def _draw_frame(axes: 'Axes', region: Region) -> None:
    """Draw the frame of a region of pixels."""
    from matplotlib.patches import Rectangle

    corner = region.left - 0.5, region.top - 0.5
    axes.add_patch(Rectangle(corner, region.width, region.height, fill=False, color=FRAME, linewidth=0.8))


def _draw_scale(axes: 'Axes', pixel_size: tuple[float, float] | None, n_pixels: int) -> None:
    """Draw a scale bar, of a round number of mm, where the size of a pixel is known."""
    if pixel_size is None:
        return
    mm_per_pixel = MM_PER_METRE * pixel_size[1]
    length = round_down(BAR_PART * n_pixels * mm_per_pixel)
    part = length / (n_pixels * mm_per_pixel)
    line = {'color': 'white', 'linewidth': 1.5, 'solid_capstyle': 'butt'}
    axes.plot([MARGIN, MARGIN + part], [MARGIN, MARGIN], transform=axes.transAxes, **line)
    at = {'transform': axes.transAxes, 'color': 'white', 'size': POINTS, 'va': 'bottom', 'ha': 'left'}
    axes.text(MARGIN, 1.5 * MARGIN, f'{length:g} mm', **at)


def round_down(length: float) -> float:
    """Give the largest of 1, 2 and 5 times a power of ten that is not longer."""
    power = 10.0 ** floor(log10(length))
    return max(each * power for each in (1, 2, 5) if each * power <= length * (1 + 1e-9))


def _draw_figures(canvas: _Canvas) -> None:
    """Write figures of merit under every strip, their names under the reference."""
    paper = canvas.paper
    top = paper.top(paper.n_rows)
    for number, heading in enumerate(paper.sheet.headings):
        y = top + LINE * (number + 0.5)
        canvas.write(paper.left(1) - 4 * GAP, y, heading, ha='right')
        for column, strip in enumerate(paper.sheet.strips):
            if strip.figures:
                text, mark = strip.figures[number]
                x = paper.left(column) + paper.wide / 2 + NUMBER / 2
                style = {'color': MARKED[mark], 'weight': 'bold' if mark in (STAR, PRICED) else 'normal'}
                canvas.write(x, y, text, ha='right', **style)
                canvas.write(x + GAP, y, mark, ha='left', **style)
