"""What `raki view` does: reconstructions on a page, image by image, several files side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import inf, isclose
from pathlib import Path
from typing import Any

from raki.commands.inputs import UsageError, line_of
from raki.data.apart import reconstruction_apart
from raki.data.digests import PLACEHOLDER, is_whole, sealed
from raki.data.result import COUNTERS, ReconstructionFile, open_reconstruction
from raki.data.save import write_text
from raki.errors import ScanError
from raki.evaluation.pictures import picture, quantile
from raki.evaluation.web_page import Page, Panel, render

DAMAGED = 'the file was changed since it was written: its bytes have another sum than it carries'

LEVELS = 4095
"""Of a stored image, up to its maximum, as scanners store them."""

WINDOW = 0.999
"""Images end at the largest of all images' quantiles."""

GFACTOR_STEP = 0.005
"""Of a stored g-factor map [1]."""
GFACTOR_QUANTILE, GFACTOR_END = 0.95, 1.5
"""The scale of g-factors ends at the largest of all maps' quantiles, and at least there [1]."""

MOST_TIMES = 4
"""How many times brighter images of one file may be than those of another before a warning says so [1]."""

SAME_SIZE = 0.01
"""How far sizes of pixels may differ, relative to each other [1]."""

MM_PER_METRE = 1000.0

Place = dict[str, int]
"""Counters of an image by name."""


@dataclass(frozen=True)
class Source:
    """One file that is shown."""

    path: Path
    file: ReconstructionFile
    label: str
    """What tells it from the others; nothing of one file."""
    is_whole: bool

    @property
    def name(self) -> str:
        """What stands under its images."""
        method = str(self.file.manifest.get('method', 'reconstruction'))
        return f'{self.label}: {method}' if self.label else method

    @property
    def manifest(self) -> dict[str, Any]:
        """What made it, but for what is said of single images."""
        return {name: value for name, value in self.file.manifest.items() if name not in COUNTERS}

    @property
    def warnings(self) -> list[str]:
        """What it warns of."""
        stored = self.manifest.get('warnings', [])
        return stored if isinstance(stored, list) else [str(stored)]

    @cached_property
    def numbers(self) -> dict[tuple[int, ...], int]:
        """Number of the image of every place, by its counters."""
        return {_key(place): number for number, place in enumerate(self.file.places)}


def _key(place: Mapping[str, int]) -> tuple[int, ...]:
    """Counters in a fixed order; one that a file does not tell is 0."""
    return tuple(place.get(name, 0) for name in COUNTERS)


def view_files(paths: Sequence[Path], output: Path, slices: Sequence[int] | None = None) -> list[str]:
    """Write a page that shows reconstructions side by side, and give warnings about them.

    Memory stays that of one image and the page. Of several files, what all of them have is shown.

    Raises
    ------
    ScanError
        If a file holds no reconstruction, or not these slices.
    UsageError
        If files do not go together: images of another size or orientation, or of no place that all have.
    """
    sources = _opened(paths)
    for other in sources[1:]:
        _require_alike(sources[0].file, other.file)
    places = _places(sources, slices)
    ends = [_Ends() for _ in sources]
    panels = [_panel(source, place, end) for place in places for source, end in zip(sources, ends, strict=True)]
    warnings = [*_damaged(sources), *_left_out(sources, places, slices), *_unequal(sources, ends)]
    page = render(_page(sources, panels, ends, warnings)).encode(errors='backslashreplace').decode()
    write_text(output, sealed(f'{page}<!-- {PLACEHOLDER} -->\n'))
    return warnings


@dataclass
class _Ends:
    """Where scales of the images of one file end."""

    image: float = 0.0
    gfactor: float = 0.0


def _opened(paths: Sequence[Path]) -> list[Source]:
    files = {path: reconstruction_apart(path, partial(open_reconstruction, path)) for path in paths}
    names = [path.name for path in files]
    labels = {path: line_of(path.name if names.count(path.name) == 1 else path) for path in files}
    many = len(files) > 1
    return [Source(path, file, labels[path] * many, is_whole(path) is not False) for path, file in files.items()]


def _require_alike(one: ReconstructionFile, other: ReconstructionFile) -> None:
    """Raise a UsageError unless pixels of two files are those of the same place."""
    kinds = (_size(one), _size(other)), (_axes(one), _axes(other))
    for (own, its), what in zip(kinds, ('pixels', '(vertical, horizontal)'), strict=True):
        if own != its:
            raise UsageError(
                f'images side by side need one size and orientation, got {own} {what} in {line_of(one.path)} and {its} '
                f'in {line_of(other.path)}: view them one by one'
            )


def _size(file: ReconstructionFile) -> str:
    return f'{file.shape[1]} × {file.shape[2]}'


def _places(sources: Sequence[Source], slices: Sequence[int] | None) -> list[Place]:
    """Counters of all images to show, in the order of the first file."""
    for source in sources:
        there = sorted({place['slice'] for place in source.file.places})
        for index in slices or ():
            if index not in there:
                raise ScanError(f'{source.path}: no slice {index}; the file has {", ".join(map(str, there))}')
    names = [name for name in COUNTERS if any(name in source.file.places[0] for source in sources)]
    wanted = [key for key in sources[0].numbers if not slices or key[0] in slices]
    found = [key for key in wanted if all(key in source.numbers for source in sources)]
    if not found:
        raise UsageError(
            'no image is in all of these files: by their slices and repetitions, '
            f'{", ".join(line_of(source.path) for source in sources)} have none in common: view them one by one'
        )
    return [{name: value for name, value in zip(COUNTERS, key, strict=True) if name in names} for key in found]


