"""Finalizes an upload: from its last byte to its queued job, also after a crash in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import structlog

from app.archive import TarIndex
from app.archive.ingest import IngestStream, sniff_file
from app.archive.model import Compression
from app.errors import Internal, NotFound, TarmacError
from app.jobs.model import Job, JobArchive, JobState
from app.jobs.request import JobRequest
from app.jobs.resumable.model import UploadState
from app.jobs.resumable.progress import archive_of
from app.jobs.resumable.table import ActiveUpload, UploadTable
from app.jobs.runtime import JobRuntime
from app.jobs.service import JobService
from app.jobs.sources.server_archives import Refused, compare_checksum, read_chunks, unwrap
from app.jobs.uploads.index_memory import MAX_ARCHIVE_INDEX_BYTES
from app.spool import OpenFile, SpooledFile
from app.threads import hash_in_thread

ANSWER_SECONDS = 20.0  # proxies time out after 60; later results are in the job

_log = structlog.get_logger(__name__)


class UploadFinalizer:
    """Finalizes uploads in tasks. What `stop` interrupts is repeated at the next start."""

    def __init__(self, runtime: JobRuntime, service: JobService, uploads: UploadTable) -> None:
        self._runtime, self._service, self._uploads = runtime, service, uploads
        self._files = uploads.files
        self._tasks: dict[str, asyncio.Task[TarmacError | None]] = {}

    def start(self, upload: ActiveUpload) -> None:
        if upload.state.id not in self._tasks:
            self._tasks[upload.state.id] = asyncio.create_task(self._settle(upload))

    async def outcome(self, upload: ActiveUpload) -> TarmacError | None:
        """Return the problem of the archive, if it is known within ANSWER_SECONDS."""
        task = self._tasks.get(upload.state.id)
        if task is None:
            return None
        await asyncio.wait([task], timeout=ANSWER_SECONDS)
        if not task.done() or task.cancelled():
            return None
        if task.exception() is not None:
            return Internal("unexpected error in the service; see its log under the id of this job")
        return task.result()

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def fail_upload(self, upload: ActiveUpload, error: TarmacError) -> None:
        """Fail the job with `error`, and delete the upload."""
        size = await asyncio.to_thread(self._files.offset, upload.state.id)
        self._show(upload.state, archive_of(upload.state, size or 0))
        if upload.tally.intake is not None:
            self._note_digest(upload.state, upload.tally.intake)
        await self._fail(upload.state, error)
        await self._uploads.drop(upload.state.id)

    async def _settle(self, upload: ActiveUpload) -> TarmacError | None:
        state = upload.state
        try:
            job = await self._runtime.tracker.get(state.job)
            if job.state is not JobState.RECEIVING:
                await self._runtime.early.cancel(job.id)
                return None
            await self._queue(job, upload)
        except NotFound:
            return None
        except TarmacError as error:
            await self._fail(state, error)
            await asyncio.to_thread(self._files.drop_bytes, state.id, kept=True)
            return error
        else:
            await asyncio.to_thread(self._files.drop_bytes, state.id)
            return None
        finally:
            self._uploads.drop_index(upload)
            await self._uploads.count(upload)

    async def _queue(self, job: Job, upload: ActiveUpload) -> None:
        state = upload.state
        taken = self._service.attach_upload(job)
        memory = MAX_ARCHIVE_INDEX_BYTES if upload.tally.is_dropped else 0
        try:
            async with self._runtime.decoders.turn(job.share, memory):
                archive, index = await self._archive(job, upload)
                self._show(state, replace(archive, file=None))
                if state.hold:
                    await self._queue_held(job, archive, state.checksum)
                    return
                taken.add_spooled(archive, index)
                request = JobRequest(job.options, job.registry, job.labels, state.checksum, priority=job.priority)
                await taken.submit(request)
        finally:
            self._service.detach_upload(job.id)

    async def _queue_held(self, job: Job, archive: JobArchive, checksum: str | None) -> None:
        """Queue a job whose archive is retained.

        It is opened when the job runs: if it lacks a name, the archive is still here for another push."""
        expected = JobRequest(job.options, checksum=checksum).expected()
        if expected is not None:
            compare_checksum(archive, expected)
        accepted_at = self._runtime.arrivals.next(self._runtime.clock)

        def queued(job: Job) -> Job:
            return job.transition_to(JobState.QUEUED, archives=(archive,), accepted_at=accepted_at)

        present = await self._runtime.tracker.transition(job.id, queued)
        await self._runtime.queue.put(present.id, present.schedule)

    async def _archive(self, job: Job, upload: ActiveUpload) -> tuple[JobArchive, TarIndex]:
        """Move the plain tar to its final place, and return it hashed and indexed."""
        state, spooled_as = upload.state, f"{job.id}-0"
        size = await asyncio.to_thread(self._files.offset, state.id)
        finish = partial(upload.tally.finish, may_be_cut=job.options.keep_going)
        try:
            intake = None if size is None else await hash_in_thread(finish, size)
        except TarmacError:
            if upload.tally.intake is not None:
                self._note_digest(state, upload.tally.intake)
            raise
        if intake is not None:
            file = await self._move(state, spooled_as)
        else:
            intake, file = await self._read_again(job, state, spooled_as)
        if file.owned:
            self._runtime.stored.put(state.submitter, file.name, file.size)
        else:
            self._runtime.stored.forget(spooled_as)
        archive = replace(archive_of(state, intake.received), file=file)
        return replace(archive, digest=intake.digest, compression=intake.compression), intake.index

    def _note_digest(self, state: UploadState, intake: IngestStream) -> None:
        """Keep the digest of a refused archive that was read completely."""
        if intake.received == state.length:
            self._show(state, replace(archive_of(state, intake.received), digest=intake.digest))

    def _show(self, state: UploadState, archive: JobArchive) -> None:
        self._runtime.tracker.update_progress(state.job, lambda job: job.evolve(archives=(archive,)))

    async def _read_again(self, job: Job, state: UploadState, spooled_as: str) -> tuple[IngestStream, SpooledFile]:
        """Read the archive from its beginning: hash and index a plain tar, decompress any other into the spool."""
        refused = partial(self._note_digest, state)
        moved = await asyncio.to_thread(self._files.find_moved, state.id, spooled_as)
        is_moved = moved is not None and await asyncio.to_thread(self._files.offset, state.id) is None
        source = self._runtime.spool.open(moved) if moved and is_moved else await self._open(state)
        try:
            if is_moved or await asyncio.to_thread(sniff_file, source, source.size) is Compression.NONE:
                intake = await self._read(job, source, refused)
            else:
                intake, moved = await unwrap(source, spooled_as, self._runtime, job, refused)
                if state.hold:
                    moved = await asyncio.to_thread(self._files.retain_spooled, state.id, moved)
                is_moved = True
        finally:
            source.close()
        return intake, moved if moved and is_moved else await self._move(state, spooled_as)

    async def _read(self, job: Job, source: OpenFile, refused: Refused) -> IngestStream:
        runtime, may_be_cut = self._runtime, job.options.keep_going
        intake = IngestStream(runtime.limits, runtime.max_archive_bytes, may_be_cut=may_be_cut)
        try:
            async for chunk in read_chunks(source):
                await hash_in_thread(_drain, intake.feed, chunk)
            await hash_in_thread(_drain, intake.finish)
        except TarmacError:
            refused(intake)
            raise
        return intake

    async def _open(self, state: UploadState) -> OpenFile:
        return await asyncio.to_thread(self._files.open, state.id)

    async def _move(self, state: UploadState, spooled_as: str) -> SpooledFile:
        if state.hold:
            return await asyncio.to_thread(self._files.retain, state.id)
        return await asyncio.to_thread(self._files.move_to_spool, state.id, spooled_as)

    async def _fail(self, state: UploadState, error: TarmacError) -> None:
        def failed(job: Job) -> Job:
            if job.ended:
                return job
            bare = tuple(replace(archive, file=None) for archive in job.archives)
            return job.transition_to(
                JobState.FAILED, problem=error.problem, finished_at=self._runtime.clock(), archives=bare
            )

        if state.job:
            await self._runtime.early.cancel(state.job)
            try:
                await self._runtime.tracker.transition(state.job, failed)
            except NotFound:
                _log.info("upload.job_missing", upload=state.id[:8], job=state.job)


def _drain(step: Callable[..., Iterable[bytes]], *arguments: bytes) -> None:
    for _ in step(*arguments):
        pass
