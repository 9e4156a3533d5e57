"""SqlServiceAge: the age of the service as a row of the database, shared by all replicas."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Column, Float, Integer, String, Table, select

from app.jobs.model import Clock, utc_now
from app.jobs.retention.service_age import AgeCounter, AgeRecord
from app.jobs.store import timestamp_key
from app.jobs.store.sql import METADATA, SqlJobStore

SERVICE_AGE = Table(
    "service_age",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("seconds", Float, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("clock", String),
    Column("gap", Float, nullable=False),
)
_ONLY = 1  # the id of the only row


class SqlServiceAge:
    def __init__(
        self, store: SqlJobStore, clock: Clock = utc_now, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._counter = store, AgeCounter(clock, elapsed)

    def now(self) -> float:
        return self._counter.now()

    async def advance(self) -> None:
        first = self._store.insert(SERVICE_AGE).values(_row(AgeRecord())).on_conflict_do_nothing()
        async with self._store.transaction() as connection:
            await connection.execute(first)
            found = (await connection.execute(select(SERVICE_AGE).with_for_update())).one()
            stored = AgeRecord(found.seconds, found.turns, _moment(found.clock), found.gap)
            record = self._counter.advanced(stored)
            await connection.execute(SERVICE_AGE.update().values(_row(record)))
        self._counter.observe(record)


def _row(record: AgeRecord) -> dict[str, object]:
    return {
        "id": _ONLY,
        "seconds": record.seconds,
        "turns": record.turns,
        "clock": record.clock and timestamp_key(record.clock),
        "gap": record.gap,
    }


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
