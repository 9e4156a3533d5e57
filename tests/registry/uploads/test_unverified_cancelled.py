"""A push that is cancelled while a blob is marked as unproven leaves the marks of all others working."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from app.oci import Digest
from app.registry.uploads.unverified_blobs import FRESH_SECONDS, MARKED_SIZE, Doubt, UnprovenBlobs
from tests.support.lapse import Lapse

FIRST, SECOND = Digest.of(b"first"), Digest.of(b"second")


class HeldMarks(UnprovenBlobs):
    """Writes its first mark when it `may_write`."""

    def __init__(self, folder: Path, lapse: Lapse) -> None:
        super().__init__(folder, "registry.test", lapse.pause)
        self.writes, self.may_write = threading.Event(), threading.Event()

    def _mark(self, *arguments: Any) -> None:
        self.writes.set()
        self.may_write.wait(20)
        super()._mark(*arguments)


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_begins_a_blob_may_be_cancelled(tmp_path: Path) -> None:
    lapse = Lapse()
    blobs = HeldMarks(tmp_path / "unproven", lapse)
    beginning = asyncio.create_task(blobs.begin(FIRST, MARKED_SIZE))
    await asyncio.to_thread(blobs.writes.wait, 20)
    await cancelled(beginning)
    blobs.may_write.set()
    blobs.end(FIRST, MARKED_SIZE, is_cut=True)
    await blobs.begin(FIRST, MARKED_SIZE)
    lapse.now += FRESH_SECONDS
    assert await blobs.doubt_of(SECOND) is None
    assert await blobs.doubt_of(FIRST) is Doubt.CUT
    await blobs.finish()


async def test_who_looks_for_marks_may_be_cancelled(tmp_path: Path) -> None:
    lapse = Lapse()
    blobs = HeldMarks(tmp_path / "unproven", lapse)
    beginning = asyncio.create_task(blobs.begin(FIRST, MARKED_SIZE))
    await asyncio.to_thread(blobs.writes.wait, 20)
    looking = asyncio.create_task(blobs.doubt_of(SECOND))
    await asyncio.sleep(0)
    await cancelled(looking)
    blobs.may_write.set()
    await beginning
    lapse.now += FRESH_SECONDS
    assert await blobs.doubt_of(SECOND) is None
    await blobs.finish()
