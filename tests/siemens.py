"""Writes Siemens raw data (twix) from arrays, by the published layout of its headers, for tests of the reader."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ACQEND, FEEDBACK, SYNC, PHASE_CORRECTION, REFERENCE, REFERENCE_AND_IMAGE, REFLECT, NOISE = 0, 1, 5, 21, 22, 23, 24, 25

COMMON = '<IiIII'
"""Length and flags, measurement, scan counter, two time stamps."""
REST = '<QHH14HHHHHfIHH'
"""Mask, samples, channels, 14 counters, cut-off, centre column, coil select, off-centre, RF time, centre line,
partition."""
SLICE = '<7f'
"""Position (sagittal, coronal, transverse) [mm], quaternion (w, x, y, z)."""


@dataclass(frozen=True)
class Line:
    """A readout of all channels."""

    samples: np.ndarray
    """Axes (coil, sample)."""
    line: int = 0
    flags: tuple[int, ...] = ()
    centre: tuple[int, int, int] = (0, 0, 0)
    """Sample, line and partition through the centre of k-space."""
    partition: int = 0
    average: int = 0
    slice: int = 0
    contrast: int = 0
    repetition: int = 0
    cut: tuple[int, int] = (0, 0)
    place: tuple[float, ...] = (0, 0, 0, 1, 0, 0, 0)
    channels: Sequence[int] | None = None


def _header(line: Line, size: int) -> tuple[bytes, bytes, bytes]:
    n_channels, n_samples = line.samples.shape
    column, row, partition = line.centre
    counters = (line.line, line.average, line.slice, line.partition, line.contrast, 0, line.repetition, *[0] * 7)
    mask = sum(1 << flag for flag in line.flags)
    rest = struct.pack(REST, mask, n_samples, n_channels, *counters, *line.cut, column, 0, 0.0, 0, row, partition)
    return struct.pack(COMMON, size, 1, 1, 0, 0), rest, struct.pack(SLICE, *line.place)


def _vb(line: Line) -> bytes:
    samples, blocks = np.asarray(line.samples, np.complex64), []
    common, rest, place = _header(line, 128 + 8 * samples.shape[1])
    for number, values in enumerate(samples):
        channel = line.channels[number] if line.channels else number
        blocks.append(common + rest + bytes(16) + place + struct.pack('<HH', channel, 0) + values.tobytes())
    return b''.join(blocks)


def _vd(line: Line) -> bytes:
    samples = np.asarray(line.samples, np.complex64)
    common, rest, place = _header(line, 192 + len(samples) * (32 + 8 * samples.shape[1]))
    blocks = [common + bytes(20) + rest + place + bytes(64)]
    for number, values in enumerate(samples):
        channel = line.channels[number] if line.channels else number
        blocks.append(struct.pack('<IiIiIIHHI', 0, 1, 1, 0, 0, 0, channel, 0, 0) + values.tobytes())
    return b''.join(blocks)


def _protocol(values: dict[str, object], parameters: dict[str, object]) -> bytes:
    lines = ''.join(f'{name}\t = \t{value}\n' for name, value in values.items())
    assigned = f'### ASCCONV BEGIN ###\n{lines}### ASCCONV END ###\n'.encode()
    braces = ''.join(f'<ParamLong."{name}"> {{ {value} }}\n' for name, value in parameters.items()).encode()
    parts = [(b'Meas', braces), (b'MeasYaps', assigned)]
    text = b''.join(name + b'\0' + struct.pack('<I', len(part)) + part for name, part in parts)
    return struct.pack('<II', 8 + len(text), len(parts)) + text


@dataclass(frozen=True)
class Scan:
    """One measurement."""

    lines: Sequence[Line]
    values: dict[str, object]
    """Assignments of the protocol."""
    parameters: dict[str, object]
    """Parameters of the protocol in braces."""


def _measurement(scan: Scan, *, is_vd: bool) -> bytes:
    blocks = [(_vd if is_vd else _vb)(line) for line in scan.lines]
    end = (_vd if is_vd else _vb)(Line(np.zeros((1, 16)), flags=(ACQEND,)))
    return _protocol(scan.values, scan.parameters) + b''.join(blocks) + end


def write_vb(path: Path, scan: Scan) -> Path:
    """One measurement of the VB line."""
    path.write_bytes(_measurement(scan, is_vd=False))
    return path


def write_vd(path: Path, *scans: Scan) -> Path:
    """Measurements of the VD and VE lines, one after the other."""
    written, entries, at = [], [], 10240
    for number, scan in enumerate(scans):
        content = _measurement(scan, is_vd=True)
        entries.append(struct.pack('<IIQQ64s64s', number, number, at, len(content), b'', b''))
        written.append(content + bytes(-len(content) % 512))
        at += len(written[-1])
    start = struct.pack('<II', 0, len(scans)) + b''.join(entries)
    path.write_bytes(start.ljust(10240, b'\0') + b''.join(written))
    return path
