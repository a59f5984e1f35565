"""Serve MRD streams on a socket: a thread per connection, and no connection that ends the server."""

import os
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Self

from raki.errors import StreamError
from raki.inline.messages import ByteReader, close_message, text_message
from raki.inline.session import Service, one_line
from raki.inline.worker import KNOWN_FAILURES

Log = Callable[[str], object]
"""Takes one line about what happened."""

LINGER_SECONDS, LINGER_BYTES = 1.0, 1 << 20
"""How long, and over how many bytes, a refused client may go on before its connection is cut."""


SHORTEST_SECONDS = 1e-3
"""A time limit of zero would mean something else to a socket."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where to listen, and to how many."""

    host: str = '127.0.0.1'
    """Only this machine by default: the protocol knows neither passwords nor encryption."""

    port: int = 9002
    """0 for any that is free."""

    connections: int = 4
    """At most at once; more are told to come back later."""

    seconds: float = 300.0
    """How long a message may take, waiting for it included [s]."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise ValueError(f'--port must be 0 to 65535, got {self.port}')
        if self.connections < 1 or not 0 < self.seconds < float('inf'):
            raise ValueError(
                f'connections and their time-out must be positive, got {self.connections} and {self.seconds:g} s'
            )

    def socket(self) -> socket.socket:
        """A socket that listens there; an OSError that names the place if that is not possible."""
        family = socket.AF_INET6 if ':' in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            reason = f'cannot listen on {self.host}:{self.port} ({why}): choose another --host or --port'
            raise OSError(error.errno, reason) from error


class Server:
    """Accept connections until it is closed; used as a context."""

    def __init__(self, service: Service, listening: Listening, log: Log) -> None:
        self._service, self._listening, self._log = service, listening, log
        self._connections: dict[socket.socket, Thread] = {}
        self._lock, self._is_over, self._n_seen = Lock(), Event(), 0

    def __enter__(self) -> Self:
        self._socket = self._listening.socket()
        self._wake, self._waker = socket.socketpair()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop listening, cut all connections, end what is being learnt for them, and wait for their threads."""
        self._is_over.set()
        self._socket.close()
        with self._lock:
            threads = list(self._connections.items())
        for connection, _ in threads:
            _shut(connection, socket.SHUT_RDWR)
        for _, thread in threads:
            thread.join()
        self._wake.close()
        self._waker.close()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port on which it listens."""
        host, port, *_ = self._socket.getsockname()
        return host, port

    def run(self) -> None:
        """Accept connections until `stop` is called, from any thread."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._wake in ready:
                    return
                self._accept()

    def stop(self) -> None:
        """Make `run` return."""
        self._waker.send(b'.')

    def _accept(self) -> None:
        try:
            connection, (host, port, *_) = self._socket.accept()
        except OSError as error:  # gone before it was accepted, or no more files may be open
            self._log(f'a connection failed: {one_line(error)}')
            return
        self._n_seen += 1
        name = f'connection {self._n_seen} ({host}:{port})'
        thread = Thread(target=self._serve, args=(connection, name), daemon=True)
        with self._lock:
            is_full = len(self._connections) >= self._listening.connections
            if not is_full:
                self._connections[connection] = thread
                thread.start()
        if is_full:
            self._refuse(connection, name)

    def _refuse(self, connection: socket.socket, name: str) -> None:
        self._log(f'{name}: refused, {self._listening.connections} are served already')
        with connection:
            connection.setblocking(False)  # noqa: FBT003
            try:
                connection.send(text_message('raki: busy with other connections: try again later') + close_message())
            except OSError:
                return

    def _serve(self, connection: socket.socket, name: str) -> None:
        """Serve one connection from beginning to end; whatever happens in it ends it alone, with one line."""
        started, told = time.monotonic(), 'failed unexpectedly'
        incoming = _Incoming(connection, self._listening.seconds)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection.dup() as outgoing:  # with a time limit of its own
                outgoing.settimeout(self._listening.seconds)
                reader = ByteReader(incoming.read_into, incoming.begin)
                n_images = self._service.serve(
                    reader, outgoing.sendall, lambda: _shut(connection, socket.SHUT_RD), self._is_over.is_set
                )
            told = f'{n_images} image(s)'
        except TimeoutError:
            told = f'closed, what was sent was not taken for {self._listening.seconds:g} s'
        except KNOWN_FAILURES as error:
            told = f'closed, {one_line(error)}'
        finally:
            _linger(connection)
            self._log(f'{name}: {told}, {time.monotonic() - started:.1f} s')  # while a server that ends waits for it
            with self._lock:
                del self._connections[connection]
            connection.close()


class _Incoming:
    """What a socket delivers, with a time limit for every message as a whole."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._seconds = connection, seconds
        self._deadline = time.monotonic() + seconds

    def begin(self) -> None:
        """A new message is awaited."""
        self._deadline = time.monotonic() + self._seconds

    def read_into(self, view: memoryview) -> int:
        """Read what there is, at least one byte; 0 at the end of the stream. A StreamError after the time limit."""
        try:
            self._connection.settimeout(max(self._deadline - time.monotonic(), SHORTEST_SECONDS))
            return self._connection.recv_into(view)
        except TimeoutError:
            raise StreamError(f'no whole message came for {self._seconds:g} s') from None


def _linger(connection: socket.socket) -> None:
    """Let the other side read what was sent: closing with unread bytes would cut that off."""
    try:
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(LINGER_SECONDS)
        deadline, n_bytes = time.monotonic() + LINGER_SECONDS, 0
        while time.monotonic() < deadline and n_bytes < LINGER_BYTES and (more := connection.recv(1 << 16)):
            n_bytes += len(more)
    except OSError:
        return


def _shut(connection: socket.socket, how: int) -> None:
    try:
        connection.shutdown(how)
    except OSError:  # the other side was quicker
        return
