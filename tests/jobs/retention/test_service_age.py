"""How old ended jobs are: by the time that the service ran, never by one start with a clock that was wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.jobs import Job, JobService, run_job_service
from app.jobs.lifecycle import delete_older
from app.jobs.retention.service_age import LONGEST_GAP, AgeCounter, AgeRecord
from app.jobs.runner import Runner
from app.jobs.serialization import dump_job, load_job
from app.jobs.store.age import SqlServiceAge
from app.jobs.store.sql import SqlJobStore
from app.jobs.tracking.tracker import JobTracker
from tests.jobs.bench import Bench, ended, upload
from tests.support.postgres import Postgres

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)
KEEP = 30 * DAY


class Station:
    """A service that is started and stopped; its clock may be wrong."""

    def __init__(self, root: Path, store: SqlJobStore) -> None:
        self.store, self.bench = store, Bench(root, store)
        self.now, self.seconds = NOW, 0.0
        self.runtime = self.bench.runtime()

    async def start(self, *, off: timedelta = timedelta(0), ahead: timedelta = timedelta(0)) -> None:
        """After `off` of no power, with a clock that has jumped by `ahead`."""
        self.now += off + ahead
        age = SqlServiceAge(self.store, lambda: self.now, lambda: self.seconds)
        await age.advance()
        tracker = JobTracker(self.store, save_seconds=0, age=age)
        self.runtime = replace(self.bench.runtime(), tracker=tracker, clock=lambda: self.now)

    async def run(self, time: timedelta) -> int:
        """How many jobs went at its end."""
        self.now += time
        self.seconds += time.total_seconds()
        await self.runtime.tracker.age.advance()
        return await delete_older(JobService(self.runtime), self.runtime, KEEP)

    async def fail_a_job(self) -> Job:
        service = JobService(self.runtime)
        self.bench.registry.fail("push_blob", Unavailable("no"))
        job = await upload(service)
        await Runner(self.runtime).run(job.id)
        return await service.get(job.id)

    async def has(self, job: Job) -> bool:
        return await self.store.get(job.id) is not None and f"{job.id}-0.tar" in self.bench.spooled()


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    store = await SqlJobStore.open(f"sqlite:///{tmp_path / 'tarmac.db'}")
    yield Station(tmp_path, store)
    await store.close()


async def test_a_job_goes_when_the_service_has_run_for_so_long(station: Station) -> None:
    await station.start()
    job = await station.fail_a_job()
    assert await station.run(KEEP - HOUR) == 0
    assert await station.has(job)
    assert await station.run(HOUR + timedelta(minutes=1)) == 1
    assert not await station.has(job)


@pytest.mark.parametrize("ahead", [40 * DAY, YEAR, 20 * YEAR])
@pytest.mark.parametrize("time", [timedelta(minutes=1), 10 * DAY])
async def test_a_start_with_a_clock_that_is_ahead_deletes_nothing(
    station: Station, ahead: timedelta, time: timedelta
) -> None:
    await station.start()
    job = await station.fail_a_job()
    await station.run(DAY)
    await station.start(off=HOUR, ahead=ahead)
    assert await station.run(time) == 0
    await station.start(off=HOUR, ahead=-ahead)
    assert await station.run(DAY) == 0
    assert await station.has(job)
    assert await station.run(KEEP) == 1


@pytest.mark.parametrize("behind", [40 * DAY, YEAR])
async def test_a_job_of_a_clock_that_was_behind_stays_when_it_is_put_right(station: Station, behind: timedelta) -> None:
    await station.start()
    await station.run(DAY)
    await station.start(off=HOUR, ahead=-behind)
    job = await station.fail_a_job()
    assert await station.run(HOUR) == 0
    station.now += behind  # as a time server does it
    assert await station.run(HOUR) == 0
    for _ in range(3):
        await station.start(off=2 * HOUR)
        assert await station.run(HOUR) == 0
    assert await station.has(job)
    assert await station.run(KEEP) == 1


async def test_a_job_of_a_clock_that_was_ahead_goes_as_any_other(station: Station) -> None:
    await station.start(ahead=YEAR)
    job = await station.fail_a_job()
    await station.start(ahead=-YEAR)
    assert await station.run(KEEP - HOUR) == 0
    assert await station.run(2 * HOUR) == 1
    assert not await station.has(job)


async def test_a_station_that_is_off_by_night_keeps_jobs_no_longer(station: Station) -> None:
    await station.start()
    await station.fail_a_job()
    gone, days = 0, 0
    while not gone:
        gone, days = await station.run(8 * HOUR), days + 1
        await station.start(off=16 * HOUR)
    assert 30 <= days <= 32


async def test_a_station_that_was_off_for_long_counts_a_day_of_it(station: Station) -> None:
    await station.start()
    await station.fail_a_job()
    await station.start(off=YEAR)
    assert await station.run(HOUR) == 0
    before = station.runtime.tracker.age.now()
    await station.start(off=timedelta(minutes=1))
    assert station.runtime.tracker.age.now() == before + LONGEST_GAP.total_seconds()


async def test_what_had_ended_before_the_age_was_known_is_kept_from_then_on(station: Station) -> None:
    await station.start()
    job = await station.fail_a_job()
    members = dump_job(job)
    del members["ended_age"]
    assert load_job(members).ended_age == 0.0
    await station.store.save(load_job(members | {"revision": job.revision + 1}))
    station.now += YEAR
    assert await station.run(DAY) == 0
    assert await station.run(KEEP) == 1


async def test_a_job_that_is_tried_again_is_as_old_as_its_last_end(station: Station) -> None:
    await station.start()
    job = await station.fail_a_job()
    await station.run(20 * DAY)
    await JobService(station.runtime).retry(job.id)
    await Runner(station.runtime).run(job.id)
    assert await station.run(20 * DAY) == 0
    assert await station.run(10 * DAY + HOUR) == 1


async def test_of_replicas_one_counts_and_another_goes_on_when_it_is_gone(postgres: Postgres) -> None:
    store = await SqlJobStore.open(postgres.create())
    seconds = 0.0
    one, other = (SqlServiceAge(store, lambda: NOW + timedelta(seconds=seconds), lambda: seconds) for _ in range(2))
    await one.advance()
    await other.advance()
    for _ in range(10):
        seconds += 300
        await one.advance()
        seconds += 300
        await other.advance()
    assert other.now() == 6000
    assert 6000 - 300 <= one.now() <= 6000
    for _ in range(10):  # one is gone
        seconds += 600
        await other.advance()
    assert other.now() == 12_000
    await store.close()


async def test_what_has_passed_is_stored_when_the_service_stops(station: Station) -> None:
    for run in range(3):
        age = SqlServiceAge(station.store, lambda: NOW, lambda: station.seconds)
        runtime = replace(station.bench.runtime(), tracker=JobTracker(station.store, age=age))
        async with run_job_service(runtime, keep=KEEP):
            assert age.now() == run * 100
            station.seconds += 100


async def test_a_service_at_work_deletes_in_time_what_is_kept_for_a_moment(bench: Bench) -> None:
    runtime = replace(bench.runtime(), tracker=JobTracker(bench.store))
    async with run_job_service(runtime, keep=timedelta(microseconds=1)) as service:
        await ended(service, await upload(service))
        while (await service.page())[0]:
            await asyncio.sleep(0)


def test_a_record_counts_what_was_measured_and_what_two_starts_agree_on() -> None:
    record = AgeRecord().begin(NOW).advance(NOW + HOUR, 3600)
    assert (record.seconds, record.turns) == (3600, 2)
    late = record.begin(NOW + 3 * HOUR)
    assert (late.seconds, late.gap) == (3600, 7200)
    assert late.begin(NOW + 3 * HOUR).seconds == 3600 + 7200
    assert late.begin(NOW).seconds == 3600
    assert late.advance(NOW, 1).gap == 0
    assert record.begin(NOW + HOUR + timedelta(minutes=10)).gap == 0


def test_nothing_is_known_before_the_start() -> None:
    reckoning = AgeCounter(lambda: NOW, lambda: 5.0)
    assert reckoning.now() == 0.0
