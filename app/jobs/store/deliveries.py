"""SqlDeliveryStore: deliveries and the rows of their reports as two tables.

`SqlJobStore` writes the rows of a job in the transaction that writes the job, so that a report never lacks one. The
rows stay when the job is deleted."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import Unavailable
from app.jobs.deliveries.model import Delivery, DeliverySummary, Outcome, ReportRow
from app.jobs.deliveries.store import DeliveryQuery, Expiry, RowKey, StoredRow
from app.jobs.model import JobState
from app.jobs.store import timestamp_key
from app.jobs.store.delivery_tables import DELIVERIES, DELIVERY_ROWS, LISTED, clean, insert_rows
from app.jobs.store.sql import JOBS, SqlJobStore

_RACES = 5  # attempts to join a delivery that another request closes at the same time
_AT_ONCE = 500  # deliveries deleted in one transaction
_ENDED = [state.value for state in JobState if state.ended]
_COLUMNS = tuple(column for column in DELIVERIES.c if column.name not in {"open_key", "age"})


class SqlDeliveryStore:
    """Shares the database of the job store."""

    def __init__(self, store: SqlJobStore) -> None:
        self._store = store

    async def join_delivery(self, new: Delivery, key: str | None) -> Delivery:
        values = _values(new) | {"open_key": key}
        insert = self._store.insert(DELIVERIES).values(values).on_conflict_do_nothing(index_elements=["open_key"])
        async with self._store.transaction() as connection:
            for _ in range(_RACES):
                if (await connection.execute(insert)).rowcount:
                    return new
                found = (await connection.execute(select(*_COLUMNS).where(DELIVERIES.c.open_key == key))).first()
                if found is not None and await _is_open(connection, _delivery(found), new.created_at):
                    return _delivery(found)
                closed = DELIVERIES.update().where(DELIVERIES.c.open_key == key)
                await connection.execute(closed.values(open_key=None))
        raise Unavailable("the delivery of this name is closed and begun at the same time; try again")

    async def get_delivery(self, delivery_id: str) -> Delivery | None:
        if "\0" in delivery_id:
            return None
        wanted = select(*_COLUMNS).where(DELIVERIES.c.id == delivery_id)
        found = await self._store.ask(lambda connection: connection.execute(wanted).first())
        return None if found is None else _delivery(found)

    async def list_deliveries(self, query: DeliveryQuery) -> tuple[Delivery, ...]:
        wanted = select(*_COLUMNS).where(*_conditions(query))
        newest = wanted.order_by(DELIVERIES.c.created_at.desc(), DELIVERIES.c.id.desc()).limit(query.limit)
        return await self._store.ask(lambda connection: tuple(map(_delivery, connection.execute(newest))))

    async def summarize(self, deliveries: Sequence[Delivery]) -> tuple[DeliverySummary, ...]:
        return await self._store.ask(lambda connection: _summaries(connection, deliveries))

    async def delivery_rows(self, delivery_id: str, after: RowKey | None, limit: int) -> tuple[StoredRow, ...]:
        rows = DELIVERY_ROWS.c
        keys = (rows.path, rows.job, rows.number)
        wanted = select(*keys, rows.document).where(rows.delivery == delivery_id)
        if after is not None:
            wanted = wanted.where(tuple_(*keys) > tuple_(*after))
        page = wanted.order_by(*keys).limit(limit)
        return await self._store.ask(lambda connection: tuple(map(_stored_row, connection.execute(page))))

    async def list_files(self, delivery_id: str, rows: Sequence[ReportRow]) -> None:
        table = DELIVERY_ROWS
        own = (table.c.delivery == delivery_id, table.c.job == LISTED)
        async with self._store.transaction() as connection:
            again = table.c.path.in_([clean(row.path) for row in rows])
            await connection.execute(table.delete().where(*own, again))
            last = await connection.scalar(select(func.max(table.c.number)).where(*own))
            await insert_rows(connection, delivery_id, rows, 0 if last is None else last + 1)

    async def count_listed(self, delivery_id: str) -> int:
        table = DELIVERY_ROWS.c
        counted = select(func.count()).where(table.delivery == delivery_id, table.job == LISTED)
        return await self._store.ask(lambda connection: connection.scalar(counted) or 0)

    async def close_delivery(self, delivery_id: str) -> None:
        async with self._store.transaction() as connection:
            closed = DELIVERIES.update().where(DELIVERIES.c.id == delivery_id)
            await connection.execute(closed.values(open_key=None))

    async def delete_delivery(self, delivery_id: str) -> None:
        async with self._store.transaction() as connection:
            await _delete(connection, [delivery_id])

    async def delete_old_deliveries(self, expiry: Expiry) -> int:
        deliveries = DELIVERIES.c
        ended = func.coalesce(deliveries.last_ended_at, deliveries.created_at)
        is_old = ~ended.between(timestamp_key(expiry.ended_before), timestamp_key(expiry.now))
        has_jobs = exists().where(JOBS.c.delivery == deliveries.id)
        wanted = select(deliveries.id).where(is_old, deliveries.age <= expiry.age, ~has_jobs).limit(_AT_ONCE)
        ids = await self._store.ask(lambda connection: list(connection.scalars(wanted)))
        if ids:  # SQLite refuses a transaction that reads first if another process writes meanwhile
            async with self._store.transaction() as connection:
                await _delete(connection, ids)
        return len(ids)


async def _delete(connection: AsyncConnection, ids: Sequence[str]) -> None:
    await connection.execute(delete(DELIVERIES).where(DELIVERIES.c.id.in_(ids)))
    await connection.execute(delete(DELIVERY_ROWS).where(DELIVERY_ROWS.c.delivery.in_(ids)))


async def _is_open(connection: AsyncConnection, delivery: Delivery, now: datetime) -> bool:
    if now < delivery.closes_at:
        return True
    waiting = select(JOBS.c.id).where(JOBS.c.delivery == delivery.id, JOBS.c.state.not_in(_ENDED)).limit(1)
    return (await connection.execute(waiting)).first() is not None


def _conditions(query: DeliveryQuery) -> Iterator[ColumnElement[bool]]:
    deliveries = DELIVERIES.c
    for wanted in (query.submitter, query.submitted_by):
        if wanted is not None:
            yield deliveries.submitter == wanted
    if query.text is not None:
        yield func.lower(deliveries.name).contains(query.text, autoescape=True)
    if query.before is not None:
        yield tuple_(deliveries.created_at, deliveries.id) < tuple_(*query.before)
    if query.since is not None:
        yield deliveries.created_at >= timestamp_key(query.since)
    if query.until is not None:
        yield deliveries.created_at <= timestamp_key(query.until)


def _summaries(connection: Connection, deliveries: Sequence[Delivery]) -> tuple[DeliverySummary, ...]:
    """Both counts are read from indexes alone."""
    ids = [delivery.id for delivery in deliveries]
    rows: defaultdict[str, defaultdict[Outcome, int]] = defaultdict(lambda: defaultdict(int))
    files: defaultdict[str, defaultdict[Outcome, int]] = defaultdict(lambda: defaultdict(int))
    jobs: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(JobState, 0))
    sizes: defaultdict[str, int] = defaultdict(int)
    table = DELIVERY_ROWS.c
    keys = (table.delivery, table.outcome, table.file_outcome)
    counted = select(*keys, func.count(), func.sum(table.size)).where(table.delivery.in_(ids)).group_by(*keys)
    for delivery, outcome, of_file, count, size in connection.execute(counted):
        rows[delivery][Outcome(outcome)] += count
        sizes[delivery] += int(size)
        if of_file:
            files[delivery][Outcome(of_file)] += count
    states = (JOBS.c.delivery, JOBS.c.state)
    for delivery, state, count in connection.execute(
        select(*states, func.count()).where(JOBS.c.delivery.in_(ids)).group_by(*states)
    ):
        jobs[delivery][JobState(state)] = count
    return tuple(
        DeliverySummary(item, rows[item.id], files[item.id], sizes[item.id], _plain(jobs[item.id]))
        for item in deliveries
    )


def _plain(jobs: Mapping[str, int]) -> Mapping[str, int]:
    return {str(state): count for state, count in jobs.items()}


def _values(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "created_at": timestamp_key(delivery.created_at),
        "submitter": delivery.submitter,
        "name": delivery.name,
        "last_ended_at": None,
        "age": delivery.age,
        "labels": dict(delivery.labels),
    }


def _delivery(row: Any) -> Delivery:
    ended = row.last_ended_at
    return Delivery(
        id=row.id,
        created_at=datetime.fromisoformat(row.created_at),
        name=row.name,
        submitter=row.submitter,
        labels=MappingProxyType(dict(row.labels)),
        last_ended_at=None if ended is None else datetime.fromisoformat(ended),
    )


def _stored_row(row: Any) -> StoredRow:
    members = json.loads(row.document)
    texts = {name: tuple(members[name]) for name in ("names", "destinations", "platforms")}
    outcomes = {name: Outcome(members[name]) for name in ("outcome", "file_outcome")}
    return (row.path, row.job, row.number), ReportRow(**members | texts | outcomes)


__all__ = ["SqlDeliveryStore"]
