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
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()


Ready = Callable[[int], Awaitable[None]]
"""Await this before each read of a source that is still being received; the argument is the number of bytes read."""


class SemaphoreLike(Protocol):
    """A lock with the interface of asyncio.Semaphore."""

    async def acquire(self) -> object: ...
    def release(self) -> None: ...


class NonBlockingSemaphore:
    """Acquires a slot of `semaphore` without waiting, because it may be used for hours by slow uploads.

    Raises UploadIncomplete if none is free.
    """

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore = semaphore

    async def acquire(self) -> object:
        if self._semaphore.locked():
            raise UploadIncomplete("the maximum number of uploads is followed already")
        return await self._semaphore.acquire()

    def release(self) -> None:
        self._semaphore.release()


class SlotLease:
    """One slot of each of `semaphores`.

    They are used while a blob is read and sent, and released while it waits for the commit signal. For a single task;
    `async with` acquires and releases it.
    """

    def __init__(self, *semaphores: SemaphoreLike) -> None:
        self._semaphores = semaphores
        self._acquired: list[SemaphoreLike] = []

    async def acquire(self) -> None:
        """Acquire the slots that are not acquired yet."""
        try:
            for semaphore in self._semaphores[len(self._acquired) :]:
                await semaphore.acquire()
                self._acquired.append(semaphore)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Release all slots. May be called repeatedly."""
        while self._acquired:
            self._acquired.pop().release()

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

    lease: SlotLease = field(default_factory=SlotLease)
    commit_signal: CommitSignal | None = None
    ready: Ready | None = None
