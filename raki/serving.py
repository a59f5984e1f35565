"""Commands for streams of raw data: options in, one line out."""

import sys
from io import BufferedReader
from typing import Annotated, cast

import typer

from raki.commands.inputs import as_usage_error, own_methods_starting
from raki.commands.settings import DeviceOption
from raki.options import MemoryOption, ReuseOption
from raki.streams import say


def serve(
    host: Annotated[str, typer.Option(help='Address to listen on; 0.0.0.0 for all, as in a container.')] = '127.0.0.1',
    port: Annotated[int, typer.Option(help='Port to listen on; 0 for any.')] = 9002,
    method: Annotated[
        str, typer.Option(help='What is done where the client names nothing.', autocompletion=own_methods_starting)
    ] = 'gated',
    reuse: ReuseOption = False,
    connections: Annotated[int, typer.Option(help='Connections at once.')] = 4,
    timeout: Annotated[float, typer.Option(help='Close a connection after this long without a message [s].')] = 300.0,
    memory: MemoryOption = 4.0,
    device: DeviceOption = None,
) -> None:
    """Serve MRD (ISMRMRD) streams: raw lines in, images out as soon as the lines of a slice are there."""
    from raki.commands import serve as inline

    with as_usage_error():
        asked = inline.Inline.asked(method, reuse, device, memory)
        listening = inline.Listening(host, port, connections, timeout)
    inline.serve(asked, listening, lambda line: print(line, flush=True), say)


def stream(
    method: Annotated[
        str, typer.Option(help='What is done where the stream names nothing.', autocompletion=own_methods_starting)
    ] = 'gated',
    reuse: ReuseOption = False,
    memory: MemoryOption = 4.0,
    device: DeviceOption = None,
) -> None:
    """Reconstruct an MRD stream from standard input to standard output: raki stream < in > out."""
    from raki.commands import serve as inline

    with as_usage_error():
        asked = inline.Inline.asked(method, reuse, device, memory)
    say(f'{inline.stream(asked, cast(BufferedReader, sys.stdin.buffer), sys.stdout.buffer)} image(s)')
