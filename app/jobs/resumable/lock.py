"""UploadLock: one request at a time writes to an upload, and the newest wins.

A client whose connection broke returns while its first request still seems to be active here. The newest request
therefore interrupts the one before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import Conflict

TAKEOVER_SECONDS = 20.0  # seconds for one write of 1 MiB and a sync on a very busy disk


class UploadLocked(Conflict):
    """Another request writes to this upload."""


class UploadLock:
    """The lock of one upload."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._newest = 0
        self._scope: asyncio.Timeout | None = None

    @property
    def is_taken(self) -> bool:
        return self._lock.locked()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        """Wait until the previous request has released the lock, and keep it for the block.

        Raises UploadLocked if a newer request arrived meanwhile, or if the previous one does not release the lock."""
        self._newest += 1
        mine = self._newest
        self.interrupt()
        try:
            async with asyncio.timeout(TAKEOVER_SECONDS):
                await self._lock.acquire()
        except TimeoutError:
            raise UploadLocked("another request still writes to this upload; request its offset, then resume") from None
        try:
            if mine != self._newest:
                raise _overtaken()
            yield
        finally:
            self._lock.release()

    @asynccontextmanager
    async def interruptible(self) -> AsyncIterator[None]:
        """Mark code within the lock that waits for the client. Raises UploadLocked if a newer request arrives."""
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scope = scope
                yield
        except TimeoutError:
            if scope.expired():
                raise _overtaken() from None
            raise
        finally:
            self._scope = None

    def interrupt(self) -> None:
        """Interrupt the code that waits for the client. May be called again before that has ended."""
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.reschedule(asyncio.get_running_loop().time())


def _overtaken() -> UploadLocked:
    return UploadLocked("a newer request has taken over this upload, or it was cancelled; request its offset")
