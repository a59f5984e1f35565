"""How much memory this process may use, what reading and reconstructing take, and refusals before it is too late."""

import os
import resource
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

from raki.data.notes import Note
from raki.errors import ResourceError, ScanError

COMPLEX64_BYTES = 8

READING = 4
"""How often samples are in memory while they are read and checked [1]: 3.2 to 3.6 times, by VmHWM, of
slices of 34 and 134 MB."""

WORKING_BYTES, COPIES = 1_200_000_000, 8
"""What a reconstruction takes whatever the size of a slab, the libraries included [byte], and how many of the slab are
in memory with the default method [1], as `benchmarks/volume_memory.py` measures."""

SMALL_BYTES = 1 << 24
"""What is read without a look at what the file stores [byte]."""

COMPRESSIBLE, COMPRESSION = 100, 2000
"""How many times samples can be larger than what is stored of them, and anything that deflate compressed [1]."""

PLACE_BYTES = 256
"""What is kept of an image before it is read, its place and its counters [byte]."""

START_BYTES = {resource.RLIMIT_DATA: 200_000_000, resource.RLIMIT_AS: 600_000_000}
"""What the libraries allocate, and map, before any scan is read, by what limits it: with less no scan has been
reconstructed, and some of them end the process themselves as they are loaded [byte]."""

GROUPS = Path('/sys/fs/cgroup')
LIMITS = {'': 'memory.max', 'memory': 'memory.limit_in_bytes'}
"""File with the limit of a control group, of version 2 and of the controller of version 1."""

OF_RESOURCE = {resource.RLIMIT_AS: 'VmSize', resource.RLIMIT_DATA: 'VmData'}
"""Limits of a process, and by what name the system counts what they limit."""


def memory_bytes() -> int:
    """Memory that this process may use: the least of the machine's, its control groups' and its own limits [byte]."""
    machine = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return min([machine, *_of_groups(), *_of_process()])


def _of_groups() -> Iterator[int]:
    """Limits of the control groups that this process is in, and of those around them."""
    for line in _text('/proc/self/cgroup').splitlines():
        _, controllers, path = line.split(':', 2)
        for controller in {'', 'memory'} & set(controllers.split(',')):
            inner = GROUPS / controller / path.strip('/')
            for group in (inner, *inner.parents):
                limit = _text(group / LIMITS[controller]).strip() if group.is_relative_to(GROUPS) else ''
                if limit.isdigit():
                    yield int(limit)


def _of_process() -> Iterator[int]:
    """What the limits of this process leave for memory that is used, besides what is only reserved."""
    status = _status()
    for kind, name in OF_RESOURCE.items():
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            yield max(0, limit - max(0, status.get(name, 0) - status.get('VmRSS', 0)))


def _status() -> dict[str, int]:
    """What the system says of this process' memory [byte]; nothing where it says nothing."""
    words = (line.split() for line in _text('/proc/self/status').splitlines())
    return {each[0].rstrip(':'): 1024 * int(each[1]) for each in words if len(each) == 3 and each[2] == 'kB'}


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding='ascii', errors='replace')
    except OSError:
        return ''


def require_start() -> None:
    """Refuse to start where the libraries end a process with words of their own: a low limit, a folder that is gone."""
    try:
        Path.cwd()
    except OSError as error:
        raise ResourceError(f'the folder that this was started in is gone ({error.strerror}): go to another') from error
    for kind, option in {resource.RLIMIT_DATA: '-d', resource.RLIMIT_AS: '-v'}.items():
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY and limit < START_BYTES[kind]:
            raise ResourceError(
                f'memory of this process is limited to {limit / 1e6:.0f} MB, less than the '
                f'{START_BYTES[kind] / 1e6:.0f} MB that the libraries take alone: raise the limit (ulimit {option})'
            )


def limit_memory() -> None:
    """Let this process allocate no more than is free now: what asks for more fails, before the machine does."""
    words = (line.split() for line in _text('/proc/meminfo').splitlines())
    free = {each[0]: 1024 * int(each[1]) for each in words if len(each) == 3}.get('MemAvailable:', memory_bytes())
    wanted = _status().get('VmData', 0) + min(free, memory_bytes())
    known = [limit for limit in resource.getrlimit(resource.RLIMIT_DATA) if limit != resource.RLIM_INFINITY]
    least = min([wanted, *known])
    resource.setrlimit(resource.RLIMIT_DATA, (least, least))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def room_bytes() -> int:
    """Memory that this process may still take [byte]."""
    return max(0, memory_bytes() - _status().get('VmRSS', 0))


def require_memory(n_bytes: int, name: str, copies: int = READING) -> None:
    """Refuse to read so many bytes at once where memory does not hold as many copies as will be made of them."""
    room = room_bytes()
    if copies * n_bytes > room:
        raise ResourceError(
            f'{name} needs {n_bytes / 1e9:.1f} GB at once, of {room / 1e9:.1f} GB of memory: read fewer slices, or use '
            f'a larger machine ({copies} times as much is in use on the way)'
        )


def require_stored(n_bytes: int, n_stored: int, name: str, factor: int = COMPRESSIBLE) -> None:
    """Refuse what declares far more than it stores: samples have noise, and do not compress like that.

    Parameters
    ----------
    n_bytes
        What is read at once, as declared [byte].
    n_stored
        What the file holds of it, or of more [byte].
    name
        What it is, for the error.
    factor
        How many times larger than what is stored it may be [1].

    Raises
    ------
    ScanError
        If it is small in the file, and would be large in memory.
    """
    if n_bytes > max(SMALL_BYTES, factor * n_stored):
        raise ScanError(
            f'{name} declares {n_bytes} bytes, but the file holds {n_stored}: it was not written completely, or is '
            'damaged'
        )


def reconstruction_bytes(shape: Sequence[int]) -> int:
    """Memory from reading a slab of k-space, axes (slab, coil, phase axes, kx), to its images [byte]."""
    return WORKING_BYTES + COPIES * COMPLEX64_BYTES * prod(shape[1:])


def require_memory_of_slab(shape: Sequence[int], n_bytes: int, path: str) -> list[Note]:
    """Note what a volume, `shape` (slab, coil, kz, ky, kx), takes; a ResourceError if the machine has less.

    Of slices, axes (slab, coil, ky, kx), nothing is noted; one takes `n_bytes` to read.
    """
    if len(shape) == 4:
        require_memory(max(n_bytes, COMPLEX64_BYTES * prod(shape[1:])), f'{path}: one slice', COPIES)
        return []
    gigabytes, memory = reconstruction_bytes(shape) / 1e9, memory_bytes() / 1e9
    if gigabytes > memory:
        raise ResourceError(
            f'{path}: a volume of {" x ".join(map(str, shape[1:]))} (coil, kz, ky, kx) is read whole and needs '
            f'{gigabytes:.1f} GB, of {memory:.1f} GB of memory: use a larger machine'
        )
    return [Note(f'a volume is read whole and needs {gigabytes:.2g} GB of memory')]
