"""What may happen to a server: it tells who did it, in one line, and serves the next one."""

import random
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ismrmrd.serialization import ConfigFile, ConfigText

from raki.commands.catalogue import METHODS
from raki.inline.options import Configurations, Options
from raki.inline.server import Listening
from raki.inline.session import Service
from raki.interpolation.calibration import Calibration, Learnt, Progress
from tests.clients import Client, Series, header_message, made, running, serving, stream_of

SERIES = Series(n_slices=1, n_lines=24, n_samples=16, n_acs=12)


def assert_serves(address: tuple[str, int]) -> None:
    """A good client gets its image."""
    with Client(address) as client:
        client.begin(SERIES.xml)
        client.send(*SERIES.every())
        client.end()
        (image,) = client.rest()
    assert image.data.shape[-2:] == (24, 8)


def line_with(**fields: int) -> bytes:
    line = SERIES.lines(0)[0]
    head = bytearray(line.to_bytes())
    offsets = {'number_of_samples': 34, 'active_channels': 38, 'trajectory_dimensions': 176}
    for name, value in fields.items():
        head[offsets[name] : offsets[name] + 2] = struct.pack('<H', value)
    return b'\xf0\3' + bytes(head)


BAD = {
    'an unknown number': (b'\x39\x30', 'no message has the number 12345'),
    'a long text': (b'\5\0\xff\xff\xff\xff', 'at most 1048576 bytes'),
    'a long header': (b'\3\0\xff\xff\xff\xff', 'at most 4194304 bytes'),
    'a line before the header': (line_with(), 'an acquisition came before the header'),
    'many coils': (line_with(active_channels=65535), 'at most 1024 coils'),
    'an unknown configuration': (b'\1\0' + b'/etc/passwd'.ljust(1024, b'\0'), "no configuration '/etc/passwd': choose"),
    'nested JSON': (b'\2\0' + struct.pack('<I', 100000) + b'[' * 100000, 'must be a name or JSON'),
    'XML of another kind': (header_message('<a/>'), 'has no <encoding>'),
    'no XML': (header_message('gated'), 'is not valid XML'),
    'entities': (header_message('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), 'declares a document type'),
    'a huge matrix': (
        header_message(Series(n_lines=60000, n_samples=60000).xml)
        + b'\xf0\3'
        + SERIES.lines(0)[-1].to_bytes()
        + b'\4\0',
        r'a matrix of 60000 x 60000 x 1 with 4 coils needs 115.2 GB, and a connection may use 1.0 GB',
    ),
    'a line outside of the matrix': (
        header_message(Series(n_lines=8, n_samples=16).xml) + b'\xf0\3' + SERIES.lines(0)[-1].to_bytes() + b'\4\0',
        'outside',
    ),
    'a configuration after the header': (
        header_message(SERIES.xml) + b'\1\0' + b'gated'.ljust(1024, b'\0'),
        'a config_name message must come once, before the acquisitions',
    ),
    'an image': (header_message(SERIES.xml) + b'\xfe\3' + bytes(198), 'an image came: raw lines are wanted'),
    'a huge waveform': (header_message(SERIES.xml) + b'\2\4' + bytes(28) + b'\xff' * 12, 'bytes of a waveform'),
    'deeply nested XML': (header_message('<a>' * 200_000 + '</a>' * 200_000), 'has no <encoding>'),
    'a header twice': (header_message(SERIES.xml) * 2, 'a header message must come once'),
    'a line after its slice was complete': (
        header_message(SERIES.xml) + b''.join(b'\xf0\3' + each.to_bytes() for each in SERIES.lines(0) * 2) + b'\4\0',
        'came after the flag that its slice is complete: its header says 1 average',
    ),
}


@pytest.mark.parametrize('case', BAD)
def test_nonsense_is_told_and_closed_and_the_server_goes_on(case: str) -> None:
    data, said = BAD[case]
    with serving() as (address, log):
        with Client(address) as client:
            client.raw(data)
            answers = client.rest()
        assert said in str(answers[-1])
        assert str(answers[-1]).startswith('raki: ')
        assert_serves(address)
    assert len(log) == 2
    assert said in log[0]
    assert '\n' not in log[0]


def test_what_a_client_makes_the_server_quote_is_short_and_printable() -> None:
    number = '\N{RIGHT-TO-LEFT OVERRIDE}' + 'many ' * 100_000
    with serving() as (address, log), Client(address) as client:
        client.raw(header_message(SERIES.xml.replace('<x>16</x>', f'<x>{number}</x>')))
        assert 'needs a number in encodedSpace/matrixSize/x' in client.next()
    assert len(log[0]) < 600
    assert log[0].isprintable()


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('{"parameters": {"config": "../gated"}}', "no configuration '../gated'"),
        ('{"parameters": {"path": "/tmp"}}', "no parameter 'path': choose from config, adaptive, coils"),
        ('{"parameters": {"reuse": "perhaps"}}', "reuse must be true or false, got 'perhaps'"),
        ('{"parameters": {"coils": -1}}', 'coils must be a whole number'),
        ('{"parameters": [1]}', 'must be an object or null'),
        ('<gadgetronStreamConfiguration/>', 'must be a name or JSON'),
    ],
)
def test_what_is_no_configuration_is_refused_by_name(text: str, said: str) -> None:
    with serving() as (address, _), Client(address) as client:
        client.send(ConfigText(text))
        assert said in client.next()
        assert client.rest() == []


