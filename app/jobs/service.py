"""JobService: one method per user action.

An upload, as a form or a raw body (leaving the block on an error abandons the upload):

    async with await service.begin(source="upload", idempotency_key=key) as upload:
        for each archive of the request:
            await upload.receive(name, chunks, expected_bytes)
        job = await upload.submit(request)

`upload.job` is the job, from the first byte on. `upload.replay` is True if the idempotency key is known: `receive` then
only hashes the bytes, and `submit` compares the request with the first one. It returns the same job, or raises
InvalidRequest for a different request. Fifty equal concurrent requests make one job. A first upload that broke off, or
was cancelled during the upload, releases its key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from app.errors import Conflict, InvalidRequest, Problem
from app.jobs.deliveries.each import separate
from app.jobs.image_page import ImagePage, page_of, parse_image_cursor
from app.jobs.listing import JobFilters
from app.jobs.listing.pages import MAX_PAGE, JobPages
from app.jobs.model import MAX_IMAGES, ArchiveSource, Job, JobArchive, JobState
from app.jobs.outage import reset_failed_images, resumed
from app.jobs.registries import pick_registry
from app.jobs.request import JobRequest, RetryOptions, check_idempotency_key
from app.jobs.runtime import JobRuntime
from app.jobs.sources.continued_files import join_continued
from app.jobs.sources.paths import AllowedRoots
from app.jobs.sources.server_archives import nothing_quoted, path_archives, relocate_file
from app.jobs.sources.split_files import join_parts
from app.jobs.store import parse_cursor
from app.jobs.tracking.feed import JobFeed
from app.jobs.uploads.replayed_upload import ReplayedUpload, check_same_request
from app.jobs.uploads.streamed_upload import ArchiveUpload, StreamedUpload
from app.push import ImageState
from app.push.report.progress import ENDED
from app.spool import SpooledFile
from app.threads import hash_in_thread, plan_in_thread

ALL_JOBS = JobFilters()
UNCHANGED = RetryOptions()
REPLAY_SECONDS = 60.0  # maximum time that a complete replay waits for the end of the first upload


class JobService:
    """The user actions. Each raises NotFound for an unknown job.

    Every returned Job is durable, except for its progress, which may be ahead of the stored one."""

    def __init__(self, runtime: JobRuntime) -> None:
        self._runtime = runtime
        self._tracker = runtime.tracker
        self._uploads: dict[str, StreamedUpload] = {}
        self._stops: dict[str, Callable[[], None]] = {}
        self._submitter: str | None = None  # if set, only jobs of this token are listed

    @property
    def has_uploads(self) -> bool:
        """Return whether an upload is in progress."""
        return bool(self._uploads)

    async def begin(
        self, *, source: str = "upload", idempotency_key: str | None = None, delivery: str | None = None
    ) -> ArchiveUpload:
        """Begin an upload: a new job, or the replay of a request with the same key. Raises InvalidRequest."""
        check_idempotency_key(idempotency_key)
        job = replace(self._new(JobState.RECEIVING, idempotency_key), delivery=delivery)
        stored = await self._tracker.add(job)
        if stored.id != job.id:
            return ReplayedUpload(stored, self._received)
        left = partial(self._uploads.pop, job.id, None)
        self._uploads[job.id] = StreamedUpload(self._runtime, job, ArchiveSource(source), left)
        return self._uploads[job.id]

    async def submit_paths(
        self, request: JobRequest, idempotency_key: str | None = None, *, watched: AllowedRoots | None = None
    ) -> Job:
        """Return a queued job, or the job that the same request with the same key created before.

        The files are examined when the job runs. `watched` is given if they are in a watched folder; they must then be
        below it instead of the allowed roots. Raises PathNotAllowed, PathNotFound, UnknownRegistry, and MissingContent
        for a split archive."""
        check_idempotency_key(idempotency_key)
        pick_registry(self._runtime.registries, request.registry)
        files = await plan_in_thread(self.share, self._find, request.paths, watched or self._runtime.roots)
        source = ArchiveSource.WATCH if watched else ArchiveSource.PATH
        job = replace(
            self._new(JobState.QUEUED, idempotency_key),
            archives=path_archives(files, request, source, watched or self._runtime.roots),
            options=request.options,
            registry=request.registry,
            labels=request.labels,
            priority=request.priority,
            delivery=request.delivery,
            fingerprint=request.fingerprint(),
            accepted_at=self._runtime.arrivals.next(self._runtime.clock),
        )
        stored = await self._tracker.add(job)
        if stored.id != job.id:
            stored = await self._received(stored.id)
            check_same_request(stored, request.fingerprint())
            return stored
        await self._runtime.queue.put(job.id, job.schedule)
        return job

    async def submit_copy(self, request: JobRequest) -> Job:
        """Return a queued job that pushes images of the image store. Raises UnknownRegistry."""
        return await self.submit_archives((JobArchive.of_store(),), request)

    async def submit_archives(self, archives: tuple[JobArchive, ...], request: JobRequest) -> Job:
        """Return a queued job for archives that are already on the server and stay there. Raises UnknownRegistry."""
        pick_registry(self._runtime.registries, request.registry)
        job = replace(
            self._new(JobState.QUEUED),
            archives=archives,
            options=request.options,
            registry=request.registry,
            labels=request.labels,
            priority=request.priority,
            delivery=request.delivery,
            accepted_at=self._runtime.arrivals.next(self._runtime.clock),
        )
        await self._tracker.add(job)
        await self._runtime.queue.put(job.id, job.schedule)
        return job

    def on_cancel(self, job_id: str, stop: Callable[[], None]) -> None:
        """Call `stop` if the job of a resumable upload is cancelled."""
        self._stops[job_id] = stop

    def attach_upload(self, job: Job) -> StreamedUpload:
        """Return the upload of a job whose archive arrived in pieces, until `detach_upload`."""
        self._uploads[job.id] = StreamedUpload(
            self._runtime, job, ArchiveSource.UPLOAD, lambda: self.detach_upload(job.id)
        )
        return self._uploads[job.id]

    def detach_upload(self, job_id: str) -> None:
        self._uploads.pop(job_id, None)
        self._stops.pop(job_id, None)

    def _find(self, patterns: Sequence[str], roots: AllowedRoots) -> tuple[SpooledFile, ...]:
        with nothing_quoted():
            return join_parts(roots.find(patterns), self._runtime.spool.open)

    async def separate_archives(self, patterns: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Return the paths of each archive that the patterns match. Raises PathNotAllowed, PathNotFound."""
        files = await plan_in_thread(self.share, self._find, patterns, self._runtime.roots)
        joined = await hash_in_thread(join_continued, files, self._runtime.spool.open, self._runtime.limits)
        return separate(joined)

    async def get(self, job_id: str) -> Job:
        """Return the job with as many images as a document shows."""
        return await self._tracker.look(job_id, MAX_IMAGES)

    async def images(self, job_id: str, *, limit: int, cursor: str | None = None) -> ImagePage:
        """Return a page of the images of a job, in order. Raises InvalidRequest for a cursor of another kind."""
        if not 1 <= limit <= MAX_IMAGES:
            raise InvalidRequest(f"limit is {limit}; it must be from 1 to {MAX_IMAGES}")
        first = 0 if cursor is None else parse_image_cursor(cursor)
        total = (await self._tracker.look(job_id, 0)).progress.images_total
        return page_of(await self._tracker.images(job_id, first, limit), first, total)

    async def page(
        self, filters: JobFilters = ALL_JOBS, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[tuple[Job, ...], str | None]:
        """Return jobs, newest first, and the cursor of the next page, None on the last. Raises InvalidRequest."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest(f"limit is {limit}; it must be from 1 to {MAX_PAGE}")
        before = None if cursor is None else parse_cursor(cursor)
        query = replace(filters.query(), before=before, submitter=self._submitter)
        return await JobPages(self._tracker, self._runtime.elapsed).page(query, limit)

    async def wait(self, job_id: str, seconds: float, *, for_answer: bool = False) -> Job:
        """Return the job when it has ended, or its present state after `seconds`.

        `for_answer`: return early if it waits for its registry for longer than that."""
        clock, elapsed = self._runtime.clock, self._runtime.elapsed
        until = elapsed() + seconds
        job = await self._tracker.look(job_id, MAX_IMAGES)
        try:
            async with asyncio.timeout(seconds), aclosing(self.subscribe(job_id)) as states:
                async for job in states:
                    if for_answer and job.schedule.delay(clock()).total_seconds() > until - elapsed():
                        break
        except TimeoutError:
            return job
        return job

    async def subscribe(self, job_id: str) -> AsyncGenerator[Job, None]:
        """Yield the present state and newer ones until the job has ended.

        A slow reader skips states but gets the newest. For a job that another replica runs, only the first images are
        included."""
        with self._tracker.subscribe(job_id) as news:
            job = await self._tracker.look(job_id, MAX_IMAGES)
            yield job
            while not job.ended:
                newer = await news.next()
                if newer.revision > job.revision:
                    job = newer
                    yield job

    @contextmanager
    def follow(self) -> Iterator[JobFeed]:
        """Follow the changes of all jobs that the caller may see."""
        with self._tracker.follow(self._submitter) as feed:
            yield feed

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job at any stage; nothing is pushed after this returns. Raises Conflict if it has ended."""
        job = await self._tracker.look(job_id, 0)
        if not job.ended:
            await self._runtime.queue.cancel(job_id)
            await self._runtime.early.cancel(job_id)
        job = await self._tracker.transition(job_id, self._cancelled)
        await self._runtime.queue.cancel(job_id)  # it may have been queued during the first call
        await self._runtime.early.cancel(job_id)
        upload = self._uploads.get(job_id)
        if upload is not None:
            upload.stop()
        if job_id in self._stops:
            self._stops[job_id]()
        return job

    async def retry(self, job_id: str, changes: RetryOptions = UNCHANGED) -> Job:
        """Run a failed or cancelled job again, with `changes` of its options. Raises Conflict, UnknownRegistry.

        Blobs already pushed are found present."""
        if changes.registry is not None:
            pick_registry(self._runtime.registries, changes.registry)
        now = self._runtime.clock()
        accepted_at = self._runtime.arrivals.next(self._runtime.clock)
        job = await self._tracker.transition(job_id, lambda job: self._allowed(_again(job, changes, accepted_at, now)))
        await self._runtime.queue.put(job_id, job.schedule)
        return job

    async def relocate(self, job_id: str, moved: Mapping[str, str], problem: Problem) -> None:
        """Let a failed job find its server files at their new paths, given by the former ones. Raises Conflict."""

        def relocated(job: Job) -> Job:
            if job.state is not JobState.FAILED:
                raise Conflict(f"job {job.id} is {job.state}")
            archives = tuple(replace(archive, file=relocate_file(archive.file, moved)) for archive in job.archives)
            return job.evolve(archives=archives, problem=problem)

        await self._tracker.transition(job_id, relocated)

    async def delete(self, job_id: str) -> None:
        """Delete an ended job and its files in the spool. Raises Conflict."""
        job = await self._tracker.delete(job_id, _check_ended)
        for archive in job.archives:
            if archive.file is not None:
                await self._runtime.discard(archive.file)

    @property
    def service_age(self) -> float:
        """Return how long the service has run, in seconds."""
        return self._tracker.age.now()

    async def usage(self) -> tuple[int, int]:
        """Return how many jobs of the caller are under way, and the bytes of its archives that are stored."""
        counted = await self._tracker.count(self._name)
        under_way = sum(number for state, number in counted.items() if not state.ended)
        return under_way, self._runtime.stored.used(self._name)

    @property
    def _name(self) -> str:
        """Name of the caller's token; "" where there are none."""
        return ""

    @property
    def share(self) -> str:
        """Return the name by which the threads of the service are shared fairly: that of a token."""
        return ""

    def _allowed(self, job: Job) -> Job:
        """Return `job` with the repositories that the caller of a retry may push to. Raises Forbidden."""
        return job

    def _new(self, state: JobState, idempotency_key: str | None = None) -> Job:
        return Job.new(state, self._runtime.clock(), idempotency_key)

    async def _received(self, job_id: str) -> Job:
        """Return the job as soon as its upload has ended, or after `REPLAY_SECONDS`."""
        job = await self._tracker.get(job_id)
        try:
            async with asyncio.timeout(REPLAY_SECONDS), aclosing(self.subscribe(job_id)) as states:
                async for job in states:
                    if job.state is not JobState.RECEIVING:
                        break
        except TimeoutError:
            return job
        return job

    def _cancelled(self, job: Job) -> Job:
        if job.ended:
            raise Conflict(f"job {job.id} {_WORDS[job.state]}; there is nothing to cancel")
        images = tuple(
            image if image.state in ENDED else replace(image, state=ImageState.CANCELLED) for image in job.images
        )
        cancelled = job.transition_to(
            JobState.CANCELLED,
            images=images,
            finished_at=self._runtime.clock(),
            next_attempt_at=None,
            paused_at=None,
            waited=timedelta(0),
            problem=None,
            starts=0,
        )
        if job.state is not JobState.RECEIVING:
            return cancelled
        # its upload discards the received bytes, and the key is free again
        bare = tuple(replace(archive, file=None) for archive in job.archives)
        return replace(cancelled, archives=bare, idempotency_key=None)


_WORDS = {
    JobState.SUCCEEDED: "has succeeded",
    JobState.FAILED: "has failed",
    JobState.CANCELLED: "was cancelled",
}


def _check_ended(job: Job) -> None:
    if not job.ended:
        raise Conflict(f"job {job.id} is {job.state}; cancel it first")


def _again(job: Job, changes: RetryOptions, accepted_at: datetime, now: datetime) -> Job:
    if not (changes.is_empty or job.ended):
        raise Conflict(f"job {job.id} is {job.state}; cancel it before it is retried with other options")
    if job.next_attempt_at is not None and not job.ended:
        return resumed(job, now).evolve(images=reset_failed_images(job.images))
    if job.state is JobState.SUCCEEDED:
        raise Conflict(f"job {job.id} {_WORDS[job.state]}; there is nothing to retry")
    if job.has_damaged_content:
        raise Conflict(
            f"job {job.id} {_WORDS[job.state]}: content of its archive is damaged, so no retry can succeed, and the "
            "archive is not kept; create the archive again and send it"
        )
    are_kept = all(archive.is_kept or archive.is_unreadable for archive in job.archives)
    if job.ended and not (are_kept and any(archive.is_kept for archive in job.archives)):
        raise Conflict(f"job {job.id} {_WORDS[job.state]}, and its archives are not kept; send them again")
    again: dict[str, Any] = {"attempt": job.attempt + 1, "finished_at": None, "problem": None}
    if changes.is_empty:
        again["images"] = reset_failed_images(job.images)
    else:  # other images, or others of their names: the plan is made from the start
        again |= {"options": changes.replace_in(job.options), "registry": changes.registry or job.registry}
        again |= {"images": (), "notices": (), "progress": replace(job.progress, percent=0.0)}
    return job.transition_to(JobState.QUEUED, accepted_at=accepted_at, **again)


__all__ = ["ArchiveUpload", "JobRequest", "JobService"]
