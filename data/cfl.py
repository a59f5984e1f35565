"""BART's pairs of .cfl (samples, first axis fastest) and .hdr (sizes of the axes): read by slabs, and written.

The axes of BART (Uecker et al. 2015, Proc ISMRM 23:2486): READ, PHS1, PHS2, COIL, MAPS, TE, COEFF, COEFF2, ITER,
CSHIFT, TIME, TIME2, LEVEL, SLICE, AVG, BATCH. Zero frequency is at n//2. Beside NAME.cfl there may be NAME_noise.cfl
(samples along READ) and NAME_acs.cfl (separate calibration, with the coils and labels of NAME.cfl).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
import torch

from raki.data.damage.holes import finite, finite_noise
from raki.data.generic import DatasetLayout, open_layout
from raki.data.measured import ZEROS
from raki.data.memory import COMPLEX64_BYTES, require_memory
from raki.data.notes import caution
from raki.data.save import replacing
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError

N_AXES = 16

AXES = {0: 'kx', 1: 'ky', 2: 'kz', 3: 'coil', 5: 'contrast', 10: 'repetition', 11: 'phase', 13: 'slice', 15: 'set'}
"""What axes of BART are here, by their number; the others must have size 1."""

LABEL_AXES = {name: axis for axis, name in AXES.items() if axis > 3}
"""Axis of BART for each counter of an image, the fastest first."""

NAMES = ('READ', 'PHS1', 'PHS2', 'COIL', 'MAPS', 'TE', 'COEFF', 'COEFF2')
NAMES += ('ITER', 'CSHIFT', 'TIME', 'TIME2', 'LEVEL', 'SLICE', 'AVG', 'BATCH')

SIBLINGS = ('_noise', '_acs')
"""What is called so besides belongs to a scan."""

ADVICE = {'AVG': ': average with `bart avg 16384 IN OUT`', 'MAPS': ': these seem to be sensitivities, not k-space'}


def _pair(path: Path) -> tuple[Path, Path]:
    """The .cfl and .hdr of a name with either suffix, or none."""
    base = str(path.with_suffix('')) if path.suffix in ('.cfl', '.hdr') else str(path)
    return Path(f'{base}.cfl'), Path(f'{base}.hdr')


def is_cfl(path: Path) -> bool:
    """Whether there is a .cfl: of this name, or of a name that has no file of its own."""
    samples, header = _pair(path)
    if not os.path.isfile(samples):  # noqa: PTH113 - a name that is too long with .cfl is that of another format
        return False
    return path == samples or (header.is_file() and (path == header or not path.exists()))


def files_of_cfl(path: Path) -> list[Path]:
    """All files that are read by such a name: the pair, and those of noise and separate calibration, where they are."""
    base = _pair(path)[0].with_suffix('')
    every = (_pair(base.with_name(f'{base.name}{kind}')) for kind in ('', *SIBLINGS))
    return [file for pair in every for file in pair if file.is_file()]


def open_cfl(path: str, layout: DatasetLayout | None = None, mask: str | None = None) -> ScanFile:
    """Read the sizes; `mask` as in `open_scan`, by default lines of zeros were not measured, as BART takes it.

    A ScanError if the pair is not complete or not k-space of one Cartesian scan.
    """
    if layout is not None:
        raise ScanError(f'{path}: the axes of BART files are known: leave --dataset and --axes out')
    sizes = _sizes(path)
    _require_kspace(sizes, path)
    kept = [axis for axis, size in enumerate(sizes) if size > 1 or AXES.get(axis) in ('coil', 'ky')]
    kept = kept if sizes[2] > 1 or 0 in kept else [0, *kept]
    layout = DatasetLayout('kspace', tuple(AXES[axis] for axis in kept))
    shape = tuple(sizes[axis] for axis in kept)

    @contextmanager
    def source(path: str) -> Iterator[dict[str, np.ndarray]]:
        samples, _ = _pair(Path(path))
        yield {'kspace': np.memmap(samples, np.complex64, 'r', shape=shape, order='F')}

    notes = [] if mask else [caution('BART files have no mask: lines of zeros are taken as not measured')]
    file = open_layout(path, layout, mask or ZEROS, source, notes, 'BART cfl')
    return replace(file, read_slab=_with_siblings(path, sizes, file))


def _with_siblings(path: str, sizes: list[int], file: ScanFile) -> Callable[[int, int], Scan]:
    """Read a slab with the noise and separate calibration beside it."""
    base = _pair(Path(path))[0]
    noise, acs = (base.with_name(f'{base.stem}{kind}.cfl') for kind in SIBLINGS)
    noise_sizes, acs_sizes = (_sizes(str(each)) if each.is_file() else None for each in (noise, acs))
    if noise_sizes and prod(noise_sizes) != noise_sizes[0] * sizes[3]:
        raise ScanError(f'{noise}: needs samples along READ of {sizes[3]} coils, got {_words(noise_sizes)}')
    if acs_sizes and acs_sizes[3:] != sizes[3:]:
        raise ScanError(f'{acs}: needs the coils and labels of {base.name} {_words(sizes)}, got {_words(acs_sizes)}')

    def read(slab: int, frame: int) -> Scan:
        scan, at = file.read_slab(slab, frame), {'slice': slab, **asdict(file.frames[frame])}
        if noise_sizes:
            samples = torch.from_numpy(_array(noise, noise_sizes).reshape(sizes[3], -1))
            scan = replace(scan, noise=finite_noise(samples, str(noise)))
        if acs_sizes:
            chosen = tuple(at.get(AXES.get(axis, ''), 0) if axis > 3 else slice(None) for axis in range(N_AXES))
            block = torch.from_numpy(_array(acs, acs_sizes, chosen))
            planes = [finite(plane, str(acs)) for plane in block.unbind(1)]
            scan = replace(scan, calibration=(torch.stack(planes, 1) if sizes[2] > 1 else planes[0])[None])
        return scan

    return read


def _array(path: Path, sizes: list[int], chosen: tuple[int | slice, ...] = ()) -> np.ndarray:
    """Read what is chosen of a file, axes in the reverse of BART's order."""
    samples = np.memmap(path, np.complex64, 'r', shape=tuple(sizes), order='F')
    require_memory(samples[chosen].nbytes, str(path))
    return np.array(samples[chosen].T, order='C')


