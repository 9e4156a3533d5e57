"""Reading of a blob from the archive, with verification, decompression and compression on the way.

Plain generators of chunks: they block, and know nothing of threads (`iterate_in_threads` runs them).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from app.archive.compression import decompressor
from app.archive.model import Compression, DockerLayer, Extent, ReadAt
from app.errors import ArchiveError, DigestMismatch
from app.oci import Digest
from app.push.run.compress import block_size, encode

MAX_READ_BYTES = 8 << 20  # bytes of the source per chunk, even if they compress well
PIECE = 512 << 10  # httpx over TLS: 0.4-0.6 GB/s with 64 KiB, 0.8-0.96 with 1 MiB, which needed twice the memory


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes to send, and the position in the source after them."""

    data: bytes
    position: int


Pieces = Generator[Chunk, None, None]


@dataclass(frozen=True, slots=True)
class BlobExtent:
    """The location of a blob's bytes. `what` is a label for messages."""

    reader: ReadAt
    extent: Extent
    what: str

    def pieces(self) -> Iterator[Chunk]:
        position, size = 0, self.extent.size
        while position < size:
            data = self.reader.read_at(self.extent.offset + position, min(PIECE, size - position))
            position += len(data)
            yield Chunk(data, position)


@dataclass(frozen=True, slots=True)
class InlineBytes:
    """Bytes in memory as a ReadAt: content from a descriptor."""

    data: bytes

    def read_at(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


def read_verified(source: BlobExtent, digest: Digest) -> Pieces:
    """Yield the bytes unchanged. Raises DigestMismatch before the last chunk."""
    hasher = digest.hasher()
    for piece in source.pieces():
        hasher.update(piece.data)
        if piece.position == source.extent.size:
            _check_digest(hasher.hexdigest(), digest, source.what)
        yield piece
    if not source.extent.size:
        _check_digest(hasher.hexdigest(), digest, source.what)


def _check_digest(encoded: str, digest: Digest, what: str) -> None:
    if encoded != digest.encoded:
        raise DigestMismatch(f"{what} does not match its digest: expected {digest}, found {digest.algorithm}:{encoded}")


def read_uncompressed(source: BlobExtent, layer: DockerLayer, size: int = PIECE) -> Pieces:
    """Yield the uncompressed tar of a layer in blocks of `size` bytes (the last may be shorter).

    Raises DigestMismatch at its end if the DiffID does not match, and the errors of the decompressor.
    """
    hasher = layer.diff_id.hasher()
    for block in _blocks(_decompressed(source, layer.compression), size):
        hasher.update(block.data)
        yield block
    _check_digest(hasher.hexdigest(), layer.diff_id, source.what)


def _decompressed(source: BlobExtent, compression: Compression) -> Iterator[Chunk]:
    if compression is Compression.NONE:
        yield from source.pieces()
        return
    decoder = decompressor(compression)
    try:
        for piece in source.pieces():
            for data in decoder.feed(piece.data):
                yield Chunk(data, piece.position)
        decoder.finish()
    except ArchiveError as error:
        raise type(error)(f"{source.what}: {error}") from None


def _blocks(pieces: Iterator[Chunk], size: int) -> Iterator[Chunk]:
    pending, position = bytearray(), 0
    for piece in pieces:
        position = piece.position
        if not pending and len(piece.data) == size:
            yield piece  # the common case, without a copy
            continue
        pending += piece.data
        while len(pending) >= size:
            yield Chunk(bytes(pending[:size]), position)
            del pending[:size]
    if pending:
        yield Chunk(bytes(pending), position)


def read_compressed(source: BlobExtent, layer: DockerLayer, compression: Compression) -> Pieces:
    """Yield a layer, compressed, in chunks of about PIECE bytes. Raises DigestMismatch before the last one."""
    pending: list[bytes] = []
    count = position = reported = 0
    blocks = ((block.data, block.position) for block in read_uncompressed(source, layer, block_size(compression)))
    with closing(encode(blocks, compression)) as parts:
        for data, position in parts:
            pending.append(data)
            count += len(data)
            if count >= PIECE or position - reported >= MAX_READ_BYTES:
                yield Chunk(b"".join(pending), position)
                pending.clear()
                count, reported = 0, position
    yield Chunk(b"".join(pending), position)
