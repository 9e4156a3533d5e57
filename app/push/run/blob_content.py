"""The bytes of blobs for a registry (registry.BlobContent): read in threads, reported, verified.

`iterate_in_threads` is the only function that moves blocking work off the event loop. It runs one chunk ahead, so that
reading, hashing and compressing overlap with sending. At most two chunks of a blob are in memory.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Protocol

from app.archive.model import Compression, DockerLayer, ReadAt
from app.archive.window import HEAD_BYTES, decoder_memory
from app.errors import DigestMismatch
from app.oci import Digest, Hasher
from app.push.decoder_memory import DecoderMemory
from app.push.run.chunks import PIECE, BlobExtent, Chunk, Pieces, read_compressed, read_uncompressed, read_verified
from app.push.run.slots import Ready, SendConditions
from app.registry import BlobContent
from app.registry.uploads.spare_session import SpareSession
from app.threads import hash_in_thread, hashing

SMALL = 8 << 20  # uncompressed bytes; such a layer is compressed in memory, so that the registry can be asked for it
_SMALL_DECODERS = frozenset({Compression.NONE, Compression.GZIP})
_STORED_UNCHANGED = frozenset({Compression.GZIP, Compression.ZSTD})  # registries and runtimes support no others


class BlobReader(Protocol):
    """The chunks of a blob, without the threads and reports of BlobContent."""

    @property
    def digest(self) -> Digest | None: ...
    @property
    def size(self) -> int | None: ...
    def pieces(self) -> Pieces: ...


@dataclass(frozen=True, slots=True)
class ArchivedBlob:
    """A blob that is sent unchanged from the archive."""

    source: BlobExtent
    digest: Digest

    @property
    def size(self) -> int:
        return self.source.extent.size

    def pieces(self) -> Pieces:
        return read_verified(self.source, self.digest)


@dataclass(frozen=True, slots=True)
class MemoryBlob:
    """A small layer that is already compressed; `position` is the size of its source."""

    data: bytes
    digest: Digest
    position: int

    @property
    def size(self) -> int:
        return len(self.data)

    def pieces(self) -> Pieces:
        for start in range(0, len(self.data), PIECE):
            data = self.data[start : start + PIECE]
            yield Chunk(data, self.position * (start + len(data)) // len(self.data))


@dataclass(slots=True)
class CompressedLayer:
    """A layer that is compressed while it is sent. Digest and size are known after it has been read once."""

    source: BlobExtent
    layer: DockerLayer
    compression: Compression
    digest: Digest | None = None
    size: int | None = None

    def pieces(self) -> Pieces:
        hasher, size = hashlib.sha256(), 0
        pending = Chunk(b"", 0)  # one chunk behind: the last is yielded after all of it was verified
        for piece in read_compressed(self.source, self.layer, self.compression):
            if pending.data:
                yield pending
            hasher.update(piece.data)
            size += len(piece.data)
            pending = piece
        digest = Digest("sha256", hasher.hexdigest())
        if self.digest not in {None, digest}:
            raise DigestMismatch(
                f"{self.source.what} was compressed to {self.digest} before and to {digest} now; retry the push"
            )
        self.digest, self.size = digest, size
        if pending.data:
            yield pending


@dataclass(slots=True)
class _DiffIdCheck:
    """Reads a layer that is stored compressed.

    Compares its uncompressed bytes with the DiffID, and hashes the stored bytes.
    """

    source: BlobExtent
    layer: DockerLayer
    hasher: Hasher = field(default_factory=hashlib.sha256)

    def pieces(self) -> Pieces:
        yield from read_uncompressed(
            replace(self.source, reader=_HashingReader(self.source.reader, self.hasher)), self.layer
        )

    @property
    def digest(self) -> Digest:
        """Return the digest of the stored bytes, after `pieces` has been read to its end."""
        return Digest("sha256", self.hasher.hexdigest())


@dataclass(frozen=True, slots=True)
class _HashingReader:
    reader: ReadAt
    hasher: Hasher

    def read_at(self, offset: int, size: int) -> bytes:
        data = self.reader.read_at(offset, size)
        self.hasher.update(data)
        return data


def stored_compression(layer: DockerLayer, wanted: Compression) -> Compression:
    """Return the compression of the layer at the registry: gzip and zstd are kept, all others become `wanted`."""
    return layer.compression if layer.compression in _STORED_UNCHANGED else wanted


def needs_compression(layer: DockerLayer, wanted: Compression) -> bool:
    """Return whether the blob of the layer is produced by compression, so that its digest is unknown before."""
    return layer.compression not in _STORED_UNCHANGED and wanted is not Compression.NONE


async def memory_of(source: BlobExtent, layer: DockerLayer | None) -> int:
    """Return the bytes of memory that decompressing a layer needs."""
    if layer is None or layer.compression in _SMALL_DECODERS:
        return 0
    head = min(HEAD_BYTES, source.extent.size)
    return decoder_memory(await hash_in_thread(source.reader.read_at, source.extent.offset, head))


async def open_layer(
    source: BlobExtent,
    layer: DockerLayer,
    wanted: Compression,
    small: int = SMALL,
    decoders: DecoderMemory | None = None,
) -> BlobReader:
    """Open a layer of a docker archive, verified against its DiffID before or while it is sent.

    A layer with at most `small` uncompressed bytes is read into memory, and its digest is known at once.
    """
    if layer.compression in _STORED_UNCHANGED:
        check = _DiffIdCheck(source, layer)
        async with (decoders or DecoderMemory()).turn("", await memory_of(source, layer)):
            await read_whole(check.pieces())
        return ArchivedBlob(source, check.digest)
    if layer.compression is wanted:
        return ArchivedBlob(source, layer.diff_id)
    content = CompressedLayer(source, layer, wanted)
    if layer.compression is not Compression.NONE or layer.extent.size > small:
        return content
    data = b"".join(await read_whole(content.pieces(), keep=True))
    return MemoryBlob(data, Digest.of(data), layer.extent.size)


async def read_whole(pieces: Pieces, *, keep: bool = False, ready: Ready | None = None) -> list[bytes]:
    """Read to the end, and return the bytes if `keep`. `ready` is as in `iterate_in_threads`."""
    async with aclosing(iterate_in_threads(pieces, ready)) as reader:
        return [piece.data async for piece in reader if keep]


async def iterate_in_threads(pieces: Pieces, ready: Ready | None = None) -> AsyncGenerator[Chunk, None]:
    """Run each step in a thread.

    Without `ready` run one step ahead; with it await it before each step, because the source is still being received.
    When the iteration ends, even by cancellation, the thread no longer uses the source.
    """
    loop = asyncio.get_running_loop()

    def step() -> asyncio.Future[Chunk | None]:
        return loop.run_in_executor(hashing(), next, pieces, None)

    if ready is not None:
        await ready(0)
    ahead = step()
    try:
        while True:
            await asyncio.wait((ahead,))  # unlike `await ahead` this does not lose the thread on cancellation
            piece = ahead.result()
            if piece is None:
                return
            if ready is None:
                ahead = step()
                yield piece
            else:
                yield piece
                await ready(piece.position)
                ahead = step()
    finally:
        if not ahead.done():
            await asyncio.wait((ahead,))
        ahead.exception()  # mark the exception as retrieved
        pieces.close()


class BlobUpload(BlobContent):
    """A blob being uploaded.

    It calls `report(position, sent)` after every chunk: the position in the source, and the number of further bytes
    that the registry read. Call `release()` when the upload has ended, successfully or not.
    """

    def __init__(
        self,
        content: BlobReader,
        report: Callable[[int, int], None],
        conditions: SendConditions | None = None,
        *,
        might_exist: bool = False,
        spare: SpareSession | None = None,
    ) -> None:
        self._content = content
        self._report = report
        self._conditions = conditions or SendConditions()
        self._might_exist, self._spare, self.existed = might_exist, spare, False
        self._position = self._unreported = 0
        self._readers: list[AsyncGenerator[object, None]] = []

    @property
    def digest(self) -> Digest | None:
        return self._content.digest

    @property
    def size(self) -> int | None:
        return self._content.size

    @property
    def might_exist(self) -> bool:
        return self._might_exist

    def mark_existing(self) -> None:
        self.existed = True

    @property
    def spare(self) -> SpareSession | None:
        return self._spare

    def count_sent(self, size: int) -> None:
        self._unreported += size

    @property
    def is_commit_allowed(self) -> bool:
        return self._conditions.commit_signal is None or self._conditions.commit_signal.is_set

    async def wait_commit_allowed(self) -> None:
        commit_signal = self._conditions.commit_signal
        if commit_signal is not None and not commit_signal.is_set:
            self._conditions.lease.release()
            await commit_signal.wait()

    async def rest(self) -> None:
        await self._close_readers()
        self._conditions.lease.release()

    def chunks(self) -> AsyncIterator[bytes]:
        earlier = tuple(self._readers)
        reader = iterate_in_threads(self._content.pieces(), self._conditions.ready)
        chunks = self._chunks(earlier, reader)
        self._readers += (chunks, reader)
        return chunks

    async def _chunks(
        self, earlier: tuple[AsyncGenerator[object, None], ...], reader: AsyncGenerator[Chunk, None]
    ) -> AsyncGenerator[bytes, None]:
        for item in earlier:
            await item.aclose()  # a further attempt: free the memory of the last one
        await self._conditions.lease.acquire()
        async for piece in reader:
            yield piece.data
            self._position = piece.position
            self._report_position(max(self._unreported, 0))
        self._conditions.lease.release()  # waiting for a response needs no slot: a silent registry blocks no others

    def _report_position(self, sent: int) -> None:
        """Report the position.

        Bytes that the registry turned out not to have read are offset by those sent in their place.
        """
        self._unreported -= sent
        self._report(self._position, sent)

    async def _close_readers(self) -> None:
        for reader in self._readers:
            await reader.aclose()

    async def release(self) -> None:
        """Close the readers, so that no thread reads on, and report the remaining bytes."""
        await self._close_readers()
        if self._unreported:
            self._report_position(self._unreported)
