"""SqlJobStore: one table, over SQLAlchemy Core; SQLite in WAL mode by default, PostgreSQL by its URL.

Every commit is synced to the disk (synchronous FULL; 3,375 a second measured), because an answer that was given must
survive a power cut. A job's progress is therefore saved a few times a second at most: that is the ledger's business.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import JSON, Column, Index, Integer, MetaData, String, Table, event, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.errors import InvalidSettings, Unavailable
from app.jobs.job import Job, JobState
from app.jobs.record import from_members, to_members
from app.jobs.store import JobQuery, sortable
from app.jobs.store.schema import migrate

BUSY_SECONDS = 5  # a backup tool holds the write lock for moments; after that the client is told to come again

METADATA = MetaData()
JOBS = Table(
    "jobs",
    METADATA,
    Column("id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("created_at", String, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("idempotency_key", String, unique=True),
    Column("revision", Integer, nullable=False),
    Column("document", JSON, nullable=False),
    Index("jobs_newest", "created_at", "id"),
    Index("jobs_by_state", "state", "created_at", "id"),
)


class SqlJobStore:
    """Made by `open`; whoever opened it closes it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
        self._insert = dialect.insert

    @classmethod
    async def open(cls, url: str) -> SqlJobStore:
        """Connect and bring the tables up to date, in one transaction. Raises InvalidSettings for a `url` of no use,
        and Unavailable, with one clear line, where the database is garbage, newer than this program, or out of reach;
        it is left as it was."""
        engine = _engine(url)
        store = cls(engine)
        try:
            async with store._transaction() as connection:
                await connection.run_sync(migrate)
        except Unavailable:
            await engine.dispose()
            raise
        return store

    async def close(self) -> None:
        await self._engine.dispose()

    async def add(self, job: Job) -> Job:
        insert = self._insert(JOBS).values(_row(job)).on_conflict_do_nothing(index_elements=["idempotency_key"])
        async with self._transaction() as connection:
            if (await connection.execute(insert)).rowcount:
                return job
            first = await connection.execute(
                select(JOBS.c.document).where(JOBS.c.idempotency_key == job.idempotency_key)
            )
            return from_members(first.scalar_one())

    async def save(self, job: Job) -> None:
        newer = JOBS.update().where(JOBS.c.id == job.id, JOBS.c.revision < job.revision).values(_row(job))
        async with self._transaction() as connection:
            await connection.execute(newer)

    async def get(self, job_id: str) -> Job | None:
        async with self._transaction() as connection:
            found = await connection.execute(select(JOBS.c.document).where(JOBS.c.id == job_id))
            members = found.scalar_one_or_none()
        return None if members is None else from_members(members)

    async def page(self, query: JobQuery) -> tuple[Job, ...]:
        wanted = select(JOBS.c.document).where(JOBS.c.state.in_(sorted(query.states)))
        if query.label is not None:
            key, value = query.label
            wanted = wanted.where(JOBS.c.labels[key].as_string() == value)
        if query.before is not None:
            wanted = wanted.where(tuple_(JOBS.c.created_at, JOBS.c.id) < tuple_(*query.before))
        newest = wanted.order_by(JOBS.c.created_at.desc(), JOBS.c.id.desc()).limit(query.limit)
        async with self._transaction() as connection:
            return tuple(from_members(members) for members in await connection.scalars(newest))

    async def count(self) -> Mapping[JobState, int]:
        counted = select(JOBS.c.state, func.count()).group_by(JOBS.c.state)
        async with self._transaction() as connection:
            found = {row[0]: row[1] for row in await connection.execute(counted)}
        return {state: found.get(state.value, 0) for state in JobState}

    async def delete(self, job_id: str) -> None:
        async with self._transaction() as connection:
            await connection.execute(JOBS.delete().where(JOBS.c.id == job_id))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise Unavailable(f"the job database does not answer as it should: {error.orig}; try again") from error
        except (PoolTimeout, OSError) as error:
            raise Unavailable(f"the job database cannot be reached: {error}; try again") from error


def _row(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "state": job.state.value,
        "created_at": sortable(job.created_at),
        "labels": dict(job.labels),
        "idempotency_key": job.idempotency_key,
        "revision": job.revision,
        "document": to_members(job),
    }


def _engine(text: str) -> AsyncEngine:
    try:
        url = make_url(text)
        if url.get_backend_name() != "sqlite":
            return create_async_engine(url, pool_pre_ping=True)
        _own_file(url)
        engine = create_async_engine(url.set(drivername="sqlite+aiosqlite"))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, InvalidRequestError) as error:
        raise InvalidSettings(
            f"TARMAC_DATABASE_URL (database_url): {error}; give a URL as postgresql+asyncpg://user:password@host/name, "
            "with its driver installed, or leave it out"
        ) from None
    except OSError as error:
        raise Unavailable(f"the job database {url.database} cannot be made: {error.strerror}") from error
    event.listen(engine.sync_engine, "connect", _set_up)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _own_file(url: URL) -> None:
    """The rows tell who pushes what: for this user alone. SQLite gives its other files the same mode."""
    if url.database and url.database != ":memory:":
        os.close(os.open(url.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _set_up(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver's own transactions leave schema changes outside
    cursor = connection.cursor()
    for pragma in (f"busy_timeout = {BUSY_SECONDS * 1000}", "journal_mode = WAL", "synchronous = FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")
