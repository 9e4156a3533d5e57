"""The job of a resumable upload, and its progress."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

from app.jobs.model import ArchiveSource, Job, JobArchive, JobState
from app.jobs.resumable.model import UploadState
from app.jobs.resumable.requests import NewUpload
from app.jobs.runtime import JobRuntime
from app.push import with_received


class UploadProgressReporter:
    """Updates the progress of the job; called in the thread that writes."""

    def __init__(self, runtime: JobRuntime, state: UploadState, loop: asyncio.AbstractEventLoop) -> None:
        self._runtime, self._state, self._loop = runtime, state, loop

    def __call__(self, offset: int) -> None:
        if self._state.job:
            self._loop.call_soon_threadsafe(self._tell, offset)

    def _tell(self, offset: int) -> None:
        archive = archive_of(self._state, offset)
        self._runtime.tracker.update_progress(
            self._state.job,
            lambda job: job.evolve(
                archives=(archive,), progress=with_received(job.progress, offset, self._state.length)
            ),
        )


def archive_of(upload: UploadState | NewUpload, size: int) -> JobArchive:
    """Return the archive of an upload with `size` received bytes."""
    return JobArchive(upload.name, ArchiveSource.UPLOAD, size=size, path=upload.path or None)


def new_job(new: NewUpload, now: datetime) -> Job:
    request = new.request
    job = Job.new(JobState.RECEIVING, now)
    archives = (archive_of(new, 0),)
    told = with_received(job.progress, 0, new.length)
    return replace(
        job,
        archives=archives,
        progress=told,
        options=request.options,
        registry=request.registry,
        labels=request.labels,
        priority=request.priority,
        delivery=request.delivery,
        share=new.submitter.name,
        submitter=new.submitter,
    )
