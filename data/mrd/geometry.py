"""Where slices and volumes of a scan in MRD lie in the patient, by the headers of their lines.

A header says where the middle of the field of view lies [mm] and how readout, phase encoding and slices run, all in the
patient's axes (LPS). The middle has no phase from any gradient, so it is where DC puts it: the centre of voxel n//2.

Pixels are the inverse Fourier transform of k-space, for every vendor. Siemens counts k the other way round: for its
scans pixel x + 1 lies against the direction of the header along each axis that is Fourier encoded, and the directions
given here say so. Nothing else is turned: no conjugate, no flip of pixels.
"""

import numpy as np

from raki.data.mrd.acquisitions import Acquisitions
from raki.data.mrd.header import Header
from raki.data.place import Direction, Geometry
from raki.errors import ScanError

AXES = ('read_dir', 'phase_dir', 'slice_dir')
MILLIMETRE = 1e-3


def geometries_of(header: Header, lines: Acquisitions, slabs: list[int]) -> list[Geometry]:
    """Place of every slab, by its first line; empty if the headers do not tell that of each."""
    image = np.flatnonzero(lines.is_image)
    counters = lines.index('slice')[image]
    first = [image[np.flatnonzero(counters == slab)[0]] for slab in slabs]
    heads = lines.head[first]
    sizes = header.first.voxel_size(3)
    if sizes is None or any(not heads[axis].any(axis=1).all() for axis in AXES):
        return []
    try:
        return [_geometry(header, head, sizes) for head in heads]
    except ScanError:
        return []  # directions that are no axes tell nothing, and a scan can be read without


def signs_of(vendor: str, *, is_volume: bool) -> tuple[int, int, int]:
    """1 where pixels run along a direction of the header (readout, phase, slice) of a vendor, -1 where against it."""
    sign = -1 if 'siemens' in vendor.lower() else 1
    return sign, sign, sign if is_volume else 1


def _geometry(header: Header, head: np.void, sizes: tuple[float, ...]) -> Geometry:
    signs = signs_of(header.facts.get('vendor', ''), is_volume=header.first.is_volume)
    read, phase, along = (_vector(head[axis], sign) for axis, sign in zip(AXES, signs, strict=True))
    x, y, z = (float(value) * MILLIMETRE for value in head['position'])
    return Geometry((x, y, z), read, phase, along, (sizes[0], sizes[1], sizes[2]))


def _vector(values: np.ndarray, sign: int) -> Direction:
    x, y, z = (sign * values.astype(float) / np.linalg.norm(values.astype(float))).tolist()
    return x, y, z
