"""Removes finished and expired uploads."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from app.errors import Conflict, NotFound, Unavailable, UploadIncomplete
from app.jobs.model import Job, JobArchive, JobState
from app.jobs.resumable.model import EMPTY_LIFETIME, LIFETIME, UploadState
from app.jobs.resumable.progress import archive_of
from app.jobs.resumable.table import ActiveUpload, UploadTable
from app.jobs.retention.idle import Idle
from app.jobs.runtime import JobRuntime

SWEEP_SECONDS = 60.0

_log = structlog.get_logger(__name__)


class UploadExpirer:
    def __init__(self, runtime: JobRuntime, uploads: UploadTable) -> None:
        self._runtime, self._uploads = runtime, uploads
        self._idle = Idle(runtime.elapsed)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Expire uploads at intervals, and when woken, until cancelled."""
        while True:
            try:
                await self.expire_uploads(datetime.now(UTC))
            except Unavailable as error:
                _log.warning("upload.expiry_failed", reason=str(error))
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                continue
            self._woken.clear()

    async def expire_uploads(self, now: datetime) -> int:
        """Remove uploads that have ended or expired, and return their number."""
        count = 0
        self._idle.keep({upload.state.id for upload in self._uploads.all()})
        for upload in self._uploads.all():
            if await self._is_over(upload, now):
                if not upload.state.complete:  # another replica cannot end the early push here when it cancels the job
                    await self._runtime.early.cancel(upload.state.job)
                await self._uploads.drop(upload.state.id)
                count += 1
        return count

    async def check_unused(self, state: UploadState) -> None:
        """Raise Conflict if a job still reads the retained archive."""
        for job_id in (state.job, *state.pushes) if state.complete and state.hold else ():
            if await self._state_of(job_id) in (JobState.QUEUED, JobState.RUNNING):
                raise Conflict(f"job {job_id} still reads the archive of this upload; cancel it first, or wait")

    async def _is_over(self, upload: ActiveUpload, now: datetime) -> bool:
        state = upload.state
        job = await self._state_of(state.job) if state.job else JobState.RECEIVING
        if not state.complete and job is not JobState.RECEIVING:
            return True
        touched = await asyncio.to_thread(self._uploads.files.touched_at, state.id)
        if state.complete and job is None and not state.pushes:
            return True
        offset = await asyncio.to_thread(self._uploads.files.offset, state.id)
        limit = LIFETIME if state.complete or offset else EMPTY_LIFETIME
        if not self._idle.is_over(state.id, touched, now.timestamp(), limit):
            return False
        return await self._expire(state, offset or 0, limit)

    async def _expire(self, state: UploadState, offset: int, limit: timedelta) -> bool:
        try:
            await self.check_unused(state)
            if state.job and not state.complete:
                archive = archive_of(state, offset)
                await self._runtime.tracker.transition(state.job, lambda job: self._failed(job, archive, limit))
        except (Conflict, NotFound):
            return not state.complete
        _log.info("upload.expired", upload=state.id[:8], job=state.job or None, complete=state.complete)
        return True

    def _failed(self, job: Job, archive: JobArchive, limit: timedelta) -> Job:
        hours = int(limit.total_seconds() // 3600)
        error = UploadIncomplete(f"the upload received no data for {hours} h and has expired; send the archive again")
        now = self._runtime.clock()
        return job.transition_to(JobState.FAILED, problem=error.problem, finished_at=now, archives=(archive,))

    async def _state_of(self, job_id: str) -> JobState | None:
        try:
            return (await self._runtime.tracker.get(job_id)).state
        except NotFound:
            return None
