"""Read-only report on the database for `tarmac doctor`, also while the service runs."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from alembic.migration import MigrationContext
from sqlalchemy import select
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import SQLAlchemyError

from app.errors import Unavailable
from app.jobs.store.engine import is_postgres, make_engine
from app.jobs.store.sql import JOBS


@dataclass(frozen=True, slots=True)
class DatabaseReport:
    """`schema` is its revision, None for an unused database. `unknown` are the requested ids without a job."""

    schema: str | None
    unknown: frozenset[str] = frozenset()


async def diagnose(url: str, ids: Collection[str]) -> DatabaseReport:
    """Return a report. Raises InvalidSettings, and Unavailable if the database is damaged or unreachable."""
    if not await asyncio.to_thread(_exists, url):
        return DatabaseReport(None, frozenset(ids))
    engine = make_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_examine, tuple(ids))
    except (SQLAlchemyError, OSError) as error:
        reason = getattr(error, "orig", None) or error
        raise Unavailable(f"cannot read the job database: {reason}") from None
    finally:
        await engine.dispose()


def _exists(url: str) -> bool:
    """Return whether the database exists. Connecting would create an empty SQLite file."""
    return is_postgres(url) or Path(make_url(url).database or "").exists()


def _examine(connection: Connection, ids: tuple[str, ...]) -> DatabaseReport:
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if found != "ok":
            raise Unavailable(f"the job database is damaged: {found}; restore a backup")
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        return DatabaseReport(None, frozenset(ids))
    known = {id_ for id_ in ids if connection.execute(select(JOBS.c.id).where(JOBS.c.id == id_)).first()}
    return DatabaseReport(revision, frozenset(ids) - known)


__all__ = ["DatabaseReport", "diagnose"]
