"""The tables of deliveries, and what `SqlJobStore` writes to them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.jobs.deliveries.model import ReportRow
from app.jobs.deliveries.rows import report_rows
from app.jobs.model import Job
from app.jobs.store import timestamp_key

METADATA = MetaData()
# `open_key`: of the submitter and the name while the delivery is open; `age` of the service at `last_ended_at`
DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("id", String, primary_key=True),
    Column("created_at", String, nullable=False),
    Column("submitter", String, nullable=False),
    Column("name", String),
    Column("open_key", String, unique=True),
    Column("last_ended_at", String),
    Column("age", Float, nullable=False),
    Column("labels", JSON, nullable=False),
    Index("deliveries_newest", "created_at", "id"),
    Index("deliveries_by_submitter", "submitter", "created_at", "id"),
    Index("deliveries_by_name", "name"),
)
# `job`: "" for rows of listed files; `file_outcome`: "" unless the row is the first of its file
DELIVERY_ROWS = Table(
    "delivery_rows",
    METADATA,
    Column("delivery", String, primary_key=True),
    Column("job", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("path", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("file_outcome", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Index("delivery_rows_by_path", "delivery", "path", "job", "number"),
    Index("delivery_rows_counted", "delivery", "outcome", "file_outcome", "size"),
)
LISTED = ""  # the job of rows of listed files
_WRITTEN_AT_ONCE = 1_000  # rows of one statement


async def write_report(connection: AsyncConnection, job: Job) -> None:
    """Replace the rows of a job of a delivery. A listed file that the job has is no longer expected."""
    if job.delivery is None:
        return
    rows = DELIVERY_ROWS
    own = (rows.c.delivery == job.delivery, rows.c.job == job.id)
    await connection.execute(rows.delete().where(*own))
    written = list(report_rows(job))
    await insert_rows(connection, job.delivery, written)
    paths = sorted({clean(row.path) for row in written})
    for start in range(0, len(paths), _WRITTEN_AT_ONCE):
        found = rows.c.path.in_(paths[start : start + _WRITTEN_AT_ONCE])
        await connection.execute(rows.delete().where(rows.c.delivery == job.delivery, rows.c.job == LISTED, found))
    if job.ended and job.finished_at is not None:
        at = timestamp_key(job.finished_at)
        known = DELIVERIES.c.last_ended_at
        later = DELIVERIES.update().where(DELIVERIES.c.id == job.delivery, or_(known.is_(None), known < at))
        await connection.execute(later.values(last_ended_at=at, age=job.ended_age))


async def insert_rows(connection: AsyncConnection, delivery: str, rows: Iterable[ReportRow], first: int = 0) -> None:
    values = [row_values(delivery, number, row) for number, row in enumerate(rows, first)]
    for start in range(0, len(values), _WRITTEN_AT_ONCE):
        await connection.execute(DELIVERY_ROWS.insert(), values[start : start + _WRITTEN_AT_ONCE])


def row_values(delivery: str, number: int, row: ReportRow) -> dict[str, Any]:
    return {
        "delivery": delivery,
        "job": row.job,
        "number": number,
        "path": clean(row.path),
        "outcome": row.outcome.value,
        "file_outcome": row.file_outcome.value if row.is_first else "",
        "size": row.size if row.is_first else 0,
        "document": json.dumps(asdict(row), separators=(",", ":")),
    }


def clean(text: str) -> str:
    """Return `text` as PostgreSQL stores it: without NUL and lone surrogates."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


__all__ = ["DELIVERIES", "DELIVERY_ROWS", "LISTED", "clean", "insert_rows", "write_report"]
