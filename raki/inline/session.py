"""One connection: a configuration, a header and lines come, images go as soon as the lines of their slice are there."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field

from raki.data.mrd.header import header_from
from raki.data.mrd.image import image_attributes
from raki.errors import StreamError
from raki.inline.frames import Gathered, Waiting
from raki.inline.images import ImageMaker, MadeImage
from raki.inline.messages import (
    ByteReader,
    Limits,
    Line,
    Message,
    MessageId,
    close_message,
    image_message,
    messages,
    text_message,
)
from raki.inline.options import Configurations
from raki.inline.worker import KNOWN_FAILURES, Worker
from raki.interpolation.calibration import Progress

LONGEST_LINE = 500
"""Characters of an error that are told and logged."""

Send = Callable[[bytes], object]
"""Write all of it to the other side."""


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """What every connection is served with."""

    configurations: Configurations
    """What may be asked for."""

    limits: Limits = field(default_factory=Limits)
    """What may be sent."""

    turn: AbstractContextManager[object] = field(default_factory=nullcontext)
    """Held while a slice is reconstructed: bounds how many are at once."""

    def serve(
        self,
        reader: ByteReader,
        send: Send,
        interrupt: Callable[[], object] = lambda: None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> int:
        """Answer one stream of messages and return the number of images sent.

        Parameters
        ----------
        reader, send
            What comes, and how to write all of some bytes to the other side.
        interrupt
            Called from another thread where nothing more needs to come: makes the reader find the end of the stream.
        is_over
            Tells that what is being made is not wanted any more.

        Raises
        ------
        StreamError, ResourceError, ValueError, ArithmeticError, OSError, RuntimeError
            Whatever goes wrong, after it was told to the other side, where that still listens.
        """
        n_images = 0

        def send_image(image: MadeImage) -> None:
            nonlocal n_images
            send(image_message(image.header, image_attributes(image.attributes), image.values))
            n_images += 1

        try:
            self.converse(messages(reader, self.limits), send_image, interrupt, is_over)
        except KNOWN_FAILURES as error:
            with suppress(OSError):
                send(text_message(f'raki: {one_line(error)}') + close_message())
            raise
        send(close_message())
        return n_images

    def converse(
        self,
        stream: Iterator[Message],
        send_image: Callable[[MadeImage], object],
        interrupt: Callable[[], object] = lambda: None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take the messages of one connection and send its images; both may be of another protocol's making."""
        opened = self._opened(stream)
        if opened is None:
            return
        maker, waiting = opened

        def reconstruct(gathered: Gathered, progress: Progress) -> None:
            with self.turn:
                image = maker.image(gathered, progress)
            send_image(image)

        with Worker(reconstruct, interrupt, is_over) as worker:
            for message in stream:
                worker.raise_failure()
                if isinstance(message, Line):
                    maker.begin(message)
                    for gathered in waiting.add(message):
                        worker.give(gathered)
                elif message.kind != MessageId.TEXT:
                    raise StreamError(f'a {message.kind.name.lower()} message must come once, before the acquisitions')
            for gathered in waiting.rest():
                worker.give(gathered)

    def _opened(self, stream: Iterator[Message]) -> tuple[ImageMaker, Waiting] | None:
        """What makes images, from the messages up to the header; None if the connection is closed before."""
        options = self.configurations.default
        for message in stream:
            if isinstance(message, Line):
                raise StreamError('an acquisition came before the header')
            if message.kind == MessageId.HEADER:
                header = header_from(message.text, 'the stream')
                return ImageMaker(header, options, self.limits), Waiting(header, self.limits.held_bytes)
            options = self.configurations.asked(options, message)
        return None


def one_line(error: BaseException) -> str:
    """An error in one line of at most LONGEST_LINE printable characters: what it quotes may come from anybody."""
    text = ' '.join(str(error).split()) or type(error).__name__
    shown = ''.join(each if each.isprintable() else '?' for each in text[:LONGEST_LINE])
    return shown if len(text) <= LONGEST_LINE else f'{shown} ...'
