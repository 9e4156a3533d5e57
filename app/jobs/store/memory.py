"""MemoryJobStore: jobs in the memory of this process, for tests and for programs that keep no jobs."""

from __future__ import annotations

from collections.abc import Mapping

from app.jobs.model import Job, JobImage, JobState
from app.jobs.store import JobQuery, key_of


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

    async def count(self) -> Mapping[JobState, int]:
        return {state: sum(job.state is state for job in self._jobs.values()) for state in JobState}

    async def delete(self, job_id: str) -> None:
        self._jobs.pop(job_id, None)


def _fits(job: Job, query: JobQuery) -> bool:
    return (
        job.state in query.states
        and (query.label is None or job.labels.get(query.label[0]) == query.label[1])
        and (query.submitter is None or job.submitter.name == query.submitter)
        and (query.before is None or key_of(job) < query.before)
    )
