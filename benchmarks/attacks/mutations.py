"""What bad cables, disks and memory do to a file."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

Mutation: TypeAlias = Callable[[bytearray, int, np.random.Generator], None]
"""Damages content at a position, or near it."""

BLOCK, PAGE = 512, 4096


def flip_bit(content: bytearray, position: int, generator: np.random.Generator) -> None:
    """Flip one bit."""
    content[position] ^= 1 << int(generator.integers(8))


def flip_bits(content: bytearray, position: int, generator: np.random.Generator) -> None:
    """Flip eight bits within a block."""
    for offset in generator.integers(BLOCK, size=8):
        flip_bit(content, min(position + int(offset), len(content) - 1), generator)


def invert_byte(content: bytearray, position: int, _generator: np.random.Generator) -> None:
    """Flip all bits of a byte."""
    content[position] ^= 0xFF


def truncate(content: bytearray, position: int, _generator: np.random.Generator) -> None:
    """Lose all from there on."""
    del content[position:]


def zero_block(content: bytearray, position: int, _generator: np.random.Generator) -> None:
    """Lose a sector of a disk."""
    _zero(content, position, BLOCK)


def zero_page(content: bytearray, position: int, _generator: np.random.Generator) -> None:
    """Lose a page of memory."""
    _zero(content, position, PAGE)


def _zero(content: bytearray, position: int, size: int) -> None:
    start = position // size * size
    stop = min(start + size, len(content))
    content[start:stop] = bytes(stop - start)


def swap_pages(content: bytearray, position: int, generator: np.random.Generator) -> None:
    """Exchange a page with another."""
    here, there = _pages(content, position, generator)
    content[here : here + PAGE], content[there : there + PAGE] = (
        content[there : there + PAGE],
        content[here : here + PAGE],
    )


def repeat_page(content: bytearray, position: int, generator: np.random.Generator) -> None:
    """Write another page over a page."""
    here, there = _pages(content, position, generator)
    content[here : here + PAGE] = content[there : there + PAGE]


def _pages(content: bytearray, position: int, generator: np.random.Generator) -> tuple[int, int]:
    """Where two pages begin; small files have one, of which nothing is left to exchange."""
    n_pages = max(1, len(content) // PAGE)
    return min(position // PAGE, n_pages - 1) * PAGE, int(generator.integers(n_pages)) * PAGE


def overwrite(content: bytearray, position: int, generator: np.random.Generator) -> None:
    """Write up to 64 random bytes over what is there."""
    stop = min(position + int(generator.integers(1, 65)), len(content))
    content[position:stop] = generator.bytes(stop - position)


MUTATIONS: Mapping[str, Mutation] = {
    '1 bit': flip_bit,
    '8 bits': flip_bits,
    'byte': invert_byte,
    'truncated': truncate,
    'zeroed 512': zero_block,
    'zeroed page': zero_page,
    'swapped pages': swap_pages,
    'repeated page': repeat_page,
    'overwritten': overwrite,
}
