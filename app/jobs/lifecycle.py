"""Start and stop of the job service: recovery after a crash, retention of ended jobs, shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from app.errors import Conflict, NotFound, Unavailable, UploadIncomplete
from app.jobs.leases import acceptance_key, pushed_tags
from app.jobs.model import Job, JobState
from app.jobs.outage import recover_running, requeue_on_shutdown
from app.jobs.retention.sweeping import keep_sweeping
from app.jobs.runner import Runner
from app.jobs.runtime import JobRuntime
from app.jobs.service import JobService
from app.jobs.store import JobQuery, key_of, timestamp_key
from app.spool import SpooledFile

GRACE_SECONDS = 30.0  # runs may end within this time at shutdown; the others resume after the next start
HOUSEKEEPING_SECONDS = 600.0
LONGEST_UPLOAD = timedelta(hours=1)  # maximum difference between the creation and the acceptance of a job
_BATCH = 200
_NEWEST = 50  # newest jobs that are read to find the latest acceptance time
_ENDED = frozenset(state for state in JobState if state.ended)

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def run_job_service(
    runtime: JobRuntime,
    *,
    keep: timedelta,
    keep_bytes: int | None = None,
    grace_seconds: float = GRACE_SECONDS,
    arriving: Set[str] = frozenset(),
) -> AsyncIterator[JobService]:
    """Accept and run jobs within this block.

    `keep`: ended jobs older than this are deleted. `keep_bytes`: total size of their archives in the spool. `arriving`:
    jobs whose uploads may be resumed."""
    service = JobService(runtime)
    await runtime.tracker.age.advance()
    await see_newest(runtime, _NEWEST)
    # with several replicas, others may be running what looks abandoned; the queue knows
    for job in await recover_jobs(runtime, arriving) if runtime.replicas is None else ():
        await runtime.queue.put(job.id, job.schedule)
    tracker = runtime.tracker
    async with _background(
        tracker.run_saver(),
        tracker.run_listener(),
        _keep_house(service, runtime, (keep, keep_bytes)),
        _keep_alive(runtime),
        keep_sweeping(runtime),
    ):
        runner = Runner(runtime)
        await runtime.queue.start(runner.run)
        try:
            yield service
        finally:
            await runtime.queue.stop(grace_seconds)
            await runtime.early.close()
            await runtime.tracker.drain()
            await _hand_back(runtime, runner)
            await _count_time(runtime)


@asynccontextmanager
async def _background(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(item) for item in work]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as errors:
        # raise the error itself, not the group of the background tasks
        raise errors.exceptions[0] from None


async def recover_jobs(runtime: JobRuntime, arriving: Set[str] = frozenset()) -> tuple[Job, ...]:
    """Recover from a crash or stop, and return the queued jobs, oldest first, without their images.

    Uploads in progress fail. Running jobs are requeued, except those that repeatedly crashed the process. Spooled files
    that belong to no job are deleted."""
    waiting: list[Job] = []
    spooled: set[str] = set()
    async for job in _jobs(runtime, frozenset(JobState) - {JobState.SUCCEEDED}):
        present = job
        if job.state is JobState.RECEIVING and job.id in arriving:
            runtime.tracker.track(await runtime.tracker.get(job.id))
            spooled.add(f"{job.id}-0")
        elif job.state is JobState.RECEIVING:
            present = await runtime.tracker.transition(job.id, lambda job: _broken_off(job, runtime))
        elif job.state is JobState.RUNNING:
            present = await runtime.tracker.transition(job.id, lambda job: recover_running(job, runtime.clock()))
        runtime.arrivals.observe(present)
        if present.state is JobState.QUEUED:
            waiting.append(present.brief())
        if present.next_attempt_at is not None:
            runtime.paused.add(present)
        if not await _is_damaged(runtime, present):
            spooled.update(_counted(present, runtime))
    swept = await runtime.spool.sweep(spooled)
    if waiting or swept:
        _log.info("service.recovered", jobs=len(waiting), files_deleted=swept)
    waiting.sort(key=acceptance_key)
    if waiting:
        await _remember_landed(runtime, acceptance_key(waiting[0])[0])
    return tuple(waiting)


async def _is_damaged(runtime: JobRuntime, job: Job) -> bool:
    """Return `has_damaged_content` of a job that may lack its images. Nothing of a damaged job is kept."""
    return job.has_damaged_content and (await runtime.tracker.get(job.id)).has_damaged_content


async def see_newest(runtime: JobRuntime, count: int) -> None:
    """Ensure that jobs accepted from now on follow the `count` newest ones, even if the clock was ahead then."""
    for job in await runtime.tracker.page(JobQuery(limit=count)):
        runtime.arrivals.observe(job)


async def _remember_landed(runtime: JobRuntime, oldest: datetime) -> None:
    """Record the tags written by jobs accepted after the oldest waiting one, so that it does not overwrite them."""
    is_ordered = not runtime.arrivals.is_ahead(runtime.clock())  # otherwise creation times do not give the order
    async for job in _jobs(runtime, _ENDED):
        if is_ordered and job.created_at < oldest - LONGEST_UPLOAD:
            return
        if acceptance_key(job)[0] > oldest:
            await runtime.leases.record_pushed(job, pushed_tags(await runtime.tracker.get(job.id)))


async def _forget_landed(runtime: JobRuntime) -> None:
    oldest = None
    async for job in _jobs(runtime, frozenset({JobState.QUEUED, JobState.RUNNING})):
        accepted = acceptance_key(job)[0]
        oldest = accepted if oldest is None else min(oldest, accepted)
    await runtime.leases.forget(oldest)


async def _hand_back(runtime: JobRuntime, runner: Runner) -> None:
    """Requeue the runs that the shutdown cancelled; they did not crash."""
    for job_id in filter(runtime.tracker.is_live, runner.cut_off):
        try:
            job = await runtime.tracker.transition(job_id, requeue_on_shutdown)
        except (Conflict, NotFound, Unavailable):
            continue  # its user cancelled it, or it resumes as it is after the next start
        await runtime.queue.put(job_id, job.schedule)  # another replica can claim it before this one counts as dead
    if runtime.replicas is not None:
        await runtime.replicas.leave()


async def _keep_alive(runtime: JobRuntime) -> None:
    """Send heartbeats, and fail the uploads that a dead replica was receiving."""
    while runtime.replicas is not None:
        try:
            for job_id in await runtime.replicas.heartbeat():
                with suppress(Conflict, NotFound):  # another replica was faster
                    await runtime.tracker.transition(job_id, lambda job: _broken_off(job, runtime))
            await see_newest(runtime, 1)
        except Unavailable as error:
            _log.warning("replica.heartbeat_failed", reason=str(error))
        await asyncio.sleep(runtime.replicas.beat_seconds)


async def delete_older(service: JobService, runtime: JobRuntime, keep: timedelta) -> int:
    """Delete jobs that ended longer than `keep` ago, and their files. Return how many were deleted.

    The service must have run for `keep` since, so that a wrong clock deletes nothing."""
    now = runtime.clock()
    limit, oldest = now - keep, runtime.tracker.age.now() - keep.total_seconds()
    count = 0
    async for job in _ended_before(runtime, limit):
        is_over = job.finished_at is not None and not limit <= job.finished_at <= now
        if is_over and job.ended_age <= oldest:
            try:
                await service.delete(job.id)
            except (Conflict, NotFound):
                continue  # retried or deleted a moment ago
            count += 1
    return count


async def _ended_before(runtime: JobRuntime, limit: datetime) -> AsyncIterator[Job]:
    """Yield ended jobs that were created before `limit`, or with a clock that was ahead."""
    now = runtime.clock()
    async for job in _jobs(runtime, _ENDED):
        if job.created_at <= now:
            break
        yield job
    async for job in _jobs(runtime, _ENDED, (timestamp_key(limit), "")):
        yield job


async def _count_time(runtime: JobRuntime) -> None:
    try:
        await runtime.tracker.age.advance()
    except Unavailable as error:
        _log.warning("service.age_not_stored", reason=str(error))


async def delete_over_quota(service: JobService, runtime: JobRuntime, keep_bytes: int) -> int:
    """Delete ended jobs if their archives in the spool exceed `keep_bytes`, and return how many were deleted.

    The oldest jobs of the tokens above their fair share are deleted first. Jobs that succeeded have no archives."""
    kept: dict[str, list[tuple[str, int]]] = {}  # by token; newest first
    async for job in _jobs(runtime, frozenset({JobState.FAILED, JobState.CANCELLED})):
        if own := sum(file.size for file in owned_files(job)):
            kept.setdefault(job.share, []).append((job.id, own))
    most = fair_share([sum(size for _, size in jobs) for jobs in kept.values()], keep_bytes)
    count = 0
    for job_id in (job_id for jobs in kept.values() for job_id in _beyond(jobs, most)):
        try:
            await service.delete(job_id)
        except (Conflict, NotFound):
            continue  # retried or deleted a moment ago
        count += 1
    return count


def fair_share(sizes: Sequence[int], total: int) -> int:
    """Return the limit for each token: the larger ones share equally what the smaller ones leave of `total`."""
    left = total
    for number, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - number)
        if size > share:
            return share
        left -= size
    return total


def _beyond(jobs: Sequence[tuple[str, int]], most: int) -> Iterator[str]:
    """Yield the jobs from the first with which the total size exceeds `most`."""
    size = 0
    for job_id, own in jobs:
        size += own
        if size > most:
            yield job_id


async def _apply_retention(runtime: JobRuntime) -> None:
    for retention in (runtime.audit, runtime.deliveries):
        if retention is not None:
            await retention.apply(runtime.clock(), runtime.tracker.age.now())


async def _keep_house(service: JobService, runtime: JobRuntime, keep: tuple[timedelta, int | None]) -> None:
    age, most = keep
    while True:
        try:
            await runtime.tracker.age.advance()
            await delete_older(service, runtime, age)
            if most is not None:
                await delete_over_quota(service, runtime, most)
            await _forget_landed(runtime)
            await _apply_retention(runtime)
        except Unavailable as error:
            _log.warning("retention.failed", reason=str(error))
        await asyncio.sleep(min(HOUSEKEEPING_SECONDS, max(age.total_seconds(), 1.0)))


async def _jobs(
    runtime: JobRuntime, states: frozenset[JobState], before: tuple[str, str] | None = None
) -> AsyncIterator[Job]:
    """Yield the jobs newest first, in batches, without their images."""
    while True:
        jobs = await runtime.tracker.page(JobQuery(states=states, before=before, limit=_BATCH))
        for job in jobs:
            yield job
        if len(jobs) < _BATCH:
            return
        before = key_of(jobs[-1])


def _counted(job: Job, runtime: JobRuntime) -> Iterator[str]:
    """Yield the names of the job's files in the spool, and count them as stored by its token."""
    for file in owned_files(job):
        runtime.stored.put(job.share, file.name, file.size)
        yield file.name


def owned_files(job: Job) -> tuple[SpooledFile, ...]:
    """Return the files that a job has in the spool."""
    files = (archive.file for archive in job.archives if archive.file is not None)
    return tuple(file for file in files if file.owned)


def _broken_off(job: Job, runtime: JobRuntime) -> Job:
    """Return the job as failed, unless its replica, which was taken for dead, has accepted it meanwhile."""
    if job.state is not JobState.RECEIVING:
        return job
    error = UploadIncomplete("the service stopped during the upload; send the archive again")
    return job.transition_to(
        JobState.FAILED,
        problem=error.problem,
        finished_at=runtime.clock(),
        archives=tuple(replace(archive, file=None) for archive in job.archives),
        idempotency_key=None,
    )
