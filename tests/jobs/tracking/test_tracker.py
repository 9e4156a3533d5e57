"""What callers of the tracker may do to it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.jobs import Job, JobState, JobTracker, utc_now
from app.jobs.store import JobQuery
from app.jobs.store.memory import MemoryJobStore


class SlowStore(MemoryJobStore):
    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def get(self, job_id: str, images: int | None = None) -> Job | None:
        self.asked.set()
        await self.may_answer.wait()
        return await super().get(job_id)


async def test_a_change_that_fails_when_its_caller_has_gone_is_no_error_of_the_loop() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    store = SlowStore()
    tracker = JobTracker(store)
    caller = asyncio.create_task(tracker.transition("0" * 32, lambda job: job))
    await store.asked.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    store.may_answer.set()
    await tracker.drain()
    await asyncio.sleep(0)
    gc.collect()
    assert told == []


class Silence:
    """Nothing is ever heard of the other replicas."""

    async def subscribe(self, told: Callable[[str | None], None]) -> None:
        await asyncio.Event().wait()


async def test_a_replica_tells_what_another_has_made_of_its_jobs_before_it_hears_of_it() -> None:
    store, now = MemoryJobStore(), utc_now()
    stopped, other = JobTracker(store, Silence()), JobTracker(store)
    job = await stopped.add(Job.new(JobState.RUNNING, now))
    await other.transition(job.id, lambda job: job.transition_to(JobState.SUCCEEDED, attempt=2, finished_at=now))
    assert (await stopped.get(job.id)).state is JobState.SUCCEEDED
    assert [item.state for item in await stopped.page(JobQuery())] == [JobState.SUCCEEDED]


async def saved(tracker: JobTracker) -> None:
    """What is shown is stored when this returns."""
    saving = asyncio.create_task(tracker.run_saver())
    for _ in range(3):
        await asyncio.sleep(0)
    saving.cancel()


def at_percent(percent: float) -> Callable[[Job], Job]:
    return lambda job: job.evolve(progress=replace(job.progress, percent=percent))


@pytest.mark.parametrize("replicated", [True, False])
async def test_no_percent_is_told_that_is_not_stored(replicated: bool) -> None:
    store = MemoryJobStore()
    tracker = JobTracker(store, Silence() if replicated else None)
    job = await tracker.add(Job.new(JobState.RUNNING, utc_now()))
    with tracker.subscribe(job.id) as news:
        coming = asyncio.create_task(news.next())
        tracker.update_progress(job.id, at_percent(40.0))
        await asyncio.sleep(0)
        assert (await tracker.get(job.id)).progress.percent == 0.0
        assert not coming.done()
        assert (await tracker.newest(job.id)).progress.percent == 40.0
        await saved(tracker)
        assert (await coming).progress.percent == 40.0
    assert (await tracker.get(job.id)) == (await store.get(job.id))
    assert [item.progress.percent for item in await tracker.page(JobQuery())] == [40.0]


async def test_a_revision_is_a_stored_change_and_bears_its_time() -> None:
    store, now = MemoryJobStore(), utc_now()
    tracker = JobTracker(store, clock=lambda: now)
    job = await tracker.add(Job.new(JobState.RUNNING, now - timedelta(days=1)))
    for percent in (1.0, 2.0, 3.0):
        tracker.update_progress(job.id, at_percent(percent))
    await saved(tracker)
    shown = await tracker.get(job.id)
    assert (shown.revision, shown.updated_at, shown.progress.percent) == (job.revision + 1, now, 3.0)
    ended = await tracker.transition(job.id, lambda job: job.transition_to(JobState.SUCCEEDED))
    assert ended.revision == shown.revision + 1
    assert await tracker.transition(job.id, lambda job: job) == ended


async def test_a_change_that_changes_nothing_tells_no_progress_that_is_not_stored() -> None:
    tracker = JobTracker(MemoryJobStore())
    job = await tracker.add(Job.new(JobState.RUNNING, utc_now()))
    tracker.update_progress(job.id, at_percent(40.0))
    await tracker.transition(job.id, lambda job: job)
    assert (await tracker.get(job.id)).progress.percent == 0.0


async def test_what_a_registry_has_read_is_told_at_once_and_once() -> None:
    tracker = JobTracker(MemoryJobStore())
    told: list[int] = []
    tracker.observe_sent(told.append)
    job = await tracker.add(Job.new(JobState.RUNNING, utc_now()))
    for size in (10, 10, 30, 25):
        tracker.update_progress(
            job.id,
            lambda job, size=size: replace(job, progress=replace(job.progress, bytes_sent=size)),  # type: ignore[misc]
        )
    await saved(tracker)
    await tracker.transition(job.id, lambda job: job.transition_to(JobState.SUCCEEDED))
    assert told == [10, 20, -5]
