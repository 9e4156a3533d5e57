"""The audit trail as a table beside the jobs."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import JSON, Column, Index, Integer, MetaData, String, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.jobs.audit import AuditEntry, audit_members
from app.jobs.job import Job, utc_now
from app.jobs.store import sortable

_TURN = 0x7461726D6175  # of PostgreSQL's advisory locks

AUDIT = Table(
    "audit",
    MetaData(),
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", String, nullable=False),
    Column("job", String, nullable=False),
    Column("entry", JSON, nullable=False),
    Index("audit_by_time", "at"),
)


async def write_entry(connection: AsyncConnection, job: Job) -> None:
    """Within the transaction that ends `job`."""
    if connection.dialect.name == "postgresql":
        # numbers are given before they are committed: a reader that goes on by number must not pass over a slow one
        await connection.execute(select(func.pg_advisory_xact_lock(_TURN)))
    at = sortable(job.finished_at or utc_now())
    await connection.execute(AUDIT.insert().values(at=at, job=job.id, entry=audit_members(job)))


async def read_entries(
    connection: AsyncConnection, since: datetime | None, after: int, limit: int
) -> tuple[AuditEntry, ...]:
    """As `AuditTrail.entries`."""
    wanted = select(AUDIT.c.number, AUDIT.c.entry).where(AUDIT.c.number > after)
    if since is not None:
        wanted = wanted.where(AUDIT.c.at >= sortable(since.astimezone(UTC)))
    found = await connection.execute(wanted.order_by(AUDIT.c.number).limit(limit))
    return tuple(AuditEntry(number, entry) for number, entry in found)
