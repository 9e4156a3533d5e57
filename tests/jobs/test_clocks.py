"""A clock that was wrong, and is put right: no job waits for a moment that it named, no outage is cut short by it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.errors import RegistryUnreachable
from app.jobs import Job, JobService, JobState
from app.jobs.audit import audit_members
from app.jobs.lifecycle import recover_jobs, see_newest
from app.jobs.outage import RetrySchedule
from app.jobs.queue import LONGEST_DELAY, QueueSchedule
from app.jobs.queue.local import LocalJobQueue
from app.jobs.runner import Runner
from app.jobs.runtime import JobRuntime
from app.jobs.serialization import dump_job, load_job
from app.push import ImageState, PushOptions
from tests.jobs.bench import REQUEST, Bench, ended, upload
from tests.jobs.queue.test_local import Work, turns
from tests.support.archives import entry, image, oci_image, oci_layout

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY, YEAR = timedelta(days=1), timedelta(days=365)


class Clocks:
    """The time of day, which can be set, and the seconds that pass."""

    def __init__(self) -> None:
        self.now = NOW
        self.seconds = 0.0

    def queue(self) -> LocalJobQueue:
        return LocalJobQueue(1, lambda: self.now, lambda: self.seconds)


def patient(bench: Bench, patience: timedelta = DAY) -> JobRuntime:
    """Its pauses are as long as they may be, and its attempts take no time."""
    return replace(bench.runtime(), schedule=RetrySchedule(patience, lambda: 1.0), elapsed=lambda: 0.0)


async def paused(bench: Bench, service: JobService, runtime: JobRuntime) -> Job:
    bench.registry.fail("push_blob", RegistryUnreachable("no route"))
    job = await upload(service)
    await Runner(runtime).run(job.id)
    return await service.get(job.id)


@pytest.mark.parametrize("ahead", [timedelta(hours=2), DAY, YEAR])
async def test_a_job_put_off_by_a_clock_that_was_ahead_runs_after_the_next_start(
    bench: Bench, ahead: timedelta
) -> None:
    runtime = patient(bench)
    bench.clock.now += ahead
    job = await paused(bench, JobService(runtime), runtime)
    bench.clock.now -= ahead
    bench.registry._failures.clear()
    bench.queue = LocalJobQueue(1, bench.clock)
    async with bench.service() as service:
        assert (await ended(service, job)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("change", [-YEAR, -DAY, timedelta(0), DAY, YEAR])
async def test_a_pause_lasts_as_long_as_it_was_meant_to_whatever_the_clock_does(change: timedelta) -> None:
    clocks, work = Clocks(), Work()
    queue = clocks.queue()
    await queue.start(work.run)
    await queue.put("a", QueueSchedule(clocks.now + timedelta(seconds=5)))
    clocks.now += change
    clocks.seconds += 4.9
    await queue.put("b")
    await turns()
    assert work.began == ["b"]
    clocks.seconds += 0.1
    await work.finish("b")
    assert work.began == ["b", "a"]
    await queue.stop(0)


def test_a_moment_further_off_than_any_pause_is_not_believed() -> None:
    for wait in (timedelta(0), timedelta(seconds=1), LONGEST_DELAY):
        assert QueueSchedule(NOW + wait).delay(NOW) == wait
    for moment in (NOW - YEAR, NOW + LONGEST_DELAY + timedelta(seconds=1), NOW + YEAR):
        assert QueueSchedule(moment).delay(NOW) == timedelta(0)
    assert QueueSchedule().delay(NOW) == timedelta(0)


@pytest.mark.parametrize("jump", [-YEAR, YEAR])
async def test_a_clock_that_jumps_during_an_outage_does_not_end_its_patience(bench: Bench, jump: timedelta) -> None:
    runtime = patient(bench)
    service = JobService(runtime)
    job = await paused(bench, service, runtime)
    bench.clock.now += jump
    for attempt in (3, 4, 5):
        await Runner(runtime).run(job.id)
        job = await service.get(job.id)
        assert (job.state, job.attempt) == (JobState.QUEUED, attempt)
        assert job.next_attempt_at is not None
        assert job.next_attempt_at - bench.clock.now <= LONGEST_DELAY


async def test_patience_ends_when_enough_was_waited(bench: Bench) -> None:
    runtime = patient(bench, timedelta(seconds=60))
    service = JobService(runtime)
    job = await paused(bench, service, runtime)
    waits = [job.waited]
    while job.state is JobState.QUEUED:
        await Runner(runtime).run(job.id)
        job = await service.get(job.id)
        waits.append(job.waited)
    assert [round(waited.total_seconds()) for waited in waits] == [5, 10, 20, 40, 0]
    assert (job.state, job.problem and job.problem.code) == (JobState.FAILED, "registry_unreachable")


async def test_the_time_that_attempts_take_counts_as_waited(bench: Bench) -> None:
    seconds = iter(range(0, 1_000_000, 10))  # the clock of runs is asked twice in each of them
    runtime = replace(patient(bench, timedelta(seconds=60)), elapsed=lambda: float(next(seconds)))
    service = JobService(runtime)
    job = await paused(bench, service, runtime)
    assert job.waited == timedelta(seconds=5)  # the outage began when the first attempt had ended
    await Runner(runtime).run(job.id)
    assert (await service.get(job.id)).waited == timedelta(seconds=5 + 10 + 15)


async def test_what_was_not_waited_because_somebody_tried_at_once_does_not_count(bench: Bench) -> None:
    runtime = patient(bench)
    service = JobService(runtime)
    job = await paused(bench, service, runtime)
    for _ in range(8):
        await Runner(runtime).run(job.id)
    waited = (await service.get(job.id)).waited
    again = await service.retry(job.id)
    assert again.waited < waited
    assert again.waited >= timedelta(0)


async def test_a_retry_by_hand_after_the_patience_has_ended_has_all_of_it_anew(bench: Bench) -> None:
    runtime = patient(bench, timedelta(seconds=8))
    service = JobService(runtime)
    job = await paused(bench, service, runtime)
    await Runner(runtime).run(job.id)
    assert (await service.get(job.id)).state is JobState.FAILED
    await service.retry(job.id)
    await Runner(runtime).run(job.id)
    assert (await service.get(job.id)).waited == timedelta(seconds=5)


async def test_what_was_waited_is_known_after_a_restart(bench: Bench) -> None:
    runtime = patient(bench)
    job = await paused(bench, JobService(runtime), runtime)
    (found,) = await recover_jobs(patient(bench))
    assert found.waited == job.waited == timedelta(seconds=5)


def test_a_row_that_does_not_say_what_was_waited_has_waited_for_nothing() -> None:
    members = dump_job(Job.new(JobState.QUEUED, NOW).evolve(paused_at=NOW, waited=DAY))
    assert load_job(members).waited == DAY
    del members["waited"]
    assert load_job(members).waited == timedelta(0)


async def sent(bench: Bench, service: JobService, text: str) -> tuple[Job, str]:
    """A queued job for one tag, and the digest that the tag is to have."""
    node = oci_image(image({"bin/app": text.encode() * 500}))
    request = replace(REQUEST, options=PushOptions(tag="team/app:1"))
    return await upload(service, oci_layout([entry(node)]), request), node.digest


@pytest.mark.parametrize("is_restarted", [True, False])
@pytest.mark.parametrize("runs", ["in order", "newer first", "only newer waits"])
@pytest.mark.parametrize("ahead", [timedelta(hours=2), YEAR])
async def test_what_is_sent_after_the_clock_was_put_right_has_the_last_word(
    bench: Bench, ahead: timedelta, runs: str, is_restarted: bool
) -> None:
    runtime = bench.runtime()
    bench.clock.now += ahead
    older, _ = await sent(bench, JobService(runtime), "older")
    if runs == "only newer waits":
        await Runner(runtime).run(older.id)
    bench.clock.now -= ahead
    if is_restarted:
        runtime = bench.runtime()
        await see_newest(runtime, 10)
        await recover_jobs(runtime)
    newer, digest = await sent(bench, JobService(runtime), "newer")
    for job in (older, newer) if runs == "in order" else (newer, older):
        await Runner(runtime).run(job.id)
    assert str(bench.registry.tags["team/app", "1"]) == digest
    found = await JobService(runtime).get(newer.id)
    assert [image.state for image in found.images] == [ImageState.PUSHED]


async def test_a_newer_job_that_landed_before_a_restart_is_not_written_over_by_one_of_a_wrong_clock(
    bench: Bench,
) -> None:
    runtime = bench.runtime()
    bench.clock.now += YEAR
    older, _ = await sent(bench, JobService(runtime), "older")
    bench.clock.now -= YEAR
    newer, digest = await sent(bench, JobService(runtime), "newer")
    await Runner(runtime).run(newer.id)
    restarted = bench.runtime()
    await see_newest(restarted, 10)
    await recover_jobs(restarted)
    await Runner(restarted).run(older.id)
    assert str(bench.registry.tags["team/app", "1"]) == digest


async def test_the_audit_trail_accepts_no_job_after_its_end(bench: Bench) -> None:
    runtime = bench.runtime()
    bench.clock.now += YEAR
    await sent(bench, JobService(runtime), "older")
    bench.clock.now -= YEAR
    newer, _ = await sent(bench, JobService(runtime), "newer")
    await Runner(runtime).run(newer.id)
    entry = audit_members(await JobService(runtime).get(newer.id))
    assert entry["accepted_at"] <= entry["at"]


async def test_waiting_for_an_answer_lasts_as_long_as_was_asked_for(bench: Bench) -> None:
    runtime = patient(bench)
    service = JobService(runtime)
    job = await paused(bench, service, runtime)
    bench.clock.now -= YEAR
    asking = asyncio.create_task(service.wait(job.id, 60, for_answer=True))
    await turns()
    assert not asking.done()  # its registry is asked again in five seconds, as the queue has it
    await service.cancel(job.id)
    assert (await asking).state is JobState.CANCELLED
