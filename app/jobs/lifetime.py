"""The job service from its start to its stop: what a crash left is set right, ended jobs go when they are old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import structlog

from app.errors import Conflict, NotFound, Unavailable, UploadIncomplete
from app.jobs.job import Job, JobState
from app.jobs.runner import Runner
from app.jobs.service import JobService
from app.jobs.store import JobQuery, key_of, sortable
from app.jobs.workshop import Workshop

GRACE_SECONDS = 30.0  # what runs may end within this when the service stops; the rest goes on after the next start
HOUSEKEEPING_SECONDS = 600.0
_BATCH = 200
# Progress that was told but not stored is lost with the process; a watcher that comes back must not take what follows
# for what it has seen.
_LEAP = 1_000_000
_ENDED = frozenset(state for state in JobState if state.ended)

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def at_work(
    workshop: Workshop, *, keep: timedelta, grace_seconds: float = GRACE_SECONDS
) -> AsyncIterator[JobService]:
    """Jobs are taken and run within this block. `keep`: the age at which ended jobs go."""
    service = JobService(workshop)
    waiting = await recover(workshop)
    for job_id in waiting:
        await workshop.queue.put(job_id)
    async with _background(workshop.ledger.keep_saving(), _keep_house(service, workshop, keep)):
        await workshop.queue.start(Runner(workshop).run)
        try:
            yield service
        finally:
            await workshop.queue.stop(grace_seconds)
            await workshop.ledger.settle()


@asynccontextmanager
async def _background(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as errors:
        # what broke in the block, or one of the two, is the error; that they run in a group is nobody's business
        raise errors.exceptions[0] from None


async def recover(workshop: Workshop) -> tuple[str, ...]:
    """Set right what a crash, or a stop, left: uploads have failed, runs begin again, files of no job go. The ids that
    wait to be run, oldest first."""
    waiting: list[str] = []
    spooled: set[str] = set()
    async for job in _jobs(workshop, frozenset(JobState) - {JobState.SUCCEEDED}):
        present = job
        if job.state is JobState.RECEIVING:
            present = await workshop.ledger.change(job.id, lambda job: _broken_off(job, workshop))
        elif job.state is JobState.RUNNING:
            present = await workshop.ledger.change(job.id, _interrupted)
        if present.state is JobState.QUEUED:
            waiting.append(job.id)
        spooled.update(Path(each.file.path).stem for each in present.archives if each.file and each.file.owned)
    swept = await workshop.spool.sweep(spooled)
    if waiting or swept:
        _log.info("took up where the service stopped", jobs=len(waiting), files_swept=swept)
    return tuple(reversed(waiting))


async def delete_older(service: JobService, workshop: Workshop, keep: timedelta) -> int:
    """Ended jobs that ended longer than `keep` ago, and their files. How many went."""
    limit = workshop.clock() - keep
    count = 0
    async for job in _jobs(workshop, _ENDED, (sortable(limit), "")):
        if job.finished_at is not None and job.finished_at < limit:
            try:
                await service.delete(job.id)
            except (Conflict, NotFound):
                continue  # retried, or deleted, a moment ago
            count += 1
    return count


async def _keep_house(service: JobService, workshop: Workshop, keep: timedelta) -> None:
    while True:
        try:
            await delete_older(service, workshop, keep)
        except Unavailable as error:
            _log.warning("old jobs are not deleted", reason=str(error))
        await asyncio.sleep(HOUSEKEEPING_SECONDS)


async def _jobs(
    workshop: Workshop, states: frozenset[JobState], before: tuple[str, str] | None = None
) -> AsyncIterator[Job]:
    """Newest first, a batch at a time."""
    while True:
        jobs = await workshop.ledger.page(JobQuery(states=states, before=before, limit=_BATCH))
        for job in jobs:
            yield job
        if len(jobs) < _BATCH:
            return
        before = key_of(jobs[-1])


def _broken_off(job: Job, workshop: Workshop) -> Job:
    error = UploadIncomplete("the service stopped while the archive was being received; send it again")
    return job.to(
        JobState.FAILED,
        problem=error.problem,
        finished_at=workshop.clock(),
        archives=tuple(replace(archive, file=None) for archive in job.archives),
        idempotency_key=None,
    )


def _interrupted(job: Job) -> Job:
    again = job.to(JobState.QUEUED, attempt=job.attempt + 1)
    return replace(again, revision=job.revision + _LEAP)
