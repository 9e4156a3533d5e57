"""The audit trail as a table of the job database.

Triggers refuse every UPDATE. They refuse every DELETE except that of the oldest entries up to a number set by the same
transaction: on PostgreSQL as `tarmac.audit_delete_through`, on SQLite as the only row of `audit_deletion`, which no
other transaction ever sees."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from sqlalchemy import JSON, Column, Float, Index, Integer, MetaData, String, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.jobs.audit import AuditEntry, AuditSize, audit_members
from app.jobs.audit_retention import AuditBounds
from app.jobs.bounds import within
from app.jobs.model import Job, utc_now
from app.jobs.store import timestamp_key

_AUDIT_LOCK = 0x7461726D6175  # a PostgreSQL advisory lock

_METADATA = MetaData()
# `size`: bytes of the entry as JSON; `age`: age of the service in seconds when it was written
AUDIT = Table(
    "audit",
    _METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", String, nullable=False),
    Column("job", String, nullable=False),
    Column("entry", JSON, nullable=False),
    Column("size", Integer, nullable=False),
    Column("age", Float, nullable=False),
    Index("audit_by_time", "at"),
    Index("audit_by_size", "number", "size"),
)
_DELETION = Table("audit_deletion", _METADATA, Column("through", Integer, nullable=False))
PAGE_BYTES = 4 << 20  # limit for the entries of one page; the cursor leads to the rest
DELETED_AT_ONCE = 1_000  # entries in one transaction


async def write_entry(connection: AsyncConnection, job: Job) -> None:
    """Write the entry of `job` within the transaction that ends it."""
    if connection.dialect.name == "postgresql":
        # numbers are assigned before commit: a reader that continues by number must not skip a slow transaction
        await connection.execute(select(func.pg_advisory_xact_lock(_AUDIT_LOCK)))
    at, entry = timestamp_key(job.finished_at or utc_now()), audit_members(job)
    row = {"at": at, "job": job.id, "entry": entry, "size": len(json.dumps(entry)), "age": job.ended_age}
    await connection.execute(AUDIT.insert().values(row))


async def read_entries(
    connection: AsyncConnection, since: datetime | None, after: int, limit: int
) -> tuple[AuditEntry, ...]:
    """Return entries as `AuditTrail.entries` does."""
    wanted = [AUDIT.c.number > after]
    if since is not None:
        wanted.append(AUDIT.c.at >= timestamp_key(since.astimezone(UTC)))
    sizes = select(AUDIT.c.number, AUDIT.c.size).where(*wanted).order_by(AUDIT.c.number).limit(limit)
    found = (await connection.execute(sizes)).all()
    page = tuple(within(found, PAGE_BYTES, lambda row: row.size)) or found[:1]
    if not page:
        return ()
    entries = select(AUDIT.c.number, AUDIT.c.entry).where(*wanted, AUDIT.c.number <= page[-1].number)
    rows = await connection.execute(entries.order_by(AUDIT.c.number))
    return tuple(AuditEntry(number, entry) for number, entry in rows)


async def audit_size(connection: AsyncConnection) -> AuditSize:
    found = (await connection.execute(select(func.count(), func.coalesce(func.sum(AUDIT.c.size), 0)))).one()
    return AuditSize(*map(int, found))


async def delete_oldest(connection: AsyncConnection, bounds: AuditBounds) -> int:
    """Delete the oldest entries beyond `bounds`, at most DELETED_AT_ONCE, and return their number."""
    size = (await audit_size(connection)).size
    oldest = select(AUDIT.c.number, AUDIT.c.at, AUDIT.c.age, AUDIT.c.size).order_by(AUDIT.c.number)
    through = count = 0
    for number, at, age, own in await connection.execute(oldest.limit(DELETED_AT_ONCE)):
        if not bounds.is_beyond(datetime.fromisoformat(at), age, size):
            break
        through, count, size = number, count + 1, size - own
    if count:
        await _delete_through(connection, through)
    return count


async def _delete_through(connection: AsyncConnection, number: int) -> None:
    gone = AUDIT.delete().where(AUDIT.c.number <= number)
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.set_config("tarmac.audit_delete_through", str(number), True)))
        await connection.execute(gone)
        return
    await connection.execute(_DELETION.insert().values(through=number))
    await connection.execute(gone)
    await connection.execute(_DELETION.delete())
