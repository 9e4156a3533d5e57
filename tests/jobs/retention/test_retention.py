"""Archives of ended jobs are kept for a retry, and no more of them than the disk is to hold."""

from __future__ import annotations

import asyncio

import pytest

from app.auth.model import Caller, Role, Submitter
from app.errors import Unavailable
from app.jobs import run_job_service
from app.jobs.authorization import AuthorizedJobs
from app.jobs.lifecycle import delete_over_quota, fair_share
from tests.jobs.bench import APP, Bench, ended, upload


@pytest.mark.parametrize("most", [0, 1, 2, 3])
async def test_the_oldest_archives_go_first(bench: Bench, most: int) -> None:
    bench.registry.fail("push_blob", Unavailable("no"))
    async with bench.service() as service:
        failed = [await ended(service, await upload(service)) for _ in range(3)]
        assert await delete_over_quota(service, bench.runtime(), most * len(APP)) == 3 - most
        kept = failed[3 - most :]
        assert {job.id for job in (await service.page())[0]} == {job.id for job in kept}
        assert bench.spooled() == sorted(f"{job.id}-0.tar" for job in kept)


@pytest.mark.parametrize(
    ("sizes", "total", "most"),
    [([], 5, 5), ([3], 5, 5), ([9], 5, 5), ([1, 9], 8, 7), ([9, 9], 8, 4), ([1, 2, 9, 9], 13, 5), ([4, 4], 8, 8)],
)
def test_a_token_has_its_share_and_what_others_leave(sizes: list[int], total: int, most: int) -> None:
    assert fair_share(sizes, total) == most


async def test_many_failures_of_one_token_cost_no_archive_of_another(bench: Bench) -> None:
    bench.registry.fail("push_blob", Unavailable("no"))
    async with bench.service() as service:
        one, many = (
            AuthorizedJobs(service, Caller(Submitter(name), frozenset({Role.PUSH}))) for name in ("one", "many")
        )
        first = await ended(one, await upload(one))
        failed = [await ended(many, await upload(many)) for _ in range(4)]
        assert await delete_over_quota(service, bench.runtime(), 3 * len(APP)) == 2
        assert {job.id for job in (await service.page())[0]} == {first.id, *(job.id for job in failed[2:])}


async def test_what_has_no_archive_in_the_spool_stays(bench: Bench) -> None:
    async with bench.service() as service:
        job = await ended(service, await upload(service))
        assert await delete_over_quota(service, bench.runtime(), 0) == 0
        assert (await service.get(job.id)).id == job.id


async def test_a_service_at_work_keeps_to_it(bench: Bench) -> None:
    bench.registry.fail("push_blob", Unavailable("no"))
    async with bench.service() as service:
        await ended(service, await upload(service))
    async with run_job_service(bench.runtime(), keep=bench.keep, keep_bytes=0) as service:
        while bench.spooled():
            await asyncio.sleep(0)
        assert (await service.page())[0] == ()
