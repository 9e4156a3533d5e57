"""Shows in a job that requests to its registry fail and are retried."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from app.errors import RegistryError
from app.jobs.model import Job
from app.jobs.tracking.tracker import JobTracker
from app.jobs.tracking.waiting_for import WaitingFor
from app.net.retry_observer import RetryObserver


class RetryReporter(RetryObserver):
    """Reports the retries of one job. `job` is its state before its requests began."""

    def __init__(self, tracker: JobTracker, job: Job, registry: str) -> None:
        self._tracker, self._job_id, self._registry = tracker, job.id, registry
        self._is_waiting = job.waiting_for is not None

    def request_failed(self, error: RegistryError, wait: float) -> None:
        self._show(error, wait, is_attempt=True)

    def request_held(self, error: RegistryError, wait: float) -> None:
        self._show(error, wait, is_attempt=False)

    def request_succeeded(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._tracker.update_progress(self._job_id, lambda job: replace(job, waiting_for=None))

    def _show(self, error: RegistryError, wait: float, *, is_attempt: bool) -> None:
        self._is_waiting = True
        now = self._tracker.clock()

        def waiting(job: Job) -> Job:
            before = job.waiting_for or WaitingFor.begin(self._registry, now)
            next_at = now + timedelta(seconds=wait) if wait else None  # a request is under way
            return replace(job, waiting_for=before.after(error.problem, now, next_at, is_attempt=is_attempt))

        self._tracker.update_progress(self._job_id, waiting)
