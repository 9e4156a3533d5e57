"""A registry out of order: jobs wait for it and go on; jobs that kill the process do not get a fourth chance."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.api.job_response import waited_response
from app.errors import RegistryDenied, RegistryUnreachable
from app.jobs import Job, JobService, JobState
from app.jobs.lifecycle import recover_jobs
from app.jobs.outage import FIRST_WAIT, LONGEST_WAIT, MOST_STARTS, RetrySchedule, recover_running
from app.jobs.runner import Runner
from app.jobs.runtime import JobRuntime
from app.push import ImageState, PushOptions
from tests.jobs.bench import REQUEST, TWO, Bench, upload

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def patient(bench: Bench) -> JobRuntime:
    return replace(bench.runtime(), schedule=RetrySchedule(DAY, lambda: 1.0))


async def test_an_outage_sends_the_job_back_to_the_queue_with_a_time_to_go_on(bench: Bench) -> None:
    runtime = patient(bench)
    service = JobService(runtime)
    bench.registry.fail("push_blob", RegistryUnreachable("no route"), repository="team/b")
    job = await upload(service, TWO)
    await Runner(runtime).run(job.id)
    paused = await service.get(job.id)
    assert (paused.state, paused.attempt, paused.starts) == (JobState.QUEUED, 2, 0)
    assert paused.problem is not None
    assert paused.problem.code == "registry_unreachable"
    assert paused.next_attempt_at is not None
    assert paused.next_attempt_at > bench.clock.now
    assert "registry_unreachable" in paused.notices[-1]
    assert [image.state for image in paused.images] == [ImageState.PUSHED, ImageState.PENDING]
    assert bench.spooled() == [f"{job.id}-0.tar"]
    assert paused.document()["next_attempt_at"].startswith("2026-")
    bench.registry._failures.clear()
    await Runner(runtime).run(job.id)
    done = await service.get(job.id)
    assert (done.state, done.problem, done.next_attempt_at, done.paused_at) == (JobState.SUCCEEDED, None, None, None)


async def test_what_does_not_pass_by_itself_fails_at_once(bench: Bench) -> None:
    runtime = patient(bench)
    service = JobService(runtime)
    bench.registry.fail("push_blob", RegistryDenied("read-only"))
    job = await upload(service)
    await Runner(runtime).run(job.id)
    assert (await service.get(job.id)).state is JobState.FAILED


async def test_a_dry_run_does_not_wait_for_a_registry(bench: Bench) -> None:
    runtime = patient(bench)
    service = JobService(runtime)
    bench.registry.fail("read_manifest", RegistryUnreachable("no route"))
    job = await upload(service, request=replace(REQUEST, options=PushOptions(dry_run=True)))
    await Runner(runtime).run(job.id)
    assert (await service.get(job.id)).state is JobState.FAILED


async def test_an_outage_that_lasts_too_long_is_given_up(bench: Bench) -> None:
    runtime = patient(bench)
    service = JobService(runtime)
    bench.registry.fail("push_blob", RegistryUnreachable("no route"))
    job = await upload(service)
    await Runner(runtime).run(job.id)
    await runtime.tracker.transition(job.id, lambda job: job.evolve(waited=DAY))
    await Runner(runtime).run(job.id)
    failed = await service.get(job.id)
    assert (failed.state, failed.attempt, failed.waited) == (JobState.FAILED, 2, timedelta(0))


async def test_the_first_job_that_gets_through_wakes_those_that_wait(bench: Bench) -> None:
    runtime = patient(bench)
    service = JobService(runtime)
    bench.registry.fail("push_blob", RegistryUnreachable("no route"))
    waits = await upload(service)
    await Runner(runtime).run(waits.id)
    bench.registry._failures.clear()
    other = await upload(service, TWO)
    await Runner(runtime).run(other.id)
    assert (await service.get(waits.id)).next_attempt_at is None


async def test_a_job_that_waits_for_its_registry_can_be_tried_at_once_or_cancelled(bench: Bench) -> None:
    runtime = patient(bench)
    service = JobService(runtime)
    bench.registry.fail("push_blob", RegistryUnreachable("no route"))
    job = await upload(service)
    await Runner(runtime).run(job.id)
    again = await service.retry(job.id)
    assert (again.state, again.next_attempt_at, again.attempt) == (JobState.QUEUED, None, 2)
    cancelled = await service.cancel(job.id)
    assert (cancelled.state, cancelled.problem) == (JobState.CANCELLED, None)


async def test_who_waits_for_an_answer_is_told_when_nothing_more_will_happen_in_time(bench: Bench) -> None:
    runtime = patient(bench)
    service = JobService(runtime)
    bench.registry.fail("push_blob", RegistryUnreachable("no route"))
    job = await upload(service)
    await Runner(runtime).run(job.id)
    told = await service.wait(job.id, 0.5, for_answer=True)
    assert (told.state, told.problem and told.problem.code) == (JobState.QUEUED, "registry_unreachable")
    answer = waited_response(told)
    assert answer.status_code == 502
    assert json.loads(bytes(answer.body))["job"]["next_attempt_at"] is not None


async def test_a_job_that_waits_survives_a_restart_with_its_time(bench: Bench) -> None:
    runtime = patient(bench)
    service = JobService(runtime)
    bench.registry.fail("push_blob", RegistryUnreachable("no route"))
    job = await upload(service)
    await Runner(runtime).run(job.id)
    paused = await service.get(job.id)
    restarted = patient(bench)
    assert await recover_jobs(restarted) == (paused.brief(),)
    assert restarted.paused.take("default") == {job.id}


async def test_the_service_goes_on_by_itself_when_the_time_has_come(bench: Bench) -> None:
    bench.registry.fail("push_blob", RegistryUnreachable("no route"))
    bench.schedule = RetrySchedule(DAY)  # the clock of the bench is of the past: for the queue every time has come
    async with bench.service() as service:
        job = await upload(service)
        async for seen in service.subscribe(job.id):
            if seen.attempt == 3:
                bench.registry._failures.clear()
        assert (seen.state, seen.problem) == (JobState.SUCCEEDED, None)


def test_pauses_grow_from_seconds_to_an_hour() -> None:
    schedule = RetrySchedule(DAY, lambda: 1.0)
    waits: list[timedelta] = []
    while (pause := schedule.pause(sum(waits, timedelta(0)))) is not None:
        waits.append(pause)
    assert waits[:5] == [timedelta(seconds=item) for item in (5, 5, 10, 20, 40)]
    assert waits[0] == FIRST_WAIT
    assert waits[-1] == LONGEST_WAIT
    assert len(waits) < 50


def test_pauses_are_at_random_and_never_nothing() -> None:
    none = timedelta(0)
    assert RetrySchedule(DAY, lambda: 0.0).pause(none) == timedelta(seconds=1)
    assert RetrySchedule(DAY, lambda: 0.5).pause(none) == FIRST_WAIT / 2
    assert RetrySchedule().pause(none) is None


@pytest.mark.parametrize(("starts", "state"), [(1, JobState.QUEUED), (2, JobState.QUEUED), (3, JobState.FAILED)])
def test_a_job_that_kills_the_process_is_set_aside(starts: int, state: JobState) -> None:
    assert MOST_STARTS == 3
    taken = recover_running(replace(Job.new(JobState.RUNNING, NOW), starts=starts), NOW)
    assert taken.state is state
    if state is JobState.FAILED:
        assert taken.problem is not None
        assert (taken.problem.code, taken.problem.retryable) == ("interrupted", True)
        assert "3 times" in taken.problem.detail


async def test_a_start_is_stored_before_the_run_begins(bench: Bench) -> None:
    bench.registry.gate = asyncio.Event()
    bench.grace = 0
    async with bench.service() as service:
        job = await upload(service)
        await bench.registry.waiting.wait()
        stored = await bench.store.get(job.id)
        assert stored is not None
        assert (stored.state, stored.starts) == (JobState.RUNNING, 1)
