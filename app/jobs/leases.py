"""Leases of tags: one job writes a tag at a time; of two jobs for one tag, the one accepted later wins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

from app.jobs.model import Clock, Job
from app.push import ImageState

LANDED = frozenset({ImageState.PUSHED, ImageState.ALREADY_PRESENT})
Claim = tuple[datetime, str]  # time at which a job was accepted, and its id to order two of the same microsecond
_TICK = timedelta(microseconds=1)


class TagsLeasedError(Exception):
    """Another replica has leased the tags for longer than a run may wait.

    The job with the lease may be one that died there; it resumes only when a run ends here."""


class TagLeases(Protocol):
    """Leases shared by all pushes. A name is a destination as in the job document, `registry/repository:tag`."""

    def lease(self, job: Job, names: Collection[str]) -> AbstractAsyncContextManager[frozenset[str]]:
        """Wait until no other job has a lease on any of `names`, and lease them for the duration of the block.

        The context returns the names that a job accepted later has already written; this job must not write them.
        Raises TagsLeasedError."""
        ...

    async def record_pushed(self, job: Job, names: Collection[str]) -> None:
        """Record that `job` has written `names`, or found its image there. Called while they are leased.

        Jobs accepted earlier then no longer write these names, even after a restart. At service start this is also
        called for jobs that ended while an older one still waits."""
        ...

    async def forget(self, before: datetime | None) -> None:
        """Forget pushed tags of jobs accepted before `before`, because no older job waits or runs; None: forget all."""
        ...


class LocalTagLeases:
    """Leases between the jobs of one process."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._freed = asyncio.Condition()
        self._landed: dict[str, Claim] = {}

    def __len__(self) -> int:
        """Return the number of names in memory."""
        return len(self._landed)

    @asynccontextmanager
    async def lease(self, job: Job, names: Collection[str]) -> AsyncIterator[frozenset[str]]:
        wanted = frozenset(names)
        async with self._freed:
            # all names at once: two jobs that each leased a name the other waits for would deadlock
            await self._freed.wait_for(lambda: not wanted & self._held)
            self._held |= wanted
        try:
            claim = acceptance_key(job)
            yield frozenset(name for name in wanted if name in self._landed and self._landed[name] > claim)
        finally:
            self._held -= wanted
            await asyncio.shield(self._tell())

    async def record_pushed(self, job: Job, names: Collection[str]) -> None:
        claim = acceptance_key(job)
        for name in names:
            self._landed[name] = max(claim, self._landed.get(name, claim))

    async def forget(self, before: datetime | None) -> None:
        if before is None:
            self._landed.clear()
            return
        self._landed = {name: claim for name, claim in self._landed.items() if claim[0] >= before}

    async def _tell(self) -> None:
        async with self._freed:
            self._freed.notify_all()


class AcceptanceClock:
    """Gives strictly increasing acceptance times, also after the clock was set back and after a restart.

    They define the order of acceptance. They are the time of day unless the clock was ahead at an earlier job."""

    def __init__(self) -> None:
        self._last = datetime.min.replace(tzinfo=UTC)

    def next(self, clock: Clock) -> datetime:
        """Return the next acceptance time."""
        self._last = max(clock(), self._last + _TICK)
        return self._last

    def is_ahead(self, now: datetime) -> bool:
        """Return whether a time later than `now` has been given."""
        return self._last > now

    def observe(self, job: Job) -> None:
        """Take note of a job that was accepted before a restart or by another replica."""
        self._last = max(self._last, acceptance_key(job)[0])


def pushed_tags(job: Job) -> frozenset[str]:
    """Return the destinations to which the job has pushed its images, or found them there."""
    done = (image for image in job.images if image.state in LANDED)
    return frozenset(name for image in done for name in image.destinations)


def acceptance_key(job: Job) -> Claim:
    return (job.accepted_at or job.created_at, job.id)
