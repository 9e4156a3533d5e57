"""The bytes of blobs as what a registry takes (registry.BlobContent): in threads, reported, verified.

`iterate_in_threads` is the one place where blocking work leaves the event loop. It runs one piece ahead, so that
reading, hashing and compressing overlap with sending, and never more than two pieces of a blob are in memory."""

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

SMALL = 8 << 20  # plain bytes of a layer that is compressed in memory first, so that the registry can be asked for it
_SMALL_DECODERS = frozenset({Compression.NONE, Compression.GZIP})
_KEPT = frozenset({Compression.GZIP, Compression.ZSTD})  # registries and runtimes know no other wrapping of layers


class BlobReader(Protocol):
    """What can be sent: BlobContent before threads and reporting come to it."""

    @property
    def digest(self) -> Digest | None: ...
    @property
    def size(self) -> int | None: ...
    def pieces(self) -> Pieces: ...


@dataclass(frozen=True, slots=True)
class ArchivedBlob:
    """A blob that is sent as it stands in the archive."""

    source: BlobExtent
    digest: Digest

    @property
    def size(self) -> int:
        return self.source.extent.size

    def pieces(self) -> Pieces:
        return read_verified(self.source, self.digest)


@dataclass(frozen=True, slots=True)
class MemoryBlob:
    """A small layer that has been compressed already; `position` is the size of its source."""

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
    """A layer that is compressed while it is sent: digest and size are known when it has been read once."""

    source: BlobExtent
    layer: DockerLayer
    compression: Compression
    digest: Digest | None = None
    size: int | None = None

    def pieces(self) -> Pieces:
        hasher, size = hashlib.sha256(), 0
        held = Chunk(b"", 0)  # one piece behind: the last is given when all of it is known to be right
        for piece in read_compressed(self.source, self.layer, self.compression):
            if held.data:
                yield held
            hasher.update(piece.data)
            size += len(piece.data)
            held = piece
        digest = Digest("sha256", hasher.hexdigest())
        if self.digest not in {None, digest}:
            raise DigestMismatch(f"{self.source.what} was compressed to {self.digest} before and to {digest} now")
        self.digest, self.size = digest, size
        if held.data:
            yield held


@dataclass(slots=True)
class _DiffIdCheck:
    """One pass over a layer that is stored compressed: its plain bytes against the DiffID, its stored bytes hashed."""

    source: BlobExtent
    layer: DockerLayer
    hasher: Hasher = field(default_factory=hashlib.sha256)

    def pieces(self) -> Pieces:
        yield from read_uncompressed(
            replace(self.source, reader=_HashingReader(self.source.reader, self.hasher)), self.layer
        )

    @property
    def digest(self) -> Digest:
        """Of the stored bytes, when `pieces` has been read to its end."""
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
    """How the layer will lie at the registry: gzip and zstd stay as they are, all else becomes `wanted`."""
    return layer.compression if layer.compression in _KEPT else wanted


def needs_compression(layer: DockerLayer, wanted: Compression) -> bool:
    """Whether its blob comes to be by compressing: no digest is known before."""
    return layer.compression not in _KEPT and wanted is not Compression.NONE


async def memory_of(source: BlobExtent, layer: DockerLayer | None) -> int:
    """Return the bytes that decompressing a layer takes."""
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
    """A layer of a docker archive, verified against its DiffID before or while it is sent. Where it has no more than
    `small` plain bytes, it is held in memory and its digest is known at once."""
    if layer.compression in _KEPT:
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
    """Read to the end, and return the bytes if they are to be kept. `ready` as `iterate_in_threads` has it."""
    async with aclosing(iterate_in_threads(pieces, ready)) as reader:
        return [piece.data async for piece in reader if keep]


async def iterate_in_threads(pieces: Pieces, ready: Ready | None = None) -> AsyncGenerator[Chunk, None]:
    """Each step in a thread, one ahead where all of the source is there. Whatever ends it, also cancellation: by then
    the thread has left the source."""
    loop = asyncio.get_running_loop()

    def step() -> asyncio.Future[Chunk | None]:
        return loop.run_in_executor(hashing(), next, pieces, None)

    if ready is not None:
        await ready(0)
    ahead = step()
    try:
        while True:
            await asyncio.wait((ahead,))  # unlike `await ahead` this does not lose the thread when it is cancelled
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
        ahead.exception()  # an error that nobody will ask for any more counts as seen
        pieces.close()


class BlobUpload(BlobContent):
    """A blob on its way. It calls `report(position, sent)` for each piece that is read: how far the source has been
    read, and how many more bytes of the blob the registry read since. `release` when the registry is done with it,
    however that came."""

    def __init__(
        self,
        content: BlobReader,
        report: Callable[[int, int], None],
        waits: SendConditions | None = None,
        *,
        may_be_there: bool = False,
        spare: SpareSession | None = None,
    ) -> None:
        self._content = content
        self._report = report
        self._waits = waits or SendConditions()
        self._may_be_there, self._spare, self.was_there = may_be_there, spare, False
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
        return self._may_be_there

    def mark_existing(self) -> None:
        self.was_there = True

    @property
    def spare(self) -> SpareSession | None:
        return self._spare

    def count_sent(self, size: int) -> None:
        self._unreported += size

    @property
    def is_commit_allowed(self) -> bool:
        return self._waits.word is None or self._waits.word.is_set

    async def wait_commit_allowed(self) -> None:
        word = self._waits.word
        if word is not None and not word.is_set:
            self._waits.berth.release()
            await word.wait()

    async def rest(self) -> None:
        await self._close_readers()
        self._waits.berth.release()

    def chunks(self) -> AsyncIterator[bytes]:
        earlier = tuple(self._readers)
        reader = iterate_in_threads(self._content.pieces(), self._waits.ready)
        chunks = self._chunks(earlier, reader)
        self._readers += (chunks, reader)
        return chunks

    async def _chunks(
        self, earlier: tuple[AsyncGenerator[object, None], ...], reader: AsyncGenerator[Chunk, None]
    ) -> AsyncGenerator[bytes, None]:
        for item in earlier:
            await item.aclose()  # a further attempt: what the last one had in memory goes
        await self._waits.berth.acquire()
        async for piece in reader:
            yield piece.data
            self._position = piece.position
            self._tell(max(self._unreported, 0))
        self._waits.berth.release()  # to wait for the response needs no place: a silent registry holds up no other

    def _tell(self, sent: int) -> None:
        """Bytes that turned out not to be read are made up for by those that are sent in their place."""
        self._unreported -= sent
        self._report(self._position, sent)

    async def _close_readers(self) -> None:
        for reader in self._readers:
            await reader.aclose()

    async def release(self) -> None:
        """A reader that was given up half-way is closed here and not when it is collected, so no thread reads on."""
        await self._close_readers()
        if self._unreported:
            self._tell(self._unreported)
