"""What uploads hold in memory before it is written is bounded over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import ExitStack

import pytest

from app.jobs.resumable.append import AppendStream
from app.spool.batches import BATCHES, BATCHES_BYTES, MAX_BATCH_BYTES, MAX_CHUNKS, MIN_BATCH_BYTES, Batches
from app.spool.disk import write_in_batches
from app.spool.upload_files import AppendFile


@pytest.mark.parametrize(
    ("uploads", "size"),
    [
        (0, MAX_BATCH_BYTES),
        (1, MAX_BATCH_BYTES),
        (96, MAX_BATCH_BYTES),
        (192, 512 << 10),
        (1_500, 64 << 10),
        (9_999, 64 << 10),
    ],
)
def test_the_more_uploads_the_smaller_the_batches(uploads: int, size: int) -> None:
    batches = Batches()
    with ExitStack() as under_way:
        for _ in range(uploads):
            under_way.enter_context(batches.upload())
        assert 0 <= batches.size - size <= 4096
        assert batches.size * uploads <= BATCHES_BYTES or batches.size == MIN_BATCH_BYTES
    assert batches.size == MAX_BATCH_BYTES


def test_many_small_chunks_are_written_before_their_bytes_are_many() -> None:
    assert not Batches().is_full(MAX_CHUNKS - 1, MAX_CHUNKS)
    assert Batches().is_full(MAX_CHUNKS, MAX_CHUNKS)


class Written(AppendFile):
    """Keeps the sizes of what is written."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.size = 0

    def write(self, chunks: Sequence[bytes]) -> None:
        self.sizes.append(sum(map(len, chunks)))


Way = Callable[[AsyncIterator[bytes], Written], Coroutine[None, None, None]]


async def through_the_spool(chunks: AsyncIterator[bytes], written: Written) -> None:
    await write_in_batches(chunks, written.write)


async def through_the_arrival(chunks: AsyncIterator[bytes], written: Written) -> None:
    await AppendStream(written, None, lambda _: None, lambda _: None).write_in_batches(chunks, lambda _: None)


@pytest.mark.parametrize("way", [through_the_spool, through_the_arrival])
async def test_slow_uploads_hold_little_each(way: Way) -> None:
    written, go_on = Written(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        for _ in range(3 * MIN_BATCH_BYTES // 1024):
            yield bytes(1024)
        await go_on.wait()
        yield b"end"

    with ExitStack() as under_way:
        for _ in range(2_000):
            under_way.enter_context(BATCHES.upload())
        upload = asyncio.create_task(way(slow(), written))
        while sum(written.sizes) < 3 * MIN_BATCH_BYTES:
            await asyncio.sleep(0)
        assert max(written.sizes) == MIN_BATCH_BYTES
        go_on.set()
        await upload
    assert sum(written.sizes) == 3 * MIN_BATCH_BYTES + 3