def test_a_client_that_is_gone_in_the_middle_ends_only_its_connection() -> None:
    with serving() as (address, log):
        for n_bytes in (1, 700, 2000):
            data = header_message(SERIES.xml) + b'\xf0\3' + SERIES.lines(0)[0].to_bytes()
            with socket.create_connection(address) as connection:
                connection.sendall(data[:n_bytes])
        with socket.create_connection(address) as connection:  # reset, not closed
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            connection.sendall(data)
        wait_for(lambda: len(log) == 4)
        assert_serves(address)
    assert len(log) == 5


@pytest.mark.parametrize('begun', [b'', b'\3', header_message(SERIES.xml)[:40]])
def test_silence_is_closed(begun: bytes) -> None:
    with serving(seconds=0.3) as (address, log):
        with Client(address) as client:
            client.raw(begun)
            assert 'no whole message came for 0.3 s' in client.next()
        assert_serves(address)
    assert 'no whole message came for 0.3 s' in log[0]


def test_bytes_that_trickle_do_not_hold_a_connection() -> None:
    """A message as a whole has a time limit, not each of its bytes."""
    with serving(seconds=0.4) as (address, log):
        with socket.create_connection(address) as connection:
            start = time.monotonic()
            try:
                connection.sendall(b'\1')
                while time.monotonic() - start < 5:
                    connection.sendall(b'\0')
                    time.sleep(0.05)
            except OSError:
                pass
        assert time.monotonic() - start < 3
        assert_serves(address)
    assert 'no whole message came for 0.4 s' in log[0]


def test_more_connections_than_allowed_are_told_to_come_back() -> None:
    with serving(connections=1) as (address, log):
        with Client(address) as first:
            first.begin(SERIES.xml)
            first.send(SERIES.lines(0)[0])
            with Client(address) as second:
                assert 'busy' in second.next()
                assert second.rest() == []
            first.send(*SERIES.lines(0)[1:])
            first.end()
            assert len(first.rest()) == 1
        wait_for(lambda: len(log) == 2)
        assert_serves(address)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_lines_that_wait_for_ever_are_bounded() -> None:
    """Every line is of another slice, so that none is ever complete."""
    lines = [Series(n_coils=8, n_samples=4096, n_lines=1, n_acs=0, n_slices=40).lines(0)[0] for _ in range(8)]
    with serving(memory=1e-3) as (address, _), Client(address) as client:
        client.begin(Series(n_coils=8, n_samples=4096).xml)
        for slice_, line in enumerate(lines):
            line.idx.slice = slice_
            line.clear_all_flags()
        client.send(*lines)
        assert 'more than 0.0 GB of lines wait for the rest of their slice' in client.next()


def test_lines_of_one_sample_are_bounded_too() -> None:
    """Their headers take more memory than their samples."""
    with serving(memory=1e-3) as (address, _), Client(address) as client:
        client.begin(SERIES.xml)
        client.raw((b'\xf0\3' + made(np.ones((1, 1), np.complex64)).to_bytes()) * 1000)
        assert 'GB of lines wait for the rest of their slice' in client.next()


def test_samples_that_are_no_numbers_are_refused() -> None:
    lines = SERIES.lines(0)
    lines[3].data[:] = np.nan
    with serving() as (address, _), Client(address) as client:
        client.begin(SERIES.xml)
        client.send(*lines)
        assert 'NaN' in client.next()
        assert client.rest() == []


def numbered(**counters: int) -> list[Any]:
    """The lines of a slice with other counters than it has."""
    lines = SERIES.lines(0)
    for line in lines:
        for name, value in counters.items():
            setattr(line.idx, name, value)
    return lines


@pytest.mark.parametrize('counter', ['slice', 'repetition', 'contrast', 'phase', 'set', 'segment', 'average'])
def test_counters_may_be_as_large_as_the_format_has_them(counter: str) -> None:
    with serving() as (address, _), Client(address) as client:
        client.begin(SERIES.xml)
        client.send(*numbered(**{counter: 65535}))
        image = client.next()
    assert image.data.shape[-2:] == (24, 8)
    assert counter == 'segment' or getattr(image, counter) == (0 if counter == 'average' else 65535)


