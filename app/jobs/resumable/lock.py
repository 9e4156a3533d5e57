"""Who may write to an upload now. A client whose connection broke comes back while its first request still seems to
go on here; so the newest request goes first, and the one before it ends where it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import Conflict

TAKEOVER_SECONDS = 20.0  # one write of 1 MiB and a sync to the disk, when it is very busy


class UploadLocked(Conflict):
    """Another request writes to this upload."""


class UploadLock:
    """Of one upload."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._newest = 0
        self._scope: asyncio.Timeout | None = None

    @property
    def is_taken(self) -> bool:
        return self._lock.locked()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        """Waits until the request before has let go. Raises TurnTaken where a newer one came meanwhile, or that one
        does not let go."""
        self._newest += 1
        mine = self._newest
        self.interrupt()
        try:
            async with asyncio.timeout(TAKEOVER_SECONDS):
                await self._lock.acquire()
        except TimeoutError:
            raise UploadLocked("another request still writes to this upload; ask for its offset and go on") from None
        try:
            if mine != self._newest:
                raise _overtaken()
            yield
        finally:
            self._lock.release()

    @asynccontextmanager
    async def interruptible(self) -> AsyncIterator[None]:
        """Within a turn: what waits for the client. Raises TurnTaken when a newer request wants the turn."""
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
        """End what waits for the client. May be called again before that has ended."""
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.reschedule(asyncio.get_running_loop().time())


def _overtaken() -> UploadLocked:
    return UploadLocked("a newer request has taken over this upload, or it was cancelled; ask for its offset")
