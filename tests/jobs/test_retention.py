"""Archives of ended jobs are kept for a retry, and no more of them than the disk is to hold."""

from __future__ import annotations

import asyncio

import pytest

from app.errors import Unavailable
from app.jobs import at_work
from app.jobs.lifetime import delete_beyond
from tests.jobs.bench import APP, Bench, ended, upload


@pytest.mark.parametrize("most", [0, 1, 2, 3])
async def test_the_oldest_archives_go_first(bench: Bench, most: int) -> None:
    bench.registry.fail("push_blob", Unavailable("no"))
    async with bench.service() as service:
        failed = [await ended(service, await upload(service)) for _ in range(3)]
        assert await delete_beyond(service, bench.workshop(), most * len(APP)) == 3 - most
        kept = failed[3 - most :]
        assert {job.id for job in (await service.page())[0]} == {job.id for job in kept}
        assert bench.spooled() == sorted(f"{job.id}-0.tar" for job in kept)


async def test_what_has_no_archive_in_the_spool_stays(bench: Bench) -> None:
    async with bench.service() as service:
        job = await ended(service, await upload(service))
        assert await delete_beyond(service, bench.workshop(), 0) == 0
        assert (await service.get(job.id)).id == job.id


async def test_a_service_at_work_keeps_to_it(bench: Bench) -> None:
    bench.registry.fail("push_blob", Unavailable("no"))
    async with bench.service() as service:
        await ended(service, await upload(service))
    async with at_work(bench.workshop(), keep=bench.keep, keep_bytes=0) as service:
        while bench.spooled():
            await asyncio.sleep(0)
        assert (await service.page())[0] == ()
