"""Siemens raw data (twix, .dat): measurements in a file, the text of their protocols, and their data blocks.

VB-line files hold one measurement, whose every channel has a header of 128 bytes. VD and VE begin with a list of up to
64 measurements; a scan header of 192 bytes is followed by channels with 32 bytes each. The layouts of these headers are
those of the package `twixtools`, the optional extra `twix`. Every size that a file states is checked before it is used.
"""

import mmap
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from raki.errors import ScanError

MAX_MEASUREMENTS, MAX_RAID_SIZE, MAX_BUFFERS = 64, 10_000, 64
RAID_ENTRY = struct.Struct('<IIQQ64s64s')
"""Measurement, file, offset and length [byte], names of patient and protocol."""

LENGTH_BITS = (1 << 25) - 1

SYSTEM = (
    "reading Siemens raw data needs the extra twix: pip install 'raki[twix]'; or convert it with siemens_to_ismrmrd"
)


class Format(NamedTuple):
    """Sizes of the headers of one software line [byte]."""

    name: str
    block: int
    """Before all channels."""
    channel: int
    """Before every channel."""
    mask: int
    """From the begin of a block to its evaluation mask, which numbers of samples and channels follow."""


VB = Format('VB', 0, 128, 20)
VD = Format('VD/VE', 192, 32, 40)


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """One measurement of a file, of which the protocol and the places of the blocks have been read."""

    path: str
    """The file."""

    format: Format
    """Its software line."""

    protocol: dict[str, str]
    """Text of every part of the protocol, such as `Meas` and `MeasYaps`."""

    offsets: np.ndarray
    """Where blocks begin, axes (block,) [byte]."""

    heads: Any
    """Headers, structured, axes (block,); of VB that of the first channel."""

    is_truncated: bool
    """Whether the file ends before the measurement does: within a block, or without the one that marks the end."""

    def channels(self, block: int) -> list[int]:
        """Numbers of the receiver channels of a block, in the order of its samples."""
        where = self.format.channel - 4 if self.format is VB else 24
        with _mapped(self.path) as data:
            rows = self._rows(data, block)
            return rows[:, where : where + 2].copy().view('<u2').ravel().tolist()

    def read(self, positions: np.ndarray) -> Iterator[np.ndarray]:
        """Samples (coil, sample) of blocks, complex64, one at a time."""
        with _mapped(self.path) as data:
            for block in positions.tolist():
                yield self._rows(data, block)[:, self.format.channel :].copy().view('<c8')

    def _rows(self, data: mmap.mmap, block: int) -> np.ndarray:
        """Bytes of a block, axes (channel, byte)."""
        n_samples, n_channels = (int(self.heads[name][block]) for name in ('SamplesInScan', 'UsedChannels'))
        size, start = self.format.channel + 8 * n_samples, int(self.offsets[block]) + self.format.block
        return np.frombuffer(data, np.uint8, n_channels * size, start).reshape(n_channels, size)


@contextmanager
def _mapped(path: str) -> Iterator[mmap.mmap]:
    with Path(path).open('rb') as file:
        yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def is_twix(path: Path) -> bool:
    """Whether a file begins as Siemens raw data do: a list of measurements, or the protocol of one."""
    if not path.is_file():
        return False
    with path.open('rb') as file:
        return bool(_extents(file.read(RAID_ENTRY.size * MAX_MEASUREMENTS + 8), path.stat().st_size)[1])


def _extents(start: bytes, size: int) -> tuple[Format, list[tuple[int, int]]]:
    """First and last but one byte of every measurement of a file that starts so; none if it is another kind of file."""
    if len(start) < 8:
        return VB, []
    first, second = struct.unpack_from('<II', start)
    if first < MAX_RAID_SIZE and 0 < second <= MAX_MEASUREMENTS and len(start) >= 8 + second * RAID_ENTRY.size:
        entries = [RAID_ENTRY.unpack_from(start, 8 + RAID_ENTRY.size * number)[2:4] for number in range(second)]
        extents = [(begin, min(begin + (length or size), size)) for begin, length in entries]
        if all(8 + second * RAID_ENTRY.size <= begin < end for begin, end in extents):
            return VD, extents
    is_plausible = 8 <= first < size and second <= MAX_BUFFERS
    return VB, [(0, size)] if is_plausible else []


def measurements(path: str) -> list[Measurement]:
    """Read the protocol and the headers of every measurement; a ScanError if it is damaged or `twixtools` is absent."""
    try:
        from twixtools import mdh_def
    except ImportError as error:
        raise ScanError(f'{path}: {SYSTEM}') from error
    layouts = {VB: np.dtype(mdh_def.VB17_header), VD: np.dtype(mdh_def.Scan_header)}
    with _mapped(path) as data:
        kind, extents = _extents(data[: RAID_ENTRY.size * MAX_MEASUREMENTS + 8], len(data))
        return [_measurement(path, data, kind, layouts[kind], begin, end) for begin, end in extents]


def _measurement(path: str, data: mmap.mmap, kind: Format, layout: np.dtype, begin: int, end: int) -> Measurement:
    n_header, n_buffers = struct.unpack_from('<II', data, begin)
    if not 8 <= n_header <= end - begin or n_buffers > MAX_BUFFERS:
        raise ScanError(
            f'{path}: the protocol at byte {begin} says it has {n_header} bytes in {n_buffers} parts, of '
            f'{end - begin} bytes of the measurement: the file is damaged or not Siemens raw data'
        )
    protocol = _parts(data[begin + 8 : begin + n_header], n_buffers)
    offsets, is_truncated = _walk(data, kind, begin + n_header, end, path)
    places = np.asarray(offsets, np.int64)[:, None] + np.arange(layout.itemsize)
    whole = np.frombuffer(data, np.uint8)
    heads = whole[places].view(layout)[:, 0] if offsets else np.zeros(0, layout)
    return Measurement(path, kind, protocol, np.asarray(offsets, np.int64), heads, is_truncated)


def _parts(text: bytes, n_parts: int) -> dict[str, str]:
    """Text of every named part of a protocol: a name that ends in zero, four bytes of length, the text."""
    parts, at = {}, 0
    for _ in range(n_parts):
        found = re.compile(rb'(\w{4,})\0(....)', re.DOTALL).search(text, at, at + 96)
        if found is None:
            break
        at = found.end() + struct.unpack('<I', found.group(2))[0]
        parts[found.group(1).decode('latin1')] = text[found.end() : at].decode('latin1')
    return parts


def _walk(data: mmap.mmap, kind: Format, at: int, end: int, path: str) -> tuple[list[int], bool]:
    """Where every block with samples begins, up to the one that ends the measurement; whether that one is missing."""
    offsets, smallest = list[int](), max(kind.block, kind.channel)
    while at + smallest <= end:
        (length,) = struct.unpack_from('<I', data, at)
        mask, n_samples, n_channels = struct.unpack_from('<QHH', data, at + kind.mask)
        if mask & 1:
            return offsets, False
        is_other = bool(mask >> 5 & 1)
        size = length & LENGTH_BITS if is_other else kind.block + n_channels * (kind.channel + 8 * n_samples)
        if size < smallest:
            raise ScanError(f'{path}: the block at byte {at} says it has {size} bytes: the file is damaged')
        if at + size > end:
            return offsets, True
        if not is_other:
            offsets.append(at)
        at += size
    return offsets, True
