"""The statements of lists and searches. Both find keys first, in the order of an index that holds every column that is
filtered by; only then are the documents of the jobs of the page read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, exists, or_, select, tuple_

from app.jobs.model import Job, JobState
from app.jobs.serialization import load_job
from app.jobs.store import SEARCHED_AT_ONCE, JobQuery, Key, timestamp_key
from app.jobs.store.delivery_tables import DELIVERIES


def read_page(connection: Connection, jobs: Table, query: JobQuery) -> tuple[Job, ...]:
    keys = _keys(jobs, query).limit(query.limit).subquery()
    return _documents(connection, jobs, keys.c.id)


def search_jobs(
    connection: Connection, jobs: Table, texts: Table, query: JobQuery
) -> tuple[tuple[Job, ...], Key | None]:
    """As `JobStore.search`."""
    window = _keys(jobs, query).limit(SEARCHED_AT_ONCE)
    among = window.subquery()
    has_text = exists().where(texts.c.job == among.c.id, texts.c.text.contains(query.text, autoescape=True))
    newest = select(among.c.id, among.c.created_at).where(has_text)
    found = connection.execute(newest.order_by(among.c.created_at.desc(), among.c.id.desc()).limit(query.limit)).all()
    page = _documents(connection, jobs, [row.id for row in found]) if found else ()
    if len(found) == query.limit:
        return page, (found[-1].created_at, found[-1].id)
    last = connection.execute(_keys(jobs, query).offset(SEARCHED_AT_ONCE - 1).limit(1)).first()
    return page, None if last is None else (last.created_at, last.id)


def _keys(jobs: Table, query: JobQuery) -> Select[Any]:
    keys = select(jobs.c.id, jobs.c.created_at).where(*_conditions(jobs, query))
    return keys.order_by(jobs.c.created_at.desc(), jobs.c.id.desc())


def _documents(connection: Connection, jobs: Table, ids: Any) -> tuple[Job, ...]:
    wanted = select(jobs.c.document).where(jobs.c.id.in_(ids if isinstance(ids, list) else select(ids)))
    newest = wanted.order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
    return tuple(map(load_job, connection.scalars(newest)))


def _conditions(jobs: Table, query: JobQuery) -> Iterator[ColumnElement[bool]]:
    if query.states != frozenset(JobState):
        yield jobs.c.state.in_(sorted(query.states))
    if query.label is not None:
        key, value = query.label
        yield jobs.c.labels[key].as_string() == value
    if query.before is not None:
        yield tuple_(jobs.c.created_at, jobs.c.id) < tuple_(*query.before)
    if query.since is not None:
        yield jobs.c.created_at >= timestamp_key(query.since)
    if query.until is not None:
        yield jobs.c.created_at <= timestamp_key(query.until)
    if query.deliveries is not None:
        named = select(DELIVERIES.c.id).where(DELIVERIES.c.name.in_(sorted(query.deliveries)))
        yield or_(jobs.c.delivery.in_(sorted(query.deliveries)), jobs.c.delivery.in_(named))
    for column, wanted in (
        (jobs.c.submitter, query.submitter),
        (jobs.c.submitter, query.submitted_by),
        (jobs.c.registry, query.registry),
        (jobs.c.source, query.source),
    ):
        if wanted is not None:
            yield column == wanted


__all__ = ["read_page", "search_jobs"]
