"""SqlJobStore: jobs and their images as two tables, over SQLAlchemy Core.

The same code is used for SQLite (in WAL mode, the default) and PostgreSQL. Every commit is synced to disk (synchronous
FULL; 3,375 a second measured), because an acknowledged change must survive a power failure. `JobTracker` therefore
saves the progress of a job at most a few times a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import JSON, Column, Connection, Index, Integer, MetaData, String, Table, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.errors import Unavailable
from app.jobs.audit import AuditEntry, AuditSize
from app.jobs.audit_retention import AuditBounds
from app.jobs.listing.search_text import is_changed, source_of
from app.jobs.model import Job, JobImage, JobState
from app.jobs.serialization import dump_job, load_job
from app.jobs.store import JobQuery, Key, timestamp_key
from app.jobs.store.audit import audit_size, delete_oldest, read_entries, write_entry
from app.jobs.store.delivery_tables import write_report
from app.jobs.store.engine import make_engine, make_reading_engine
from app.jobs.store.images import Row, changed_rows, images_table, parse_images, parts, read_images
from app.jobs.store.migrate import migrate
from app.jobs.store.queries import read_page, search_jobs
from app.jobs.store.read_pool import ReadPool
from app.jobs.store.search import search_table, write_search_text
from app.spool.s3 import is_stored

CHANNEL = "tarmac_jobs"  # PostgreSQL NOTIFY channel; payload: `replica id` and the id of the written job

T = TypeVar("T")
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
    Column("attempt", Integer, nullable=False),
    Column("place", String, nullable=False),
    Column("home", String, nullable=False),
    Column("holder", String, nullable=False),
    Column("submitter", String, nullable=False),
    Column("inspection", JSON, nullable=False),
    Column("registry", String, nullable=False),
    Column("source", String, nullable=False),
    Column("delivery", String, nullable=False),
    Index("jobs_listed", "created_at", "id", "state", "submitter", "registry", "source", "delivery"),
    Index("jobs_by_delivery", "delivery", "created_at", "id", "state"),
    Index("jobs_by_state", "state", "created_at", "id"),
    Index("jobs_by_submitter", "submitter", "created_at", "id"),
)
IMAGES = images_table(METADATA)
SEARCH = search_table(METADATA)
_MAX_INLINE_IMAGES = 500  # number of images above which their JSON is made in a thread


@dataclass(frozen=True, slots=True)
class ReplicaIdentity:
    """What a replica writes into the rows of jobs.

    `home`: on a job it accepts, its data directory, by which the job is found again after a restart. `place`: on a job
    with files in its spool, the identity of that spool; `storage`: likewise for its object storage. `holder`: on every
    row it writes, its id, new at every start."""

    home: str = ""
    place: str = ""
    holder: str = ""
    storage: str = ""

    def location_of(self, job: Job) -> str:
        """Return the identity of the spool or storage with the job's files; "" if it has none."""
        owned = [archive.file for archive in job.archives if archive.file is not None and archive.file.owned]
        if not owned:
            return ""
        return self.storage if all(map(is_stored, owned)) else self.place


