"""ResumableUploads: one method per client action on a resumable upload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

from app.errors import (
    ArchiveError,
    Busy,
    Conflict,
    Interrupted,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    TarmacError,
    TooLarge,
)
from app.jobs.model import Job, JobState
from app.jobs.registries import pick_registry
from app.jobs.request import JobRequest
from app.jobs.resumable.append import UploadAppender
from app.jobs.resumable.expiry import UploadExpirer
from app.jobs.resumable.finalize import UploadFinalizer
from app.jobs.resumable.model import EMPTY_LIFETIME, LIFETIME, UploadState, new_id
from app.jobs.resumable.progress import new_job
from app.jobs.resumable.requests import (
    AppendRequest,
    AppendResult,
    LengthMismatch,
    NewUpload,
    OffsetMismatch,
    UploadAlreadyComplete,
    UploadStatus,
)
from app.jobs.resumable.table import ActiveUpload, UploadTable
from app.jobs.runtime import JobRuntime
from app.jobs.service import JobService

MAX_UPLOADS = 1_000  # at once; each is a file, and a row in the job store
MAX_PARTS = 100  # in a concatenation
MAX_PUSHES = 100  # of one retained archive


class ResumableUploads:
    """Actions on resumable uploads. Each raises NotFound for an unknown upload.

    Supports concurrent calls; of two for one upload, the newer one interrupts the other."""

    def __init__(self, runtime: JobRuntime, service: JobService, uploads: UploadTable) -> None:
        self._runtime, self._service, self._uploads = runtime, service, uploads
        self._files = uploads.files
        self._settler = UploadFinalizer(runtime, service, uploads)
        self._receiver = UploadAppender(runtime, uploads)
        self.sweeper = UploadExpirer(runtime, uploads)

    async def resume(self) -> None:
        """Continue after a start: finalize complete uploads, and make jobs cancellable again."""
        for upload in self._uploads.all():
            if upload.state.job:
                self._listen(upload)
            await self._complete_by_length(upload)
            if upload.state.complete and await self._job_of(upload.state) is not None:
                self._settler.start(upload)

    def interrupt(self) -> None:
        """Interrupt all requests before shutdown. Uploads keep their bytes and can be resumed after the next start."""
        for upload in self._uploads.all():
            upload.turns.interrupt()

    async def stop(self) -> None:
        await self._settler.stop()

    async def begin(self, new: NewUpload) -> UploadState:
        """Create an upload and its job, both durable. Raises UnknownRegistry, TooLarge, SpoolFull, Busy."""
        return await self._begin(new)

    async def _begin(self, new: NewUpload) -> UploadState:
        pick_registry(self._runtime.registries, new.request.registry)
        self._check_length(new.length)
        if len(self._uploads.taking_room()) >= MAX_UPLOADS:
            raise Busy(f"too many concurrent uploads; the limit is {MAX_UPLOADS}; retry later")
        await asyncio.to_thread(self._runtime.spool.check_space, new.length or 0)
        job = None if new.is_part else new_job(new, self._runtime.clock())
        state = UploadState(
            id=new_id(),
            job="" if job is None else job.id,
            name=new.name,
            length=new.length,
            metadata=new.metadata,
            concat="partial" if new.is_part else "",
            checksum=new.request.checksum,
            hold=new.hold,
            explicit=new.explicit,
            submitter=new.submitter.name,
            path=new.path,
        )
        # the file first: without an upload a job would be RECEIVING for ever; an upload without a job expires
        await asyncio.to_thread(self._files.create, state.id, state.write())
        upload = self._uploads.add(state, self._runtime.limits)
        await self._uploads.count(upload)
        if job is not None:
            await self._runtime.tracker.add(job)
            self._listen(upload)
        await self._complete_by_length(upload)
        return upload.state

    async def append(self, upload_id: str, patch: AppendRequest, chunks: AsyncIterable[bytes]) -> AppendResult:
        """Append the bytes of a request; bytes received before an error are kept.

        Raises OffsetMismatch, LengthMismatch, UploadChecksumMismatch, UploadAlreadyComplete, UploadLocked, TooLarge,
        SpoolFull, ArchiveError (the upload has then ended), and what `chunks` raises."""
        upload = self._uploads.find(upload_id)
        async with upload.turns.acquire():
            if upload.state.complete and patch.size == 0:
                return await self._appended(upload)  # the response to the last request was lost
            offset = await self._check(upload, patch)
            await self._learn_length(upload, patch, offset)
            try:
                async with upload.turns.interruptible():
                    offset = await self._receiver.receive(
                        upload, patch, chunks, lambda length: self._check_length(length, upload.state.length)
                    )
            except ArchiveError as error:
                await self._settler.fail_upload(upload, error)
                raise
            if patch.completes or (patch.completes is None and offset == upload.state.length):
                await self._complete(upload, offset)
        return await self._appended(upload)

    async def abandon(self, upload_id: str, error: TarmacError) -> None:
        """End an upload whose creation failed, as its client cannot know its address. Its job fails with `error`."""
        with suppress(NotFound):  # an upload that is not an archive has ended already
            upload = self._uploads.find(upload_id)
            async with upload.turns.acquire():
                await self._settler.fail_upload(upload, error)

    async def concatenate(self, new: NewUpload, parts: Sequence[str]) -> UploadState:
        """Create one upload from several parts, which are deleted. Raises InvalidRequest and what `begin` raises."""
        if not 0 < len(parts) <= MAX_PARTS:
            raise InvalidRequest(f"wrong number of parts: {len(parts)}; a concatenation has 1 to {MAX_PARTS}")
        if len(set(parts)) < len(parts):
            raise InvalidRequest("a part is listed more than once; list each part once")
        async with AsyncExitStack() as turns:
            for part in sorted(parts):  # in one order, so that two requests never wait for each other
                await turns.enter_async_context(self._uploads.find(part).turns.acquire())
            return await self._joined(new, parts)

    async def _joined(self, new: NewUpload, parts: Sequence[str]) -> UploadState:
        found = [self._uploads.find(part) for part in parts]  # another request may have joined them meanwhile
        if not all(upload.state.is_part for upload in found):
            raise InvalidRequest("a part is not a partial upload; create each part with `Upload-Concat: partial`")
        if not all(upload.state.complete for upload in found):
            raise InvalidRequest("a part is not complete; send the rest of it first")
        sizes = [await self._offset(part) for part in parts]
        state = await self._begin(replace(new, length=sum(sizes), explicit=True))  # its parts are deleted with it
        upload = self._uploads.find(state.id)
        async with upload.turns.acquire():
            try:
                await asyncio.to_thread(self._files.join, state.id, parts)
                await self._uploads.count(upload)
                await self._complete(upload, sum(sizes))
            except BaseException as error:  # also if cancelled: the job must not wait for bytes that never arrive
                await asyncio.shield(self._settler.fail_upload(upload, _not_joined(error)))
                raise
        for part in parts:
            await self._uploads.drop(part)
        return upload.state

    async def show(self, upload_id: str) -> UploadStatus:
        """Return the status. The offset is durable and final, because a request that is still writing ends first."""
        upload = self._uploads.find(upload_id)
        async with upload.turns.acquire():
            await self._check_job(upload)
            await self._complete_by_length(upload)
            return await self._shown(upload)

    async def cancel(self, upload_id: str) -> None:
        """Delete an upload; cancel its job if that is still being received.

        Raises Conflict if a job reads the retained archive."""
        upload = self._uploads.find(upload_id)
        async with upload.turns.acquire():
            await self.sweeper.check_unused(upload.state)
            job = await self._job_of(upload.state)
            if job is not None and job.state is JobState.RECEIVING:
                await self._service.cancel(job.id)
            await self._uploads.drop(upload_id)

    async def push_held(self, upload_id: str, request: JobRequest) -> Job:
        """Create another job for the retained archive. Raises Conflict if there is none, UnknownRegistry."""
        upload = self._uploads.find(upload_id)
        async with upload.turns.acquire():
            job = await self._job_of(upload.state)
            files = job.archives if job is not None else ()
            kept = upload.state.complete and upload.state.hold and all(file.file is not None for file in files)
            if not files or not kept or (job is not None and job.state is JobState.RECEIVING):
                raise Conflict(
                    "the archive of this upload is not retained: the upload is not complete, or was created "
                    "without `hold`"
                )
            if len(upload.state.pushes) >= MAX_PUSHES:
                raise LimitExceeded(f"the archive was pushed {MAX_PUSHES} times, which is the limit; send it again")
            pushed = await self._service.submit_archives(files, request)
            await self._uploads.change(upload, pushes=(*upload.state.pushes, pushed.id))
            return pushed

    async def _check(self, upload: ActiveUpload, patch: AppendRequest) -> int:
        await self._check_job(upload)
        offset = await asyncio.to_thread(self._files.offset, upload.state.id)
        if upload.state.complete or offset is None:
            raise UploadAlreadyComplete("the upload is complete; nothing can be appended to it")
        if patch.offset != offset:
            raise OffsetMismatch(offset, patch.offset)
        return offset

    async def _check_job(self, upload: ActiveUpload) -> None:
        if upload.state.complete or upload.state.is_part:
            return
        job = await self._job_of(upload.state)
        if job is None or job.state is not JobState.RECEIVING:
            self.sweeper.wake()
            raise NotFound("the upload has ended, because its job was cancelled or has failed")

    async def _learn_length(self, upload: ActiveUpload, patch: AppendRequest, offset: int) -> None:
        length = patch.length
        if patch.completes and patch.size is not None:
            if length not in (None, offset + patch.size):
                raise LengthMismatch("Upload-Length differs from the length of this last request; send the right one")
            length = offset + patch.size
        known = upload.state.length
        if known is not None and length not in (None, known):
            raise LengthMismatch(
                f"the length of the upload changed from {known} to {length} bytes; repeat the first length"
            )
        if known is not None and offset + (patch.size or 0) > known:
            raise LengthMismatch(f"{patch.size} bytes at offset {offset} exceed the announced length of {known} bytes")
        if known is None and length is not None:
            self._check_length(length)
            await self._uploads.change(upload, length=length)

    def _check_length(self, length: int | None, announced: int | None = None) -> None:
        most = self._runtime.max_archive_bytes
        if length is not None and most is not None and length > most:
            raise TooLarge(f"the upload is too large: {length} bytes; the limit is {most} (TARMAC_MAX_UPLOAD_BYTES)")
        if announced is not None and length is not None and length > announced:
            raise LengthMismatch(
                f"the upload exceeds its announced length of {announced} bytes; the rest was discarded"
            )

    async def _complete_by_length(self, upload: ActiveUpload) -> None:
        """Complete an upload whose bytes are all here. Its client need not ask: it may take it for complete."""
        state = upload.state
        if state.complete or state.explicit or state.length is None:
            return
        if await asyncio.to_thread(self._files.offset, state.id) == state.length:
            await self._complete(upload, state.length)

    async def _complete(self, upload: ActiveUpload, length: int) -> None:
        await self._uploads.change(upload, complete=True, length=length)
        if upload.early is not None:
            upload.early.end()
        if not upload.state.is_part:
            self._settler.start(upload)

    async def _appended(self, upload: ActiveUpload) -> AppendResult:
        fault = await self._settler.outcome(upload) if upload.state.complete else None
        return AppendResult(await self._shown(upload), fault)

    async def _shown(self, upload: ActiveUpload) -> UploadStatus:
        state = upload.state
        offset = state.length if state.complete else await asyncio.to_thread(self._files.offset, state.id)
        touched = await asyncio.to_thread(self._files.touched_at, state.id)
        expires_at = datetime.fromtimestamp(touched, UTC) + (LIFETIME if offset else EMPTY_LIFETIME)
        return UploadStatus(state, offset or 0, expires_at, await self._job_of(state))

    async def _offset(self, upload_id: str) -> int:
        return await asyncio.to_thread(self._files.offset, upload_id) or 0

    async def _job_of(self, state: UploadState) -> Job | None:
        try:
            return await self._runtime.tracker.get(state.job) if state.job else None
        except NotFound:
            return None

    def _listen(self, upload: ActiveUpload) -> None:
        def stop() -> None:
            upload.turns.interrupt()
            self.sweeper.wake()

        self._service.on_cancel(upload.state.job, stop)


def _not_joined(error: BaseException) -> TarmacError:
    if isinstance(error, TarmacError):
        return error
    return Interrupted("the parts of the upload were not concatenated; they are kept; repeat the request")


@asynccontextmanager
async def resumable_uploads(
    runtime: JobRuntime, service: JobService, uploads: UploadTable
) -> AsyncIterator[ResumableUploads]:
    """Run the service of resumable uploads within the block. `uploads` were loaded before the job service started."""
    resumable = ResumableUploads(runtime, service, uploads)
    await resumable.resume()
    sweeping = asyncio.create_task(resumable.sweeper.run())
    try:
        yield resumable
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])
        await resumable.stop()
