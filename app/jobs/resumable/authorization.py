"""AuthorizedUploads: resumable uploads for one caller, as `app.jobs.authorization`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from contextlib import suppress
from dataclasses import replace

from app.auth.model import STORED_PER_JOB, Caller, is_too_many
from app.errors import Busy, NotFound, QuotaExceeded, TarmacError
from app.jobs.authorization import AuthorizedJobs, with_upload_limit
from app.jobs.model import Job
from app.jobs.request import JobRequest
from app.jobs.resumable.model import UploadState
from app.jobs.resumable.requests import AppendRequest, AppendResult, NewUpload, UploadStatus
from app.jobs.resumable.service import MAX_UPLOADS, ResumableUploads


class AuthorizedUploads(ResumableUploads):
    """ResumableUploads in which uploads of other tokens appear not to exist."""

    def __init__(self, uploads: ResumableUploads, caller: Caller, jobs: AuthorizedJobs) -> None:
        vars(self).update(vars(uploads))
        self._caller, self._held = caller, jobs
        self._service = jobs
        self._runtime = with_upload_limit(uploads._runtime, caller)

    async def begin(self, new: NewUpload) -> UploadState:
        """Begin an upload. Raises QuotaExceeded, Busy and what the base method raises."""
        self._check_count()
        return await super().begin(new)

    async def _begin(self, new: NewUpload) -> UploadState:
        await self._held.check_stored(new.length or 1)
        async with self._held.within_quota():
            return await super()._begin(replace(new, submitter=self._caller.submitter))

    async def append(self, upload_id: str, patch: AppendRequest, chunks: AsyncIterable[bytes]) -> AppendResult:
        self._own(upload_id)
        await self._held.check_stored(0)
        return await super().append(upload_id, patch, chunks)

    async def abandon(self, upload_id: str, error: TarmacError) -> None:
        with suppress(NotFound):
            self._own(upload_id)
        await super().abandon(upload_id, error)

    async def concatenate(self, new: NewUpload, parts: Sequence[str]) -> UploadState:
        for part in parts:
            self._own(part)
        return await super().concatenate(new, parts)

    async def show(self, upload_id: str) -> UploadStatus:
        self._own(upload_id)
        return await super().show(upload_id)

    async def cancel(self, upload_id: str) -> None:
        self._own(upload_id)
        await super().cancel(upload_id)

    async def push_held(self, upload_id: str, request: JobRequest) -> Job:
        self._own(upload_id)
        return await super().push_held(upload_id, request)

    def _check_count(self) -> None:
        """Raise if the token has too many uploads. Parts and retained archives have no job that would be counted."""
        name, most = self._caller.name, self._caller.quota.jobs
        if not name:
            return
        uploads = self._uploads.taking_room()
        own = [upload for upload in uploads if upload.state.submitter == name]
        arriving = sum(not upload.state.complete for upload in own)
        if most is not None and arriving >= most:
            raise QuotaExceeded(f"too many unfinished uploads of {name}: {arriving}; finish or delete one")
        if most is not None and len(own) >= STORED_PER_JOB * most:
            raise QuotaExceeded(f"too many stored uploads of {name}: {len(own)}; delete one")
        if is_too_many(len(own) + 1, len(uploads) - len(own), MAX_UPLOADS):
            raise Busy(f"too many uploads of {name} at present: {len(own)}; finish or delete one")

    def _own(self, upload_id: str) -> None:
        state = self._uploads.find(upload_id).state
        if not (self._caller.is_admin or state.submitter == self._caller.name):
            raise NotFound("unknown upload; it may have ended, been cancelled or have expired")


__all__ = ["AuthorizedUploads"]
