"""The early pushes of uploads in progress, each until the run of its job takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

from app.jobs.model import Job
from app.jobs.registries import ConfiguredRegistry
from app.jobs.tracking.retry_reporter import RetryReporter
from app.jobs.tracking.tracker import JobTracker
from app.net.retry_observer import observe_retries
from app.push import Progress, PushOptions, PushPlan, PushResources, SentEarly
from app.push.early.early_push import EarlyPush, EarlyTarget
from app.push.early.pending import BlobKey, required_blob_keys
from app.push.early.targets import can_push_early, early_repository, repository_from_names
from app.registry.wrappers.fence import FencedRegistry
from app.spool import OpenFile
from app.threads import hash_in_thread

MOST_COUNTED = 1_000  # jobs whose early bytes are remembered; another replica may run them


@dataclass(frozen=True, slots=True)
class PartialArchive:
    """An archive that is being received: its number in the job, and `peek`, which opens the part received so far."""

    number: int
    peek: Callable[[], OpenFile]


@dataclass(frozen=True, slots=True)
class _EarlyPushTask:
    push: EarlyPush
    task: asyncio.Task[None]
    registry: ConfiguredRegistry
    archive: int  # number in its job

    def wanted_by(self, job: Job, plan: PushPlan) -> frozenset[BlobKey]:
        """Return the keys of the pushed blobs that the job needs in the repository they were sent to."""
        place = self.push.target
        if place is None or job.registry != self.registry.name or not can_push_early(job.options):
            return frozenset()
        if plan.layer_compression is not place.layer_compression:
            return frozenset()
        is_staged = self.registry.is_staging(place.repository)
        return required_blob_keys(plan, self.archive, None if is_staged else place.repository)


class EarlyPushes:
    """Early pushes, by job. `resources` are the shared push resources; without them nothing is pushed early.

    `tracker` shows the sent bytes in the job."""

    def __init__(self, resources: PushResources | None = None, tracker: JobTracker | None = None) -> None:
        self._resources = resources
        self._tracker = tracker
        self._under_way: dict[str, list[_EarlyPushTask]] = {}
        self._sent: dict[str, SentEarly] = {}  # for each job, in all
        self._runs: dict[str, Callable[[SentEarly], None]] = {}

    def start(
        self, job: Job, options: PushOptions, registry: ConfiguredRegistry, archive: PartialArchive
    ) -> EarlyPush | None:
        """Start an early push with the options known so far. Return None if it is already clear that none is
        permitted."""

        def place_at(repository: str | None) -> EarlyTarget | None:
            if repository is None or not job.submitter.may_use(repository):
                return None
            fenced = FencedRegistry(registry.registry, _no_tag_is_set, partial(registry.may_mount, job.submitter))
            return EarlyTarget(fenced, registry.destination.host, repository, options.layer_compression)

        def find(names: tuple[str, ...]) -> EarlyTarget | None:
            return place_at(repository_from_names(names, options, registry.destination))

        place = place_at(early_repository(options, registry.destination, registry.staging_of(job.submitter)))
        if self._resources is None or (place is None and (options.tag is not None or not can_push_early(options))):
            return None
        self._sent.setdefault(job.id, SentEarly(job.progress.bytes_sent, job.progress.blobs_sent))
        push = EarlyPush(archive.peek, self._resources, place, find, partial(self._count, job.id))
        with self._observed(job, registry):
            task = asyncio.create_task(_run(push, registry, job.id))
        early = _EarlyPushTask(push, task, registry, archive.number)
        self._under_way.setdefault(job.id, []).append(early)
        early.task.add_done_callback(partial(self._ended, job.id))
        return push

    async def commit_wanted(self, job: Job, plan: PushPlan) -> None:
        """Commit the blobs that the completely known job needs, and cancel the rest."""
        unwanted = []
        for early in self._under_way.get(job.id, ()):
            wanted = await hash_in_thread(early.wanted_by, job, plan)
            early.push.pending.commit_wanted(wanted)
            if not wanted:
                unwanted.append(early.task)
        await _cancel(unwanted)

    def counted(self, job: Job) -> Progress:
        """Return the progress of `job` including all bytes sent early."""
        sent, progress = self._sent.get(job.id, SentEarly()), job.progress
        return replace(
            progress,
            bytes_sent=max(progress.bytes_sent, sent.size),
            blobs_sent=max(progress.blobs_sent, sent.blobs),
        )

    def follow(self, job_id: str, emit: Callable[[SentEarly], None]) -> None:
        """Report further early bytes to `emit` of the job's run, until the pushes are done."""
        self._runs[job_id] = emit

    async def wait_until_done(self, job_id: str) -> None:
        """Wait until the early pushes of a job have ended; cancel them if this is cancelled."""
        tasks = self._take(job_id)
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            await _cancel(tasks)
            self._forget(job_id)

    async def cancel(self, job_id: str) -> None:
        """Cancel the early pushes of a job. Nothing is sent after this returns, and no upload session is left open."""
        await _cancel(self._take(job_id))
        self._forget(job_id)

    def _forget(self, job_id: str) -> None:
        self._runs.pop(job_id, None)
        self._sent.pop(job_id, None)

    def _count(self, job_id: str, event: SentEarly) -> None:
        before = self._sent.get(job_id, SentEarly())
        self._sent[job_id] = SentEarly(before.size + event.size, before.blobs + event.blobs)
        if job_id in self._runs:
            self._runs[job_id](event)
        elif self._tracker is not None:
            self._tracker.update_progress(job_id, lambda job: replace(job, progress=self.counted(job)))

    def _observed(self, job: Job, registry: ConfiguredRegistry) -> AbstractContextManager[None]:
        if self._tracker is None:
            return nullcontext()
        return observe_retries(RetryReporter(self._tracker, job, registry.name))

    def _take(self, job_id: str) -> list[asyncio.Task[None]]:
        return [early.task for early in self._under_way.pop(job_id, ())]

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        """Remove an ended task. The job may be run by another replica or not at all, so limit the remembered sizes."""
        left = [item for item in self._under_way.pop(job_id, ()) if item.task is not task]
        if left:
            self._under_way[job_id] = left
        while len(self._sent) > MOST_COUNTED:
            self._forget(next(iter(self._sent)))

    async def close(self) -> None:
        for job_id in tuple(self._under_way):
            await self.cancel(job_id)


async def _run(push: EarlyPush, registry: ConfiguredRegistry, job_id: str) -> None:
    with registry.under_way(job_id):
        await push.run()


async def _no_tag_is_set() -> None: ...


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
