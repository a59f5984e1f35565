"""What `raki serve` and `raki stream` do: MRD streams in, images out, on a socket or through pipes."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader
from threading import BoundedSemaphore
from typing import BinaryIO

import torch

from raki.commands.catalogue import METHODS, method_named
from raki.device import choose_device
from raki.inline.messages import Limits
from raki.inline.options import Configurations, Options
from raki.inline.server import Listening, Server
from raki.inline.session import Service
from raki.inline.stream import serve_pipe

AT_ONCE = 2
"""Slices that a server reconstructs at the same time, whoever sent them: they share the processors."""


@dataclass(frozen=True, slots=True)
class Inline:
    """How images are made where a client asks for nothing else."""

    method: str = 'gated'
    """One of `raki.commands.catalogue.METHODS`."""

    reuse: bool = False
    """Whether what was learnt from a slice serves its later repetitions, too."""

    device: torch.device = torch.device('cpu')
    """Where to compute."""

    gigabytes: float = 4.0
    """The most that the samples of one connection may take."""

    @classmethod
    def asked(cls, method: str, reuse: bool, device: str | None, gigabytes: float) -> 'Inline':
        """As options of the command line say; a ValueError if there is no such method, device or memory."""
        inline = cls(method.lower(), reuse, choose_device(device), gigabytes)
        inline.service()
        return inline

    def service(self, at_once: int = 1) -> Service:
        """What connections are served with; a ValueError if there is no such method or no memory."""
        if not 0 < self.gigabytes < float('inf'):
            raise ValueError(f'--memory must be a positive number of GB, got {self.gigabytes:g}')
        options = Options(self.method, method_named(self.method), reuse=self.reuse, device=self.device)
        limits = Limits(held_bytes=int(self.gigabytes * 1e9))
        return Service(Configurations(METHODS, options), limits, BoundedSemaphore(at_once))


def serve(inline: Inline, listening: Listening, say: Callable[[str], object], log: Callable[[str], object]) -> None:
    """Serve until interrupted: one line where it listens, and one of log for every connection.

    Parameters
    ----------
    say, log
        Take a line for who started the server, and one of what happened.

    Raises
    ------
    OSError
        If it cannot listen there.
    """
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // AT_ONCE))
    with Server(inline.service(AT_ONCE), listening, log) as server:
        host, port = server.address
        say(f'listening on {host}:{port}, method {inline.method}: research only, not for diagnosis')
        server.run()


def stream(inline: Inline, source: BufferedReader, target: BinaryIO) -> int:
    """Answer the stream of one pipe on another; the number of images written."""
    return serve_pipe(inline.service(), source, target)
