"""Resumable uploads for one caller: those that another token began are not there. As `app.jobs.held`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from contextlib import suppress
from dataclasses import replace

from app.errors import NotFound, QuotaExceeded, TarmacError
from app.jobs.caller import Caller
from app.jobs.held import HeldJobs, bounded
from app.jobs.job import Job
from app.jobs.request import JobRequest
from app.jobs.resumable.state import UploadState
from app.jobs.resumable.uploads import ResumableUploads
from app.jobs.resumable.words import Appended, NewUpload, Patch, Shown


class HeldUploads(ResumableUploads):
    def __init__(self, uploads: ResumableUploads, caller: Caller, jobs: HeldJobs) -> None:
        vars(self).update(vars(uploads))
        self._caller, self._held = caller, jobs
        self._service = jobs
        self._workshop = bounded(uploads._workshop, caller)

    async def begin(self, new: NewUpload) -> UploadState:
        """Raises QuotaExceeded: a part has no job that would count."""
        own = [each for each in self._uploads.under_way() if each.state.submitter == self._caller.name]
        if self._caller.quota.jobs is not None and len(own) >= self._caller.quota.jobs:
            raise QuotaExceeded(f"{len(own)} uploads of {self._caller.name} are under way; end or delete one of them")
        async with self._held.admitted():
            return await super().begin(replace(new, submitter=self._caller.submitter))

    async def append(self, upload_id: str, patch: Patch, chunks: AsyncIterable[bytes]) -> Appended:
        self._own(upload_id)
        return await super().append(upload_id, patch, chunks)

    async def abandon(self, upload_id: str, error: TarmacError) -> None:
        with suppress(NotFound):
            self._own(upload_id)
        await super().abandon(upload_id, error)

    async def concatenate(self, new: NewUpload, parts: Sequence[str]) -> UploadState:
        for part in parts:
            self._own(part)
        return await super().concatenate(new, parts)

    async def show(self, upload_id: str) -> Shown:
        self._own(upload_id)
        return await super().show(upload_id)

    async def cancel(self, upload_id: str) -> None:
        self._own(upload_id)
        await super().cancel(upload_id)

    async def push_held(self, upload_id: str, request: JobRequest) -> Job:
        self._own(upload_id)
        return await super().push_held(upload_id, request)

    def _own(self, upload_id: str) -> None:
        state = self._uploads.find(upload_id).state
        if not (self._caller.is_admin or state.submitter == self._caller.name):
            raise NotFound("there is no such upload; it may have ended, been cancelled, or be too old")


__all__ = ["HeldUploads"]
