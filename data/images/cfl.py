"""Filled k-space of all coils as BART takes it, so that `bart ecalib`, `pics` or `rss` go on from it.

Axes of BART: READ, PHS1 and COIL; contrast on TE, repetition on TIME, cardiac phase on TIME2, slice on SLICE, set on
BATCH.
"""

from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path

import numpy as np

from raki.data.cfl import LABEL_AXES, N_AXES
from raki.data.images.gathered import KSPACE, Gathered, Waiting
from raki.data.place import Place
from raki.data.save import NewFiles
from raki.errors import ScanError


def write_cfl_images(path: Path, images: Gathered, new_file: NewFiles) -> None:
    """Write the k-space as `NAME.cfl` and `NAME.hdr`, and g-factors, where there are, as `NAME_gfactor.cfl`."""
    if KSPACE not in images.arrays:
        raise ValueError('a .cfl holds the filled k-space, and there is none')
    grid = label_grid(images.places)
    wanted = {'': images.arrays[KSPACE]} | {kind: waiting for kind, waiting in images.maps if kind}
    for kind, waiting in wanted.items():
        target = path.with_name(f'{path.stem}{kind}.cfl')
        _write(new_file(target), waiting, _order(images.places, grid))
        header = new_file(target.with_suffix('.hdr'))
        header.write_text(dimensions(_matrix(waiting), {name: len(values) for name, values in grid.items()}), 'utf-8')
    new_file.describe(path.with_name(f'{path.name}.json'), images.made)


def label_grid(places: list[Place]) -> dict[str, list[int]]:
    """Values of every counter; a ScanError unless all of their combinations are there, each once."""
    labels = [place.labels() for place in places]
    grid = {name: sorted({each[name] for each in labels}) for name in LABEL_AXES}
    if prod(map(len, grid.values())) != len(places):
        sizes = ', '.join(f'{len(values)} {name}s' for name, values in grid.items() if len(values) > 1)
        raise ScanError(f'{len(places)} images do not fill a grid of {sizes}, as BART has it: choose one by its label')
    return grid


def _order(places: list[Place], grid: dict[str, list[int]]) -> Iterator[int]:
    """Numbers of images in the order of the file, the first counter the fastest."""
    number = {tuple(place.labels()[name] for name in LABEL_AXES): index for index, place in enumerate(places)}
    for labels in product(*reversed(list(grid.values()))):
        yield number[labels[::-1]]


def _matrix(waiting: Waiting) -> tuple[int, int, int, int]:
    """Size (kx, ky, kz, coil)."""
    *coils, height, width = waiting.shape
    return width, height, 1, *(coils or [1])  # type: ignore[return-value]


def dimensions(matrix: tuple[int, ...], labels: dict[str, int]) -> str:
    """The .hdr of samples (kx, ky, kz, coil) and so many of each label."""
    sizes = [*matrix, *[1] * (N_AXES - len(matrix))]
    for name, size in labels.items():
        sizes[LABEL_AXES[name]] = size
    return f'# Dimensions\n{" ".join(map(str, sizes))}\n'


def _write(path: Path, waiting: Waiting, order: Iterator[int]) -> None:
    """Samples image by image: (coil, ky, kx) with kx the fastest is BART's order already."""
    with path.open('wb') as file:
        for index in order:
            file.write(waiting[index].astype(np.complex64).tobytes())
