"""All decoders of the process share one budget, and none waits for a slow client."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.archive import Compression
from app.archive.window import HEAD_BYTES
from app.jobs import Job, JobService, JobState
from app.oci import Digest
from app.push.decoder_memory import DecoderMemory
from tests.archive.test_window import zstd_of
from tests.jobs.bench import REQUEST, Bench, ended
from tests.support.archives import docker_save, image, tagged

MIB = 1 << 20


class Reader:
    """A decoder that reads a file until it is let go."""

    def __init__(self, memory: DecoderMemory, share: str, size: int) -> None:
        self.holds, self._end = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._run(memory, share, size))

    async def _run(self, memory: DecoderMemory, share: str, size: int) -> None:
        async with memory.turn(share, size):
            self.holds.set()
            await self._end.wait()

    async def let_go(self) -> None:
        self._end.set()
        await self.task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def memory() -> AsyncIterator[DecoderMemory]:
    made = DecoderMemory(64 * MIB)
    yield made
    assert made.used == 0


async def test_what_waits_for_clients_holds_at_most_the_budget_and_a_token_half_of_it(memory: DecoderMemory) -> None:
    with ExitStack() as lent:
        for share in ("anna", "bert"):
            while memory.is_free(share, 8 * MIB):
                lent.enter_context(memory.lent(share, 8 * MIB))
            assert memory.used == (32 if share == "anna" else 64) * MIB
        assert not memory.is_free("carl", 1)
        assert memory.is_free("carl", 0)


async def test_without_tokens_all_of_it_is_for_everybody(memory: DecoderMemory) -> None:
    assert memory.is_free("", 64 * MIB)
    assert not memory.is_free("", 64 * MIB + 1)


async def test_a_reader_never_waits_for_slow_clients(memory: DecoderMemory) -> None:
    with memory.lent("", 64 * MIB):
        first, second = Reader(memory, "anna", 65 * MIB), Reader(memory, "bert", 8 * MIB)
        await settle()
        assert first.holds.is_set()
        assert not second.holds.is_set()
        await first.let_go()
        await settle()
        assert second.holds.is_set()
        await second.let_go()


async def test_the_share_with_the_fewest_goes_first_and_a_large_one_is_not_overtaken(memory: DecoderMemory) -> None:
    greedy = [Reader(memory, "greedy", 32 * MIB) for _ in range(4)]
    await settle()
    assert [reader.holds.is_set() for reader in greedy] == [True, True, False, False]
    large, small = Reader(memory, "large", 64 * MIB), Reader(memory, "small", 8 * MIB)
    await greedy[0].let_go()
    await settle()
    assert not any(reader.holds.is_set() for reader in (large, small, greedy[2]))
    rest = [greedy[2], greedy[3], large, small]
    for number, before in enumerate((greedy[1], greedy[2], greedy[3], large)):  # of shares with none, in order
        await before.let_go()
        await settle()
        assert [reader.holds.is_set() for reader in rest] == [place <= number for place in range(4)]
    await small.let_go()


async def test_one_that_is_cancelled_while_it_waits_lets_others_in(memory: DecoderMemory) -> None:
    first = Reader(memory, "a", 40 * MIB)
    await settle()
    large, small = Reader(memory, "b", 40 * MIB), Reader(memory, "c", 8 * MIB)
    await settle()
    large.task.cancel()
    await settle()
    assert small.holds.is_set()
    await small.let_go()
    await first.let_go()


class Trickle:
    """A client that sends the start of an archive and then waits."""

    def __init__(self, content: bytes) -> None:
        self.has_begun, self._end, self._content = asyncio.Event(), asyncio.Event(), content

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._content[: HEAD_BYTES + 100]
        self.has_begun.set()
        await self._end.wait()
        yield self._content[HEAD_BYTES + 100 :]

    def go_on(self) -> None:
        self._end.set()


async def received(service: JobService, chunks: AsyncIterator[bytes]) -> Job:
    async with await service.begin() as upload:
        await upload.receive("x.tar", chunks)
        return await upload.submit(REQUEST)


async def test_many_slow_uploads_with_large_windows_hold_the_budget_and_stop_nobody(bench: Bench) -> None:
    noise = random.Random(1).randbytes(40_000)
    large = zstd_of(26, docker_save([tagged(image({"noise": noise}), "team/app:1")]))
    async with bench.service() as service:
        slow = [Trickle(large) for _ in range(12)]
        uploads = [asyncio.create_task(received(service, client.chunks())) for client in slow]
        for client in slow:
            await client.has_begun.wait()
        await settle()
        decoders = service._runtime.decoders
        assert decoders.used <= 64 * MIB
        honest = Trickle(large)
        honest.go_on()
        assert (await ended(service, await received(service, honest.chunks()))).state is JobState.SUCCEEDED
        for client in slow:
            client.go_on()
        jobs = [await ended(service, await upload) for upload in uploads]
        assert {job.state for job in jobs} == {JobState.SUCCEEDED}
        assert {job.archives[0].compression for job in jobs} == {Compression.ZSTD}
        assert {job.archives[0].digest for job in jobs} == {Digest.of(large)}
        assert decoders.used == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 70), st.booleans()), max_size=20))
def test_everybody_has_a_turn_and_nothing_is_left(asked: list[tuple[str, int, bool]]) -> None:
    async def run() -> None:
        memory = DecoderMemory(64)

        async def one(share: str, size: int, is_cancelled: bool) -> None:
            task = asyncio.current_task()
            async with memory.turn(share, size):
                assert memory.used <= 64 or memory.used == size
                await asyncio.sleep(0)
                if is_cancelled and task is not None:
                    task.cancel()
                await asyncio.sleep(0)

        await asyncio.gather(*(one(*item) for item in asked), return_exceptions=True)
        assert memory.used == 0

    asyncio.run(run())
