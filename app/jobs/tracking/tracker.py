"""JobTracker: the current state of each job, durable transitions and subscriptions.

A transition is stored before it is published. Progress is published after it is stored, a few times a second.

The process that receives or runs a job has its newest state, which is ahead of the stored one. With several replicas
each shows the stored state, so that all give the same answer. A single process shows the newest state, but the stored
percent: a process that takes over then never shows a lower one. Every write is conditional on the state and attempt it
replaces (compare-and-swap, `JobStore.save`), so a replica that was wrongly thought dead finds out at its next write and
changes nothing."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from weakref import WeakValueDictionary

import structlog

from app.errors import Conflict, NotFound, Unavailable
from app.jobs.model import MAX_IMAGES, Clock, Job, JobImage, JobState, utc_now
from app.jobs.retention.service_age import LocalServiceAge, ServiceAge
from app.jobs.store import JobQuery, JobStore, Key
from app.jobs.tracking.feed import JobFeed
from app.jobs.tracking.live_job import LiveJob
from app.jobs.tracking.notifications import JobNotifications
from app.jobs.tracking.subscription import StateSubscription

SAVE_SECONDS = 0.25  # at most four writes a second for a job: one write takes 1.2 ms
POLL_SECONDS = 2.0  # interval of looking up watched jobs of other replicas, with or without notifications
MAX_CAS_RETRIES = 20  # retries of a transition that lost a race

Change = Callable[[Job], Job]
Sent = Callable[[int], None]
Transition = Callable[[Job | None, Job], None]

_LIVE = frozenset({JobState.RECEIVING, JobState.RUNNING})  # jobs in these states change more often than they are stored
_log = structlog.get_logger(__name__)


class JobTracker:
    """Current state of jobs, durable transitions and subscriptions.

    `age` is the age of the service; a job keeps its value at the end of the job."""

    def __init__(
        self,
        store: JobStore,
        announcements: JobNotifications | None = None,
        *,
        save_seconds: float = SAVE_SECONDS,
        age: ServiceAge | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._store, self.age = store, age or LocalServiceAge()
        self._announcements = announcements
        self._save_seconds = save_seconds
        self.clock = clock
        self._live: dict[str, LiveJob] = {}
        self._watchers: defaultdict[str, set[StateSubscription]] = defaultdict(set)
        self._feeds: set[JobFeed] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._changing: set[str] = set()
        self._changes: set[asyncio.Task[Job]] = set()
        self._unsaved: set[str] = set()
        self._progress_changed = asyncio.Event()
        self._observers: list[Callable[[Job], None]] = []
        self._transition_observers: list[Transition] = []
        self._sent_observers: list[Sent] = []

    def on_job_ended(self, ended: Callable[[Job], None]) -> None:
        """Call `ended` with each job that ends in this process, after it is stored. It must neither wait nor raise."""
        self._observers.append(ended)

    def on_transition(self, changed: Transition) -> None:
        """Call `changed` with each job before and after a stored change of its state, None before for a new job.

        It must neither wait nor raise."""
        self._transition_observers.append(changed)

    def observe_sent(self, sent: Sent) -> None:
        """Call `sent` at once with the number of bytes that a registry has read for a job of this replica.

        The number may be negative, as in `push.BlobSent`. `sent` must neither wait nor raise."""
        self._sent_observers.append(sent)

    async def add(self, job: Job) -> Job:
        """Store a new job. Return it, or the existing job with the same idempotency key."""
        stored = await self._store.add(job)
        if stored.id == job.id:
            self._publish(job)
            self._notify(None, job)
        return stored

    def track(self, job: Job) -> None:
        """Resume tracking of a job that was in progress when the previous process ended."""
        self._publish(job)

    async def get(self, job_id: str) -> Job:
        """Return the job as every client may see it. Raises NotFound.

        With several replicas that is the stored state; otherwise the newest state with the stored percent."""
        return await self._get(job_id)

    async def look(self, job_id: str, images: int) -> Job:
        """Return the job as `get` does, for display, with at least its first `images` images. Raises NotFound."""
        return await self._get(job_id, images)

    async def images(self, job_id: str, first: int, count: int) -> tuple[JobImage, ...]:
        """Return `count` images of a job from number `first` on, in the state that `get` returns."""
        if (live := self._unstored(job_id)) is not None:
            return live.job.images[first : first + count]
        return await self._store.images(job_id, first, count)

    async def _get(self, job_id: str, images: int | None = None) -> Job:
        stored = None if self._unstored(job_id) else await self._store.get(job_id, images)
        if (live := self._unstored(job_id)) is not None:
            return live.shown()
        if stored is None:
            raise NotFound(f"unknown job: {job_id[:64]!r}; it may have been deleted or have expired")
        return stored

    async def newest(self, job_id: str) -> Job:
        """Return the newest state of a job that this process receives or runs; of any other the result of `get`.

        Do not show it to clients. Raises NotFound."""
        live = self._live.get(job_id)
        return await self.get(job_id) if live is None else live.job

    async def page(self, query: JobQuery) -> tuple[Job, ...]:
        """Return jobs in the state that `get` returns, without images and inspections."""
        return tuple(self._newest(job) for job in await self._store.page(query))

    async def search(self, query: JobQuery) -> tuple[tuple[Job, ...], Key | None]:
        """Return what `JobStore.search` returns, with jobs in the state that `get` returns."""
        stored, following = await self._store.search(query)
        return tuple(self._newest(job) for job in stored), following

    def _newest(self, stored: Job) -> Job:
        return stored if (live := self._unstored(stored.id)) is None else live.shown().brief()

    async def count(self, submitter: str | None = None) -> Mapping[JobState, int]:
        """Return the number of jobs in each state."""
        return await self._store.count(submitter)

    async def transition(self, job_id: str, make: Change) -> Job:
        """Store what `make` returns for the present job, then publish it: the only way to change the state of a job.

        Changes of one job are serialized. Cancelling the caller does not interrupt a change. Raises NotFound and what
        `make` raises."""
        task = asyncio.create_task(self._change(job_id, make))
        self._changes.add(task)
        task.add_done_callback(self._on_change_done)
        return await asyncio.shield(task)

    def update_progress(self, job_id: str, make: Change) -> None:
        """Update the progress of a job, which is soon stored and then published.

        Ignore a job that is neither received nor run here, or whose state is being changed."""
        live = self._live.get(job_id)
        if live is not None and job_id not in self._changing:
            before, live.job = live.job, make(live.job)
            self._count_sent(before, live.job)
            self._unsaved.add(job_id)
            self._progress_changed.set()

    async def delete(self, job_id: str, check: Callable[[Job], None]) -> Job:
        """Delete a job and return it. Raises NotFound and what `check` raises."""
        async with self._lock(job_id):
            job = await self.get(job_id)
            check(job)
            await self._store.delete(job_id)
        for feed in self._feeds:
            feed.put_deleted(job_id, job)
        return job

    @contextmanager
    def subscribe(self, job_id: str) -> Iterator[StateSubscription]:
        watcher = StateSubscription()
        self._watchers[job_id].add(watcher)
        try:
            yield watcher
        finally:
            self._watchers[job_id].discard(watcher)
            if not self._watchers[job_id]:
                del self._watchers[job_id]

    @contextmanager
    def follow(self, submitter: str | None = None) -> Iterator[JobFeed]:
        """Follow the changes of all jobs, or of those of one token."""
        feed = JobFeed(submitter)
        self._feeds.add(feed)
        try:
            yield feed
        finally:
            self._feeds.discard(feed)

    async def run_saver(self) -> None:
        """Store updated progress until cancelled."""
        while True:
            await self._progress_changed.wait()
            self._progress_changed.clear()
            for job_id in tuple(self._unsaved):
                await self._save(job_id)
            await asyncio.sleep(self._save_seconds)

    async def run_listener(self) -> None:
        """Listen to changes by other replicas of the jobs that are watched, received or run here, until cancelled."""
        if self._announcements is None:
            return
        changed_ids: set[str] = set()
        arrived = asyncio.Event()

        def notify(job_id: str | None) -> None:
            for feed in self._feeds if job_id is None else ():
                feed.mark_incomplete()
            look_up(
                self._relevant_ids() if job_id is None else {job_id} if self._feeds else {job_id} & self._relevant_ids()
            )

        def look_up(ids: set[str]) -> None:
            changed_ids.update(ids)
            if ids:
                arrived.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(self._announcements.subscribe(notify))
            while True:
                try:
                    async with asyncio.timeout(POLL_SECONDS):
                        await arrived.wait()
                except TimeoutError:
                    look_up(self._relevant_ids())
                arrived.clear()
                while changed_ids:
                    await self._look_up(changed_ids.pop())

    def is_live(self, job_id: str) -> bool:
        """Return whether the job is received or run by this process."""
        return job_id in self._live

    async def still_owns(self, job: Job) -> bool:
        """Return whether the stored job still has the state and attempt of `job`. For use before irreversible steps."""
        if self._announcements is None:
            return True
        stored = await self._store.get(job.id, 0)
        return stored is not None and _is_same(stored, job)

    async def drain(self) -> None:
        """Wait until every transition under way is stored."""
        while self._changes:
            await asyncio.wait(self._changes)

    def _on_change_done(self, task: asyncio.Task[Job]) -> None:
        self._changes.discard(task)
        if not task.cancelled():
            task.exception()  # the caller received the error, or was cancelled; this marks it as retrieved

    async def _change(self, job_id: str, make: Change) -> Job:
        async with self._lock(job_id):
            self._changing.add(job_id)
            try:
                before, job = await self._store_change(job_id, make)
            finally:
                self._changing.discard(job_id)
            if job is before:
                return job
            self._publish(job)
            self._notify(before, job)
            return job

    def _notify(self, before: Job | None, job: Job) -> None:
        if before is not None and before.ended and job.ended:
            return  # other details of a job that ended before
        for transition in self._transition_observers:
            transition(before, job)
        for observer in self._observers if before is not None and job.ended else ():
            observer(job)

    async def _store_change(self, job_id: str, make: Change) -> tuple[Job, Job]:
        """Return the job before and after; the same value twice if nothing changes."""
        for _ in range(MAX_CAS_RETRIES):
            live = self._live.get(job_id)
            present = await self.get(job_id) if live is None else live.job
            job = make(present)
            if job.revision == present.revision:
                return present, present
            if job.ended and not present.ended:
                job = replace(job, ended_age=self.age.now())
            stored = present if live is None else live.stored
            job = self._with_revision(job, stored)
            if await self._store.save(job, over=stored):
                return present, job
            self._live.pop(job_id, None)
            if live is not None:
                raise Conflict(f"another replica has taken over job {job_id}")
        raise Conflict(f"too many concurrent changes of job {job_id}; try again")

    async def _save(self, job_id: str) -> None:
        async with self._lock(job_id):
            self._unsaved.discard(job_id)
            live = self._live.get(job_id)
            if live is None:
                return
            job = self._with_revision(live.job, live.stored)
            try:
                if await self._store.save(job, over=live.stored):
                    live.stored = job
                    self._publish_to_watchers(job)
                else:
                    await self._reconcile(live)
            except Unavailable as error:
                # progress may be late; only a transition insists on being stored
                _log.warning("job.progress_not_stored", job=job_id, reason=str(error))

    async def _reconcile(self, live: LiveJob) -> None:
        """Continue from the state that was stored meanwhile, or stop tracking a job that another replica now owns."""
        stored = await self._store.get(live.job.id)
        if stored is None or not _is_same(stored, live.job):
            self._live.pop(live.job.id, None)
        else:
            live.stored = stored

    def _with_revision(self, job: Job, stored: Job) -> Job:
        """Return `job` with the revision and time that follow `stored`; revisions count stored states."""
        return replace(job, revision=stored.revision + 1, updated_at=self.clock())

    def _count_sent(self, before: Job, job: Job) -> None:
        size = job.progress.bytes_sent - before.progress.bytes_sent
        for observer in self._sent_observers if size else ():
            observer(size)

    def _relevant_ids(self) -> set[str]:
        return self._watchers.keys() | self._live.keys()

    async def _look_up(self, job_id: str) -> None:
        """Publish the state that another replica has stored, and stop tracking a job that it has taken over."""
        async with self._lock(job_id):
            try:
                stored = await self._store.get(job_id, MAX_IMAGES if job_id in self._watchers else 0)
            except Unavailable:
                return  # the next look-up is at most LOOK_SECONDS away
            live = self._live.get(job_id)
            if live is not None and stored is not None and _is_same(stored, live.job):
                return
            self._live.pop(job_id, None)
            for watcher in self._watchers.get(job_id, ()):
                watcher.tell(stored)
            for feed in self._feeds:
                feed.put_deleted(job_id, None) if stored is None else feed.put(stored)

    def _unstored(self, job_id: str) -> LiveJob | None:
        """Return the job if its newest state may be shown before it is stored, which is so for a single process."""
        return self._live.get(job_id) if self._announcements is None else None

    def _publish(self, job: Job) -> None:
        """Publish a stored job, and track it as long as it changes often."""
        if job.state in _LIVE:
            self._live[job.id] = LiveJob(job, job)
        else:
            self._live.pop(job.id, None)
        self._publish_to_watchers(job)

    def _publish_to_watchers(self, job: Job) -> None:
        for watcher in self._watchers.get(job.id, ()):
            watcher.tell(job)
        for feed in self._feeds:
            feed.put(job)

    def _lock(self, job_id: str) -> asyncio.Lock:
        return self._locks.setdefault(job_id, asyncio.Lock())


def _is_same(stored: Job, job: Job) -> bool:
    return (stored.state, stored.attempt) == (job.state, job.attempt)
