"""Slots for transfers, and the signal to commit blobs that are sent before the whole request is known."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from app.errors import UploadIncomplete


class CommitSignal:
    """Permission to commit a blob.

    It is set at most once; if the blob is not needed, the waiting task is cancelled instead.
    """

    def __init__(self) -> None:
        self._given = asyncio.Event()

    def set(self) -> None:
        self._given.set()

    @property
    def is_set(self) -> bool:
        return self._given.is_set()

    async def wait(self) -> None:
        await self._given.wait()


Ready = Callable[[int], Awaitable[None]]
"""Await this before each read of a source that is still being received; the argument is the number of bytes read."""


class SemaphoreLike(Protocol):
    """A lock with the interface of asyncio.Semaphore."""

    async def acquire(self) -> object: ...
    def release(self) -> None: ...


class NonBlockingSemaphore:
    """Acquires a slot of `lane` without waiting, because it may be used for hours by slow uploads.

    Raises UploadIncomplete if none is free.
    """

    def __init__(self, lane: asyncio.Semaphore) -> None:
        self._lane = lane

    async def acquire(self) -> object:
        if self._lane.locked():
            raise UploadIncomplete("the maximum number of uploads is followed already")
        return await self._lane.acquire()

    def release(self) -> None:
        self._lane.release()


class SlotLease:
    """One slot of each of `lanes`.

    They are used while a blob is read and sent, and released while it waits for the commit signal. For a single task;
    `async with` acquires and releases it.
    """

    def __init__(self, *lanes: SemaphoreLike) -> None:
        self._lanes = lanes
        self._held: list[SemaphoreLike] = []

    async def acquire(self) -> None:
        """Acquire the slots that are not acquired yet."""
        try:
            for lane in self._lanes[len(self._held) :]:
                await lane.acquire()
                self._held.append(lane)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Release all slots. May be called repeatedly."""
        while self._held:
            self._held.pop().release()

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@dataclass(frozen=True, slots=True)
class SendConditions:
    """What the transfer of a blob waits for, and the slots that others use meanwhile."""

    berth: SlotLease = field(default_factory=SlotLease)
    word: CommitSignal | None = None
    ready: Ready | None = None