def _panel(source: Source, place: Place, ends: _Ends) -> Panel:
    number, gfactor = source.numbers[_key(place)], None
    image = source.file.read(number)
    ends.image = max(ends.image, quantile(image, WINDOW))
    if source.file.has_gfactors:
        values = source.file.read(number, 1)
        ends.gfactor = max(ends.gfactor, quantile(values, GFACTOR_QUANTILE))
        gfactor = picture(values, GFACTOR_STEP)
    return Panel(source.name, place, picture(image, float(image.max()) / LEVELS), gfactor)


def _damaged(sources: Sequence[Source]) -> list[str]:
    return [_said_by(source, DAMAGED) for source in sources if not source.is_whole]


def _left_out(sources: Sequence[Source], places: Sequence[Place], slices: Sequence[int] | None) -> list[str]:
    every = {key for source in sources for key in source.numbers if not slices or key[0] in slices}
    n_left_out = len(every) - len(places)
    return [f'{n_left_out} image(s) that not all of these files have are left out'] * (n_left_out > 0)


def _unequal(sources: Sequence[Source], ends: Sequence[_Ends]) -> list[str]:
    """Warn of images that one window shows as black, and of pixels of different sizes."""
    found, first = [], sources[0]
    darkest, brightest = (each(zip(ends, sources, strict=True), key=lambda pair: pair[0].image) for each in (min, max))
    if brightest[0].image > MOST_TIMES * darkest[0].image:
        times = brightest[0].image / darkest[0].image if darkest[0].image else inf
        found.append(f'{brightest[1].label} is {times:.3g} times as bright as {darkest[1].label}: change the window')
    for source in sources[1:]:
        own, its = first.file.pixel_size, source.file.pixel_size
        if own and its and not all(isclose(*pair, rel_tol=SAME_SIZE) for pair in zip(own, its, strict=True)):
            found.append(
                f'pixels of {source.label} have another size than those of {first.label}: all are shown in that'
            )
    return found


def _said_by(source: Source, text: str) -> str:
    return f'{source.label}: {text}' if source.label else text


def _page(sources: Sequence[Source], panels: Sequence[Panel], ends: Sequence[_Ends], own: Sequence[str]) -> Page:
    axes = {name: sorted({panel.place[name] or 0 for panel in panels}) for name in panels[0].place}
    first = sources[0].file
    stored = [_said_by(source, text) for source in sources for text in source.warnings]
    has_gfactors = any(source.file.has_gfactors for source in sources)
    scales = {'image': max(end.image for end in ends) or 1.0}
    return Page(
        title=' and '.join(line_of(source.path.name) for source in sources),
        axes={name: values for name, values in axes.items() if name == 'slice' or len(values) > 1},
        panels=panels,
        scales=scales | ({'gfactor': max(GFACTOR_END, *(end.gfactor for end in ends))} if has_gfactors else {}),
        facts=[_extent(first, len(panels) // len(sources)), *(_said_by(source, _made(source)) for source in sources)],
        caption=_caption(has_gfactors=has_gfactors),
        footer=_footer(sources),
        warnings=[*own, *stored],
        pixel_size=first.pixel_size,
    )


def _extent(file: ReconstructionFile, n_images: int) -> str:
    """How many images there are, and how large."""
    (vertical, horizontal), of_mm = _axes(file), ''
    if file.pixel_size:
        height, width = (MM_PER_METRE * size for size in file.pixel_size)
        of_mm = f' of {height:.4g} × {width:.4g} mm'
    return f'{n_images} image(s) of {_size(file)} pixels{of_mm}; vertical {vertical}, horizontal {horizontal}.'


def _made(source: Source) -> str:
    """How images were made, as far as their file tells."""
    told = source.manifest
    rates, versions = told.get('acceleration'), told.get('versions')
    known = {
        'by': told.get('method'),
        'R =': 'x'.join(map(str, rates)) if isinstance(rates, list) and rates else None,
        'from': told.get('source_file'),
        'with raki': versions.get('raki') if isinstance(versions, dict) else None,
    }
    parts = [f'{name} {value}' for name, value in known.items() if value is not None]
    return f'made {", ".join(parts)}.' if parts else 'the file does not say how it was made.'


def _caption(*, has_gfactors: bool) -> list[str]:
    images = 'Magnitude in the unit of the file; one window for all images until it is changed.'
    maps = 'g-factors: noise over that of a full scan, net of the acceleration; one scale for all maps.'
    return [images, *[maps] * has_gfactors]


def _footer(sources: Sequence[Source]) -> dict[str, object]:
    """All that files say of themselves, but their warnings."""
    return {
        source.label or line_of(source.path.name): {
            name: value for name, value in source.manifest.items() if name != 'warnings'
        }
        for source in sources
    }


def _axes(file: ReconstructionFile) -> tuple[str, str]:
    """Names of the vertical and the horizontal axis, as a file states them; y and x where it does not."""
    _, *axes = str(file.manifest.get('image_axes')).split(', ')
    return (axes[0], axes[1]) if len(axes) == 2 else ('y', 'x')
