"""Of several requests for one upload the newest goes first."""

from __future__ import annotations

import asyncio

import pytest

from app.jobs.resumable.lock import UploadLock, UploadLocked


async def test_a_writer_is_interrupted_once_however_often_it_is_asked_to_end() -> None:
    """By two newer requests, and at the end of the service, before the writer had its turn to end."""
    turns, writing = UploadLock(), asyncio.Event()

    async def write() -> None:
        async with turns.acquire(), turns.interruptible():
            writing.set()
            await asyncio.Event().wait()

    async def take() -> str:
        async with turns.acquire():
            return "taken"

    writer = asyncio.create_task(write())
    await writing.wait()
    newer = [asyncio.create_task(take()) for _ in range(3)]
    turns.interrupt()
    outcomes = await asyncio.gather(*newer, return_exceptions=True)
    turns.interrupt()
    with pytest.raises(UploadLocked):
        await writer
    assert outcomes[-1] == "taken"
    assert all(isinstance(outcome, UploadLocked) for outcome in outcomes[:-1])


async def test_a_timeout_of_the_writer_itself_is_its_own() -> None:
    turns = UploadLock()
    with pytest.raises(TimeoutError):
        async with turns.acquire(), turns.interruptible():
            raise TimeoutError
