"""PostgresHeartbeat: a row for every replica, with the time of its last heartbeat.

The clocks of the database and of other machines are not used. A replica is dead if its row has not changed for the
timeout, as measured by this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime

from sqlalchemy import Column, DateTime, String, Table, func, select

from app.jobs.model import JobState
from app.jobs.store.sql import JOBS, METADATA, SqlJobStore

REPLICAS = Table(
    "replicas",
    METADATA,
    Column("id", String, primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
)


class PostgresHeartbeat:
    """Heartbeats in the database. A replica without one for `timeout_seconds` is dead.

    `holder`: see `ReplicaIdentity`."""

    def __init__(
        self,
        store: SqlJobStore,
        holder: str,
        timeout_seconds: float,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._holder, self._timeout, self._elapsed = store, holder, timeout_seconds, elapsed
        # by replica: last heartbeat, and when it was first seen
        self._last_beats: dict[str, tuple[datetime, float]] = {}
        self._looked = 0.0

    @property
    def beat_seconds(self) -> float:
        return self._timeout / 4

    async def heartbeat(self) -> tuple[str, ...]:
        beat = self._store.insert(REPLICAS).values(id=self._holder, seen_at=func.now())
        async with self._store.transaction() as connection:
            await connection.execute(beat.on_conflict_do_update(index_elements=["id"], set_={"seen_at": func.now()}))
            beats = await connection.execute(select(REPLICAS.c.id, REPLICAS.c.seen_at))
            dead = self._find_dead({row.id: row.seen_at for row in beats})
            await connection.execute(REPLICAS.delete().where(REPLICAS.c.id.in_(dead)))
            alive = self._last_beats.keys() - dead
            lost = select(JOBS.c.id).where(JOBS.c.state == JobState.RECEIVING.value, JOBS.c.holder.not_in(alive))
            return tuple(await connection.scalars(lost))

    async def leave(self) -> None:
        async with self._store.transaction() as connection:
            await connection.execute(REPLICAS.delete().where(REPLICAS.c.id == self._holder))

    def _find_dead(self, beats: Mapping[str, datetime]) -> frozenset[str]:
        """Return the replicas without a new heartbeat for the timeout.

        After a longer time without a look, as in an outage of the database, the measurement restarts for each
        replica."""
        now = self._elapsed()
        if now - self._looked > self._timeout / 2:
            self._last_beats = {}
        self._looked = now
        known = {name: self._last_beats.get(name, (beat, now)) for name, beat in beats.items()}
        self._last_beats = {
            name: known[name] if known[name][0] == beat else (beat, now) for name, beat in beats.items()
        }
        return frozenset(name for name, (_, since) in self._last_beats.items() if now - since >= self._timeout)
