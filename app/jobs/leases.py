"""Who may write a tag: one job at a time, and of two that want the same, the one accepted later has the last word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

from app.jobs.model import Clock, Job
from app.push import ImageState

LANDED = frozenset({ImageState.PUSHED, ImageState.ALREADY_PRESENT})
Claim = tuple[datetime, str]  # when a job was accepted, and its id for two of one microsecond
_TICK = timedelta(microseconds=1)


class TagsLeasedError(Exception):
    """The tags are another replica's for longer than a run may wait: its job may be one that died there, and goes on
    only when a run has ended here."""


class TagLeases(Protocol):
    """Shared by everything that pushes. A name is a destination as the document has it, `registry/repository:tag`."""

    def lease(self, job: Job, names: Collection[str]) -> AbstractAsyncContextManager[frozenset[str]]:
        """Waits until no other job has any of `names`, and holds them for as long as the block lasts. Gives those that
        a job accepted later has written already: they are not this job's to write any more. Raises TagsHeldError."""
        ...

    async def record_pushed(self, job: Job, names: Collection[str]) -> None:
        """`job` has written `names`, or found its image there; called while they are leased. What it outdates is not
        written any more, not after a restart either. Also called at the start of the service for jobs that ended while
        an older one still waits."""
        ...

    async def forget(self, before: datetime | None) -> None:
        """No job accepted before that (None: no job at all) still waits or runs: what landed earlier outdates none."""
        ...


class LocalTagLeases:
    """Between the jobs of this process."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._freed = asyncio.Condition()
        self._landed: dict[str, Claim] = {}

    def __len__(self) -> int:
        """How many names it has in memory."""
        return len(self._landed)

    @asynccontextmanager
    async def lease(self, job: Job, names: Collection[str]) -> AsyncIterator[frozenset[str]]:
        wanted = frozenset(names)
        async with self._freed:
            # all at once: two jobs that each held what the other waits for would wait for ever
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
    """The moments at which jobs are accepted: each later than the one before, also after the clock was set back, and
    after a restart. They say in which order jobs came, and the time of day as long as no clock was ahead."""

    def __init__(self) -> None:
        self._last = datetime.min.replace(tzinfo=UTC)

    def next(self, clock: Clock) -> datetime:
        self._last = max(clock(), self._last + _TICK)
        return self._last

    def is_ahead(self, now: datetime) -> bool:
        """Return whether a moment later than `now` has been given."""
        return self._last > now

    def observe(self, job: Job) -> None:
        """Take note of a job that was accepted before a restart, or by another replica."""
        self._last = max(self._last, acceptance_key(job)[0])


def pushed_tags(job: Job) -> frozenset[str]:
    """The destinations that have the job's images."""
    done = (image for image in job.images if image.state in LANDED)
    return frozenset(name for image in done for name in image.destinations)


def acceptance_key(job: Job) -> Claim:
    return (job.accepted_at or job.created_at, job.id)
