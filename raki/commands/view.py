"""What `raki view` does: a reconstruction on a page, image by image."""

from collections.abc import Sequence
from pathlib import Path

from raki.commands.inputs import shown
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


def view_file(path: Path, output: Path, slices: Sequence[int] | None = None) -> list[str]:
    """Write a page that shows a reconstruction, and give warnings; memory stays that of one image and the page.

    ScanError if the file holds no reconstruction, or not these slices.
    """
    file = reconstruction_apart(path, lambda: open_reconstruction(path))
    chosen = _chosen(file, slices)
    method = str(file.manifest.get('method', 'reconstruction'))
    panels, window = [], 0.0
    for index, place in chosen:
        image = file.read(index)
        window = max(window, quantile(image, WINDOW))
        panels.append(Panel(method, place, picture(image, float(image.max()) / LEVELS)))
    warnings = [DAMAGED] if is_whole(path) is False else []
    page = render(_page(file, panels, window, warnings)).encode(errors='backslashreplace').decode()
    write_text(output, sealed(f'{page}<!-- {PLACEHOLDER} -->\n'))
    return warnings


def _chosen(file: ReconstructionFile, slices: Sequence[int] | None) -> list[tuple[int, dict[str, int]]]:
    """Number and place of every image that is wanted."""
    places = file.places
    there = sorted({place['slice'] for place in places})
    for index in slices or ():
        if index not in there:
            raise ScanError(f'{file.path}: no slice {index}; the file has {", ".join(map(str, there))}')
    return [(number, place) for number, place in enumerate(places) if not slices or place['slice'] in slices]


def _page(file: ReconstructionFile, panels: Sequence[Panel], window: float, own: Sequence[str]) -> Page:
    manifest = {name: value for name, value in file.manifest.items() if name not in COUNTERS}
    warnings = manifest.pop('warnings', [])
    axes = {name: sorted({panel.place[name] or 0 for panel in panels}) for name in panels[0].place}
    size, (height, width) = f'{file.shape[1]} × {file.shape[2]}', file.pixel_size or (1.0, 1.0)
    extent = f' of {1000 * height:.4g} × {1000 * width:.4g} mm' if file.pixel_size else ''
    vertical, horizontal = _orientation(manifest.get('image_axes'))
    return Page(
        title=shown(Path(file.path).name),
        axes={name: values for name, values in axes.items() if name == 'slice' or len(values) > 1},
        panels=panels,
        scales={'image': window or 1.0},
        facts=[f'{len(panels)} image(s) of {size} pixels{extent}; vertical {vertical}, horizontal {horizontal}.'],
        caption=['Magnitude in the unit of the file; one window for all images until it is changed.'],
        footer=manifest,
        warnings=[*own, *(warnings if isinstance(warnings, list) else [str(warnings)])],
        pixel_aspect=height / width,
    )


def _orientation(stated: object) -> tuple[str, str]:
    """Names of the vertical and the horizontal axis, as the file states them; y and x where it does not."""
    _, *axes = str(stated).split(', ')
    return (axes[0], axes[1]) if len(axes) == 2 else ('y', 'x')
