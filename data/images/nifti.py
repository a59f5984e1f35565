"""NIfTI-1 with an affine that is right: patient space in mm, and a JSON sidecar with the names of BIDS.

Slices that are parallel and equidistant make one volume (x, y, slice, frame), sorted along the slice direction; others
a file each. Geometry is LPS here and RAS there: the first two axes change their sign.
"""

import gzip
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from raki.data.images.gathered import Gathered, Waiting, require_sizes
from raki.data.place import Geometry
from raki.data.save import NewFiles
from raki.errors import ScanError

SUFFIXES = ('.nii.gz', '.nii')

RAS = np.diag([-1.0, -1.0, 1.0])
"""From LPS."""

MM = 1000.0

LARGEST = (1 << 15) - 1
"""Size along an axis [voxel]."""

ALIGNED = 0.01
"""How far a slice may be from its place in a stack, relative to the size of a voxel [1]."""

DESCRIPTION = 'research only, not for diagnosis'

Stack = list[list[int]]
"""Numbers of the images of one file: of every frame, its slices in order."""


def sidecar_beside(path: Path) -> Path:
    """`NAME.json` beside `NAME.nii` or `NAME.nii.gz`, where BIDS wants it."""
    return path.with_name(f'{_split(path)[0]}.json')


def _split(path: Path) -> tuple[str, str]:
    """Name and suffix."""
    suffix = next(suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix))
    return path.name[: -len(suffix)], path.name[-len(suffix) :]


def write_nifti(path: Path, images: Gathered, new_file: NewFiles) -> None:
    """Write every map of images, `NAME_gfactor.nii` beside `NAME.nii`, and the sidecar `NAME.json`."""
    name, suffix = _split(path)
    stacks = _stacks(images)
    for kind, pixels in images.maps:
        for stack in stacks:
            label = '' if len(stacks) == 1 else f'_slice{images.places[stack[0][0]].slice:03d}'
            target = path.with_name(f'{name}{kind}{label}{suffix}')
            with _opened(new_file(target), is_compressed=suffix.lower() == '.nii.gz') as file:
                _write(file, images, pixels, stack)
    new_file.describe(sidecar_beside(path), sidecar_of(images))


@contextmanager
def _opened(path: Path, *, is_compressed: bool) -> Iterator[IO[bytes]]:
    """Open for writing; compressed files of the same images are the same bytes."""
    with path.open('wb') as file:
        if not is_compressed:
            yield file
            return
        with gzip.GzipFile('', 'wb', compresslevel=5, fileobj=file, mtime=0) as packed:
            yield packed  # type: ignore[misc]


def _write(file: IO[bytes], images: Gathered, pixels: Waiting, stack: Stack) -> None:
    """Header and pixels, of which one image at a time is in memory."""
    from nibabel.nifti1 import Nifti1Header

    header, (height, width) = Nifti1Header(), pixels.shape
    affine, is_known = affine_of(images, stack[0], (height, width))
    sizes = (width, height, len(stack[0]), len(stack))[: 3 + (len(stack) > 1)]
    require_sizes(sizes, LARGEST, 'NIfTI')
    header.set_data_dtype(np.float32)
    header.set_data_shape(sizes)
    for set_form in (header.set_qform, header.set_sform):
        set_form(affine, code=int(is_known))
    header.set_zooms((*np.linalg.norm(affine[:3, :3], axis=0), 1.0)[: 3 + (len(stack) > 1)])
    header.set_xyzt_units('mm')
    header['descrip'] = f'raki {images.manifest.get("method", "")}: {DESCRIPTION}'.encode()[:79]
    header.write_to(file)
    for slices in stack:
        for index in slices:
            file.write(pixels[index].astype('<f4').tobytes())