def test_samples_beyond_all_bounds_are_refused() -> None:
    lines = SERIES.lines(0)
    for line in lines:
        line.data[:] = 3e38
    with serving() as (address, _), Client(address) as client:
        client.begin(SERIES.xml)
        client.send(*lines)
        assert isinstance(client.next(), str)
        assert client.rest() == []


def test_a_client_that_never_reads_is_cut_off_and_holds_nobody_up() -> None:
    series = replace(SERIES, n_coils=1, n_slices=14, n_lines=256, n_samples=1024, acceleration=1, n_acs=4)
    data = stream_of(series.xml, series.every())
    with serving(seconds=1.0) as (address, log):
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        deaf.connect(address)
        with deaf:
            sender = threading.Thread(target=send_all, args=(deaf, data))
            sender.start()
            assert_serves(address)
            wait_for(lambda: len(log) == 2)
            sender.join()
        assert_serves(address)
    assert [line for line in log if 'closed, what was sent was not taken for 1 s' in line], log


def send_all(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except OSError:  # cut off
        return


def test_a_slow_client_gets_its_image_while_others_get_theirs() -> None:
    lines = SERIES.lines(0)
    with serving() as (address, _), Client(address) as slow:
        slow.begin(SERIES.xml)
        for line in lines[:-1]:
            slow.send(line)
        assert_serves(address)
        slow.send(lines[-1])
        assert slow.next().data.shape[-2:] == (24, 8)


def random_message(source: random.Random) -> bytes:
    """Anything, mostly with a number that exists, so that it is looked at."""
    number = source.choice([1, 2, 3, 4, 5, 1008, 1022, 1026, source.randrange(1 << 16)])
    body = source.randbytes(source.choice([0, 1, 4, 30, 400, 1500]))
    return struct.pack('<H', number) + body


def test_random_messages_leave_the_server_as_it_was() -> None:
    """A quick part of what benchmarks/serve.py does with 10,000 of them."""
    source = random.Random(0)
    with serving(seconds=5.0) as (address, log):
        send_random(address, source, 50)
        before = resident_bytes()
        send_random(address, source, 300)
        grown = resident_bytes() - before
        assert_serves(address)
    assert len(log) == 351
    assert grown < 20e6


def send_random(address: tuple[str, int], source: random.Random, n_messages: int) -> None:
    for _ in range(n_messages):
        with socket.create_connection(address, timeout=30) as connection:
            try:
                connection.sendall(random_message(source))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass
            except OSError:
                continue


def resident_bytes() -> int:
    return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize()


@dataclass(frozen=True)
class Broken:
    """A method with a fault of its own."""

    def smallest(self, calibration: Calibration) -> None:
        del calibration

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        raise KeyError((calibration, progress))


def test_a_fault_that_nobody_foresaw_ends_its_connection_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, log = [], list[str]()
    monkeypatch.setattr('threading.excepthook', lambda problem: seen.append(problem.exc_type))
    default = Options('broken', Broken())
    service = Service(Configurations({'grappa': METHODS['grappa']}, default))
    with running(service, Listening(port=0), log) as address:
        with Client(address) as client:
            client.begin(SERIES.xml)
            client.send(*SERIES.every())
            with pytest.raises(EOFError):
                client.next()
        with Client(address) as client:
            client.begin(SERIES.xml, ConfigFile('grappa'))
            client.send(*SERIES.every())
            assert client.next().data.shape[-2:] == (24, 8)
    assert seen == [KeyError]
    assert 'failed unexpectedly' in log[0]


@dataclass(frozen=True)
class Endless:
    """A method that never has learnt enough."""

    def smallest(self, calibration: Calibration) -> None:
        del calibration

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        while calibration:
            progress(0, 1)
            time.sleep(0.01)
        raise ValueError(calibration)


@pytest.mark.parametrize('n_slices', [1, 4])
def test_a_server_ends_while_it_learns(n_slices: int) -> None:
    """Also where lines wait for a place in the queue."""
    series, log = replace(SERIES, n_slices=n_slices), list[str]()
    service = Service(Configurations({}, Options('endless', Endless())))
    before = threading.active_count()
    with running(service, Listening(port=0), log) as address, Client(address) as client:
        client.begin(series.xml)
        client.send(*series.every())
        wait_for(lambda: threading.active_count() == before + 3)
        time.sleep(0.2)
    assert threading.active_count() == before
    assert len(log) == 1


def test_threads_end_with_the_server() -> None:
    before = threading.active_count()
    with serving() as (address, _), Client(address) as client:
        client.begin(SERIES.xml, ConfigFile('grappa'))
        client.send(SERIES.lines(0)[0])
        wait_for(lambda: threading.active_count() > before + 1)
    assert threading.active_count() == before