class SqlJobStore:
    """Jobs in a database. Created by `open`; the caller closes it."""

    def __init__(self, engine: AsyncEngine, identity: ReplicaIdentity = ReplicaIdentity()) -> None:
        self._engine = engine
        self._identity = identity
        reading = make_reading_engine(engine)
        self._reader = None if reading is None else ReadPool(reading)
        self._is_postgres = engine.dialect.name == "postgresql"
        self.insert = _postgres_insert() if self._is_postgres else sqlite.insert
        self._connection_errors = (PoolTimeout, OSError, *(_asyncpg_errors() if self._is_postgres else ()))

    @classmethod
    async def open(cls, url: str, identity: ReplicaIdentity = ReplicaIdentity()) -> SqlJobStore:
        """Connect, and migrate the tables in one transaction.

        Raises InvalidSettings for an unusable `url`, and Unavailable if the database is damaged, written by a newer
        release or unreachable; it is then unchanged."""
        engine = make_engine(url)
        store = cls(engine, identity)
        try:
            async with store.transaction() as connection:
                await connection.run_sync(migrate)
        except Unavailable:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        if self._reader is not None:
            await self._reader.close()
        await self._engine.dispose()

    async def add(self, job: Job) -> Job:
        row = {**self._row(job), "home": self._identity.home, "place": self._identity.location_of(job)}
        insert = self.insert(JOBS).values(row).on_conflict_do_nothing(index_elements=["idempotency_key"])
        async with self.transaction() as connection:
            if (await connection.execute(insert)).rowcount:
                await self._write_images(connection, changed_rows(job, None))
                await write_search_text(connection, SEARCH, job)
                await write_report(connection, job)
                await self._announce(connection, job.id)
                return job
            first = select(JOBS.c.id).where(JOBS.c.idempotency_key == job.idempotency_key)
            stored = await connection.run_sync(_job, (await connection.execute(first)).scalar_one())
            assert stored is not None
            return stored

    async def save(self, job: Job, over: Job | None = None) -> bool:
        before = over or job
        if len(job.images) > _MAX_INLINE_IMAGES:
            rows = await asyncio.to_thread(changed_rows, job, over)
        else:
            rows = changed_rows(job, over)
        known = (JOBS.c.id == job.id, JOBS.c.state == before.state.value, JOBS.c.attempt == before.attempt)
        newer = JOBS.update().where(*known, JOBS.c.revision < job.revision).values(self._row(job, over))
        async with self.transaction() as connection:
            taken = (await connection.execute(newer)).rowcount > 0
            if taken:
                await self._write_images(connection, rows)
                await self._announce(connection, job.id)
            if taken and is_changed(job, over):
                await write_search_text(connection, SEARCH, job)
                await write_report(connection, job)
            if taken and len(before.images) > len(job.images):
                left = (IMAGES.c.job == job.id, IMAGES.c.number >= len(job.images))
                await connection.execute(IMAGES.delete().where(*left))
            if taken and job.ended and not before.ended:
                await write_entry(connection, job)
        return taken

    async def get(self, job_id: str, images: int | None = None) -> Job | None:
        if "\0" in job_id:
            return None  # PostgreSQL refuses such text even in a query
        return await self.ask(lambda connection: _job(connection, job_id, images))

    async def images(self, job_id: str, first: int, count: int) -> tuple[JobImage, ...]:
        if "\0" in job_id:
            return ()
        return await self.ask(lambda connection: parse_images(read_images(connection, IMAGES, job_id, first, count)))

    async def page(self, query: JobQuery) -> tuple[Job, ...]:
        return await self.ask(lambda connection: read_page(connection, JOBS, query))

    async def search(self, query: JobQuery) -> tuple[tuple[Job, ...], Key | None]:
        return await self.ask(lambda connection: search_jobs(connection, JOBS, SEARCH, query))

    async def entries(self, since: datetime | None, after: int, limit: int) -> tuple[AuditEntry, ...]:
        async with self.transaction() as connection:
            return await read_entries(connection, since, after, limit)

    async def audit_size(self) -> AuditSize:
        async with self.transaction() as connection:
            return await audit_size(connection)

    async def delete_entries(self, bounds: AuditBounds) -> int:
        async with self.transaction() as connection:
            return await delete_oldest(connection, bounds)

    async def count(self, submitter: str | None = None) -> Mapping[JobState, int]:
        counted = select(JOBS.c.state, func.count()).group_by(JOBS.c.state)
        if submitter is not None:
            counted = counted.where(JOBS.c.submitter == submitter)
        found = await self.ask(lambda connection: {row[0]: row[1] for row in connection.execute(counted)})
        return {state: found.get(state.value, 0) for state in JobState}

    async def delete(self, job_id: str) -> None:
        async with self.transaction() as connection:
            await connection.execute(JOBS.delete().where(JOBS.c.id == job_id))
            for rows in (IMAGES, SEARCH):
                await connection.execute(rows.delete().where(rows.c.job == job_id))
            await self._announce(connection, job_id)

    async def _write_images(self, connection: AsyncConnection, rows: Sequence[Row]) -> None:
        added = self.insert(IMAGES)
        written = added.on_conflict_do_update(
            index_elements=[IMAGES.c.job, IMAGES.c.number], set_={"document": added.excluded.document}
        )
        for part in parts(rows):
            await connection.execute(written, part)

    async def _announce(self, connection: AsyncConnection, job_id: str) -> None:
        """Send a notification, which takes effect when the transaction is committed."""
        if self._is_postgres:
            await connection.execute(select(func.pg_notify(CHANNEL, f"{self._identity.holder} {job_id}")))

    async def ask(self, query: Callable[[Connection], T]) -> T:
        """Run a read-only query, which may run in a thread."""
        if self._reader is not None:
            with _map_errors(self._connection_errors):
                return await self._reader.run(query)
        async with self.transaction() as connection:
            return await connection.run_sync(query)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that is committed at the end of the block. Database errors are raised as Unavailable."""
        with _map_errors(self._connection_errors):
            async with self._engine.begin() as connection:
                yield connection

    def _row(self, job: Job, stored: Job | None = None) -> dict[str, Any]:
        place = self._identity.location_of(job)
        placed = {"place": func.coalesce(func.nullif(JOBS.c.place, ""), place)} if place else {}
        is_same = stored is not None and stored.inspection is job.inspection
        return {
            **placed,
            **({} if is_same else {"inspection": list(job.inspection)}),
            "id": job.id,
            "state": job.state.value,
            "created_at": timestamp_key(job.created_at),
            "labels": dict(job.labels),
            "idempotency_key": job.idempotency_key,
            "revision": job.revision,
            "document": dump_job(job.brief()),
            "attempt": job.attempt,
            "submitter": job.submitter.name,
            "registry": job.registry,
            "source": source_of(job),
            "delivery": job.delivery or "",
            "holder": self._identity.holder,
        }


def _job(connection: Connection, job_id: str, images: int | None = None) -> Job | None:
    wanted = select(JOBS.c.document, JOBS.c.inspection).where(JOBS.c.id == job_id)
    found = connection.execute(wanted).first()
    if found is None:
        return None
    job = load_job(found.document)
    return replace(
        job,
        images=parse_images(read_images(connection, IMAGES, job_id, 0, images)),
        inspection=tuple(found.inspection),
    )


@contextmanager
def _map_errors(unreached: tuple[type[Exception], ...]) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise Unavailable(f"the job database returned an error: {error.orig}; try again") from error
    except unreached as error:
        raise Unavailable(f"the job database cannot be reached: {error}; try again") from error


def _asyncpg_errors() -> tuple[type[Exception], ...]:
    """Return the errors of a connection that broke at a bad moment, which SQLAlchemy does not wrap."""
    import asyncpg  # type: ignore[import-untyped]

    return (asyncpg.InternalClientError,)


def _postgres_insert() -> Any:
    from sqlalchemy.dialects import postgresql  # importing this loads asyncpg, which SQLite does not need

    return postgresql.insert
