"""The same through pipes: MRD streams of either version in, images of the same version out."""

from importlib.util import find_spec
from io import BufferedReader
from typing import BinaryIO

from raki.errors import StreamError
from raki.inline.messages import ByteReader
from raki.inline.session import Service

VERSION_2 = b'y'
"""How streams of MRD version 2 begin ("yardl"); no number of a message of version 1 begins so."""


def serve_pipe(service: Service, source: BufferedReader, target: BinaryIO) -> int:
    """Answer the stream that comes from one pipe on another, and return the number of images written.

    A StreamError if it is of version 2 and mrd-python is not installed; else as `Service.serve`.
    """
    if source.peek(1)[:1] == VERSION_2:
        if find_spec('mrd') is None:
            raise StreamError("this is a stream of MRD version 2, which needs mrd-python: pip install 'raki[mrd]'")
        from raki.inline.version2 import serve_version_2

        return serve_version_2(service, source, target)

    def send(data: bytes) -> None:
        target.write(data)
        target.flush()

    return service.serve(ByteReader(source.readinto1), send)
