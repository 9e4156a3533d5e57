"""Two jobs for one tag: one after the other, and the one accepted later has the last word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from app.errors import RegistryUnreachable
from app.jobs import Job, JobService, JobState
from app.jobs.leases import AcceptanceClock, LocalTagLeases, TagsLeasedError
from app.jobs.lifecycle import recover_jobs
from app.jobs.outage import RetrySchedule
from app.jobs.runner import Runner
from app.jobs.store.memory import MemoryJobStore
from app.oci import Digest
from app.push import ImageState, PushOptions
from tests.jobs.bench import REQUEST, Bench, ended, upload
from tests.support.archives import Node, entry, image, oci_image, oci_layout

TAGGED = replace(REQUEST, options=PushOptions(tag="team/app:1"))


def archive(text: str) -> tuple[Node, bytes]:
    node = oci_image(image({"bin/app": text.encode() * 500}))
    return node, oci_layout([entry(node)])


OLD, OLD_TAR = archive("old")
NEW, NEW_TAR = archive("new")


def tag(bench: Bench) -> Digest:
    return bench.registry.tags["team/app", "1"]


async def test_an_older_job_that_comes_later_leaves_the_newer_ones_tag(bench: Bench) -> None:
    runtime = bench.runtime()
    service = JobService(runtime)
    older, newer = await upload(service, OLD_TAR, TAGGED), await upload(service, NEW_TAR, TAGGED)
    await Runner(runtime).run(newer.id)
    await Runner(runtime).run(older.id)
    done = await service.get(older.id)
    assert str(tag(bench)) == NEW.digest
    assert (done.state, done.images[0].state) == (JobState.SUCCEEDED, ImageState.SKIPPED)
    (notice,) = done.notices
    assert notice.startswith("registry.test/team/app:1 ")


async def test_in_order_the_later_one_overwrites(bench: Bench) -> None:
    runtime = bench.runtime()
    service = JobService(runtime)
    older, newer = await upload(service, OLD_TAR, TAGGED), await upload(service, NEW_TAR, TAGGED)
    await Runner(runtime).run(older.id)
    await Runner(runtime).run(newer.id)
    assert str(tag(bench)) == NEW.digest
    assert (await service.get(newer.id)).images[0].state is ImageState.PUSHED


async def test_an_older_job_that_waited_for_its_registry_over_a_restart_is_overtaken_too(bench: Bench) -> None:
    runtime = replace(bench.runtime(), schedule=RetrySchedule(timedelta(days=1)))
    service = JobService(runtime)
    older = await upload(service, OLD_TAR, TAGGED)
    bench.registry.fail("push_blob", RegistryUnreachable("no route"))
    await Runner(runtime).run(older.id)
    bench.registry._failures.clear()
    newer = await upload(service, NEW_TAR, TAGGED)
    await Runner(runtime).run(newer.id)
    restarted = bench.runtime()
    assert [job.id for job in await recover_jobs(restarted)] == [older.id]
    await Runner(restarted).run(older.id)
    assert str(tag(bench)) == NEW.digest


async def test_a_retry_by_hand_is_a_new_wish(bench: Bench) -> None:
    runtime = bench.runtime()
    service = JobService(runtime)
    older = await upload(service, OLD_TAR, TAGGED)
    await service.cancel(older.id)
    newer = await upload(service, NEW_TAR, TAGGED)
    await Runner(runtime).run(newer.id)
    await service.retry(older.id)
    await Runner(runtime).run(older.id)
    assert str(tag(bench)) == OLD.digest


async def test_many_pairs_at_once_end_with_the_later_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, MemoryJobStore(), max_running=8)
    async with bench.service() as service:
        pairs = []
        for number in range(25):
            request = replace(REQUEST, options=PushOptions(tag=f"team/app:{number}"))
            pairs.append([await upload(service, item, request) for item in (OLD_TAR, NEW_TAR)])
        for job in (job for pair in pairs for job in pair):
            assert (await ended(service, job)).state is JobState.SUCCEEDED
    assert {str(digest) for digest in bench.registry.tags.values()} == {NEW.digest}


async def test_jobs_for_one_tag_do_not_push_at_the_same_time(bench: Bench) -> None:
    bench.registry.gate = asyncio.Event()
    async with bench.service() as service:
        first, second = await upload(service, OLD_TAR, TAGGED), await upload(service, NEW_TAR, TAGGED)
        await bench.registry.waiting.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert bench.registry.count("find_manifest") == 1, "the second has not even asked"
        bench.registry.gate.set()
        await ended(service, first)
        await ended(service, second)
    assert str(tag(bench)) == NEW.digest


async def test_a_job_that_waits_for_a_tag_can_be_cancelled(bench: Bench) -> None:
    bench.registry.gate = asyncio.Event()
    async with bench.service() as service:
        first, second = await upload(service, OLD_TAR, TAGGED), await upload(service, NEW_TAR, TAGGED)
        await bench.registry.waiting.wait()
        assert (await service.cancel(second.id)).state is JobState.CANCELLED
        bench.registry.gate.set()
        assert (await ended(service, first)).state is JobState.SUCCEEDED
    assert str(tag(bench)) == OLD.digest


class Held(LocalTagLeases):
    """Another replica has the tags the first time they are asked for."""

    asked = 0
    first: Callable[[], Awaitable[object]] | None = None

    @asynccontextmanager
    async def lease(self, job: Job, names: Collection[str]) -> AsyncIterator[frozenset[str]]:
        self.asked += 1
        if self.first is not None:
            await self.first()
        if self.asked == 1:
            raise TagsLeasedError
        async with super().lease(job, names) as overtaken:
            yield overtaken


async def test_a_job_whose_tags_are_held_elsewhere_steps_aside_and_is_no_new_attempt(bench: Bench) -> None:
    runtime = replace(bench.runtime(), leases=Held())
    service, runner = JobService(runtime), Runner(runtime)
    job = await upload(service, NEW_TAR, TAGGED)
    await runner.run(job.id)
    aside = await service.get(job.id)
    assert (aside.state, aside.attempt, aside.problem) == (JobState.QUEUED, 1, None)
    await runner.run(job.id)
    assert (await service.get(job.id)).state is JobState.SUCCEEDED
    assert str(tag(bench)) == NEW.digest


async def test_a_job_that_is_cancelled_as_it_steps_aside_stays_cancelled(bench: Bench) -> None:
    leases = Held()
    runtime = replace(bench.runtime(), leases=leases)
    service = JobService(runtime)
    job = await upload(service, NEW_TAR, TAGGED)
    leases.first = partial(service.cancel, job.id)
    await Runner(runtime).run(job.id)
    assert (await service.get(job.id)).state is JobState.CANCELLED


async def test_what_no_waiting_job_can_be_outdated_by_is_forgotten(bench: Bench) -> None:
    leases, arrivals = LocalTagLeases(), AcceptanceClock()
    jobs = [
        Job.new(JobState.QUEUED, bench.clock()).evolve(accepted_at=arrivals.next(lambda: bench.clock.now))
        for _ in range(3)
    ]
    for job in jobs:
        await leases.record_pushed(job, {job.id})
    await leases.forget(jobs[1].accepted_at)
    assert len(leases) == 2
    await leases.forget(None)
    assert len(leases) == 0


def test_a_clock_that_is_set_back_does_not_change_the_order(bench: Bench) -> None:
    arrivals = AcceptanceClock()
    first = arrivals.next(lambda: bench.clock.now)
    second = arrivals.next(lambda: bench.clock.now - timedelta(days=1))
    assert second > first
