"""AuthorizedJobs: JobService restricted to the jobs of one caller.

Jobs of other tokens appear not to exist, unless the caller may see them. Submitted jobs record the caller's name. It is
a subclass with the same methods, and shares the state of the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from weakref import WeakValueDictionary

from app.auth.model import Caller
from app.errors import Forbidden, NotFound, QuotaExceeded
from app.jobs.image_page import ImagePage
from app.jobs.model import Job, JobArchive, JobState
from app.jobs.registries import pick_registry
from app.jobs.request import JobRequest, RetryOptions
from app.jobs.runtime import JobRuntime
from app.jobs.service import UNCHANGED, JobService
from app.jobs.sources.paths import AllowedRoots
from app.jobs.store import JobQuery
from app.jobs.uploads.streamed_upload import ArchiveUpload
from app.oci import Reference

_UNDER_WAY = frozenset({JobState.RECEIVING, JobState.QUEUED, JobState.RUNNING})
_DOORS: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by token name


class AuthorizedJobs(JobService):
    """JobService for one caller. Raises NotFound for a job it may not see, Forbidden for one it may only see."""

    def __init__(self, service: JobService, caller: Caller) -> None:
        vars(self).update(vars(service))
        self._caller = caller
        self._runtime = with_upload_limit(service._runtime, caller)
        self._submitter = None if caller.sees_all else caller.name

    async def begin(
        self, *, source: str = "upload", idempotency_key: str | None = None, delivery: str | None = None
    ) -> ArchiveUpload:
        await self.check_stored()
        async with self.within_quota():
            return await super().begin(source=source, idempotency_key=idempotency_key, delivery=delivery)

    async def submit_paths(
        self, request: JobRequest, idempotency_key: str | None = None, *, watched: AllowedRoots | None = None
    ) -> Job:
        await self.check_stored()
        async with self.within_quota():
            return await super().submit_paths(request, idempotency_key, watched=watched)

    async def submit_archives(self, archives: tuple[JobArchive, ...], request: JobRequest) -> Job:
        async with self.within_quota():
            return await super().submit_archives(archives, request)

    async def get(self, job_id: str) -> Job:
        return self._visible(await super().get(job_id))

    def _visible(self, job: Job) -> Job:
        if not (self._caller.sees_all or job.submitter.name == self._caller.name):
            raise NotFound(f"unknown job: {job.id[:64]!r}; it may have been deleted or have expired")
        return job

    async def images(self, job_id: str, *, limit: int, cursor: str | None = None) -> ImagePage:
        self._visible(await self._tracker.look(job_id, 0))
        return await super().images(job_id, limit=limit, cursor=cursor)

    async def wait(self, job_id: str, seconds: float, *, for_answer: bool = False) -> Job:
        self._visible(await self._tracker.look(job_id, 0))
        return await super().wait(job_id, seconds, for_answer=for_answer)

    async def subscribe(self, job_id: str) -> AsyncGenerator[Job, None]:
        self._visible(await self._tracker.look(job_id, 0))
        async with aclosing(super().subscribe(job_id)) as states:
            async for job in states:
                yield job

    async def cancel(self, job_id: str) -> Job:
        await self._steered(job_id)
        return await super().cancel(job_id)

    async def retry(self, job_id: str, changes: RetryOptions = UNCHANGED) -> Job:
        await self._steered(job_id)
        async with self.within_quota():
            return await super().retry(job_id, changes)

    async def delete(self, job_id: str) -> None:
        await self._steered(job_id)
        await super().delete(job_id)

    async def check_stored(self, size: int = 1) -> None:
        """Raise QuotaExceeded if the token has no space for `size` more bytes."""
        runtime, share, most = self._runtime, self._caller.name, self._caller.quota.most_stored
        runtime.stored.allow(share, most)
        if most is not None and runtime.replicas is not None and 2 * runtime.stored.used(share) > most:
            runtime.stored.keep_spooled(await runtime.spool.names())
        runtime.stored.check(share, size)

    @asynccontextmanager
    async def within_quota(self) -> AsyncIterator[None]:
        """Serialize the submissions of a token, so that concurrent ones cannot exceed its quota.

        Each replica checks for itself. Raises QuotaExceeded."""
        most = self._caller.quota.jobs
        if most is None:
            yield
            return
        async with _DOORS.setdefault(self._caller.name, asyncio.Lock()):
            query = JobQuery(states=_UNDER_WAY, submitter=self._caller.name, limit=most)
            if len(await self._tracker.page(query)) >= most:
                raise QuotaExceeded(
                    f"too many unfinished jobs of {self._caller.name}: {most}; the token allows no more; "
                    "retry when one has ended"
                )
            yield

    @property
    def _name(self) -> str:
        return self._caller.name

    @property
    def share(self) -> str:
        return self._caller.name or self._caller.submitter.address

    def _allowed(self, job: Job) -> Job:
        """Return the job with the caller's repositories.

        The rights of the caller decide, not those of the submitter: a token may have been restricted since."""
        bounds = self._caller.submitter.repositories
        shown = pick_registry(self._runtime.registries, job.registry).destination.host
        destinations = (destination for image in job.images for destination in image.destinations)
        self._caller.submitter.check(tuple(_reference(destination, shown) for destination in destinations))
        return replace(job, submitter=replace(job.submitter, repositories=bounds))

    def _new(self, state: JobState, idempotency_key: str | None = None) -> Job:
        job = super()._new(state, self._caller.namespaced_key(idempotency_key))
        return replace(job, share=self._caller.name, submitter=self._caller.submitter)

    async def _steered(self, job_id: str) -> None:
        job = self._visible(await self._tracker.look(job_id, 0))
        if not (self._caller.is_admin or job.submitter.name == self._caller.name):
            raise Forbidden(f"job {job_id} belongs to another token; {self._caller.name} may only read it")


def _reference(destination: str, registry: str) -> Reference:
    """Parse a destination of a job document, `registry/repository[:tag][@digest]`."""
    repository = destination.removeprefix(f"{registry}/").partition("@")[0].partition(":")[0]
    return Reference(registry, repository)


def with_upload_limit(runtime: JobRuntime, caller: Caller) -> JobRuntime:
    """Return the runtime with the caller's upload limit, if that is the lower one."""
    bounds = [item for item in (runtime.max_archive_bytes, caller.quota.upload_bytes) if item is not None]
    return replace(runtime, max_archive_bytes=min(bounds, default=None))


__all__ = ["AuthorizedJobs", "with_upload_limit"]
