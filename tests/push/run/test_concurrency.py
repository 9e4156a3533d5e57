"""The workers of a push: whatever a job raises, nobody waits for it for ever."""

from __future__ import annotations

import asyncio

import pytest

from app.push.run.task_pool import TaskPriority, task_pool


async def test_a_job_that_meets_a_cancelled_task_of_others_ends_the_crew() -> None:
    async def job() -> None:
        raise asyncio.CancelledError

    async def push() -> None:
        async with asyncio.timeout(20), task_pool(2) as crew:
            crew.add(TaskPriority.IMAGE, job)
            await crew.idle()

    with pytest.raises(RuntimeError):
        await push()


async def test_a_crew_that_is_cancelled_is_cancelled() -> None:
    begun = asyncio.Event()

    async def job() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def push() -> None:
        async with task_pool(2) as crew:
            crew.add(TaskPriority.IMAGE, job)
            await crew.idle()

    pushing = asyncio.create_task(push())
    await begun.wait()
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pushing
