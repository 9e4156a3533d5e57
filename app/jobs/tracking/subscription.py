"""The newest state of a job for one watcher."""

from __future__ import annotations

import asyncio

from app.errors import NotFound
from app.jobs.model import Job


class StateSubscription:
    """The newest state of one job for one watcher. States in between are dropped, so a slow watcher costs nothing."""

    def __init__(self) -> None:
        self._job: Job | None = None
        self._arrived = asyncio.Event()

    def tell(self, job: Job | None) -> None:
        """Publish `job`; None if another replica has deleted it."""
        self._job = job
        self._arrived.set()

    async def next(self) -> Job:
        """Wait for a newer state and return it. Raises NotFound if the job has been deleted."""
        await self._arrived.wait()
        self._arrived.clear()
        if self._job is None:
            raise NotFound("the job has been deleted")
        return self._job
