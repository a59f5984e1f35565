"""Where everything is on a figure, in mm on paper: pictures in columns and rows, and what is written around them."""

import textwrap
from dataclasses import dataclass
from functools import cached_property

from raki.evaluation.sheet import Sheet

WIDTH, HEIGHT = 180.0, 235.0
"""Of a page [mm]; figures are larger where their pictures would be narrower than the narrowest."""
WIDEST, ROOMY, NARROWEST = 45.0, 26.0, 22.0
"""Width of a picture [mm]: at most, with room for large titles above it, and at least."""
LEFT, GAP, BAR, TICKS = 6.0, 1.0, 2.0, 10.0
"""Width [mm] of the labels of rows, between pictures, of a colour bar, and of what is written beside it."""
TITLE, LINE, NOTE = 4.5, 3.5, 3.1
"""Height of a line [mm]: above the pictures, of figures of merit, of the note."""
NOTE_LINES = 12
"""Lines of the note that pictures leave room for on a page."""
TITLE_POINTS, POINTS = 8.0, 7.0
"""Sizes of text [point]."""
CHARACTER = 1.27
"""Width of a character of the note, on average [mm]."""


@dataclass(frozen=True)
class Paper:
    """Where everything is on a figure [mm], from its left and upper edge."""

    sheet: Sheet
    n_rows: int
    """Of pictures."""
    has_bars: bool
    """Whether any of them has a colour bar."""

    @property
    def right(self) -> float:
        """Room for colour bars, which stand in the reference's column where there is one."""
        first, *others = self.sheet.strips
        has_room = first.error is None and first.gfactor is None and others
        return 0.0 if has_room or not self.has_bars else GAP + BAR + TICKS

    @property
    def pixel_ratio(self) -> float:
        """Height of a pixel over its width [1]."""
        height, width = self.sheet.pixel_size or (1.0, 1.0)
        return height / width

    @property
    def ratio(self) -> float:
        """Height of a picture over its width [1]."""
        height, width = self.sheet.strips[0].image.shape
        return self.pixel_ratio * height / width

    @cached_property
    def wide(self) -> float:
        """Width of a picture."""
        by_width = (WIDTH - LEFT - self.right + GAP) / len(self.sheet.strips) - GAP
        words = TITLE + LINE * (len(self.sheet.headings) + 1) + NOTE * NOTE_LINES
        by_height = ((HEIGHT - words) / self.n_rows - GAP) / self.ratio
        return max(NARROWEST, min(by_width, by_height, WIDEST))

    @property
    def tall(self) -> float:
        """Height of a picture."""
        return self.wide * self.ratio

    @property
    def title_points(self) -> float:
        """Size of titles [point]."""
        return TITLE_POINTS if self.wide >= ROOMY else POINTS

    def left(self, column: int) -> float:
        """Left edge of a column of pictures."""
        return LEFT + column * (self.wide + GAP)

    def top(self, row: int) -> float:
        """Upper edge of a row of pictures; of one more, that of the figures of merit."""
        return TITLE + row * (self.tall + GAP)

    @property
    def width(self) -> float:
        """Of all."""
        return self.left(len(self.sheet.strips)) - GAP + self.right

    @cached_property
    def note(self) -> list[str]:
        """Lines of the note."""
        return textwrap.wrap(' '.join(self.sheet.note), int((self.width - LEFT) / CHARACTER))

    @property
    def below(self) -> float:
        """Upper edge of the note."""
        return self.top(self.n_rows) + LINE * (len(self.sheet.headings) + 0.5)

    @property
    def height(self) -> float:
        """Of all."""
        return self.below + NOTE * (len(self.note) + 0.3)
