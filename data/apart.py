"""Files that nobody vouches for, read in a child process; what comes back is as if they had been read here."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from math import prod
from pathlib import Path

from torch import Tensor

from raki.data.boundary import require_regular
from raki.data.child import IS_POSSIBLE, Child, Patience
from raki.data.memory import COMPLEX64_BYTES, COMPRESSION, PLACE_BYTES, require_stored
from raki.data.notes import Note
from raki.data.place import Frame, Geometry, Place
from raki.data.records import name_of
from raki.data.result import ReconstructionFile
from raki.data.scan import Scan, ScanFile

KNOWN: Mapping[str, type] = {
    name_of(kind): kind for kind in (Note, Frame, Geometry, Place, Scan, ScanFile, ReconstructionFile)
}
"""Classes that come back from a child."""

PATIENT = Patience()


def scan_apart(path: str | Path, open_here: Callable[[], ScanFile], patience: Patience = PATIENT) -> ScanFile:
    """Open a scan in a child, which lives as long as the result and reads its slabs.

    Parameters
    ----------
    path
        The file, for errors, and for the time that it may take.
    open_here
        Opens it, in the child; here where there can be none.
    patience
        How long is waited.

    Raises
    ------
    ScanError
        As `open_here` raises it, or if it does not come to an end, or crashes. So does reading a slab.
    ResourceError
        If memory does not suffice.
    """
    require_regular(path)
    if not IS_POSSIBLE:
        return open_here()
    opened = cache(open_here)

    def answer(*slab: int) -> object:
        file = opened()
        return file.read_slab(*slab) if slab else replace(file, read_slab=None)  # pyright: ignore[reportArgumentType]

    child, n_bytes = Child(str(path), answer, KNOWN), _size(path)
    file: ScanFile = child.ask(seconds=patience.of(n_bytes))
    slab_bytes = COMPLEX64_BYTES * prod(file.shape[1:])
    n_slabs = file.shape[0] * file.n_frames
    require_stored(slab_bytes * n_slabs, n_bytes or slab_bytes * n_slabs, f'{path}: k-space', COMPRESSION)
    places_bytes = PLACE_BYTES * file.n_slices * file.n_frames
    require_stored(places_bytes, n_bytes or places_bytes, f'{path}: the list of its images')
    each = slab_bytes + n_bytes // n_slabs

    def read_slab(slab: int, frame: int) -> Scan:
        return child.ask(slab, frame, seconds=patience.of(each))

    return replace(file, read_slab=read_slab)


def reconstruction_apart(
    path: str | Path, open_here: Callable[[], ReconstructionFile], patience: Patience = PATIENT
) -> ReconstructionFile:
    """Open a reconstruction in a child, which reads its images; parameters and errors as of `scan_apart`."""
    require_regular(path)
    if not IS_POSSIBLE:
        return open_here()
    opened = cache(open_here)

    def answer(*image: int) -> object:
        file = opened()
        return file.read(*image) if image else replace(file, read=None)  # pyright: ignore[reportArgumentType]

    child, seconds = Child(str(path), answer, KNOWN), patience.of(_size(path))
    file: ReconstructionFile = child.ask(seconds=seconds)
    return replace(file, read=lambda *image: child.ask(*image, seconds=seconds))


def array_apart(path: str | Path, read_here: Callable[[], Tensor], patience: Patience = PATIENT) -> Tensor:
    """Read a whole array in a child; parameters and errors as of `scan_apart`."""
    require_regular(path)
    if not IS_POSSIBLE:
        return read_here()
    child = Child(str(path), read_here, KNOWN)
    try:
        return child.ask(seconds=patience.of(_size(path)))
    finally:
        child.close()


def _size(path: str | Path) -> int:
    """Size of a file [byte]; 0 where there is none of this name, as of BART without suffix."""
    return Path(path).stat().st_size if Path(path).is_file() else 0