def _words(sizes: list[int]) -> str:
    return ' x '.join(map(str, sizes))


def _sizes(path: str) -> list[int]:
    """Read the sizes of all axes; a ScanError if the header is not one, or the samples are not as many."""
    samples, header = _pair(Path(path))
    for each in (samples, header):
        if not each.is_file():
            raise ScanError(f'{path}: a BART file is a pair of .cfl and .hdr, but there is no {each}')
    lines = header.read_text(encoding='utf-8', errors='replace').splitlines()
    numbers = next((line for title, line in pairwise(lines) if title.strip() == '# Dimensions'), '').split()
    if not numbers or not all(number.isascii() and number.isdigit() and int(number) > 0 for number in numbers):
        raise ScanError(f'{header}: needs a line "# Dimensions" and one of sizes below it, got {" ".join(numbers)!r}')
    if len(numbers) > N_AXES:
        raise ScanError(f'{header}: BART has {N_AXES} axes, but it names the sizes of {len(numbers)}')
    sizes = [*map(int, numbers), *[1] * (N_AXES - len(numbers))]
    n_bytes, found = COMPLEX64_BYTES * prod(sizes), samples.stat().st_size
    if n_bytes != found:
        raise ScanError(f'{samples}: has {found} bytes, but {header.name} says {" x ".join(numbers)}, {n_bytes} bytes')
    return sizes


def _require_kspace(sizes: list[int], path: str) -> None:
    unknown = [axis for axis, size in enumerate(sizes) if size > 1 and axis not in AXES]
    if unknown:
        name = NAMES[unknown[0]] if unknown[0] < N_AXES else str(unknown[0])
        raise ScanError(
            f'{path}: the axis {name} has size {sizes[unknown[0]]}, which is not handled{ADVICE.get(name, "")}; '
            'cut it out with `bart slice`'
        )
    if sizes[2] > 1 and sizes[13] > 1:
        raise ScanError(f'{path}: several slabs of a volume are not handled: cut one out with `bart slice 13 0 IN OUT`')
    if sizes[0] == 1 and sizes[2] == 1:
        raise ScanError(f'{path}: one readout sample and one partition: k-space needs two of READ, PHS1 and PHS2')


def write_cfl(path: str | Path, array: np.ndarray) -> None:
    """Write complex samples with 16 axes in BART's order as `path` without suffix + .cfl and .hdr, all or nothing."""
    if array.ndim != N_AXES:
        raise ValueError(f'BART arrays have {N_AXES} axes, got {array.ndim} {array.shape}')
    samples, header = _pair(Path(path))
    with replacing(samples) as new_samples, replacing(header) as new_header:
        with new_samples.open('wb') as file:
            np.asarray(array, np.complex64, order='F').T.tofile(file)
        new_header.write_text(f'# Dimensions\n{" ".join(map(str, array.shape))}\n', encoding='utf-8')
