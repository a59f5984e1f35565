"""What two processes tell each other: records as JSON, arrays in memory that both see. Nothing that could run code.

A message is the sizes of its two parts, then JSON. Arrays lie in one block of anonymous memory, whose descriptor goes
along; the sender seals it, so that the receiver can rely on it. Who receives maps the block: it is never copied again.
"""

import fcntl
import json
import math
import os
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from raki import errors
from raki.data.records import packed, unpacked
from raki.errors import ScanError

HEAD = struct.Struct('<QQ')
"""Size of the JSON and of the block of arrays [byte]."""

ALIGNED = 64
"""Arrays begin at multiples of this [byte]."""

MAX_TEXT = 1 << 30
"""Largest JSON that is taken [byte]; that of a file with a million repetitions has 2 ** 27."""

ERRORS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
"""Errors that keep their class on the way."""


class Elsewhere(Exception):  # noqa: N818 - it is no error itself
    """Traceback of an error in another process, for --debug."""

    def __str__(self) -> str:
        """Begin on a line of its own."""
        return f'\n\n{self.args[0]}'


def send(connection: socket.socket, value: object) -> None:
    """Send a value that `raki.data.records.packed` takes."""
    arrays: list[Tensor] = []
    plain = packed(value, arrays)
    parts, places, end = [], [], 0
    for array in arrays:
        order = _order(array)
        flat = array.detach().permute(order).contiguous()
        kind = str(flat.dtype).removeprefix('torch.')
        places.append({'dtype': kind, 'shape': list(flat.shape), 'order': order, 'start': end})
        parts.append((end, flat))
        end += -(-max(1, flat.nbytes) // ALIGNED) * ALIGNED
    _send(connection, {'value': plain, 'arrays': places}, parts, end)


def send_error(connection: socket.socket, error: Exception, trace: str) -> None:
    """Send an error, with the traceback as text."""
    said = {'class': type(error).__name__, 'text': str(error), 'trace': trace}
    _send(connection, {'error': said}, [], 0)


def receive(connection: socket.socket, known: Mapping[str, Callable[..., object]], seconds: float = math.inf) -> Any:
    """Receive a value of plain data and `known` classes, or raise the error that comes instead.

    Raises
    ------
    TimeoutError
        If it is not there after so many seconds.
    EOFError
        If the other side is gone.
    ValueError
        If it is no such message; an error of ours as it was sent.
    """
    until = time.monotonic() + seconds
    with _wanted(connection, until) as (n_text, n_bytes, descriptor):
        if n_text > MAX_TEXT:
            raise ValueError(f'a message of {n_text} bytes is more than any file needs')
        message = json.loads(_exactly(connection, n_text, until))
        if 'error' in message:
            raise _error(message['error'])
        places = message['arrays']
        arrays = _mapped(descriptor, n_bytes, places) if places else []
    return unpacked(message['value'], arrays, known)


def _order(array: Tensor) -> list[int]:
    """Axes from the slowest to the fastest in memory."""
    return sorted(range(array.ndim), key=lambda axis: -array.stride(axis))


def _send(connection: socket.socket, message: object, parts: Sequence[tuple[int, Tensor]], n_bytes: int) -> None:
    text = json.dumps(message).encode()
    head = HEAD.pack(len(text), n_bytes)
    if n_bytes == 0:
        connection.sendall(head + text)
        return
    with _block(n_bytes) as descriptor:
        for start, flat in parts:
            _write(descriptor, flat, start)
        if hasattr(fcntl, 'F_ADD_SEALS') and hasattr(os, 'memfd_create'):
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        socket.send_fds(connection, [head], [descriptor])
    connection.sendall(text)


@contextmanager
def _block(n_bytes: int) -> Iterator[int]:
    """Give the descriptor of memory without a name; of a file without one, where the system has no such memory."""
    if hasattr(os, 'memfd_create'):
        descriptor = os.memfd_create('raki', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.ftruncate(descriptor, n_bytes)
        yield descriptor
    finally:
        os.close(descriptor)


def _write(descriptor: int, flat: Tensor, start: int) -> None:
    rest = flat.reshape(-1).view(torch.uint8).numpy().data
    while rest:
        written = os.pwrite(descriptor, rest, start)
        rest, start = rest[written:], start + written


@contextmanager
def _wanted(connection: socket.socket, until: float) -> Iterator[tuple[int, int, int]]:
    """Size of the JSON and of the block of the next message [byte], and the descriptor of the block or -1."""
    connection.settimeout(_left(until))
    cloexec = getattr(socket, 'MSG_CMSG_CLOEXEC', 0)
    head, descriptors, _, _ = socket.recv_fds(connection, HEAD.size, 1, cloexec)
    try:
        head += _exactly(connection, HEAD.size - len(head), until) if head else b''
        if not head:
            raise EOFError('the other side is gone')
        yield (*HEAD.unpack(head), descriptors[0] if descriptors else -1)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _exactly(connection: socket.socket, n_bytes: int, until: float) -> bytes:
    found = bytearray()
    while len(found) < n_bytes:
        connection.settimeout(_left(until))
        more = connection.recv(min(n_bytes - len(found), 1 << 20))
        if not more:
            raise EOFError('the other side is gone')
        found += more
    return bytes(found)


def _left(until: float) -> float | None:
    """Seconds until then; None if that is never."""
    if math.isinf(until):
        return None
    if (left := until - time.monotonic()) <= 0:
        raise TimeoutError('nothing came in time')
    return left


def _mapped(descriptor: int, n_bytes: int, places: Sequence[Mapping[str, Any]]) -> list[Tensor]:
    """Arrays in a block. The mapping lives as long as one of them, without a descriptor; it is our own once written."""
    if descriptor < 0 or os.fstat(descriptor).st_size != n_bytes:
        raise ValueError('arrays came without the memory that they lie in')
    whole = torch.from_file(f'/dev/fd/{descriptor}', shared=False, size=n_bytes, dtype=torch.uint8)
    return [_array(whole, **place) for place in places]


def _array(whole: Tensor, dtype: str, shape: Sequence[int], order: Sequence[int], start: int) -> Tensor:
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype):
        raise ValueError(f'{dtype} is no type of samples')
    n_bytes = math.prod(shape) * kind.itemsize
    if min(shape, default=0) < 0 or not 0 <= start <= len(whole) - n_bytes:
        raise ValueError(f'an array {dtype} {tuple(shape)} does not lie in the memory that came with it')
    found = whole[start : start + n_bytes].view(kind).view(list(shape))
    return found.permute([order.index(axis) for axis in range(len(order))])


def _error(said: Mapping[str, str]) -> Exception:
    error = ERRORS.get(said['class'], ScanError)(said['text'])
    error.__cause__ = Elsewhere(said['trace'])
    return error
