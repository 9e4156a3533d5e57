"""What callers of the ledger may do to it."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from app.jobs import Job, Ledger
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
