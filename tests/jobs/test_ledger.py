"""What callers of the ledger may do to it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from app.jobs import Job, JobState, Ledger, utc_now
from app.jobs.store import JobQuery
from app.jobs.store.memory import MemoryJobStore


class SlowStore(MemoryJobStore):
    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def get(self, job_id: str) -> Job | None:
        self.asked.set()
        await self.may_answer.wait()
        return await super().get(job_id)


async def test_a_change_that_fails_when_its_caller_has_gone_is_no_error_of_the_loop() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    store = SlowStore()
    ledger = Ledger(store)
    caller = asyncio.create_task(ledger.change("0" * 32, lambda job: job))
    await store.asked.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    store.may_answer.set()
    await ledger.settle()
    await asyncio.sleep(0)
    gc.collect()
    assert told == []


class Silence:
    """Nothing is ever heard of the other replicas."""

    async def follow(self, told: Callable[[str | None], None]) -> None:
        await asyncio.Event().wait()


async def test_a_replica_tells_what_another_has_made_of_its_jobs_before_it_hears_of_it() -> None:
    store, now = MemoryJobStore(), utc_now()
    stopped, other = Ledger(store, Silence()), Ledger(store)
    job = await stopped.add(Job.new(JobState.RUNNING, now))
    await other.change(job.id, lambda job: job.to(JobState.SUCCEEDED, attempt=2, finished_at=now))
    assert (await stopped.get(job.id)).state is JobState.SUCCEEDED
    assert [each.state for each in await stopped.page(JobQuery())] == [JobState.SUCCEEDED]


async def test_an_older_row_does_not_hide_what_a_job_is_now() -> None:
    store, now = MemoryJobStore(), utc_now()
    ledger = Ledger(store, Silence())
    await store.add(failed := Job.new(JobState.FAILED, now))
    ledger.follow(failed.to(JobState.QUEUED, attempt=2).to(JobState.RUNNING))
    assert (await ledger.get(failed.id)).attempt == 2
