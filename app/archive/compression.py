"""Detect the compression of an archive from its first bytes, and decompress it while it is received.

Every call into a codec limits the output: without a limit, one call turned 16 KiB of zstd into 495 MiB.
"""

from __future__ import annotations

import bz2
import lzma
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast
from zlib import crc32

from isal import igzip_lib

from app.archive.model import DEFAULT_LIMITS, Compression, Limits
from app.errors import LimitExceeded, MalformedArchive, TruncatedArchive

if sys.version_info >= (3, 14):  # pragma: no cover
    from compression import zstd
else:
    from backports import zstd

SNIFF_BYTES = 10
PIECE = 1 << 20  # plain bytes per piece
FIRST_STEP = 4 << 10  # input for a new member; doubles. A codec copies the input that follows its member's end
MAX_MEMBERS = 1 << 20  # in one stream; bgzip writes one per 64 KiB, which allows 64 GiB
FREE_MEMBERS = 20_000  # allowed without a condition, plus one for every
BYTES_PER_MEMBER = (
    64  # received. Each takes 24 µs to open; estargz and zstd:chunked, with one per file, have 150 bytes and more
)
MAX_XZ_BYTES = 68 << 20  # `xz -9` needs 65 MiB, a hostile dictionary 4 GiB
ZSTD_WINDOW_LOG = 26  # 64 MiB; 2**27 (`--long`, `--ultra -22`) needs 132 MiB for the whole transfer
MAX_DECODER_BYTES = MAX_XZ_BYTES  # of any decoder, in bytes
MAX_GZIP_HEADER = 128 << 10  # 64 KiB of extra field, a name and a comment
REMEDIES = {
    Compression.ZSTD: "its window exceeds 64 MiB: decompress it with `zstd -d --long=31` and send the plain tar, or "
    "compress it again without --long and below --ultra -22",
    Compression.XZ: "its dictionary exceeds that of `xz -9`: decompress it with `xz -d` and send the plain tar",
}
_GZIP_HEADER = b"\x1f\x8b\x08" + bytes(7)


_ISAL_ERROR = cast("type[Exception]", igzip_lib.IsalError)  # the stub declares an instance instead of the class


class Decompressor(Protocol):
    """Compressed bytes in, plain bytes out. Consume the iterator from `feed` before the next call.

    Both methods raise MalformedArchive, TruncatedArchive and LimitExceeded."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the plain bytes in pieces of at most 1 MiB (without compression: the chunk)."""
        ...

    def finish(self) -> None:
        """Finish after the last byte. Raises TruncatedArchive if the stream is not complete."""
        ...


