"""What is sent before it is known whether it is wanted: where its bytes wait, and for which word."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from app.errors import UploadIncomplete


class CommitSignal:
    """Whether a blob is wanted by the whole request. It is given once, and means yes: where the answer is no, whoever
    waits for it is cancelled."""

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
"""Awaited before more is read of a source that is still coming in, and of which so many bytes have been read."""


class SemaphoreLike(Protocol):
    """As asyncio.Semaphore."""

    async def acquire(self) -> object: ...
    def release(self) -> None: ...


class NonBlockingSemaphore:
    """A place in `lane` where there is one. Nobody waits for it: it may be held by uploads that take hours. Raises
    UploadIncomplete."""

    def __init__(self, lane: asyncio.Semaphore) -> None:
        self._lane = lane

    async def acquire(self) -> object:
        if self._lane.locked():
            raise UploadIncomplete("as many uploads as may be are followed already")
        return await self._lane.acquire()

    def release(self) -> None:
        self._lane.release()


class SlotLease:
    """A place in each of `lanes`: held while a blob is read and sent, left while it waits for the word. One task uses
    it; `async with` takes and leaves it."""

    def __init__(self, *lanes: SemaphoreLike) -> None:
        self._lanes = lanes
        self._held: list[SemaphoreLike] = []

    async def acquire(self) -> None:
        """Nothing where it is held already."""
        try:
            for lane in self._lanes[len(self._held) :]:
                await lane.acquire()
                self._held.append(lane)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Any number of times."""
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
    """What the sending of a blob may have to wait for, and the berth that others use meanwhile."""

    berth: SlotLease = field(default_factory=SlotLease)
    word: CommitSignal | None = None
    ready: Ready | None = None