def affine_of(images: Gathered, slices: Sequence[int], shape: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """Affine from voxel (x, y, slice) to RAS [mm], axes (4, 4), of the stack of these images, and whether it is known.

    Where a scan does not tell its place, voxels have their size, or 1 mm, along axes that mean nothing.
    """
    first, affine = images.geometry(slices[0]), np.eye(4)
    if first is None:
        height, width = images.pixel_size(slices[0]) or (1 / MM, 1 / MM)
        affine[:2, :2] = np.diag([MM * width, MM * height])
        return affine, False
    thickness, height, width = first.voxel_size
    step = np.multiply(thickness, first.slice_dir)
    if len(slices) > 1:
        last = images.geometry(slices[-1])
        assert last is not None  # `_stacks` gives a file of its own to a slice without geometry
        step = np.subtract(last.position, first.position) / (len(slices) - 1)
    columns = [np.multiply(width, first.read_dir), np.multiply(height, first.phase_dir), step]
    affine[:3, :3] = MM * RAS @ np.stack(columns, axis=1)
    affine[:3, 3] = MM * RAS @ np.asarray(first.first_pixel(shape))
    return affine, True


def _stacks(images: Gathered) -> list[Stack]:
    """What makes one file each: all, sorted along the slice direction, if it is one stack; else every slice."""
    frames: dict[object, list[int]] = {}
    for index, place in enumerate(images.places):
        frames.setdefault(place.frame, []).append(index)
    every = [sorted(indices, key=lambda index: _height(images, index)) for indices in frames.values()]
    order = [[images.places[index].slice for index in indices] for indices in every]
    if any(slices != order[0] for slices in order):
        raise ScanError('frames of different slices cannot be one NIfTI file: reconstruct them one by one')
    if all(_is_stack([images.geometry(index) for index in slices]) for slices in every):
        return [every]
    return [[[slices[number]] for slices in every] for number in range(len(every[0]))]


def _height(images: Gathered, index: int) -> float:
    """Where an image lies along the slice direction of the first; its number where that is unknown."""
    first, own = images.geometry(0), images.geometry(index)
    return float(index) if first is None or own is None else float(np.dot(own.position, first.slice_dir))


def _is_stack(slices: Sequence[Geometry | None]) -> bool:
    """Whether slices are parallel, and equidistant along the slice direction, or all of unknown geometry."""
    known = [each for each in slices if each is not None]
    if not known:
        return True
    first, last = known[0], known[-1]
    if len(known) < len(slices) or any(_turned(each, first) for each in known):
        return False
    step = np.subtract(last.position, first.position) / max(1, len(known) - 1)
    on_line = [np.add(first.position, number * step) for number in range(len(known))]
    off = max(float(np.linalg.norm(np.subtract(each.position, at))) for each, at in zip(known, on_line, strict=True))
    skew = np.linalg.norm(step - np.dot(step, first.slice_dir) * np.asarray(first.slice_dir)) * (len(known) - 1)
    return max(off, float(skew)) <= ALIGNED * min(first.voxel_size) and (len(known) == 1 or bool(np.any(step)))


def _turned(one: Geometry, other: Geometry) -> bool:
    axes = ('read_dir', 'phase_dir', 'slice_dir', 'voxel_size')
    return not all(np.allclose(getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-4) for name in axes)


def sidecar_of(images: Gathered) -> dict[str, Any]:
    """What BIDS has names for, and the manifest."""
    manifest, geometry = images.manifest, images.geometry(0)
    scanner, rates = manifest.get('scanner', {}), manifest.get('acceleration') or [None]
    facts = {
        'Manufacturer': scanner.get('vendor'),
        'ManufacturersModelName': scanner.get('system'),
        'MagneticFieldStrength': _number(scanner.get('field strength [T]')),
        'ParallelReductionFactorInPlane': rates[-1],
        'ParallelReductionFactorOutOfPlane': rates[0] if len(rates) > 1 else None,
        'ParallelAcquisitionTechnique': manifest.get('method'),
        'SliceThickness': None if geometry is None else MM * geometry.voxel_size[0],
        'ImageComments': DESCRIPTION,
        'GeneratedBy': [{'Name': 'raki', 'Version': manifest.get('versions', {}).get('raki')}],
    }
    return {name: value for name, value in facts.items() if value is not None} | images.made


def _number(text: str | None) -> float | None:
    try:
        found = math.nan if text is None else float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None  # JSON has no others
