"""The changes of all jobs that one reader may see."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from app.jobs.model import Job

MAX_PENDING = 2_000  # jobs with changes that the reader has not taken; one with more of them lists the jobs anew
MAX_BATCH = 100  # jobs that the reader takes at once


@dataclass(frozen=True, slots=True)
class JobChanges:
    """`jobs` as they are now, `deleted`: ids. `is_incomplete`: changes of other jobs were missed."""

    jobs: tuple[Job, ...] = ()
    deleted: tuple[str, ...] = ()
    is_incomplete: bool = False


class JobFeed:
    """Of each job the newest state alone is kept, so a slow reader costs little. `submitter`: only jobs of this token;
    None: all jobs."""

    def __init__(self, submitter: str | None = None) -> None:
        self._submitter = submitter
        self._changed: dict[str, Job | None] = {}  # None: deleted
        self._is_incomplete = False
        self._arrived = asyncio.Event()

    def put(self, job: Job) -> None:
        if self._submitter is None or job.submitter.name == self._submitter:
            self._add(job.id, job)

    def put_deleted(self, job_id: str, job: Job | None) -> None:
        """`job` as it was; None if that is not known: then only a reader that sees all jobs learns of it."""
        if self._submitter is None or (job is not None and job.submitter.name == self._submitter):
            self._add(job_id, None)

    def mark_incomplete(self) -> None:
        self._is_incomplete = True
        self._changed.clear()
        self._arrived.set()

    async def next(self) -> JobChanges:
        """Return the changes of some jobs as soon as there are any."""
        await self._arrived.wait()
        ids = list(self._changed)[:MAX_BATCH]
        taken = {job_id: self._changed.pop(job_id) for job_id in ids}
        is_incomplete, self._is_incomplete = self._is_incomplete, False
        if not self._changed:
            self._arrived.clear()
        return JobChanges(
            tuple(job for job in taken.values() if job is not None),
            tuple(job_id for job_id, job in taken.items() if job is None),
            is_incomplete,
        )

    def _add(self, job_id: str, job: Job | None) -> None:
        self._changed[job_id] = job
        self._arrived.set()
        if len(self._changed) > MAX_PENDING:
            self.mark_incomplete()


__all__ = ["MAX_BATCH", "MAX_PENDING", "JobChanges", "JobFeed"]
