"""DiskUsage: how much of the disk the service takes, and for what."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.jobs.model import Job, JobState
from app.jobs.store import JobQuery, key_of

USAGE_SECONDS = 5.0  # for which a count is used again
_PAGE = 500
_ACTIVE = frozenset(state for state in JobState if not state.ended)


class JobPages(Protocol):
    async def page(self, query: JobQuery) -> tuple[Job, ...]: ...


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes: of the image store, of the spool, of that part of the spool that ended jobs keep, and free on the disk."""

    store: int
    spool: int
    kept: int
    free: int


class DiskUsage:
    """Counts in `data_dir`. `store_size` returns the bytes of the image store, if there is one."""

    def __init__(self, data_dir: Path, jobs: JobPages, store_size: Callable[[], Awaitable[int]] | None) -> None:
        self._data_dir, self._jobs, self._store_size = data_dir, jobs, store_size
        self._counted: tuple[float, Usage] | None = None

    async def read(self) -> Usage:
        """Return the usage, at most USAGE_SECONDS old. Raises Unavailable."""
        now = time.monotonic()
        if self._counted is None or now - self._counted[0] > USAGE_SECONDS:
            self._counted = now, await self._count()
        return self._counted[1]

    async def _count(self) -> Usage:
        store = 0 if self._store_size is None else await self._store_size()
        active = {job.id for job in await self._active()}
        sizes = await asyncio.to_thread(_sizes, self._data_dir / "spool")
        kept = sum(size for name, size in sizes.items() if name.partition("-")[0] not in active)
        free = await asyncio.to_thread(shutil.disk_usage, self._data_dir)
        return Usage(store, sum(sizes.values()), kept, free.free)

    async def _active(self) -> list[Job]:
        found: list[Job] = []
        query = JobQuery(states=_ACTIVE, limit=_PAGE)
        while page := await self._jobs.page(query):
            found += page
            query = JobQuery(states=_ACTIVE, limit=_PAGE, before=key_of(page[-1]))
        return found


def _sizes(folder: Path) -> dict[str, int]:
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            found[path.name] = path.stat().st_size
        except FileNotFoundError:  # deleted a moment ago
            continue
    return found