class _Codec(Protocol):
    """The common interface of bz2, lzma, zstd and isal: one member (frame, stream), then `eof`."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """isal's decompressor, with our own reader for the header.

    isal ignores reserved flags. It also reports some valid headers as corrupt if they are received in pieces: those
    with several optional fields or with a checksum."""

    def __init__(self) -> None:
        self._isal = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        self._head: bytes | None = b""  # until the header is complete

    @property
    def eof(self) -> bool:
        return self._isal.eof

    @property
    def needs_input(self) -> bool:
        return self._isal.needs_input

    @property
    def unused_data(self) -> bytes:
        return self._isal.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if self._head is not None:
            self._head += data
            end = _gzip_header(self._head)
            if (end or len(self._head)) > MAX_GZIP_HEADER:
                raise _ISAL_ERROR(f"a header of more than {MAX_GZIP_HEADER} bytes")
            if not end:
                return b""
            data, self._head = _GZIP_HEADER + self._head[end:], None
        return self._isal.decompress(data, max_length)


def _gzip_header(data: bytes) -> int:
    """Return the length of the header at the start of `data` (RFC 1952 2.3); 0 if it is not complete yet."""
    if data[:3] != _GZIP_HEADER[: len(data[:3])]:
        raise _ISAL_ERROR("no gzip header")
    if len(data) < 10:
        return 0
    flags, end = data[3], 10
    if flags & 0b1110_0000:
        raise _ISAL_ERROR("reserved flags are set in the header")
    if flags & 0b0_0100:  # FEXTRA
        end = 12 + int.from_bytes(data[10:12], "little")
    for text in (0b0_1000, 0b1_0000):  # FNAME, FCOMMENT
        if flags & text:
            end = data.find(b"\0", end) + 1
            if not end:
                return 0
    if flags & 0b0_0010:  # FHCRC
        end += 2
        if len(data) >= end and crc32(data[: end - 2]) & 0xFFFF != int.from_bytes(data[end - 2 : end], "little"):
            raise _ISAL_ERROR("the checksum of the header is wrong")
    return end if end <= len(data) else 0


@dataclass(frozen=True, slots=True)
class _CodecSpec:
    magic: tuple[bytes, ...]
    make: Callable[[int], _Codec]  # takes the maximum memory in bytes
    error: type[Exception]


_KINDS = {
    Compression.GZIP: _CodecSpec((b"\x1f\x8b\x08",), lambda _: _Gzip(), _ISAL_ERROR),
    Compression.ZSTD: _CodecSpec(
        (b"\x28\xb5\x2f\xfd", *(bytes([low]) + b"\x2a\x4d\x18" for low in range(0x50, 0x60))),  # skippable frames
        lambda memory: zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: min(ZSTD_WINDOW_LOG, memory.bit_length() - 1)}
        ),
        zstd.ZstdError,
    ),
    Compression.XZ: _CodecSpec(
        (b"\xfd7zXZ\0",),
        lambda memory: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=min(MAX_XZ_BYTES, memory)),
        lzma.LZMAError,
    ),
    Compression.BZIP2: _CodecSpec(
        tuple(  # a level, then the start of a block, or the end marker of an empty stream
            b"BZh%d" % level + block for level in range(1, 10) for block in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
        ),
        lambda _: bz2.BZ2Decompressor(),
        OSError,
    ),
}


def sniff(head: bytes) -> Compression:
    """Detect the compression from the first SNIFF_BYTES bytes, or from all bytes if there are fewer."""
    for compression, kind in _KINDS.items():
        if head.startswith(kind.magic):
            return compression
    return Compression.NONE


def decompressor(
    compression: Compression, limits: Limits = DEFAULT_LIMITS, memory: int = MAX_DECODER_BYTES
) -> Decompressor:
    """Return a decompressor. `memory` limits its memory in bytes; see `window.decoder_memory`."""
    return _PassThrough(limits) if compression is Compression.NONE else _CompressedStream(compression, limits, memory)


class _PassThrough:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._received = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self._received += len(chunk)
        if self._received > self._limits.unpacked_bytes:
            raise LimitExceeded(f"the archive has more than {self._limits.unpacked_bytes} bytes")
        yield chunk

    def finish(self) -> None:
        """Accept any end: plain data has no end marker."""


class _CompressedStream:
    """Decompress member after member. Zeros may follow the last one.

    They are the padding of tapes and block devices; gzip ignores them too."""

    def __init__(self, compression: Compression, limits: Limits, memory: int) -> None:
        self._memory = memory
        self._compression = compression
        self._kind = _KINDS[compression]
        self._limits = limits
        self._received = 0
        self._unpacked = 0
        self._members = 0
        self._codec: _Codec | None = None
        self._step = FIRST_STEP
        self._padding = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self._received += len(chunk)
        at = 0
        while at < len(chunk):
            if self._padding:
                return self._pad(chunk[at:])
            codec = self._codec or self._open(chunk[at], self._received - len(chunk) + at)
            if codec is None:
                continue
            data = chunk[at : at + self._step]
            at += len(data)
            self._step = min(2 * self._step, PIECE)
            yield from self._decompress(codec, data)
            if codec.eof:
                at -= len(codec.unused_data)
                self._codec = None

    def finish(self) -> None:
        if self._codec or not self._members:
            raise TruncatedArchive(
                f"the {self._compression} data is incomplete: it ends after {self._received} bytes; transfer it again"
            )

    def _open(self, first: int, position: int) -> _Codec | None:
        """Return the codec for a member that starts with `first` at `position`; None if padding starts there."""
        if self._members and first == 0:
            self._padding = True
            return None
        self._members += 1
        if self._members > min(MAX_MEMBERS, FREE_MEMBERS + position // BYTES_PER_MEMBER):
            raise LimitExceeded(
                f"the {self._compression} data has more than {self._members - 1} members in {position} bytes"
            )
        self._codec, self._step = self._kind.make(self._memory), FIRST_STEP
        return self._codec

    def _pad(self, rest: bytes) -> None:
        if rest.strip(b"\0"):
            raise MalformedArchive(f"other data follows the {self._compression} data; send the archive alone")

    def _decompress(self, codec: _Codec, data: bytes) -> Iterator[bytes]:
        while True:
            try:
                plain = codec.decompress(data, PIECE)
            except self._kind.error as error:
                raise self._fault(error) from None
            if plain:
                self._charge(len(plain))
                yield plain
            if codec.eof or codec.needs_input:
                return
            data = b""

    def _charge(self, size: int) -> None:
        self._unpacked += size
        limits = self._limits
        if self._unpacked > limits.unpacked_bytes:
            raise LimitExceeded(f"the archive decompresses to more than {limits.unpacked_bytes} bytes")
        if self._unpacked > max(limits.ratio_grace_bytes, self._received * limits.ratio):
            raise LimitExceeded(
                f"the {self._compression} data decompresses to more than {limits.ratio} times its size: "
                f"{self._unpacked} bytes from {self._received}"
            )

    def _fault(self, error: Exception) -> MalformedArchive | LimitExceeded:
        if "memory" in str(error).lower():  # lzma and zstd each have one error class; only the message names memory
            return LimitExceeded(
                f"the {self._compression} data needs too much memory for decompression ({error}); "
                f"{REMEDIES[self._compression]}"
            )
        return MalformedArchive(
            f"the {self._compression} data is corrupt, or other data follows it, before byte {self._received}: {error}"
        )


__all__ = ["SNIFF_BYTES", "Decompressor", "decompressor", "sniff"]
