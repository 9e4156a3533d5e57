"""JobStore: port for stored jobs. `sql` supports SQLite and PostgreSQL; `memory` is the in-memory implementation.

age            the age of the service as a row
audit          the audit table
deliveries     SqlDeliveryStore
delivery_tables  the tables of deliveries
diagnostics    read-only report for `tarmac doctor`
engine         engines and pragmas
heartbeat      PostgresHeartbeat
images         images of jobs as rows
memory         MemoryJobStore
migrate        run the Alembic migrations
notifications  LISTEN/NOTIFY
read_pool      SQLite read connections
queries        the statements of lists and searches
search         the searched text of jobs as rows
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
SEARCHED_AT_ONCE = 2_000  # jobs that one statement searches


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Selects jobs that match all members, newest first. None matches any job.

    `label` is (key, value). `before`: only jobs older than this key. `submitter`: only jobs that the caller may see;
    `submitted_by`: only jobs that it asked for. `text`: a part of the text of the job
    (`app.jobs.listing.search_text`), in lower case. `deliveries`: ids."""

    states: frozenset[JobState] = frozenset(JobState)
    label: tuple[str, str] | None = None
    before: Key | None = None
    submitter: str | None = None
    limit: int = 50
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    registry: str | None = None
    source: str | None = None
    submitted_by: str | None = None
    deliveries: frozenset[str] | None = None


class JobStore(Protocol):
    """Jobs by id. Supports concurrent calls. A change is durable when its call returns.

    Every method raises Unavailable if the database is locked, full or unreachable."""

    async def add(self, job: Job) -> Job:
        """Store a new job. If a job with its idempotency key exists, store nothing and return that job."""
        ...

    async def save(self, job: Job, over: Job | None = None) -> bool:
        """Store a newer revision of a job, and return whether it was stored.

        `over` is the job as it was stored last; None means `job` itself. The stored job must still have the state and
        attempt of `over`, and an older revision; otherwise nothing is stored. A replica that was wrongly thought dead
        thus overwrites nothing of its successor. Images equal to those of `over` are not written again."""
        ...

    async def get(self, job_id: str, images: int | None = None) -> Job | None:
        """Return a job, or None. With only its first `images` images it is for display and must not be changed."""
        ...

    async def images(self, job_id: str, first: int, count: int) -> tuple[JobImage, ...]:
        """Return `count` images of a job from number `first` on; none if it has no more."""
        ...

    async def page(self, query: JobQuery) -> tuple[Job, ...]:
        """Return jobs without their images and inspections, for lists. They must not be changed."""
        ...

    async def search(self, query: JobQuery) -> tuple[tuple[Job, ...], Key | None]:
        """Return the jobs of `page` whose text matches, among the next SEARCHED_AT_ONCE, and the key to continue from.

        The key is None if there are no more jobs."""
        ...

    async def delete(self, job_id: str) -> None:
        """Delete a job. Ignore a missing one."""
        ...

    async def count(self, submitter: str | None = None) -> Mapping[JobState, int]:
        """Return the number of jobs in each state. `submitter`: count only jobs that this token sent."""
        ...


def key_of(job: Job) -> Key:
    """Return the sort key of a job: descending keys are newest first. The id orders jobs of one microsecond."""
    return timestamp_key(job.created_at), job.id


def timestamp_key(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def cursor_of(job: Job) -> str:
    return encode_cursor(key_of(job))


def encode_cursor(key: Key) -> str:
    return base64.urlsafe_b64encode("|".join(key).encode()).decode().rstrip("=")


def parse_cursor(cursor: str) -> Key:
    """Return the key in a cursor. Raises InvalidRequest."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        text = ""
    moment, bar, job_id = text.partition("|")
    if not bar:
        raise InvalidRequest("unknown cursor: not from a page of jobs; start without one")
    return moment, job_id


__all__ = [
    "SEARCHED_AT_ONCE",
    "JobQuery",
    "JobStore",
    "Key",
    "cursor_of",
    "encode_cursor",
    "key_of",
    "parse_cursor",
    "timestamp_key",
]
