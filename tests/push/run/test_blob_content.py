"""A blob's bytes: verified, compressed, read in threads."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import random
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest

from app.archive import Compression, DockerLayer, Extent
from app.archive.compression import decompressor
from app.errors import DigestMismatch, LimitExceeded, MalformedArchive, TruncatedArchive
from app.oci import Digest
from app.push.run.blob_content import (
    SMALL,
    ArchivedBlob,
    BlobUpload,
    CompressedLayer,
    MemoryBlob,
    iterate_in_threads,
    open_layer,
)
from app.push.run.chunks import PIECE, BlobExtent, Chunk, InlineBytes, Pieces, read_compressed, read_verified
from app.push.run.compress import BLOCK, encode
from app.push.run.slots import SendConditions, SlotLease
from tests.push.given import Memory
from tests.support.archives import Compress, wrap

NOISE = random.Random(7).randbytes(BLOCK + 70_001)
LAYERS = {
    "empty": b"",
    "small": b"layer " * 1000,
    "one block": bytes(BLOCK),
    "blocks and a rest": NOISE + bytes(3 * BLOCK),
}


def source(data: bytes, what: str = "layer 1 of app:1") -> BlobExtent:
    return BlobExtent(Memory(b"before" + data + b"after"), Extent(6, len(data)), what)


def layer(data: bytes, plain: bytes, compression: Compression = Compression.NONE) -> DockerLayer:
    return DockerLayer(Digest.of(plain), Extent(6, len(data)), compression)


def nothing(position: int, sent: int) -> None:
    """A report that nobody reads."""


async def sent(content: BlobUpload) -> bytes:
    """As a registry takes it."""
    data = b""
    async for chunk in content.chunks():
        data += chunk
        content.count_sent(len(chunk))
    await content.release()
    return data


@pytest.mark.parametrize("data", LAYERS.values(), ids=LAYERS)
def test_a_blob_is_given_as_it_stands_in_pieces(data: bytes) -> None:
    pieces = list(read_verified(source(data), Digest.of(data)))
    assert b"".join(piece.data for piece in pieces) == data
    assert all(len(piece.data) <= PIECE for piece in pieces)
    assert [piece.position for piece in pieces[-1:]] == [len(data)][: len(pieces)]


@pytest.mark.parametrize("data", LAYERS.values(), ids=LAYERS)
def test_a_blob_of_another_digest_never_gives_its_last_piece(data: bytes) -> None:
    given: list[Chunk] = []
    with pytest.raises(DigestMismatch, match=r"layer 1 of app:1 does not match its digest"):
        given.extend(read_verified(source(data), Digest.of(b"other")))
    assert sum(len(piece.data) for piece in given) < max(1, len(data))


def test_a_blob_is_verified_by_the_algorithm_of_its_digest() -> None:
    digest = Digest("sha512", hashlib.sha512(b"x").hexdigest())
    assert [piece.data for piece in read_verified(source(b"x"), digest)] == [b"x"]


@pytest.mark.parametrize("plain", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("wanted", [Compression.GZIP, Compression.ZSTD])
def test_a_plain_layer_is_compressed_and_the_same_each_time(plain: bytes, wanted: Compression) -> None:
    content = CompressedLayer(source(plain), layer(plain, plain), wanted)
    assert (content.digest, content.size) == (None, None)
    first = b"".join(piece.data for piece in content.pieces())
    unwrap = decompressor(wanted)
    assert b"".join(unwrap.feed(first)) == plain
    unwrap.finish()
    assert (content.digest, content.size) == (Digest.of(first), len(first))
    assert b"".join(piece.data for piece in content.pieces()) == first


def test_gzip_has_no_name_and_no_time() -> None:
    assert b"".join(data for data, _ in encode([(b"x", 1)], Compression.GZIP))[:8] == b"\x1f\x8b\x08" + bytes(5)


def test_blocks_of_gzip_are_one_member_that_refers_back_over_their_borders() -> None:
    noise = random.Random(8).randbytes(1 << 14)
    data = b"".join(part for part, _ in encode([(noise, 1), (noise, 2), (noise, 3)], Compression.GZIP))
    unwrap = zlib.decompressobj(31)
    assert unwrap.decompress(data) + unwrap.flush() == 3 * noise
    assert unwrap.eof
    assert unwrap.unused_data == b""
    assert len(data) < 1.1 * len(noise)


def test_blocks_that_break_off_leave_nothing_to_be_encoded() -> None:
    def blocks() -> Iterator[tuple[bytes, int]]:
        yield NOISE[:BLOCK], BLOCK
        raise DigestMismatch("broken off")

    given: list[bytes] = []
    with pytest.raises(DigestMismatch, match="broken off"):
        given.extend(data for data, _ in encode(blocks(), Compression.ZSTD))
    assert given == [b""]


def test_a_layer_compressed_to_something_else_the_second_time_is_refused() -> None:
    content = CompressedLayer(source(NOISE), layer(NOISE, NOISE), Compression.GZIP, Digest.of(b"earlier"))
    given: list[bytes] = []
    with pytest.raises(DigestMismatch, match="before and to"):
        given.extend(piece.data for piece in content.pieces())
    assert sum(map(len, given)) < len(NOISE)


@pytest.mark.parametrize("wrapping", ["none", "xz", "bzip2"])
def test_a_layer_that_does_not_match_its_diff_id_is_refused_before_its_last_piece(wrapping: Compress) -> None:
    data = wrap(NOISE, wrapping)
    wrong = DockerLayer(Digest.of(b"other"), Extent(6, len(data)), Compression(wrapping))
    given: list[Chunk] = []
    with pytest.raises(DigestMismatch, match="layer 1 of app:1"):
        given.extend(read_compressed(source(data), wrong, Compression.GZIP))
    assert sum(len(piece.data) for piece in given) < len(NOISE)


@pytest.mark.parametrize("wrapping", ["xz", "bzip2"])
@pytest.mark.parametrize("plain", LAYERS.values(), ids=LAYERS)
async def test_a_layer_wrapped_as_no_registry_knows_becomes_what_is_wanted(wrapping: Compress, plain: bytes) -> None:
    data = wrap(plain, wrapping)
    content = await open_layer(source(data), layer(data, plain, Compression(wrapping)), Compression.GZIP)
    assert content.digest is None
    whole = await sent(BlobUpload(content, nothing))
    assert gzip.decompress(whole) == plain
    assert Compression(wrapping) is Compression.XZ or whole == await sent(
        BlobUpload(CompressedLayer(source(plain), layer(plain, plain), Compression.GZIP), nothing)
    )


@pytest.mark.parametrize("wrapping", ["gzip", "zstd"])
async def test_a_layer_that_is_compressed_stays_as_it_is(wrapping: Compress) -> None:
    data = wrap(NOISE, wrapping)
    content = await open_layer(source(data), layer(data, NOISE, Compression(wrapping)), Compression.NONE)
    assert (content.digest, content.size) == (Digest.of(data), len(data))
    assert await sent(BlobUpload(content, nothing)) == data


@pytest.mark.parametrize("wrapping", ["gzip", "zstd"])
async def test_a_compressed_layer_is_held_against_its_diff_id(wrapping: Compress) -> None:
    data = wrap(NOISE, wrapping)
    with pytest.raises(DigestMismatch, match="layer 1 of app:1"):
        await open_layer(source(data), layer(data, b"other", Compression(wrapping)), Compression.GZIP)


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: wrap(NOISE, "gzip")[:-20], TruncatedArchive),
        (lambda: wrap(b"layer" * 9000, "gzip")[:12] + b"\xff" * 1000, MalformedArchive),
        (lambda: gzip.compress(bytes(200 << 20)), LimitExceeded),
    ],
    ids=["truncated", "corrupt", "bomb"],
)
async def test_damaged_layers_are_told_by_their_image(build: Callable[[], bytes], error: type[Exception]) -> None:
    data = build()
    with pytest.raises(error, match="layer 1 of app:1: "):
        await open_layer(source(data), layer(data, NOISE, Compression.GZIP), Compression.GZIP)


async def test_a_small_layer_is_compressed_first_and_a_large_one_while_it_is_sent() -> None:
    small, large = NOISE, bytes(SMALL + 1)
    first = await open_layer(source(small), layer(small, small), Compression.GZIP)
    assert isinstance(first, MemoryBlob)
    assert first.digest == Digest.of(first.data)
    positions: list[tuple[int, int]] = []
    assert await sent(BlobUpload(first, lambda position, count: positions.append((position, count)))) == first.data
    assert positions[-1][0] == len(small)
    assert sum(count for _, count in positions) == first.size
    assert isinstance(await open_layer(source(large), layer(large, large), Compression.GZIP), CompressedLayer)


async def test_a_plain_layer_stays_plain_where_that_is_wanted() -> None:
    content = await open_layer(source(NOISE), layer(NOISE, NOISE), Compression.NONE)
    assert isinstance(content, ArchivedBlob)
    assert content.digest == Digest.of(NOISE)


async def test_a_layer_in_xz_is_unwrapped_where_plain_is_wanted() -> None:
    data = wrap(NOISE, "xz")
    content = await open_layer(source(data), layer(data, NOISE, Compression.XZ), Compression.NONE)
    assert await sent(BlobUpload(content, nothing)) == NOISE
    assert content.digest == Digest.of(NOISE)


async def test_compressing_a_large_layer_keeps_little_in_memory() -> None:
    size = 64 << 20

    class Zeros:
        def read_at(self, offset: int, count: int) -> bytes:
            return bytes(count)

    digest = hashlib.sha256()
    for _ in range(size // BLOCK):
        digest.update(bytes(BLOCK))
    plain = DockerLayer(Digest("sha256", digest.hexdigest()), Extent(0, size), Compression.NONE)
    tracemalloc.start()
    content = CompressedLayer(BlobExtent(Zeros(), plain.extent, "layer"), plain, Compression.NONE)
    async for _ in BlobUpload(content, nothing).chunks():
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


async def test_every_piece_is_made_in_a_thread_and_in_order() -> None:
    threads: set[int] = set()

    def pieces() -> Pieces:
        for number in range(5):
            threads.add(threading.get_ident())
            yield Chunk(b"%d" % number, number)

    assert [piece.position async for piece in iterate_in_threads(pieces())] == [0, 1, 2, 3, 4]
    assert threading.get_ident() not in threads


async def test_releasing_waits_for_the_thread_and_closes_the_reader() -> None:
    closed: list[bool] = []

    class Content:
        digest = size = None

        def pieces(self) -> Pieces:
            try:
                for number in range(100):
                    yield Chunk(b"x", number)
            finally:
                closed.append(True)

    sending = BlobUpload(Content(), nothing)
    chunks = sending.chunks()
    assert await anext(chunks) == b"x"
    await sending.release()
    assert closed == [True]
    await BlobUpload(Content(), nothing).release()


async def test_a_further_attempt_reads_from_the_start_and_ends_the_one_before() -> None:
    sending = BlobUpload(ArchivedBlob(source(NOISE), Digest.of(NOISE)), nothing)
    assert len(await anext(sending.chunks())) == PIECE
    assert await sent(sending) == NOISE
    await sending.release()


async def test_bytes_that_were_not_read_are_made_up_for_before_more_are_reported() -> None:
    reports: list[int] = []
    sending = BlobUpload(ArchivedBlob(source(NOISE), Digest.of(NOISE)), lambda _, count: reports.append(count))
    chunks = sending.chunks()
    for size in (100, -60, 90):
        await anext(chunks, b"")
        sending.count_sent(size)
    await sending.release()
    assert reports == [100, 0, 30]
    sending.count_sent(-10)
    await sending.release()
    assert reports[-1] == -10


async def test_cancelling_waits_until_the_thread_has_left_the_source() -> None:
    begun, go_on, left = threading.Event(), threading.Event(), threading.Event()

    def pieces() -> Pieces:
        begun.set()
        go_on.wait(10)
        left.set()
        yield Chunk(b"x", 1)

    async def read() -> None:
        async for _ in iterate_in_threads(pieces()):
            pass

    reading = asyncio.create_task(read())
    await asyncio.to_thread(begun.wait, 10)
    reading.cancel()
    await asyncio.wait((reading,), timeout=0.001)
    assert not reading.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert left.is_set()


async def test_an_error_that_nobody_waits_for_is_no_warning() -> None:
    def pieces() -> Iterator[Chunk]:
        yield Chunk(b"x", 1)
        raise DigestMismatch("late")

    reader = iterate_in_threads(pieces())  # type: ignore[arg-type]
    assert (await anext(reader)).data == b"x"
    await reader.aclose()


def test_inline_bytes_are_read_like_a_file() -> None:
    assert InlineBytes(b"0123456789").read_at(2, 3) == b"234"


async def test_a_blob_that_waits_to_be_sent_again_holds_no_place_that_others_may_use() -> None:
    lane = asyncio.Semaphore(1)
    async with SlotLease(lane) as berth:
        sending = BlobUpload(ArchivedBlob(source(NOISE), Digest.of(NOISE)), nothing, SendConditions(berth))
        async for _ in sending.chunks():
            break
        assert lane.locked()
        await sending.rest()
        assert not lane.locked()
        assert await sent(sending) == NOISE
    assert not lane.locked()


async def test_a_blob_that_is_read_to_its_end_needs_no_place_while_the_registry_answers() -> None:
    lane = asyncio.Semaphore(1)
    async with SlotLease(lane) as berth:
        sending = BlobUpload(ArchivedBlob(source(NOISE), Digest.of(NOISE)), nothing, SendConditions(berth))
        for _ in range(2):
            chunks = sending.chunks()
            assert await anext(chunks)
            assert lane.locked(), "its bytes are in memory"
            async for _chunk in chunks:
                pass
            assert not lane.locked(), "now others may send, however silent the registry is"
        await sending.release()
