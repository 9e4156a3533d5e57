"""Compression of uncompressed layers to gzip or zstd: in blocks that threads encode independently, joined in order.

Measured over 600 MB of libraries and programs, per core. gzip: isal level 1 at 655 MB/s and ratio 2.41 in these blocks
(2.43 as one stream; zlib's level 1: 230 at 2.43). zstd: level 3 at 330 MB/s and 2.82 in frames of 2 MiB (255 at 2.87 as
one).
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from struct import pack

from isal import isal_zlib

from app.archive.model import Compression

if sys.version_info >= (3, 14):  # pragma: no cover
    from compression import zstd
else:
    from backports import zstd

BLOCK = 512 << 10  # fixed, because an encoder's output depends on it: a second read then produces the same bytes
ZSTD_BLOCK = 2 << 20  # one independent frame: at 1 MiB 4 % more bytes, at 2 MiB 1.5 %
GZIP_LEVEL = 1
ZSTD_LEVEL = 3
MAX_THREADS = 4  # a running block needs some MiB per layer; more threads are faster than any registry
_GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # RFC 1952: deflate, no name, no time, no system
_LAST_DEFLATE_BLOCK = b"\x03\0"  # RFC 1951: the last one, with fixed codes, empty
_RAW = -15  # raw deflate with the largest window
_MEMORY = 8  # the default of zlib

Data = tuple[bytes, int]  # uncompressed bytes, and the position in the source after them
Part = tuple[bytes, int]  # encoded bytes, and the CRC-32 of the uncompressed ones


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding.

    `encode` receives a block of `block` bytes (the last may be shorter) and the block before it. `head` precedes all
    blocks, `tail(CRC-32, uncompressed size)` follows them.
    """

    block: int
    encode: Callable[[bytes, bytes], Part]
    head: bytes
    tail: Callable[[int, int], bytes]


def _deflated(block: bytes, before: bytes) -> Part:
    """Encode blocks of one deflate stream, up to a byte boundary. They may refer back to the block before."""
    window = before[-(1 << 15) :]
    arguments = (GZIP_LEVEL, isal_zlib.DEFLATED, _RAW, _MEMORY, isal_zlib.Z_DEFAULT_STRATEGY)
    stream = isal_zlib.compressobj(*arguments, window) if window else isal_zlib.compressobj(*arguments)
    return stream.compress(block) + stream.flush(isal_zlib.Z_SYNC_FLUSH), isal_zlib.crc32(block)


def _gzip_tail(crc: int, size: int) -> bytes:
    return _LAST_DEFLATE_BLOCK + pack("<II", crc, size & 0xFFFFFFFF)


def _frame(block: bytes, _before: bytes) -> Part:
    return zstd.compress(block, ZSTD_LEVEL), 0


def _zstd_tail(_crc: int, size: int) -> bytes:
    return b"" if size else zstd.compress(b"", ZSTD_LEVEL)  # no bytes at all would be invalid zstd


_ENCODINGS = {
    Compression.GZIP: Encoding(BLOCK, _deflated, _GZIP_HEAD, _gzip_tail),
    Compression.ZSTD: Encoding(ZSTD_BLOCK, _frame, b"", _zstd_tail),
}


def block_size(compression: Compression) -> int:
    """Return the block size that `encode` expects."""
    return BLOCK if compression is Compression.NONE else _ENCODINGS[compression].block


def encode(blocks: Iterable[Data], compression: Compression) -> Generator[Data, None, None]:
    """Encode blocks of `block_size` bytes on all cores, a few blocks ahead of the caller.

    `compression` is one for stored layers: gzip, zstd or none. Raises the errors of `blocks` before the last bytes.
    """
    if compression is Compression.NONE:
        yield from blocks
        return
    encoding = _ENCODINGS[compression]
    crc = size = position = 0
    yield encoding.head, 0
    for part, plain, position in _in_parallel(blocks, encoding.encode):
        yield part[0], position
        crc, size = isal_zlib.crc32_combine(crc, part[1], plain), size + plain
    yield encoding.tail(crc, size), position


def _in_parallel(
    blocks: Iterable[Data], encode_block: Callable[[bytes, bytes], Part]
) -> Iterator[tuple[Part, int, int]]:
    """Yield each part with its number of uncompressed bytes and its position, in order."""
    ahead: deque[tuple[Future[Part], int, int]] = deque()
    before = b""
    try:
        for block, position in blocks:
            ahead.append((_workers().submit(encode_block, block, before), len(block), position))
            before = block
            if len(ahead) > _threads():
                part, plain, end = ahead.popleft()
                yield part.result(), plain, end
        while ahead:
            part, plain, end = ahead.popleft()
            yield part.result(), plain, end
    finally:
        for part, _, _ in ahead:
            part.cancel()


@cache
def _workers() -> ThreadPoolExecutor:
    """Return the executor of the process."""
    return ThreadPoolExecutor(_threads(), "encode")


@cache
def _threads() -> int:
    return min(len(os.sched_getaffinity(0)), MAX_THREADS)
