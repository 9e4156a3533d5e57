"""Indexes of archives with many members have a limit together, and no token takes it all."""

from __future__ import annotations

import pytest

from app.errors import Busy, UnknownFormat
from app.jobs import JobState
from app.jobs.uploads.index_memory import FREE_BYTES, IndexMemory
from tests.denial.attacks import tar_of
from tests.jobs.bench import APP, REQUEST, Bench, chunks_of, ended, upload

SIZE = FREE_BYTES + 1
MANY = tar_of(2_000)


def test_a_token_holds_half_of_what_the_others_leave() -> None:
    memory = IndexMemory(8 * SIZE)
    assert [memory.reserve(f"a{number}", "a", SIZE) for number in range(6)] == [True] * 4 + [False] * 2
    assert [memory.reserve(f"b{number}", "b", SIZE) for number in range(3)] == [True] * 2 + [False]
    memory.release("a0")
    assert memory.reserve("a1", "a", SIZE)
    assert not memory.reserve("a1", "a", 2 * SIZE)
    assert memory.used == 5 * SIZE
    for key in ("a1", "a2", "a3", "b0", "b1", "unknown"):
        memory.release(key)
    assert memory.used == 0


def test_small_archives_and_services_without_tokens() -> None:
    memory = IndexMemory(2 * SIZE)
    assert all(memory.reserve(str(number), "a", FREE_BYTES) for number in range(100))
    assert [memory.reserve(f"x{number}", "", SIZE) for number in range(3)] == [True, True, False]


async def test_an_upload_without_memory_for_its_index_is_told_to_come_later(bench: Bench) -> None:
    async with bench.service() as service:
        indexes = service._runtime.indexes
        indexes._most = SIZE
        begun = await service.begin()
        with pytest.raises(Busy):
            async with begun:
                await begun.receive("x.tar", chunks_of(MANY))
        assert indexes.used == 0
        failed = await service.get(begun.job.id)
        assert (failed.state, failed.problem and failed.problem.code) == (JobState.FAILED, "busy")
        assert (await ended(service, await upload(service, APP))).state is JobState.SUCCEEDED


async def test_the_memory_is_free_again_when_an_upload_is_over(bench: Bench) -> None:
    async with bench.service() as service:
        begun = await service.begin()
        async with begun:
            await begun.receive("x.tar", chunks_of(MANY))
            assert service._runtime.indexes.used > SIZE
            with pytest.raises(UnknownFormat):
                await begun.submit(REQUEST)
        assert service._runtime.indexes.used == 0
