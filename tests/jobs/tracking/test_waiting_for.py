"""What a job says while its registry does not answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.errors import (
    RegistryDenied,
    RegistryError,
    RegistryFault,
    RegistryRateLimited,
    RegistryUnreachable,
)
from app.jobs import Job, JobRuntime, JobService, JobState, JobTracker, run_job_service
from app.jobs.lifecycle import recover_jobs
from app.jobs.outage import RetrySchedule
from app.jobs.runner import Runner
from app.jobs.serialization import dump_job, load_job
from app.jobs.store.memory import MemoryJobStore
from app.jobs.tracking.waiting_for import WaitingFor
from app.jobs.uploads.early_pushes import EarlyPushes
from app.push import PushOptions
from app.registry.wrappers.retry import RetryingRegistry, TimeSource
from tests.jobs.bench import REQUEST, TWO, Bench, ended, upload

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
OUTAGES = [RegistryUnreachable("no route"), RegistryFault("answered 503"), RegistryRateLimited("slow", retry_after=9.0)]


class Tries:
    """Each wait between two tries lasts until `go_on`."""

    def __init__(self) -> None:
        self._goes_on = asyncio.Event()
        self.pause = TimeSource(self._sleep, lambda: 1.0)

    async def _sleep(self, seconds: float) -> None:
        await self._goes_on.wait()

    def go_on(self) -> None:
        went, self._goes_on = self._goes_on, asyncio.Event()
        went.set()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, MemoryJobStore())


def retrying(bench: Bench, tries: Tries, patience: timedelta = DAY) -> JobRuntime:
    """As the service has it: requests are tried again, and then the job is."""
    runtime = bench.runtime()
    tried = RetryingRegistry(bench.registry, pause=tries.pause)
    registries = {name: replace(each, registry=tried) for name, each in runtime.registries.items()}
    tracker = JobTracker(bench.store, save_seconds=0, clock=bench.clock)
    schedule, early = RetrySchedule(patience, lambda: 1.0), EarlyPushes(runtime.resources, tracker)
    return replace(runtime, tracker=tracker, registries=registries, schedule=schedule, early=early)


@asynccontextmanager
async def working(bench: Bench, tries: Tries, patience: timedelta = DAY) -> AsyncIterator[JobService]:
    async with run_job_service(retrying(bench, tries, patience), keep=timedelta(days=30), grace_seconds=0) as service:
        yield service


async def waits(service: JobService, job: Job, attempts: int = 1) -> WaitingFor:
    async for seen in service.subscribe(job.id):
        if seen.waiting_for is not None and seen.waiting_for.attempts >= attempts:
            return seen.waiting_for
    raise AssertionError("the job ended without a word")


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: error.code)
@pytest.mark.parametrize("verb", ["read_manifest", "push_blob", "push_manifest"])
async def test_it_is_said_while_requests_are_tried_again_and_no_longer(
    bench: Bench, verb: str, error: RegistryError
) -> None:
    tries = Tries()
    bench.registry.fail(verb, error)
    async with working(bench, tries) as service:
        job = await upload(service)
        first = await waits(service, job)
        assert (first.registry, first.attempts) == ("default", 1)
        assert first.last_error.startswith(f"{error.code}: ")
        assert first.next_at is not None
        assert first.next_at > first.since
        assert (await service.get(job.id)).state is JobState.RUNNING
        tries.go_on()
        second = await waits(service, job, attempts=2)
        assert second.since == first.since
        bench.registry._failures.clear()
        tries.go_on()
        done = await ended(service, job)
    assert (done.state, done.waiting_for) == (JobState.SUCCEEDED, None)


async def test_one_request_that_succeeds_ends_it_while_the_job_goes_on(bench: Bench) -> None:
    tries = Tries()
    bench.registry.fail("read_manifest", RegistryUnreachable("no route"))
    bench.registry.gate = asyncio.Event()
    async with working(bench, tries) as service:
        job = await upload(service)
        await waits(service, job)
        bench.registry._failures.clear()
        tries.go_on()
        async for seen in service.subscribe(job.id):
            if seen.waiting_for is None:
                break
        assert seen.state is JobState.RUNNING
        bench.registry.gate.set()
        await ended(service, job)


async def test_it_is_said_while_the_job_waits_in_the_queue_and_until_its_next_attempt_gets_through(
    bench: Bench,
) -> None:
    tries = Tries()
    runtime = retrying(bench, tries)
    service = JobService(runtime)
    error = RegistryUnreachable("no route")
    bench.registry.fail("push_blob", error)
    job = await upload(service)
    running = asyncio.create_task(Runner(runtime).run(job.id))
    while not running.done():
        tries.go_on()
        await asyncio.sleep(0)
    paused = await service.get(job.id)
    assert paused.state is JobState.QUEUED
    assert paused.waiting_for is not None
    assert paused.waiting_for.attempts >= 6
    assert paused.waiting_for.next_at == paused.next_attempt_at
    assert load_job(json.loads(json.dumps(dump_job(paused)))) == paused
    restarted = retrying(bench, tries)
    assert await recover_jobs(restarted) == (paused.brief(),)
    running = asyncio.create_task(Runner(runtime).run(job.id))
    while (await service.get(job.id)).state is not JobState.RUNNING:
        await asyncio.sleep(0)
    begun = (await service.get(job.id)).waiting_for
    assert begun == replace(paused.waiting_for, next_at=None)
    bench.registry._failures.clear()
    await running
    assert (await service.get(job.id)).waiting_for is None


@pytest.mark.parametrize("way", ["cancelled", "given up", "refused"])
async def test_a_job_that_has_ended_waits_for_nothing(bench: Bench, way: str) -> None:
    tries = Tries()
    bench.registry.fail("push_blob", RegistryUnreachable("no route"))
    async with working(bench, tries, timedelta(0) if way == "given up" else DAY) as service:
        job = await upload(service)
        await waits(service, job)
        if way == "cancelled":
            await service.cancel(job.id)
        if way == "refused":
            bench.registry._failures.clear()
            bench.registry.fail("push_blob", RegistryDenied("read-only"))
        while not (seen := await service.get(job.id)).ended:
            tries.go_on()
            await asyncio.sleep(0)
    assert seen.state is (JobState.CANCELLED if way == "cancelled" else JobState.FAILED)
    assert seen.waiting_for is None


async def test_a_dry_run_says_it_too(bench: Bench) -> None:
    tries = Tries()
    bench.registry.fail("read_manifest", RegistryUnreachable("no route"))
    async with working(bench, tries) as service:
        job = await upload(service, request=replace(REQUEST, options=PushOptions(dry_run=True)))
        await waits(service, job)
        bench.registry._failures.clear()
        tries.go_on()
        assert (await ended(service, job)).waiting_for is None


async def test_each_job_waits_for_its_own_registry(bench: Bench) -> None:
    tries = Tries()
    bench.registry.fail("push_blob", RegistryUnreachable("no route"), repository="team/a")
    bench.registry.gate = asyncio.Event()
    async with working(bench, tries) as service:
        other = await upload(service)
        await bench.registry.waiting.wait()
        job = await upload(service, TWO)
        await waits(service, job)
        assert (await service.get(other.id)).waiting_for is None
        await service.cancel(job.id)
        bench.registry.gate.set()


async def test_what_is_sent_while_the_archive_comes_in_may_wait_as_well(bench: Bench) -> None:
    """The job says it before it runs, and no longer when its run has got through."""
    from tests.jobs.uploads.test_early_pushes import LAYOUT, MIB

    tries = Tries()
    bench.registry.fail("push_blob", RegistryUnreachable("no route"))
    request = replace(REQUEST, options=PushOptions(tag="team/app:1"))

    async def coming(job: Job) -> AsyncIterator[bytes]:
        yield LAYOUT[:MIB]
        yield LAYOUT[MIB : 2 * MIB]
        yield LAYOUT[2 * MIB : 2 * MIB + 1]
        assert (await waits(service, job)).registry == "default"
        assert (await service.get(job.id)).state is JobState.RECEIVING
        bench.registry._failures.clear()
        tries.go_on()
        yield LAYOUT[2 * MIB + 1 :]

    async with working(bench, tries) as service, await service.begin() as begun:
        begun.set_expected_request(request)
        await begun.receive("x.tar", coming(begun.job))
        job = await begun.submit(request)
        tries.go_on()
        done = await ended(service, job)
    assert (done.state, done.waiting_for) == (JobState.SUCCEEDED, None)


def test_of_several_requests_that_wait_the_first_is_told() -> None:
    problem = RegistryUnreachable("no route").problem
    first = WaitingFor.begin("default", NOW).after(problem, NOW, NOW + timedelta(seconds=9))
    second = first.after(problem, NOW + timedelta(seconds=1), NOW + timedelta(seconds=30))
    assert second.next_at == NOW + timedelta(seconds=9)
    third = second.after(problem, NOW + timedelta(seconds=10), NOW + timedelta(seconds=20))
    assert (third.next_at, third.attempts, third.since) == (NOW + timedelta(seconds=20), 3, NOW)
    held = third.after(problem, NOW, NOW, is_attempt=False)
    assert held.attempts == 3


def test_the_document_tells_times_as_all_others() -> None:
    waiting = WaitingFor("default", NOW, 3, "registry_unreachable: no route", NOW + timedelta(seconds=5))
    job = replace(Job("1", JobState.RUNNING, NOW), waiting_for=waiting)
    assert job.document()["waiting_for"] == {
        "registry": "default",
        "since": "2026-01-01T00:00:00.000Z",
        "attempts": 3,
        "last_error": "registry_unreachable: no route",
        "next_at": "2026-01-01T00:00:05.000Z",
    }
    assert replace(job, waiting_for=replace(waiting, next_at=None)).document()["waiting_for"]["next_at"] is None
