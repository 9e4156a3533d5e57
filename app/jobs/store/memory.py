"""MemoryJobStore: jobs in the memory of this process, for tests and for programs that keep no jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from app.jobs.listing.search_text import search_parts, source_of
from app.jobs.model import Job, JobImage, JobState
from app.jobs.store import SEARCHED_AT_ONCE, JobQuery, Key, key_of


class MemoryJobStore:
    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    async def add(self, job: Job) -> Job:
        for other in self._jobs.values():
            if job.idempotency_key is not None and other.idempotency_key == job.idempotency_key:
                return other
        self._jobs[job.id] = job
        return job

    async def save(self, job: Job, over: Job | None = None) -> bool:
        known, before = self._jobs.get(job.id), over or job
        if known is None or (known.state, known.attempt) != (before.state, before.attempt):
            return False
        newer = known.revision < job.revision
        if newer:
            self._jobs[job.id] = job
        return newer

    async def get(self, job_id: str, images: int | None = None) -> Job | None:
        return self._jobs.get(job_id)

    async def images(self, job_id: str, first: int, count: int) -> tuple[JobImage, ...]:
        job = self._jobs.get(job_id)
        return () if job is None else job.images[first : first + count]

    async def page(self, query: JobQuery) -> tuple[Job, ...]:
        newest = sorted(self._jobs.values(), key=key_of, reverse=True)
        found = [job for job in newest if _fits(job, query)]
        return tuple(job.brief() for job in found[: query.limit])

    async def search(self, query: JobQuery) -> tuple[tuple[Job, ...], Key | None]:
        window = await self.page(replace(query, text=None, limit=SEARCHED_AT_ONCE))
        found = [job for job in window if _is_text_of(self._jobs[job.id], query.text or "")][: query.limit]
        if len(found) == query.limit:
            return tuple(found), key_of(found[-1])
        return tuple(found), key_of(window[-1]) if len(window) == SEARCHED_AT_ONCE else None

    async def count(self, submitter: str | None = None) -> Mapping[JobState, int]:
        jobs = [job for job in self._jobs.values() if submitter in (None, job.submitter.name)]
        return {state: sum(job.state is state for job in jobs) for state in JobState}

    async def delete(self, job_id: str) -> None:
        self._jobs.pop(job_id, None)


def _fits(job: Job, query: JobQuery) -> bool:
    return (
        job.state in query.states
        and (query.label is None or job.labels.get(query.label[0]) == query.label[1])
        and (query.submitter is None or job.submitter.name == query.submitter)
        and (query.submitted_by is None or job.submitter.name == query.submitted_by)
        and (query.before is None or key_of(job) < query.before)
        and (query.since is None or job.created_at >= query.since)
        and (query.until is None or job.created_at <= query.until)
        and (query.registry is None or job.registry == query.registry)
        and (query.source is None or source_of(job) == query.source)
        and (query.deliveries is None or job.delivery in query.deliveries)
        and (query.text is None or _is_text_of(job, query.text))
    )


def _is_text_of(job: Job, text: str) -> bool:
    return any(text in part for part in search_parts(job))
