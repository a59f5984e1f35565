"""Messages of the MRD streaming protocol, against the standard's own package, and against nonsense."""

import ctypes
import io
import tracemalloc
from contextlib import suppress
from typing import Any

import ismrmrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ismrmrd.serialization import ConfigFile, ConfigText, ProtocolDeserializer, ProtocolSerializer

from raki.data.mrd.image import image_attributes, image_header
from raki.errors import StreamError
from raki.inline.messages import (
    ByteReader,
    Limits,
    Line,
    Message,
    MessageId,
    Words,
    close_message,
    image_message,
    messages,
    text_message,
)

XML = '<ismrmrdHeader>ü</ismrmrdHeader>'


def received(data: bytes, limits: Limits = Limits(), at_once: int = 1 << 20) -> list[Message]:  # noqa: B008
    """All messages of a stream that delivers at most so many bytes at a time."""
    stream = io.BytesIO(data)
    return list(messages(ByteReader(lambda view: stream.readinto(view[:at_once])), limits))


def serialized(*objects: Any) -> bytes:
    """A stream as the standard's own package writes it."""
    stream = io.BytesIO()
    with ProtocolSerializer(stream) as serializer:
        for each in objects:
            serializer.serialize(each)
    return stream.getvalue()


def acquisition(n_coils: int = 3, n_samples: int = 5, n_trajectory: int = 2) -> Any:
    values = np.arange(n_coils * n_samples * 2, dtype=np.float32).view(np.complex64).reshape(n_coils, n_samples)
    result: Any = ismrmrd.Acquisition.from_array(values, np.ones((n_samples, n_trajectory), np.float32))
    result.idx.kspace_encode_step_1, result.position[2], result.scan_counter = 7, 1.5, 99
    return result


def header_message(text: bytes, length: int | None = None) -> bytes:
    n_bytes = len(text) if length is None else length
    return b'\3\0' + n_bytes.to_bytes(4, 'little') + text


@pytest.mark.parametrize('at_once', [1, 7, 1 << 20])
def test_everything_that_the_standards_own_package_sends_is_understood(at_once: int) -> None:
    waveform = ismrmrd.Waveform.from_array(np.ones((2, 3), np.uint32))
    config = ConfigFile('gated'), ConfigText('{"parameters": null}')
    data = serialized(*config, 'a text', acquisition(), waveform, acquisition(2, 4, 0))
    name, text, words, first, second = received(data, at_once=at_once)
    assert (name, text, words) == (
        Words(MessageId.CONFIG_NAME, 'gated'),
        Words(MessageId.CONFIG_TEXT, '{"parameters": null}'),
        Words(MessageId.TEXT, 'a text'),
    )
    assert isinstance(first, Line)
    assert isinstance(second, Line)
    assert np.array_equal(first.samples, acquisition().data)
    assert (int(first.head['idx']['kspace_encode_step_1']), int(first.head['scan_counter'])) == (7, 99)
    assert first.head['position'].tolist() == [0, 0, 1.5]
    assert second.samples.shape == (2, 4)


def test_the_header_comes_as_it_is() -> None:
    assert received(header_message(XML.encode()) + close_message()) == [Words(MessageId.HEADER, XML)]


def test_the_standards_own_package_understands_what_is_sent() -> None:
    image = np.arange(12, dtype=np.float32).reshape(1, 4, 3)
    header = image_header(image, (30, 40, 5), fields={'slice': 2})
    sent = (
        text_message('hello') + image_message(header, image_attributes({'DataRole': 'Image'}), image) + close_message()
    )
    answers: list[Any] = list(ProtocolDeserializer(io.BytesIO(sent)).deserialize())
    text, back = answers
    assert text == 'hello'
    assert np.array_equal(back.data[0], image)
    assert back.slice == 2
    assert back.meta['DataRole'] == 'Image'


def test_a_stream_that_is_cut_anywhere_is_refused() -> None:
    data = serialized(ConfigFile('gated'), acquisition())
    for n_bytes in {0, 1, 2, 3, 500, 1026, 1027, 1028, 1029, len(data) - 3, len(data) - 2, len(data) - 1}:
        with pytest.raises(StreamError, match='the stream ended'):
            received(data[:n_bytes])


def head_message(**fields: int) -> bytes:
    """An acquisition's number and header, without its samples."""
    head = ismrmrd.AcquisitionHeader()
    for name, value in fields.items():
        setattr(head, name, value)
    return b'\xf0\3' + bytes(head)


@pytest.mark.parametrize(
    ('data', 'said'),
    [
        (b'\x39\x30', r'no message has the number 12345: 1 \(config_name\), .*1026 \(waveform\)'),
        (header_message(b'', 1 << 32 - 1), 'at most 4194304 bytes of a header message are taken, got 2147483648'),
        (b'\2\0\xff\xff\xff\xff', 'at most 1048576 bytes of a config_text message are taken, got 4294967295'),
        (b'\5\0\xff\xff\xff\x7f', 'at most 1048576 bytes of a text message'),
        (header_message(b'\xff\xfe'), 'a text must be UTF-8'),
        (b'\1\0' + b'\xff' * 1024, 'a text must be UTF-8'),
        (b'\xfe\3', r'an image came: raw lines are wanted'),
        (head_message(), 'an acquisition needs coils and samples, got 0 x 0'),
        (
            head_message(active_channels=1025),
            'at most 1024 coils of an acquisition are taken, got 1025',
        ),
        (
            head_message(number_of_samples=65535, trajectory_dimensions=65535),
            'at most 67108864 bytes of an acquisition are taken, got 17179344900',
        ),
        (b'\2\4' + b'\xff' * 40, 'at most 67108864 bytes of a waveform are taken, got 17179344900'),
    ],
)
def test_nonsense_is_refused_by_what_it_is_before_anything_is_allocated(data: bytes, said: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(StreamError, match=said):
            received(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=3000))
@settings(max_examples=300, deadline=None)
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    stream = io.BytesIO(data)
    with suppress(StreamError):
        for _ in messages(ByteReader(stream.readinto), Limits()):
            pass


def test_headers_have_the_sizes_of_the_standard() -> None:
    assert ctypes.sizeof(ismrmrd.AcquisitionHeader) == 340
    assert ctypes.sizeof(ismrmrd.WaveformHeader) == 40
