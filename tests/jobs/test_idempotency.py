"""The same request sent twice is pushed once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.errors import Conflict, InvalidRequest, MissingTag, UploadIncomplete
from app.jobs import JobRequest, JobService, JobState, service
from app.push import PushOptions
from tests.jobs.bench import APP, NAMELESS, REQUEST, TWO, Bench, chunks_of, ended, upload


async def test_fifty_equal_posts_at_once_are_one_job(bench: Bench) -> None:
    async with bench.service() as service:
        jobs = await asyncio.gather(*(upload(service, key="release-1") for _ in range(50)))
        assert len({job.id for job in jobs}) == 1
        assert len((await service.page(limit=100))[0]) == 1
        await ended(service, jobs[0])
    assert bench.registry.count("push_manifest") == len(bench.registry.tags) == 1


async def test_a_replay_is_told_as_one_and_spools_nothing(bench: Bench) -> None:
    async with bench.service() as service:
        first = await ended(service, await upload(service, key="k"))
        async with await service.begin(idempotency_key="k") as begun:
            assert begun.replay
            assert begun.job.id == first.id
            await begun.receive("y.tar", chunks_of(APP))
            assert set(bench.spooled()) <= {f"{first.id}-0.tar"}
            assert await begun.submit(REQUEST) == first


async def test_an_abandoned_replay_changes_nothing(bench: Bench) -> None:
    async with bench.service() as service:
        first = await ended(service, await upload(service, key="k"))
        async with await service.begin(idempotency_key="k") as begun:
            assert (await begun.abandon(UploadIncomplete("gone"))).id == first.id
        assert await service.get(first.id) == first


@pytest.mark.parametrize(
    ("archive", "request_"),
    [
        (TWO, REQUEST),
        (APP, JobRequest(PushOptions(prefix="mirror"))),
        (APP, replace(REQUEST, labels={"run": "2"})),
    ],
)
async def test_a_key_is_good_for_one_request(bench: Bench, archive: bytes, request_: JobRequest) -> None:
    async with bench.service() as service:
        await upload(service, key="k")
        with pytest.raises(InvalidRequest, match="another request"):
            await upload(service, archive, request_, key="k")
        assert len((await service.page())[0]) == 1


async def test_the_key_of_a_broken_upload_is_free_again(bench: Bench) -> None:
    async with bench.service() as service:
        async with await service.begin(idempotency_key="k") as begun:
            pass
        job = await upload(service, key="k")
        assert job.id != begun.job.id
        assert (await ended(service, job)).state is JobState.SUCCEEDED


async def test_a_bad_archive_keeps_its_key(bench: Bench) -> None:
    async with bench.service() as service:
        with pytest.raises(MissingTag):
            await upload(service, NAMELESS, key="k")
        again = await upload(service, NAMELESS, key="k")
    assert again.state is JobState.FAILED
    assert again.problem is not None
    assert again.problem.code == MissingTag.code


async def test_a_replay_waits_for_the_first_upload(bench: Bench) -> None:
    async with bench.service() as service, await service.begin(idempotency_key="k") as first:
        await first.receive("x.tar", chunks_of(APP))
        second = asyncio.create_task(upload(service, key="k"))
        await asyncio.sleep(0)
        assert not second.done()
        await first.submit(REQUEST)
        assert (await second).id == first.job.id


async def test_a_replay_of_an_upload_that_breaks_off_is_to_be_sent_again(bench: Bench) -> None:
    async with bench.service() as service, await service.begin(idempotency_key="k") as first:
        second = await service.begin(idempotency_key="k")
        await first.abandon(UploadIncomplete("gone"))
        with pytest.raises(UploadIncomplete, match="send this one again"):
            await second.submit(REQUEST)


async def test_a_replay_does_not_wait_for_ever(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "REPLAY_SECONDS", 0)
    async with bench.service() as jobs, await jobs.begin(idempotency_key="k"):
        second = await jobs.begin(idempotency_key="k")
        with pytest.raises(Conflict, match="still being received"):
            await second.submit(REQUEST)


@pytest.mark.parametrize("key", ["", "k" * 256, "ключ", "a\nb"])
async def test_a_key_that_is_none_is_refused(bench: Bench, key: str) -> None:
    async with bench.service() as service:
        with pytest.raises(InvalidRequest, match="Idempotency-Key"):
            await service.begin(idempotency_key=key)


async def test_equal_requests_of_paths_are_one_job(bench: Bench) -> None:
    request = replace(REQUEST, paths=(bench.put("x.tar", APP),))
    async with bench.service() as service:
        jobs = await asyncio.gather(*(service.submit_paths(request, "k") for _ in range(10)))
        assert len({job.id for job in jobs}) == 1
        with pytest.raises(InvalidRequest, match="another request"):
            await service.submit_paths(replace(request, labels={"a": "b"}), "k")


async def test_large_chunks_and_small_ones_are_one_archive(bench: Bench) -> None:
    async def send(service: JobService, size: int) -> str:
        async with await service.begin(idempotency_key="k") as begun:
            await begun.receive("x.tar", chunks_of(archive, size))
            return (await begun.submit(REQUEST)).id

    archive = APP + bytes(3 << 20)
    async with bench.service() as service:
        assert await send(service, 1 << 20) == await send(service, 4096)
