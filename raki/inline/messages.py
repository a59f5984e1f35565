"""The messages of the MRD streaming protocol (version 1), the same on a socket and on a pipe.

A message is a number of 16 bits that says what follows; all numbers are little-endian. Nothing is allocated before its
length has been checked: what comes may be anything.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from raki.data.mrd.layout import ACQUISITION
from raki.errors import StreamError

CONFIG_NAME_BYTES = 1024
WAVEFORM_HEADER_BYTES, WAVEFORM_SIZES = 40, slice(28, 32)
"""Of a waveform header, and where in it are the numbers of samples and channels."""
SKIPPED_AT_ONCE = 1 << 16

HELD_BYTES = 1600
"""What a line takes in memory beside its samples, as measured [byte]."""


class MessageId(IntEnum):
    """What follows."""

    CONFIG_NAME = 1
    CONFIG_TEXT = 2
    HEADER = 3
    CLOSE = 4
    TEXT = 5
    ACQUISITION = 1008
    IMAGE = 1022
    WAVEFORM = 1026


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one connection may ask for."""

    text_bytes: int = 1 << 20
    """Of a configuration or a text."""

    header_bytes: int = 1 << 22
    """Of the XML header."""

    coils: int = 1024
    """Of an acquisition; the standard's channel mask has as many bits."""

    line_bytes: int = 1 << 26
    """Of one acquisition with its trajectory."""

    held_bytes: int = 4 << 30
    """Of all samples that are waiting for the rest of their slice, and of one slice or volume with all its coils."""


@dataclass(frozen=True, slots=True)
class Words:
    """A configuration's name or text, a text, or the XML header."""

    kind: MessageId
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One acquisition."""

    head: np.void
    """With the fields of `raki.data.mrd.layout.ACQUISITION`."""

    samples: np.ndarray
    """complex64, axes (coil, sample)."""

    @property
    def n_bytes(self) -> int:
        """What it takes in memory, its header included."""
        return self.samples.nbytes + HELD_BYTES


Message = Words | Line


class ByteReader:
    """Whole pieces of a stream that delivers any number of bytes at a time."""

    def __init__(
        self, read_into: Callable[[memoryview], int | None], begin: Callable[[], object] = lambda: None
    ) -> None:
        """Take what gives bytes, none at the end of the stream, and what is told that a message is awaited."""
        self._read_into, self._begin = read_into, begin

    def exactly(self, n_bytes: int) -> bytearray:
        """Read that many bytes; a StreamError if the stream ends before. The caller has checked the number."""
        data = bytearray(n_bytes)
        n_read = self._fill(memoryview(data))
        if n_read < n_bytes:
            raise StreamError(f'the stream ended in the middle of a message: {n_read} of {n_bytes} bytes came')
        return data

    def message_id(self) -> int | None:
        """Number of the next message; None where the stream ends."""
        self._begin()
        data = bytearray(2)
        n_read = self._fill(memoryview(data))
        if n_read == 1:
            raise StreamError('the stream ended in the middle of the number of a message')
        return int.from_bytes(data, 'little') if n_read else None

    def skip(self, n_bytes: int) -> None:
        """Read so many bytes and forget them."""
        while n_bytes > 0:
            n_bytes -= len(self.exactly(min(n_bytes, SKIPPED_AT_ONCE)))

    def _fill(self, view: memoryview) -> int:
        n_read = 0
        while n_read < len(view):
            more = self._read_into(view[n_read:])
            if not more:
                break
            n_read += more
        return n_read


def messages(reader: ByteReader, limits: Limits) -> Iterator[Message]:
    """Give the messages up to the closing one; waveforms are passed over.

    Raises
    ------
    StreamError
        If something else comes than this protocol knows, more than the limits allow, or the stream ends without a
        closing message.
    """
    while (number := reader.message_id()) != MessageId.CLOSE:
        if number is None:
            raise StreamError('the stream ended without a closing message: slices without all their lines are left out')
        if number == MessageId.ACQUISITION:
            yield _line(reader, limits)
        elif number == MessageId.WAVEFORM:
            _skip_waveform(reader, limits)
        else:
            yield _words(reader, number, limits)


def _words(reader: ByteReader, number: int, limits: Limits) -> Words:
    longest = {
        MessageId.CONFIG_TEXT: limits.text_bytes,
        MessageId.TEXT: limits.text_bytes,
        MessageId.HEADER: limits.header_bytes,
    }
    if number == MessageId.CONFIG_NAME:
        return Words(MessageId.CONFIG_NAME, _text(reader.exactly(CONFIG_NAME_BYTES).split(b'\0', 1)[0]))
    if number == MessageId.IMAGE:
        raise StreamError('an image came: raw lines are wanted (emitter raw)')
    if number not in longest:
        known = ', '.join(f'{each.value} ({each.name.lower()})' for each in MessageId)
        raise StreamError(f'no message has the number {number}: {known}')
    kind = MessageId(number)
    n_bytes = int.from_bytes(reader.exactly(4), 'little')
    _require_at_most(longest[kind], n_bytes, f'bytes of a {kind.name.lower()} message')
    return Words(kind, _text(reader.exactly(n_bytes)))


def _line(reader: ByteReader, limits: Limits) -> Line:
    head = np.frombuffer(reader.exactly(ACQUISITION.itemsize), ACQUISITION)[0]
    n_coils, n_samples = int(head['active_channels']), int(head['number_of_samples'])
    trajectory, samples = 4 * n_samples * int(head['trajectory_dimensions']), 8 * n_coils * n_samples
    _require_at_most(limits.coils, n_coils, 'coils of an acquisition')
    _require_at_most(limits.line_bytes, trajectory + samples, 'bytes of an acquisition')
    if not samples:
        raise StreamError(f'an acquisition needs coils and samples, got {n_coils} x {n_samples}')
    reader.skip(trajectory)
    return Line(head, np.frombuffer(reader.exactly(samples), '<c8').reshape(n_coils, n_samples))


def _skip_waveform(reader: ByteReader, limits: Limits) -> None:
    n_samples, n_channels = np.frombuffer(reader.exactly(WAVEFORM_HEADER_BYTES)[WAVEFORM_SIZES], '<u2').tolist()
    _require_at_most(limits.line_bytes, 4 * n_samples * n_channels, 'bytes of a waveform')
    reader.skip(4 * n_samples * n_channels)


def _require_at_most(most: int, got: int, what: str) -> None:
    if got > most:
        raise StreamError(f'at most {most} {what} are taken, got {got}')


def _text(data: bytearray) -> str:
    try:
        return data.decode('utf-8').rstrip('\0')
    except UnicodeDecodeError as error:
        raise StreamError(f'a text must be UTF-8 ({error.reason} at byte {error.start})') from error


def text_message(text: str) -> bytes:
    """A text for the other side."""
    data = text.encode('utf-8')
    return _number(MessageId.TEXT) + len(data).to_bytes(4, 'little') + data


def image_message(header: np.ndarray, attributes: str, image: np.ndarray) -> bytes:
    """An image: a scalar of `raki.data.mrd.layout.IMAGE`, XML, and samples (channel, z, y, x), slowest first."""
    text, complete = attributes.encode('utf-8'), header.copy()
    complete['attribute_string_len'] = len(text)
    length = len(text).to_bytes(8, 'little')
    return b''.join([_number(MessageId.IMAGE), complete.tobytes(), length, text, image.tobytes()])


def close_message() -> bytes:
    """Say that nothing more comes."""
    return _number(MessageId.CLOSE)


def _number(kind: MessageId) -> bytes:
    return kind.to_bytes(2, 'little')
