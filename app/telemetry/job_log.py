"""JobLog: log lines for accepted, retried and ended jobs, failed attempts, and outages of registries."""

from __future__ import annotations

import structlog

from app.errors import ErrorOrigin
from app.jobs.bounds import MAX_NOTICE, shorten
from app.jobs.model import Job, JobState

_log = structlog.get_logger(__name__)


class JobLog:
    """Logs transitions of jobs. An outage of a registry is logged once, when the first job meets it and when it ends.

    With several replicas, each logs the outages that its jobs meet.
    """

    def __init__(self) -> None:
        self._lost: set[str] = set()  # names of registries

    def record(self, before: Job | None, job: Job) -> None:
        """Log a stored transition of a job; `before` is None for a new one. It neither waits nor raises."""
        if job.state is JobState.QUEUED and (before is None or before.state is JobState.RECEIVING):
            _log_accepted(job)
        elif before is not None and before.ended and not job.ended:
            _log.info("job.retried", job=job.id, attempt=job.attempt)
        elif before is not None and before.state is JobState.RUNNING and not job.ended:
            if job.attempt > before.attempt:
                _log_failed_attempt(before.attempt, job)
        elif job.ended:
            _log_ended(job)
        self._record_registry(before, job)

    def _record_registry(self, before: Job | None, job: Job) -> None:
        if before is None:
            return
        problem = job.problem
        if before.state is JobState.QUEUED and before.paused_at is not None:
            self._lost.add(job.registry)  # the outage began before the last start
        if before.state is not JobState.RUNNING:
            return
        if problem is not None and problem.outage:
            if job.registry not in self._lost:
                self._lost.add(job.registry)
                _log.warning("registry.lost", registry=job.registry, job=job.id, code=problem.code, reason=_short(job))
        elif job.registry in self._lost and _has_reached(job):
            self._lost.remove(job.registry)
            _log.info("registry.back", registry=job.registry, job=job.id)


def _has_reached(job: Job) -> bool:
    """Return whether the end of a job shows that its registry answers."""
    failed_there = job.problem is not None and job.problem.origin is ErrorOrigin.REGISTRY
    return job.state is JobState.SUCCEEDED or (job.state is JobState.FAILED and failed_there)


def _log_accepted(job: Job) -> None:
    _log.info(
        "job.accepted",
        job=job.id,
        registry=job.registry,
        source=job.archives[0].source.value if job.archives else None,
        archives=len(job.archives),
        bytes=sum(archive.size for archive in job.archives),
        submitter=job.submitter.name or None,
    )


def _log_failed_attempt(attempt: int, job: Job) -> None:
    _log.warning(
        "job.attempt_failed",
        job=job.id,
        registry=job.registry,
        attempt=attempt,
        code="interrupted" if job.problem is None else job.problem.code,
        reason=_short(job),
        next_attempt_at=job.next_attempt_at and job.next_attempt_at.isoformat(timespec="seconds"),
    )


def _log_ended(job: Job) -> None:
    _log.info(
        "job.ended",
        job=job.id,
        state=job.state.value,
        code=job.problem.code if job.problem else None,
        reason=_short(job),
        attempt=job.attempt,
        registry=job.registry,
        images_pushed=job.progress.images_pushed,
        images_present=job.progress.images_present,
        images_skipped=job.progress.images_skipped,
        images_failed=job.progress.images_failed,
        bytes_sent=job.progress.bytes_sent,
        seconds=_seconds(job),
        submitter=job.submitter.name or None,
    )


def _seconds(job: Job) -> float | None:
    """Return the duration of the last run; None if the job never ran."""
    if job.started_at is None or job.finished_at is None:
        return None
    return round((job.finished_at - job.started_at).total_seconds(), 3)


def _short(job: Job) -> str | None:
    return None if job.problem is None else shorten(job.problem.detail, MAX_NOTICE)


__all__ = ["JobLog"]
