"""PNG files, 8 bit grey, by the PNG specification."""

import struct
import zlib
from collections.abc import Mapping

import numpy as np

SIGNATURE = b'\x89PNG\r\n\x1a\n'
GREY_8_BIT = (8, 0, 0, 0, 0)
METRE = 1


def encoded(grey: np.ndarray, texts: Mapping[str, str], pixel_size: tuple[float, float] | None = None) -> bytes:
    """A PNG file.

    Parameters
    ----------
    grey
        8 bit, axes (y, x).
    texts
        Latin-1, by keywords of the PNG specification.
    pixel_size
        Along (y, x) [m].
    """
    height, width = grey.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), grey], axis=1)
    chunks = [_chunk(b'IHDR', struct.pack('>2I5B', width, height, *GREY_8_BIT))]
    if pixel_size is not None:
        per_metre = [round(1 / size) for size in reversed(pixel_size)]
        chunks.append(_chunk(b'pHYs', struct.pack('>2IB', *per_metre, METRE)))
    chunks += [_chunk(b'tEXt', f'{name}\0{text}'.encode('latin-1', 'replace')) for name, text in texts.items()]
    chunks += [_chunk(b'IDAT', zlib.compress(rows.tobytes())), _chunk(b'IEND', b'')]
    return SIGNATURE + b''.join(chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))
