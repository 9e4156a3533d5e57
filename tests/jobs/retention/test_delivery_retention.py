"""Old deliveries are deleted when their jobs are, and a wrong clock deletes none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.jobs import Job, JobArchive, JobState
from app.jobs.deliveries.model import Delivery
from app.jobs.deliveries.retention import DeliveryRetention
from app.jobs.deliveries.store import DeliveryQuery
from app.jobs.model import ArchiveSource
from app.jobs.store.deliveries import SqlDeliveryStore
from app.jobs.store.sql import SqlJobStore
from tests.support.postgres import Postgres

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
YEAR = timedelta(days=365)


@pytest.fixture(params=["sqlite", "postgresql"])
async def jobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlJobStore]:
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.create()
    else:
        url = f"sqlite:///{tmp_path / 'tarmac.db'}"
    store = await SqlJobStore.open(url)
    yield store
    await store.close()


def of(delivery: str) -> Job:
    archives = (JobArchive("x.tar", ArchiveSource.UPLOAD, 7),)
    return replace(Job.new(JobState.RUNNING, NOON), archives=archives, delivery=delivery)


async def test_a_delivery_is_deleted_when_it_is_old_and_has_no_jobs(jobs: SqlJobStore) -> None:
    store = SqlDeliveryStore(jobs)
    delivery = await store.join_delivery(Delivery.new(NOON, "night", ""), "\nnight")
    job = of(delivery.id)
    await jobs.add(job)
    ended = job.transition_to(JobState.FAILED, finished_at=NOON, ended_age=50.0)
    assert await jobs.save(ended, over=job)
    retention, late, aged = DeliveryRetention(store, YEAR), NOON + YEAR * 2, 51.0 + YEAR.total_seconds()
    for now, age, kept in ((late, aged, True), (late, 51.0, True), (NOON, aged, True), (late, aged, False)):
        if not kept:
            await jobs.delete(job.id)
        await retention.apply(now, age)
        assert bool(await store.list_deliveries(DeliveryQuery())) is kept
    assert await store.delivery_rows(delivery.id, None, 10) == ()


async def test_a_name_is_free_a_day_after_the_last_job_ended(jobs: SqlJobStore) -> None:
    store = SqlDeliveryStore(jobs)

    async def join(now: datetime) -> str:
        return (await store.join_delivery(Delivery.new(now, "night", ""), "\nnight")).id

    first = await join(NOON)
    job = of(first)
    await jobs.add(job)
    assert await join(NOON + timedelta(days=9)) == first  # its job runs
    ended = job.transition_to(JobState.FAILED, finished_at=NOON + timedelta(days=9))
    assert await jobs.save(ended, over=job)
    assert await join(NOON + timedelta(days=9, hours=23)) == first
    second = await join(NOON + timedelta(days=10, seconds=1))
    assert second != first
    assert await join(NOON + timedelta(days=10, seconds=2)) == second
    await store.close_delivery(second)
    assert await join(NOON + timedelta(days=10, seconds=3)) not in (first, second)
