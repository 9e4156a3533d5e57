"""PostgresTagLeases: TagLeases for several replicas, a row for every tag that is being written or was recently."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar

import structlog
from sqlalchemy import Column, Integer, String, Table, any_, bindparam, exists, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from app.errors import Unavailable
from app.jobs.leases import LocalTagLeases, TagsLeasedError, acceptance_key
from app.jobs.model import Job, JobState
from app.jobs.store import timestamp_key
from app.jobs.store.sql import JOBS, METADATA, SqlJobStore

WAIT_SECONDS = 0.25  # interval of looking for tags that a job of another replica has leased
LONGEST_SECONDS = 5.0  # maximum wait of a run for them
PATIENCE_SECONDS = 1.0  # between attempts while the database is unavailable

# `job` has the lease while that `attempt` runs, so a dead replica leaves no lease behind. `landed` is the acceptance
# key of the job that wrote the tag last, as sortable text.
TAGS = Table(
    "tags",
    METADATA,
    Column("name", String, primary_key=True),
    Column("job", String, nullable=False, server_default=""),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("landed", String, nullable=False, server_default=""),
)
_HELD = exists().where(
    JOBS.c.id == TAGS.c.job, JOBS.c.attempt == TAGS.c.attempt, JOBS.c.state == JobState.RUNNING.value
)

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class PostgresTagLeases:
    """Leases between the jobs of all replicas. It waits for a database that is unavailable."""

    def __init__(
        self,
        store: SqlJobStore,
        *,
        wait_seconds: float = WAIT_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._store, self._wait, self._patience = store, wait_seconds, patience_seconds
        self._longest = longest_seconds
        self._local = LocalTagLeases()  # jobs of one replica wait without polling

    @asynccontextmanager
    async def lease(self, job: Job, names: Collection[str]) -> AsyncIterator[frozenset[str]]:
        wanted = sorted(set(names))  # the same order everywhere, because rows are locked in it
        async with self._local.lease(job, wanted):
            superseded = await self._acquire(job, wanted)
            try:
                yield superseded
            finally:
                with suppress(Unavailable):  # the lease ends with the run
                    await self._release(job, wanted)

    async def record_pushed(self, job: Job, names: Collection[str]) -> None:
        if names:
            await self._retry(lambda: self._record(job, sorted(names)))

    async def forget(self, before: datetime | None) -> None:
        expired = TAGS.delete().where(~_HELD)
        if before is not None:
            expired = expired.where(TAGS.c.landed < timestamp_key(before))
        async with self._store.transaction() as connection:
            await connection.execute(expired)

    async def _acquire(self, job: Job, names: Sequence[str]) -> frozenset[str]:
        until = asyncio.get_running_loop().time() + self._longest
        while True:
            superseded = await self._retry(lambda: self._try_acquire(job, names))
            if superseded is not None:
                return superseded
            if asyncio.get_running_loop().time() > until:
                raise TagsLeasedError
            await asyncio.sleep(self._wait)

    async def _try_acquire(self, job: Job, names: Sequence[str]) -> frozenset[str] | None:
        """Acquire leases on all names; return None and acquire none if a running job has one of them."""
        entered = self._store.insert(TAGS).from_select(["name"], select(func.unnest(_array(names))))
        locked = select(TAGS, _HELD.label("held")).where(_among(names))
        taken = TAGS.update().where(_among(names)).values(job=job.id, attempt=job.attempt)
        claim = _claim_of(job)
        async with self._store.transaction() as connection:
            await connection.execute(entered.on_conflict_do_nothing())
            rows = (await connection.execute(locked.order_by(TAGS.c.name).with_for_update(of=TAGS))).all()
            if any(row.held and row.job != job.id for row in rows):
                return None
            await connection.execute(taken)
        return frozenset(row.name for row in rows if row.landed > claim)

    async def _release(self, job: Job, names: Sequence[str]) -> None:
        own = (TAGS.c.job == job.id, TAGS.c.attempt == job.attempt)  # not the leases of a later attempt
        async with self._store.transaction() as connection:
            await connection.execute(TAGS.update().where(_among(names), *own).values(job=""))

    async def _record(self, job: Job, names: Sequence[str]) -> None:
        claim = _claim_of(job)
        updated = TAGS.update().where(_among(names), TAGS.c.landed < claim).values(landed=claim)
        async with self._store.transaction() as connection:
            await connection.execute(updated)

    async def _retry(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except Unavailable as error:
                _log.warning("lease.delayed", reason=str(error))
                await asyncio.sleep(self._patience)


def _claim_of(job: Job) -> str:
    accepted, job_id = acceptance_key(job)
    return f"{timestamp_key(accepted)} {job_id}"


def _array(names: Sequence[str]) -> Any:
    return bindparam("names", list(names), type_=ARRAY(String))


def _among(names: Sequence[str]) -> Any:
    return TAGS.c.name == any_(_array(names))
