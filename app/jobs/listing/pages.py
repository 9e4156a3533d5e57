"""A page of jobs, newest first, bounded in bytes and in work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from app.jobs.bounds import within
from app.jobs.model import Job, brief_bytes
from app.jobs.store import JobQuery, Key, encode_cursor, key_of
from app.jobs.tracking.tracker import JobTracker

MAX_PAGE = 500  # documents of one answer
MAX_PAGE_BYTES = 4 << 20  # of them as JSON, roughly; 500 usual ones have a quarter of it
PAGE_BATCH = 50  # jobs that are read at once
SEARCH_SECONDS = 1.0  # after which a search ends its page early; 10,000 usual jobs take a tenth of it


@dataclass(frozen=True, slots=True)
class JobPages:
    """`elapsed`: seconds that only grow."""

    tracker: JobTracker
    elapsed: Callable[[], float]

    async def page(self, query: JobQuery, limit: int) -> tuple[tuple[Job, ...], str | None]:
        """Return up to `limit` jobs and the cursor of the next page; None on the last one."""
        jobs, following = await (self._list(query, limit) if query.text is None else self._search(query, limit))
        return jobs, None if following is None else encode_cursor(following)

    async def _list(self, query: JobQuery, limit: int) -> tuple[tuple[Job, ...], Key | None]:
        """Return a page, which ends early if its jobs have long lists of archives, without reading more than needed."""
        jobs: tuple[Job, ...] = ()
        while True:
            most = min(PAGE_BATCH, limit + 1 - len(jobs))
            found = await self.tracker.page(replace(query, limit=most))
            jobs += found
            fitting = _fitting(jobs, limit)
            if len(fitting) < len(jobs) or len(found) < most:
                return fitting, None if len(fitting) == len(jobs) else key_of(fitting[-1])
            query = replace(query, before=key_of(jobs[-1]))

    async def _search(self, query: JobQuery, limit: int) -> tuple[tuple[Job, ...], Key | None]:
        """Return a page, which may end before it is full; its cursor continues after the last job that was read."""
        jobs: tuple[Job, ...] = ()
        until = self.elapsed() + SEARCH_SECONDS
        while True:
            found, following = await self.tracker.search(replace(query, limit=limit - len(jobs)))
            jobs += found
            fitting = _fitting(jobs, limit)
            if len(fitting) < len(jobs):
                return fitting, key_of(fitting[-1])
            if following is None or len(jobs) == limit or self.elapsed() >= until:
                return jobs, following
            query = replace(query, before=following)


def _fitting(jobs: tuple[Job, ...], limit: int) -> tuple[Job, ...]:
    return tuple(within(jobs, MAX_PAGE_BYTES, brief_bytes))[:limit] or jobs[:1]


__all__ = ["MAX_PAGE", "MAX_PAGE_BYTES", "PAGE_BATCH", "SEARCH_SECONDS", "JobPages"]
