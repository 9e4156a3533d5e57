"""The user's verbs, over both stores, a real spool and a registry in memory."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app.archive import Compression
from app.errors import (
    ArchiveError,
    ChecksumMismatch,
    Conflict,
    InvalidRequest,
    MissingTag,
    NotFound,
    RegistryDenied,
    RegistryUnreachable,
    RequestError,
    TooLarge,
    UnknownFormat,
    UnknownRegistry,
    UploadIncomplete,
)
from app.jobs import Job, JobRequest, JobState
from app.jobs.deliveries.model import DECISIONS
from app.jobs.listing import JobFilters
from app.push import ImageState, PushOptions
from tests.jobs.bench import APP, NAMELESS, REQUEST, TWO, Bench, broken_after, chunks_of, ended, until, upload
from tests.support.archives import docker_save, image, sha256, tagged, wrap

BAD_NAME = docker_save([tagged(image({"a": b"1"}), "example.com/UPPER:1")])
CLASH = docker_save([tagged(image({"a": b"%d" % n}), f"{host}/a:1") for n, host in enumerate(("quay.io", "ghcr.io"))])


async def test_an_upload_becomes_an_image_at_the_registry(bench: Bench) -> None:
    async with bench.service() as service:
        job = await upload(service)
        assert job.state is JobState.QUEUED
        assert [image.destinations for image in job.images] == [("registry.test/team/app:1",)]
        done = await ended(service, job)
    assert done.state is JobState.SUCCEEDED, done.problem
    assert [image.state for image in done.images] == [ImageState.PUSHED]
    assert done.progress.percent == 100.0
    assert done.progress.bytes_received == done.progress.bytes_expected == len(APP)
    assert bench.registry.manifest("team/app", "1")
    archive = done.archives[0]
    assert (archive.name, archive.size, str(archive.digest)) == ("x.tar", len(APP), sha256(APP))
    assert (archive.format, archive.compression) == ("docker-archive", Compression.NONE)
    assert bench.spooled() == []


async def test_one_file_appears_while_an_archive_waits(bench: Bench) -> None:
    bench.registry.gate = asyncio.Event()
    async with bench.service() as service:
        job = await upload(service, wrap(APP, "gzip"))
        await bench.registry.waiting.wait()
        assert bench.spooled() == [f"{job.id}-0.tar"]
        assert (bench.root / "spool" / f"{job.id}-0.tar").stat().st_size == len(APP)
        bench.registry.gate.set()
        assert (await ended(service, job)).archives[0].compression is Compression.GZIP


async def test_the_job_can_be_watched_from_the_first_byte(bench: Bench) -> None:
    async with bench.service() as service, await service.begin() as begun:
        seen: list[Job] = []

        async def watched() -> AsyncIterator[bytes]:
            yield APP[:1000]
            seen.append(await service.get(begun.job.id))
            yield APP[1000:]

        await begun.receive("x.tar", watched(), len(APP))
        assert seen[0].state is JobState.RECEIVING
        assert (seen[0].progress.bytes_received, seen[0].progress.bytes_expected) == (1000, len(APP))
        await begun.submit(REQUEST)


async def test_several_archives_are_one_job(bench: Bench) -> None:
    async with bench.service() as service:
        done = await ended(service, await upload(service, [APP, TWO]))
    assert done.state is JobState.SUCCEEDED
    assert [archive.name for archive in done.archives] == ["x.tar", "x.tar (2)"]
    assert [image.archive for image in done.images] == ["x.tar", "x.tar (2)", "x.tar (2)"]
    assert done.progress.bytes_received == len(APP) + len(TWO)


@pytest.mark.parametrize(
    ("archive", "request_", "error"),
    [
        (b"no archive at all" * 100, REQUEST, UnknownFormat),
        (NAMELESS, REQUEST, MissingTag),
        (APP, JobRequest(PushOptions(), registry="other"), UnknownRegistry),
        (APP, JobRequest(PushOptions(), checksum="sha256:" + "0" * 64), ChecksumMismatch),
        (bytes(11 << 20), REQUEST, TooLarge),
    ],
)
async def test_what_is_wrong_with_an_upload_is_known_at_once(
    bench: Bench, archive: bytes, request_: JobRequest, error: type[Exception]
) -> None:
    async with bench.service() as service:
        with pytest.raises(error) as raised:
            await upload(service, archive, request_)
        (job,), _ = await service.page()
    assert job.state is JobState.FAILED
    assert job.problem is not None
    assert job.problem.detail == str(raised.value)
    assert job.finished_at is not None
    assert bool(bench.spooled()) is (job.problem.code in DECISIONS)
    assert bench.registry.calls == []


@pytest.mark.parametrize(
    ("archive", "options"),
    [
        (NAMELESS, PushOptions()),
        (CLASH, PushOptions()),
        (BAD_NAME, PushOptions()),
        (TWO, PushOptions(tag="a:1")),
        (APP, PushOptions(format="oci-archive")),
    ],
)
async def test_a_job_that_fails_for_a_name_still_tells_what_its_archive_is(
    bench: Bench, archive: bytes, options: PushOptions
) -> None:
    async with bench.service() as service:
        with pytest.raises(RequestError):
            await upload(service, archive, JobRequest(options))
        (job,), _ = await service.page()
    assert job.state is JobState.FAILED
    assert [item.format for item in job.archives] == ["docker-archive"]
    assert bench.registry.calls == []


async def test_the_right_checksum_is_taken(bench: Bench) -> None:
    async with bench.service() as service:
        request = replace(REQUEST, checksum=sha256(APP).upper().replace("SHA", "sha"))
        assert (await ended(service, await upload(service, APP, request))).state is JobState.SUCCEEDED


async def test_one_checksum_cannot_be_of_two_archives(bench: Bench) -> None:
    async with bench.service() as service:
        with pytest.raises(InvalidRequest, match="`checksum`"):
            await upload(service, [APP, TWO], replace(REQUEST, checksum=sha256(APP)))
    assert bench.spooled() == []


async def test_a_request_without_an_archive_is_refused(bench: Bench) -> None:
    async with bench.service() as service:
        with pytest.raises(InvalidRequest, match="no archive"):
            await upload(service, [])


async def test_an_upload_that_breaks_off_leaves_nothing_in_the_spool(bench: Bench) -> None:
    async with bench.service() as service:
        with pytest.raises(ConnectionResetError):
            async with await service.begin() as begun:
                await begun.receive("x.tar", broken_after(APP[:2000], ConnectionResetError()))
        job = await service.get(begun.job.id)
    assert job.state is JobState.FAILED
    assert job.problem is not None
    assert job.problem.code == UploadIncomplete.code
    assert bench.spooled() == []


async def test_a_time_out_of_the_body_is_no_cancel(bench: Bench) -> None:
    async with bench.service() as service:
        with pytest.raises(TimeoutError):
            async with await service.begin() as begun:
                await begun.receive("x.tar", broken_after(APP[:2000], TimeoutError()))
        assert (await service.get(begun.job.id)).state is JobState.FAILED


async def test_an_abandoned_upload_says_why(bench: Bench) -> None:
    async with bench.service() as service, await service.begin() as begun:
        await begun.receive("x.tar", chunks_of(APP))
        job = await begun.abandon(UploadIncomplete("the form ended too early"))
    assert job.problem is not None
    assert job.problem.detail == "the form ended too early"
    assert bench.spooled() == []


async def test_an_archive_that_does_not_fit_is_refused_before_its_first_byte(bench: Bench) -> None:
    async with bench.service() as service, await service.begin() as begun:
        with pytest.raises(Exception, match="bytes in the spool"):
            await begun.receive("x.tar", broken_after(b"", AssertionError("a byte was asked for")), 1 << 60)


async def test_one_failed_image_leaves_the_others(bench: Bench) -> None:
    bench.registry.fail("push_blob", RegistryDenied("team/b is read-only"), repository="team/b")
    async with bench.service() as service:
        done = await ended(service, await upload(service, TWO))
    assert done.state is JobState.FAILED
    assert [image.state for image in done.images] == [ImageState.PUSHED, ImageState.FAILED]
    assert done.problem is not None
    assert done.problem.code == "registry_denied"
    assert done.problem.detail == "1 of 2 images failed; the first: team/b is read-only"
    assert bench.spooled() == [f"{done.id}-0.tar"], "kept, so that it can be tried again"


async def test_a_retry_pushes_what_is_missing(bench: Bench) -> None:
    bench.registry.fail("push_blob", RegistryUnreachable("no route"), repository="team/b")
    async with bench.service() as service:
        failed = await ended(service, await upload(service, TWO))
        assert failed.problem is not None
        assert failed.problem.retryable
        bench.registry._failures.clear()
        bench.registry.calls.clear()
        again = await service.retry(failed.id)
        assert (again.state, again.attempt, again.problem) == (JobState.QUEUED, 2, None)
        assert [(item.state, item.problem) for item in again.images] == [
            (ImageState.PUSHED, None),
            (ImageState.PENDING, None),
        ]
        done = await ended(service, again)
    assert done.state is JobState.SUCCEEDED, done.problem
    assert [image.state for image in done.images] == [ImageState.ALREADY_PRESENT, ImageState.PUSHED]
    assert {call.repository for call in bench.registry.calls if call.verb == "push_blob"} == {"team/b"}
    assert bench.spooled() == []


async def test_what_succeeded_is_not_tried_again(bench: Bench) -> None:
    async with bench.service() as service:
        done = await ended(service, await upload(service))
        with pytest.raises(Conflict, match="has succeeded"):
            await service.retry(done.id)
        with pytest.raises(Conflict):
            await service.cancel(done.id)


async def test_an_upload_that_broke_off_cannot_be_tried_again(bench: Bench) -> None:
    async with bench.service() as service:
        async with await service.begin() as begun:
            pass
        with pytest.raises(Conflict, match="send them again"):
            await service.retry(begun.job.id)


async def test_a_dry_run_pushes_nothing(bench: Bench) -> None:
    async with bench.service() as service:
        done = await ended(service, await upload(service, APP, JobRequest(PushOptions(dry_run=True))))
    assert done.state is JobState.SUCCEEDED
    assert [image.state for image in done.images] == [ImageState.PLANNED]
    assert done.notices
    assert bench.registry.count("push_blob", "push_manifest") == 0


async def test_a_bug_ends_its_job_and_nothing_else(bench: Bench) -> None:
    class Broken(Exception):
        pass

    def broken(verb: str, repository: str, what: str) -> None:
        raise Broken("secret of the inside")

    bench.registry._enter, enter = broken, bench.registry._enter  # type: ignore[method-assign]
    async with bench.service() as service:
        done = await ended(service, await upload(service))
        assert done.problem is not None
        assert done.problem.code == "internal"
        assert "secret" not in done.problem.detail
        assert {image.state for image in done.images} == {ImageState.FAILED}
        bench.registry._enter = enter  # type: ignore[method-assign]
        assert (await ended(service, await service.retry(done.id))).state is JobState.SUCCEEDED


# --- cancel ----------------------------------------------------------------------------------------------------------


async def test_a_job_is_cancelled_while_its_archive_is_received(bench: Bench) -> None:
    stalled = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield APP[:2000]
        stalled.set()
        await asyncio.Event().wait()

    async def send(begun_id: asyncio.Future[str]) -> None:
        async with await service.begin(idempotency_key="k") as begun:
            begun_id.set_result(begun.job.id)
            await begun.receive("x.tar", stalling())

    async with bench.service() as service:
        begun_id: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        sending = asyncio.create_task(send(begun_id))
        await stalled.wait()
        assert (await service.cancel(await begun_id)).state is JobState.CANCELLED
        with pytest.raises(Conflict, match="cancelled"):
            await sending
        assert (await service.get(await begun_id)).state is JobState.CANCELLED
        assert bench.spooled() == []
        assert (await upload(service, key="k")).id != await begun_id, "the key is free again"


async def test_a_job_is_cancelled_between_two_archives(bench: Bench) -> None:
    async with bench.service() as service, await service.begin() as begun:
        await begun.receive("x.tar", chunks_of(APP))
        await service.cancel(begun.job.id)
        with pytest.raises(Conflict):
            await begun.receive("y.tar", chunks_of(APP))
        with pytest.raises(Conflict):
            await begun.submit(REQUEST)
        assert (await service.get(begun.job.id)).state is JobState.CANCELLED
        assert bench.spooled() == []


async def test_a_job_is_cancelled_while_it_runs_and_no_tag_appears(bench: Bench) -> None:
    bench.registry.gate = asyncio.Event()
    async with bench.service() as service:
        job = await upload(service)
        await bench.registry.waiting.wait()
        cancelled = await service.cancel(job.id)
        assert cancelled.state is JobState.CANCELLED
        assert {image.state for image in cancelled.images} == {ImageState.CANCELLED}
        bench.registry.gate.set()
        assert bench.registry.tags == {}
        with pytest.raises(Conflict, match="cancelled"):
            await service.cancel(job.id)
        done = await ended(service, await service.retry(job.id))
        assert done.state is JobState.SUCCEEDED, done.problem


async def test_a_job_is_cancelled_while_it_waits_its_turn(bench: Bench) -> None:
    bench.max_running = 1
    bench.registry.gate = asyncio.Event()
    async with bench.service() as service:
        first = await upload(service)
        await bench.registry.waiting.wait()
        second = await upload(service)
        assert (await service.cancel(second.id)).state is JobState.CANCELLED
        bench.registry.gate.set()
        assert (await ended(service, first)).state is JobState.SUCCEEDED
        assert (await service.get(second.id)).state is JobState.CANCELLED


async def test_cancel_and_end_at_once_give_one_final_state(bench: Bench) -> None:
    async with bench.service() as service:
        for _ in range(20):
            job = await upload(service)

            async def cancel(job_id: str = job.id) -> JobState | None:
                try:
                    return (await service.cancel(job_id)).state
                except Conflict:
                    return None

            answer, final = await asyncio.gather(cancel(), ended(service, job))
            assert final.state is (answer or JobState.SUCCEEDED)
            assert (await service.get(job.id)).state is final.state


# --- list, wait, watch, delete ---------------------------------------------------------------------------------------


async def test_jobs_are_listed_newest_first_and_by_page(bench: Bench) -> None:
    async with bench.service() as service:
        jobs = [await ended(service, await upload(service)) for _ in range(5)]
        first, cursor = await service.page(limit=2)
        assert cursor is not None
        second, cursor = await service.page(limit=2, cursor=cursor)
        assert cursor is not None
        third, cursor = await service.page(limit=2, cursor=cursor)
        assert cursor is None
    assert [job.id for job in (*first, *second, *third)] == [job.id for job in reversed(jobs)]


async def test_jobs_are_listed_by_state_and_label(bench: Bench) -> None:
    async with bench.service() as service:
        night = await ended(service, await upload(service, APP, replace(REQUEST, labels={"run": "night"})))
        await ended(service, await upload(service, APP, replace(REQUEST, labels={"run": "day"})))
        with pytest.raises(MissingTag):
            await upload(service, NAMELESS)
        assert [job.id for job in (await service.page(JobFilters(label="run=night")))[0]] == [night.id]
        assert len((await service.page(JobFilters(states=frozenset({JobState.FAILED}))))[0]) == 1
        assert (await service.page(JobFilters(label="run=dawn")))[0] == ()


@pytest.mark.parametrize(
    "arguments",
    [
        {"limit": 0},
        {"limit": 501},
        {"filters": JobFilters(label="x")},
        {"filters": JobFilters(label='"=1')},
        {"cursor": "%"},
    ],
)
async def test_a_page_that_cannot_be_is_refused(bench: Bench, arguments: dict[str, object]) -> None:
    async with bench.service() as service:
        with pytest.raises(InvalidRequest):
            await service.page(**arguments)  # type: ignore[arg-type]


async def test_waiting_ends_when_the_time_is_up(bench: Bench) -> None:
    async with bench.service() as service, await service.begin() as begun:
        assert (await service.wait(begun.job.id, 0)).state is JobState.RECEIVING


async def test_a_watcher_sees_growing_revisions_and_percents_and_the_end(bench: Bench) -> None:
    async with bench.service() as service, await service.begin() as begun:

        async def watch() -> list[Job]:
            return [job async for job in service.subscribe(begun.job.id)]

        watching = asyncio.create_task(watch())
        await begun.receive("x.tar", chunks_of(TWO))
        await begun.submit(REQUEST)
        seen = await watching
    revisions, percents = [job.revision for job in seen], [job.progress.percent for job in seen]
    assert revisions == sorted(set(revisions))
    assert percents == sorted(percents)
    assert seen[-1].state is JobState.SUCCEEDED
    assert not any(job.ended for job in seen[:-1])


async def test_an_ended_job_is_deleted_with_its_archive(bench: Bench) -> None:
    bench.registry.fail("push_blob", RegistryDenied("no"))
    async with bench.service() as service:
        job = await ended(service, await upload(service))
        assert bench.spooled()
        await service.delete(job.id)
        assert bench.spooled() == []
        with pytest.raises(NotFound):
            await service.get(job.id)
        with pytest.raises(NotFound):
            await service.delete(job.id)


async def test_a_job_under_way_is_not_deleted(bench: Bench) -> None:
    async with bench.service() as service, await service.begin() as begun:
        with pytest.raises(Conflict, match="cancel it"):
            await service.delete(begun.job.id)


async def test_at_most_so_many_jobs_run_at_a_time(bench: Bench) -> None:
    bench.max_running = 1
    bench.registry.gate = asyncio.Event()
    async with bench.service() as service:
        first, second = await upload(service), await upload(service, TWO)
        await until(service, first, JobState.RUNNING)
        assert (await service.get(second.id)).state is JobState.QUEUED
        bench.registry.gate.set()
        assert (await ended(service, second)).state is JobState.SUCCEEDED
        assert (await service.get(first.id)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("bad", [b"no tar at all", APP[:2000], bytes(10240)])
async def test_the_bad_one_of_several_archives_is_named(bench: Bench, bad: bytes) -> None:
    paths = (bench.put("good.tar", APP), bench.put("bad.tar", bad))
    async with bench.service() as service:
        with pytest.raises(ArchiveError, match=r"^x\.tar \(2\): "):
            await upload(service, [APP, bad])
        from_paths = await ended(service, await service.submit_paths(replace(REQUEST, paths=paths)))
    assert from_paths.problem is not None
    assert from_paths.problem.detail.startswith("bad.tar: ")


async def test_a_wrapped_bad_one_of_several_paths_is_named(bench: Bench) -> None:
    paths = (bench.put("good.tar", APP), bench.put("bad.tar.gz", gzip.compress(APP)[:-100]))
    async with bench.service() as service:
        done = await ended(service, await service.submit_paths(replace(REQUEST, paths=paths)))
    assert done.problem is not None
    assert done.problem.code == "truncated_archive"
    assert done.problem.detail.startswith("bad.tar.gz: ")
