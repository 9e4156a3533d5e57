"""Deletes the files that dead replicas left in the shared spool."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import structlog

from app.errors import NotFound, Unavailable
from app.jobs.model import Job, JobState
from app.jobs.runtime import JobRuntime

_log = structlog.get_logger(__name__)


async def keep_sweeping(runtime: JobRuntime) -> None:
    """Sweep at intervals until cancelled. A single process sweeps its spool at start instead."""
    while runtime.replicas is not None:
        try:
            await sweep_shared_spool(runtime)
        except Unavailable as error:
            _log.warning("spool.sweep_failed", reason=str(error))
        await asyncio.sleep(runtime.sweeps.interval.total_seconds())


async def sweep_shared_spool(runtime: JobRuntime) -> int:
    """Delete the files of deleted jobs, and of jobs that ended a while ago and do not keep them. Return their number.

    Files of a job that has not ended may be in use by any replica."""
    lost = set()
    for name in await runtime.spool.names():
        try:
            job = await runtime.tracker.get(name.partition("-")[0])
        except NotFound:
            lost.add(name)  # a job is stored before the first byte of its archive is received
            continue
        if _ended_before(job, runtime.clock(), runtime.sweeps.age) and name not in _kept(job):
            lost.add(name)
    await runtime.spool.remove(lost)
    if lost:
        _log.info("spool.swept", files=len(lost))
    return len(lost)


def _ended_before(job: Job, now: datetime, age: timedelta) -> bool:
    """Return whether the job ended before the last `age`; also if it ended while the clock was ahead."""
    return job.ended and job.finished_at is not None and not now - age < job.finished_at <= now


def _kept(job: Job) -> frozenset[str]:
    """Return the names in the spool of the files with which an ended job may be retried."""
    if job.state is JobState.SUCCEEDED or job.has_damaged_content:
        return frozenset()
    owned = (archive.file for archive in job.archives if archive.file is not None and archive.file.owned)
    return frozenset(file.name for file in owned)
