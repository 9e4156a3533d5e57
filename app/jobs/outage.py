"""Outages of a registry: the job goes back to the queue, with a time to go on. Pure but for `PausedJobs`."""

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

FIRST_WAIT = timedelta(seconds=5)  # the requests themselves were tried again for about half a minute before
LONGEST_WAIT = LONGEST_DELAY
SHORTEST_WAIT = timedelta(seconds=1)
MOST_STARTS = 3  # a job that was there each time the process died is not given a fourth chance to kill it


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """`patience`: how long an outage is waited for; none at all by default, then jobs fail at once. It is compared with
    the sum of what was waited, so that a clock that is set does not end it."""

    patience: timedelta = timedelta(0)
    chance: Callable[[], float] = random.random

    def pause(self, waited: timedelta) -> timedelta | None:
        """Return the pause before the next attempt, after `waited` of the outage; None if it is given up. The pause is
        at most as long as what was waited, at random (full jitter): jobs that were stopped together do not come back
        together."""
        bound = min(max(waited, FIRST_WAIT), LONGEST_WAIT)
        pause = max(bound * self.chance(), SHORTEST_WAIT)
        return pause if waited + pause <= self.patience else None


FAIL_AT_ONCE = RetrySchedule()


def is_outage(problem: Problem) -> bool:
    """What passes by itself, as `app.registry.distribution.classification` says it: the registry cannot be reached,
    is overloaded, or asks to slow down. A refusal may be retryable, and is not waited for."""
    return problem.outage


def is_outage_failure(job: Job, problem: Problem | None, images: Collection[JobImage]) -> bool:
    """Whether what failed may succeed when the registry is well again. A dry run is asked for what is there now."""
    if job.options.dry_run:
        return False
    problems = [problem, *(image.problem for image in images if image.state is ImageState.FAILED)]
    return any(item is not None and is_outage(item) for item in problems)


def is_refused(image: JobImage) -> bool:
    """Whether the image failed in a way that no waiting mends: it stays failed until somebody retries the job."""
    return image.state is ImageState.FAILED and image.problem is not None and not is_outage(image.problem)


def refused_images(job: Job) -> Mapping[int, Problem]:
    """Return the problems of the images that an earlier attempt could not push, by number."""
    return {number: image.problem for number, image in enumerate(job.images) if is_refused(image) and image.problem}


def waited(job: Job, took: timedelta) -> timedelta:
    """Return what was waited for the registry of a job whose present attempt took `took` so far. The outage began when
    the first attempt ended that met it."""
    return job.waited + took if job.paused_at else timedelta(0)


def pause_for_outage(job: Job, problem: Problem, now: datetime, pause: timedelta) -> Job:
    """Back in the queue, to go on after `pause`, which counts as waited. Its problem stays to be seen."""
    at = now + pause
    waiting_for = (job.waiting_for or WaitingFor.begin(job.registry, now)).after(problem, now, at)
    told = f"attempt {job.attempt} met an outage ({problem.code}); attempt {job.attempt + 1} follows at {_second(at)}"
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
    """Those that were lost are to be pushed once more."""
    return tuple(
        replace(image, state=ImageState.PENDING, problem=None) if image.state in LOST else image for image in images
    )


def resumed(job: Job, now: datetime) -> Job:
    """The outage is over, or somebody wants to know: at once. The rest of the pause was not waited."""
    if job.state is not JobState.QUEUED:
        return job
    waited = max(job.waited - job.schedule.delay(now), timedelta(0))
    return job.evolve(next_attempt_at=None, waiting_for=asked_now(job), waited=waited)


def asked_now(job: Job) -> WaitingFor | None:
    """What the job waits for when its requests are sent again without further delay."""
    return job.waiting_for and replace(job.waiting_for, next_at=None)


def ended_as(job: Job, state: JobState, now: datetime, **changes: Any) -> Job:
    """A RUNNING job that has ended: what was waited for its registry is forgotten."""
    return job.transition_to(state, finished_at=now, paused_at=None, waited=timedelta(0), starts=0, **changes)


def recover_running(job: Job, now: datetime) -> Job:
    """A RUNNING job whose process died: QUEUED again, or FAILED where it has been so too often."""
    if job.starts < MOST_STARTS:
        return job.transition_to(JobState.QUEUED, attempt=job.attempt + 1)
    error = Interrupted(
        f"the service died {job.starts} times while this job ran, so it is set aside; look at the archive and at the "
        "log, then retry it"
    )
    images = tuple(
        replace(image, state=ImageState.FAILED, problem=error.problem)
        if image.state in {ImageState.PENDING, ImageState.PUSHING}
        else image
        for image in job.images
    )
    return job.transition_to(JobState.FAILED, starts=0, problem=error.problem, images=images, finished_at=now)


def requeue_on_shutdown(job: Job) -> Job:
    """A RUNNING job of a service that stops in order. Raises Conflict where it does not run."""
    if job.state is not JobState.RUNNING:
        raise Conflict(f"job {job.id} is {job.state}")
    return job.transition_to(JobState.QUEUED, attempt=job.attempt + 1, starts=0)


def requeue_for_leases(job: Job) -> Job:
    """A RUNNING job that has to wait, and lets others run meanwhile: no new attempt. Raises Conflict where it does not
    run."""
    if job.state is not JobState.RUNNING:
        raise Conflict(f"job {job.id} is {job.state}")
    return job.transition_to(JobState.QUEUED, starts=0)


class PausedJobs:
    """The jobs of this process that wait for their registry, by its name."""

    def __init__(self) -> None:
        self._ids: dict[str, set[str]] = {}

    def add(self, job: Job) -> None:
        self._ids.setdefault(job.registry, set()).add(job.id)

    def take(self, registry: str) -> frozenset[str]:
        """All that wait for this registry; they are no longer known here."""
        return frozenset(self._ids.pop(registry, ()))


def _second(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
