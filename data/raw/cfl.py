"""Raw data as BART has them: `NAME.cfl` with lines of zeros where nothing was measured, slab by slab.

Beside it, where there are, `NAME_noise.cfl` (samples along READ, as `bart whiten` takes them), `NAME_acs.cfl` (separate
calibration, axes as k-space) and `NAME_reference.cfl`; the reader of `NAME.cfl` finds the first two.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import product
from math import prod
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from raki.data.cfl import LABEL_AXES
from raki.data.images.cfl import dimensions, label_grid
from raki.data.mrd.description import scanner_of
from raki.data.place import Frame, Place
from raki.data.save import NewFiles
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError


def write_cfl_raw(
    path: Path, scan: ScanFile, _subject: Mapping[str, str], _made: Mapping[str, object], new_file: NewFiles
) -> list[str]:
    """Write all frames and slabs, and say what BART's files cannot hold.

    A ScanError if the frames do not fill a grid of labels, or calibration is larger in one slab than in another.
    """
    places = [Place(slab, frame) for frame in scan.frames for slab in range(scan.shape[0])]
    grid, sizes, first = label_grid(places), dict[str, tuple[int, ...]](), scan.read([0], 0)
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        for slab, frame in _order(scan, grid):
            read = scan.read([slab], frame)
            for kind, array in _arrays(read).items():
                if kind not in files:
                    files[kind] = stack.enter_context(new_file(_named(path, kind)).open('wb'))
                if sizes.setdefault(kind, tuple(array.shape)) != tuple(array.shape):
                    raise ScanError(f'{scan.path}: slab {slab} has calibration of another size: choose .mrd.h5')
                files[kind].write(array.contiguous().numpy().tobytes())
    labels = {name: len(values) for name, values in grid.items()}
    for kind, shape in sizes.items():
        if Path(files[kind].name).stat().st_size != 8 * prod(shape) * prod(labels.values()):
            raise ScanError(f'{scan.path}: only some slabs have separate calibration: choose .mrd.h5')
        new_file(_named(path, kind).with_suffix('.hdr')).write_text(_sizes(shape, labels), 'utf-8')
    if first.noise is not None:
        noise = first.noise.contiguous()
        new_file(_named(path, '_noise')).write_bytes(noise.numpy().tobytes())
        header = dimensions((noise.shape[1], 1, 1, noise.shape[0]), {})
        new_file(_named(path, '_noise').with_suffix('.hdr')).write_text(header, 'utf-8')
    return _lost(scan, first, grid)


def _named(path: Path, kind: str) -> Path:
    return path.with_name(f'{path.stem}{kind}.cfl')


def _order(scan: ScanFile, grid: Mapping[str, list[int]]) -> Iterator[tuple[int, int]]:
    """Slab and number of the frame in the order of the file, the first label the fastest."""
    numbers = {frame: number for number, frame in enumerate(scan.frames)}
    for labels in product(*reversed(list(grid.values()))):
        named = dict(zip(LABEL_AXES, reversed(labels), strict=True))
        yield named.pop('slice'), numbers[Frame(**named)]


def _arrays(scan: Scan) -> dict[str, Tensor]:
    """What there is of a slab by the ends of names, axes (coil, phase axes, kx)."""
    arrays = {
        '': torch.where(scan.mask[..., None], scan.kspace, 0),
        '_acs': scan.calibration,
        '_reference': scan.reference,
    }
    return {kind: array[0] for kind, array in arrays.items() if array is not None}


def _sizes(shape: tuple[int, ...], labels: dict[str, int]) -> str:
    n_coils, n_z, n_y, n_x = shape if len(shape) == 4 else (shape[0], 1, *shape[1:])
    return dimensions((n_x, n_y, n_z, n_coils), labels)


def _lost(scan: ScanFile, first: Scan, grid: Mapping[str, list[int]]) -> list[str]:
    counted = [name for name, values in grid.items() if values != list(range(len(values)))]
    lost = {
        'position and orientation': bool(scan.geometries),
        'the size of a voxel': first.voxel_size is not None,
        'the matrix of the image': tuple(scan.image_shape or scan.shape[2:]) != tuple(scan.shape[2:]),
        f'the counters of {", ".join(counted)}, which start at 0 there': bool(counted),
        'vendor, system and field strength': bool(scanner_of(scan)),
    }
    return [name for name, is_there in lost.items() if is_there]
