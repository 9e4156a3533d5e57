"""Memory that the decompression of a stream needs, read from its first bytes. Pure.

It follows from the window of zstd (RFC 8878 3.1.1) or the dictionary of xz (its file format, 3.1)."""

from __future__ import annotations

from app.archive.compression import MAX_XZ_BYTES, SNIFF_BYTES, ZSTD_WINDOW_LOG, sniff
from app.archive.model import Compression

HEAD_BYTES = 4 << 10  # the header of an xz block has at most 1 KiB; 12 bytes precede it
MIN_ZSTD_BYTES = 8 << 20  # bytes; zstd needs them up to level 19, so later frames of a stream may need them too
MAX_ZSTD_BYTES = 1 << ZSTD_WINDOW_LOG
BZIP2_BYTES = 4 << 20  # 900 kB blocks need 3.7 MB
_OVERHEAD = 1 << 20
_ZSTD_FRAME = b"\x28\xb5\x2f\xfd"
_LZMA2 = 0x21


def is_sufficient(head: bytes) -> bool:
    """Return whether `head` is sufficient for `decoder_memory`."""
    if len(head) < SNIFF_BYTES:
        return False
    return len(head) >= HEAD_BYTES or sniff(head) not in {Compression.ZSTD, Compression.XZ}


def decoder_memory(head: bytes) -> int:
    """Return the memory in bytes that decompressing the stream takes. `head`: its first HEAD_BYTES, or all its bytes.

    Returns 0 for plain data and for gzip (64 KiB). If `head` is not sufficient, the maximum is returned."""
    compression = sniff(head)
    if compression is Compression.ZSTD:
        return _power_of_two(max(MIN_ZSTD_BYTES, min(_zstd_window(head), MAX_ZSTD_BYTES)))
    if compression is Compression.XZ:
        return min(_xz_dictionary(head) + _OVERHEAD, MAX_XZ_BYTES)
    return BZIP2_BYTES if compression is Compression.BZIP2 else 0


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()


def _zstd_window(head: bytes) -> int:
    at = 0
    while head[at + 1 : at + 4] == b"\x2a\x4d\x18" and head[at] & 0xF0 == 0x50:  # skippable frames
        at += 8 + int.from_bytes(head[at + 4 : at + 8], "little")
        if at + 4 >= len(head):
            return MAX_ZSTD_BYTES
    if head[at : at + 4] != _ZSTD_FRAME or at + 5 >= len(head):
        return MAX_ZSTD_BYTES
    descriptor, at = head[at + 4], at + 5
    if not descriptor & 0x20:
        exponent, mantissa = head[at] >> 3, head[at] & 7
        base = 1 << (10 + exponent)
        return base + (base >> 3) * mantissa
    at += (0, 1, 2, 4)[descriptor & 3]  # a dictionary ID
    size = (1, 2, 4, 8)[descriptor >> 6]
    content = int.from_bytes(head[at : at + size], "little") + (256 if size == 2 else 0)
    return content if at + size <= len(head) else MAX_ZSTD_BYTES


def _xz_dictionary(head: bytes) -> int:
    """Return the size of the first block's dictionary; 0 for a stream without blocks."""
    try:
        if head[12] == 0:  # the index follows immediately
            return 0
        flags, at = head[13], 14
        for bit in (0x40, 0x80):
            if flags & bit:
                _, at = _number(head, at)
        for _ in range((flags & 3) + 1):
            kind, at = _number(head, at)
            size, at = _number(head, at)
            if kind == _LZMA2:
                return _dictionary(head[at])
            at += size
    except IndexError:
        pass
    return MAX_XZ_BYTES


def _dictionary(properties: int) -> int:
    return MAX_XZ_BYTES if properties > 40 else (2 | (properties & 1)) << (properties // 2 + 11)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return a multibyte integer (1.2) and the position after it. Raises IndexError."""
    number = shift = 0
    while True:
        byte, at = data[at], at + 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return number, at
        if shift > 63:
            raise IndexError("no number")
