"""Ledger: what every job is at this moment. State changes are durable before anybody is told of them; progress is told
at once and stored a few times a second."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

import structlog

from app.errors import NotFound, Unavailable
from app.jobs.job import Job, JobState
from app.jobs.store import JobQuery, JobStore

SAVE_SECONDS = 0.25  # four rows a second for a job: one costs 1.2 ms

Change = Callable[[Job], Job]

_LIVE = frozenset({JobState.RECEIVING, JobState.RUNNING})  # these change faster than they are stored
_log = structlog.get_logger(__name__)


class News:
    """The newest state of one job for one watcher; what came in between is left out, so a slow one costs nothing."""

    def __init__(self) -> None:
        self._job: Job | None = None
        self._arrived = asyncio.Event()

    def tell(self, job: Job) -> None:
        self._job = job
        self._arrived.set()

    async def next(self) -> Job:
        await self._arrived.wait()
        self._arrived.clear()
        assert self._job is not None
        return self._job


class Ledger:
    def __init__(self, store: JobStore, *, save_seconds: float = SAVE_SECONDS) -> None:
        self._store = store
        self._save_seconds = save_seconds
        self._live: dict[str, Job] = {}
        self._watchers: defaultdict[str, set[News]] = defaultdict(set)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._changing: set[str] = set()
        self._changes: set[asyncio.Task[Job]] = set()
        self._unsaved: set[str] = set()
        self._shown = asyncio.Event()

    async def add(self, job: Job) -> Job:
        """Store a new job, or find the one that has its idempotency key."""
        stored = await self._store.add(job)
        if stored.id == job.id:
            self._publish(job)
        return self._live.get(stored.id, stored)

    async def get(self, job_id: str) -> Job:
        """Raises NotFound."""
        job = self._live.get(job_id) or await self._store.get(job_id)
        if job is None:
            raise NotFound(f"there is no job {job_id[:64]!r}; it may have been deleted, or gone by age")
        return job

    async def page(self, query: JobQuery) -> tuple[Job, ...]:
        return tuple(self._live.get(job.id, job) for job in await self._store.page(query))

    async def change(self, job_id: str, make: Change) -> Job:
        """The one way to another state: what `make` gives of the present job is stored, then told. One change of a job
        at a time; a caller that is cancelled does not break it in the middle. Raises NotFound, what `make` raises."""
        task = asyncio.create_task(self._change(job_id, make))
        self._changes.add(task)
        task.add_done_callback(self._changed)
        return await asyncio.shield(task)

    def show(self, job_id: str, make: Change) -> None:
        """Progress: told now, stored soon. Nothing happens to a job that is not under way, or is being changed."""
        job = self._live.get(job_id)
        if job is not None and job_id not in self._changing:
            self._publish(make(job))
            self._unsaved.add(job_id)
            self._shown.set()

    async def delete(self, job_id: str, check: Callable[[Job], None]) -> Job:
        """Raises NotFound, what `check` raises."""
        async with self._lock(job_id):
            job = await self.get(job_id)
            check(job)
            await self._store.delete(job_id)
        return job

    @contextmanager
    def news(self, job_id: str) -> Iterator[News]:
        watcher = News()
        self._watchers[job_id].add(watcher)
        try:
            yield watcher
        finally:
            self._watchers[job_id].discard(watcher)
            if not self._watchers[job_id]:
                del self._watchers[job_id]

    async def keep_saving(self) -> None:
        """Store what is shown, until cancelled."""
        while True:
            await self._shown.wait()
            self._shown.clear()
            for job_id in tuple(self._unsaved):
                await self._save(job_id)
            await asyncio.sleep(self._save_seconds)

    async def settle(self) -> None:
        """Until every change under way is stored."""
        while self._changes:
            await asyncio.wait(self._changes)

    def _changed(self, task: asyncio.Task[Job]) -> None:
        self._changes.discard(task)
        if not task.cancelled():
            task.exception()  # the caller was told, or was cancelled and asks no more: nobody else misses it

    async def _change(self, job_id: str, make: Change) -> Job:
        async with self._lock(job_id):
            self._changing.add(job_id)
            try:
                job = make(await self.get(job_id))
                await self._store.save(job)
            finally:
                self._changing.discard(job_id)
            self._publish(job)
            return job

    async def _save(self, job_id: str) -> None:
        async with self._lock(job_id):
            self._unsaved.discard(job_id)
            job = self._live.get(job_id)
            if job is None:
                return
            try:
                await self._store.save(job)
            except Unavailable as error:
                # progress may be late; the state change that follows is not given up so easily
                _log.warning("progress is not stored", job=job_id, reason=str(error))

    def _publish(self, job: Job) -> None:
        if job.state in _LIVE:
            self._live[job.id] = job
        else:
            self._live.pop(job.id, None)
        for watcher in self._watchers.get(job.id, ()):
            watcher.tell(job)

    def _lock(self, job_id: str) -> asyncio.Lock:
        return self._locks.setdefault(job_id, asyncio.Lock())
