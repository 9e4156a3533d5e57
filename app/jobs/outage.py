"""Outages of a registry: pause, resume and requeue a job. Pure, except for `PausedJobs`."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from app.errors import Conflict, Interrupted, Problem
from app.jobs.bounds import add_notices
from app.jobs.model import Job, JobImage, JobState
from app.jobs.queue import LONGEST_DELAY
from app.jobs.tracking.waiting_for import WaitingFor
from app.push import ImageState
from app.push.report.progress import LOST

FIRST_WAIT = timedelta(seconds=5)  # before that, the requests were retried for about half a minute
LONGEST_WAIT = LONGEST_DELAY
SHORTEST_WAIT = timedelta(seconds=1)
MOST_STARTS = 3  # a job that was running at three crashes of the process is not started a fourth time


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """How long a job waits for a registry that is out of service.

    `patience` is the longest outage that is waited for; by default none, and jobs fail at once. It is compared with the
    sum of the pauses, so a change of the system clock does not end the wait."""

    patience: timedelta = timedelta(0)
    chance: Callable[[], float] = random.random

    def pause(self, waited: timedelta) -> timedelta | None:
        """Return the pause before the next attempt, after `waited` of the outage; None if the job is given up.

        The pause is random, up to the time waited so far (full jitter), so that jobs stopped together do not retry
        together."""
        bound = min(max(waited, FIRST_WAIT), LONGEST_WAIT)
        pause = max(bound * self.chance(), SHORTEST_WAIT)
        return pause if waited + pause <= self.patience else None


FAIL_AT_ONCE = RetrySchedule()


def is_outage(problem: Problem) -> bool:
    """Return whether the problem is temporary: the registry is unreachable, overloaded, or asks to slow down.

    `app.registry.distribution.classification` decides that. A refusal may be retryable, but is not an outage."""
    return problem.outage


def is_outage_failure(job: Job, problem: Problem | None, images: Collection[JobImage]) -> bool:
    """Return whether the failure is due to an outage. A dry run reports the present state and never waits."""
    if job.options.dry_run:
        return False
    problems = [problem, *(image.problem for image in images if image.state is ImageState.FAILED)]
    return any(item is not None and is_outage(item) for item in problems)


def is_refused(image: JobImage) -> bool:
    """Return whether the image failed for a reason that waiting does not fix. Only a retry by hand tries it again."""
    return image.state is ImageState.FAILED and image.problem is not None and not is_outage(image.problem)


def refused_images(job: Job) -> Mapping[int, Problem]:
    """Return the problems of the images that earlier attempts could not push, by image number."""
    return {number: image.problem for number, image in enumerate(job.images) if is_refused(image) and image.problem}


def waited(job: Job, took: timedelta) -> timedelta:
    """Return how long the job has waited for its registry, if its present attempt has taken `took`.

    The outage began at the end of the first attempt that failed because of it."""
    return job.waited + took if job.paused_at else timedelta(0)


def pause_for_outage(job: Job, problem: Problem, now: datetime, pause: timedelta) -> Job:
    """Return the job, queued again to resume after `pause`, which counts as waited. Its problem remains visible."""
    at = now + pause
    waiting_for = (job.waiting_for or WaitingFor.begin(job.registry, now)).after(problem, now, at)
    told = (
        f"attempt {job.attempt} failed because of an outage ({problem.code}); "
        f"attempt {job.attempt + 1} is due at {_second(at)}"
    )
    again = reset_failed_images(job.images)
    return job.transition_to(
        JobState.QUEUED,
        attempt=job.attempt + 1,
        next_attempt_at=at,
        waiting_for=replace(waiting_for, next_at=at),
        paused_at=job.paused_at or now,
        waited=job.waited + pause,
        starts=0,
        problem=problem,
        images=tuple(image if is_refused(image) else retried for image, retried in zip(job.images, again, strict=True)),
        notices=add_notices(job.notices, (told,)),
    )


def reset_failed_images(images: Collection[JobImage]) -> tuple[JobImage, ...]:
    """Return the images with the failed and cancelled ones pending again."""
    return tuple(
        replace(image, state=ImageState.PENDING, problem=None) if image.state in LOST else image for image in images
    )


def resumed(job: Job, now: datetime) -> Job:
    """Return the job due at once, because the registry is back or a user asks for it.

    The rest of the pause is not counted as waited."""
    if job.state is not JobState.QUEUED:
        return job
    waited = max(job.waited - job.schedule.delay(now), timedelta(0))
    return job.evolve(next_attempt_at=None, waiting_for=asked_now(job), waited=waited)


def asked_now(job: Job) -> WaitingFor | None:
    """Return `waiting_for` of a job whose requests are sent again without further delay."""
    return job.waiting_for and replace(job.waiting_for, next_at=None)


def ended_as(job: Job, state: JobState, now: datetime, **changes: Any) -> Job:
    """Return a RUNNING job as ended; the time waited for its registry is reset."""
    return job.transition_to(state, finished_at=now, paused_at=None, waited=timedelta(0), starts=0, **changes)


def recover_running(job: Job, now: datetime) -> Job:
    """Return a job that was RUNNING when its process died: QUEUED, or FAILED after `MOST_STARTS` crashes."""
    if job.starts < MOST_STARTS:
        return job.transition_to(JobState.QUEUED, attempt=job.attempt + 1)
    error = Interrupted(
        f"the service crashed {job.starts} times while this job ran, and does not retry it; check the archive and the "
        "log, then retry the job"
    )
    images = tuple(
        replace(image, state=ImageState.FAILED, problem=error.problem)
        if image.state in {ImageState.PENDING, ImageState.PUSHING}
        else image
        for image in job.images
    )
    return job.transition_to(JobState.FAILED, starts=0, problem=error.problem, images=images, finished_at=now)


def requeue_on_shutdown(job: Job) -> Job:
    """Return a RUNNING job as queued, because the service shuts down. Raises Conflict if it is not RUNNING."""
    if job.state is not JobState.RUNNING:
        raise Conflict(f"job {job.id} is {job.state}")
    return job.transition_to(JobState.QUEUED, attempt=job.attempt + 1, starts=0)


def requeue_for_leases(job: Job) -> Job:
    """Return a RUNNING job as queued while other jobs write its tags; the attempt stays the same.

    Raises Conflict if it is not RUNNING."""
    if job.state is not JobState.RUNNING:
        raise Conflict(f"job {job.id} is {job.state}")
    return job.transition_to(JobState.QUEUED, starts=0)


class PausedJobs:
    """The jobs of this process that wait for a registry, by the registry's name."""

    def __init__(self) -> None:
        self._ids: dict[str, set[str]] = {}

    def add(self, job: Job) -> None:
        self._ids.setdefault(job.registry, set()).add(job.id)

    def take(self, registry: str) -> frozenset[str]:
        """Remove and return the jobs that wait for this registry."""
        return frozenset(self._ids.pop(registry, ()))


def _second(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
