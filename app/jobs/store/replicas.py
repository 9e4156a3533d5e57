"""PostgresFellows: a row for every replica, with the last sign of life by the database's own clock."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, String, Table, bindparam, func, select, text

from app.jobs.job import JobState
from app.jobs.store.sql import JOBS, METADATA, SqlJobStore

REPLICAS = Table(
    "replicas",
    METADATA,
    Column("id", String, primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
)
_LONG_GONE = text("interval '1 day'")  # a row that is absent says the same as an old one
_AGE = text("make_interval(secs => :seconds)").bindparams(bindparam("seconds"))


class PostgresFellows:
    """`holder` as in `Marks`; without a sign of life for `timeout_seconds` a replica is dead."""

    def __init__(self, store: SqlJobStore, holder: str, timeout_seconds: float) -> None:
        self._store, self._holder, self._timeout = store, holder, timeout_seconds

    @property
    def beat_seconds(self) -> float:
        return self._timeout / 4

    async def beat(self) -> tuple[str, ...]:
        sign = self._store.insert(REPLICAS).values(id=self._holder, seen_at=func.now())
        alive = select(REPLICAS.c.id).where(REPLICAS.c.seen_at > func.now() - _AGE)
        lost = select(JOBS.c.id).where(JOBS.c.state == JobState.RECEIVING.value, JOBS.c.holder.not_in(alive))
        async with self._store.transaction() as connection:
            await connection.execute(sign.on_conflict_do_update(index_elements=["id"], set_={"seen_at": func.now()}))
            await connection.execute(REPLICAS.delete().where(REPLICAS.c.seen_at < func.now() - _LONG_GONE))
            return tuple(await connection.scalars(lost, {"seconds": self._timeout}))

    async def leave(self) -> None:
        async with self._store.transaction() as connection:
            await connection.execute(REPLICAS.delete().where(REPLICAS.c.id == self._holder))
