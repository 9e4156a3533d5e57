"""Where jobs are kept: the JobStore port. `sql`: SQLite (and what SQLAlchemy speaks besides); `memory`: its twin.

age            the age of the service as a row
audit          the audit table
diagnostics    read-only report for `tarmac doctor`
engine         engines and pragmas
heartbeat      PostgresHeartbeat
images         images of jobs as rows
memory         MemoryJobStore
migrate        run the Alembic migrations
notifications  LISTEN/NOTIFY
read_pool      SQLite read connections
sql            SqlJobStore (SQLite, PostgreSQL)
tag_leases     PostgresTagLeases
migrations     the Alembic migrations
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from app.errors import InvalidRequest
from app.jobs.model import Job, JobImage, JobState

Key = tuple[str, str]  # created_at as sortable text, id


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs, newest first. `label` is (key, value); `before`: only those older than this key; `submitter`:
    only those that this token sent."""

    states: frozenset[JobState] = frozenset(JobState)
    label: tuple[str, str] | None = None
    before: Key | None = None
    submitter: str | None = None
    limit: int = 50


class JobStore(Protocol):
    """Jobs by id. Concurrent calls are fine. What a call has taken is durable when it returns. Raises Unavailable where
    the database is locked, full or gone."""

    async def add(self, job: Job) -> Job:
        """Store a new job. Where a job with its idempotency key exists, nothing is stored and that one is returned."""
        ...

    async def save(self, job: Job, over: Job | None = None) -> bool:
        """Store a newer revision of a job that still is in the state and the attempt of `over`, which is the job as it
        was stored last: images that are the same are not written again. None: of `job` itself. False, and nothing is
        stored, where it is not, was deleted, or has a revision as new: whoever was given a job, and was thought dead
        meanwhile, writes nothing over the work of its successor."""
        ...

    async def get(self, job_id: str, images: int | None = None) -> Job | None:
        """`images`: the first so many are enough. Such a job is to be shown, and never to be changed."""
        ...

    async def images(self, job_id: str, first: int, count: int) -> tuple[JobImage, ...]:
        """Return `count` images of a job from number `first` on; none if it has no more."""
        ...

    async def page(self, query: JobQuery) -> tuple[Job, ...]:
        """Without their images and inspections: to be shown in a list, and never to be changed."""
        ...

    async def delete(self, job_id: str) -> None:
        """Not an error when it is gone."""
        ...

    async def count(self) -> Mapping[JobState, int]:
        """How many jobs are in each state; of a running one as it was stored last."""
        ...


def key_of(job: Job) -> Key:
    """Newest first is the descending order of keys; the id settles jobs of one microsecond."""
    return timestamp_key(job.created_at), job.id


def timestamp_key(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def cursor_of(job: Job) -> str:
    return base64.urlsafe_b64encode("|".join(key_of(job)).encode()).decode().rstrip("=")


def parse_cursor(cursor: str) -> Key:
    """Raises InvalidRequest."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        text = ""
    moment, bar, job_id = text.partition("|")
    if not bar:
        raise InvalidRequest("the cursor is not one that a page of jobs gave; start without one")
    return moment, job_id


__all__ = ["JobQuery", "JobStore", "Key", "cursor_of", "key_of", "parse_cursor", "timestamp_key"]
