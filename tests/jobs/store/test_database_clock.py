"""The clock of the database that replicas share was wrong, and is put right: nothing waits for it, nobody is taken for
dead or alive by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from app.jobs import Job, JobState
from app.jobs.queue import LONGEST_DELAY, QueueSchedule
from app.jobs.queue.pgqueuer_rows import QueueTable
from app.jobs.store.heartbeat import PostgresHeartbeat
from app.jobs.store.sql import ReplicaIdentity, SqlJobStore
from tests.contract.test_job_queue_contract import Shared, Work
from tests.support.postgres import Postgres

AHEAD = ("5 minutes", "2 hours", "365 days")


@pytest.fixture(scope="module")
def shared_url(postgres: Postgres) -> str:
    return postgres.create()


@pytest.fixture
async def shared(shared_url: str) -> AsyncIterator[Shared]:
    await (await SqlJobStore.open(shared_url)).close()
    shared = Shared(shared_url)
    async with shared.replica():
        pass  # it has made the queue's tables
    yield shared
    for table in ("jobs", "tarmac_pgqueuer", "replicas"):
        await shared.run(f"TRUNCATE {table}")


def rows_of(queue: object) -> QueueTable:
    rows = getattr(queue, "_rows")  # noqa: B009 - of another class
    assert isinstance(rows, QueueTable)
    return rows


async def age(shared: Shared, ahead: str) -> None:
    """As if all rows had been written while the clock was `ahead`."""
    await shared.run(
        f"UPDATE tarmac_pgqueuer SET created = created + interval '{ahead}', updated = updated + interval '{ahead}', "
        f"heartbeat = heartbeat + interval '{ahead}', execute_after = execute_after + interval '{ahead}'"
    )


@pytest.mark.parametrize("ahead", AHEAD)
async def test_what_was_queued_while_the_clock_was_ahead_runs_at_once(shared: Shared, ahead: str) -> None:
    job_id = await shared.job()
    async with shared.replica() as queue:
        await queue.put(job_id)
        await age(shared, ahead)
        work = Work()
        await queue.start(work.run)
        await work.until(job_id)
        await queue.stop(0)


@pytest.mark.parametrize("ahead", AHEAD)
async def test_what_was_put_off_then_waits_no_longer_than_it_was_to(shared: Shared, ahead: str) -> None:
    job_id = await shared.job()
    async with shared.replica() as queue:
        await queue.put(job_id, QueueSchedule(datetime.now(UTC) + timedelta(minutes=10)))
        await age(shared, ahead)
        await rows_of(queue).correct_times()
        left = "SELECT FROM tarmac_pgqueuer WHERE execute_after - now() BETWEEN interval '9 min' AND interval '10 min'"
        assert await shared.run(left) == "SELECT 1"


async def test_a_pause_that_is_not_over_is_left_alone(shared: Shared) -> None:
    job_id = await shared.job()
    async with shared.replica() as queue:
        await queue.put(job_id)
        await queue.put(job_id, QueueSchedule(datetime.now(UTC) + LONGEST_DELAY))
        await rows_of(queue).correct_times()
        not_before = "SELECT FROM tarmac_pgqueuer WHERE execute_after > now() + interval '59 min'"
        assert await shared.run(not_before) == "SELECT 1"


async def test_a_moment_further_off_than_any_pause_is_not_believed(shared: Shared) -> None:
    job_id = await shared.job()
    async with shared.replica() as queue:
        await queue.put(job_id)
        await shared.run("UPDATE tarmac_pgqueuer SET execute_after = now() + interval '61 min'")
        work = Work()
        await queue.start(work.run)
        await work.until(job_id)
        await queue.stop(0)


async def test_a_replica_that_died_while_the_clock_was_ahead_is_found_out(shared: Shared) -> None:
    job_id = await shared.job()
    async with shared.replica(timeout=30) as dead, shared.replica(timeout=1) as heir:
        late, work = Work(), Work()
        await dead.put(job_id)
        await dead.start(late.run)
        await late.until(job_id)
        dead._worker.cancel()  # type: ignore[union-attr]  # it beats no more
        await age(shared, "365 days")
        await heir.start(work.run)
        await work.until(job_id)
        await heir.stop(0)
        await dead.stop(0)


@dataclass
class Seconds:
    passed: float = 0.0

    def __call__(self) -> float:
        return self.passed


async def receiving(url: str, holder: str) -> str:
    store = await SqlJobStore.open(url, ReplicaIdentity(holder=holder))
    job = await store.add(Job.new(JobState.RECEIVING, datetime(2026, 1, 1, tzinfo=UTC)))
    await store.close()
    return job.id


@pytest.mark.parametrize("jump", ["-365 days", "0 days", "365 days"])
async def test_a_replica_is_dead_when_no_sign_of_it_comes_whatever_the_clock_says(shared: Shared, jump: str) -> None:
    job_id = await receiving(shared.url, "dead")
    seconds, store = Seconds(), await SqlJobStore.open(shared.url)
    watcher = PostgresHeartbeat(store, "watcher", 8.0, seconds)
    dead = PostgresHeartbeat(store, "dead", 8.0, seconds)
    await dead.heartbeat()
    assert await watcher.heartbeat() == ()
    await shared.run(f"UPDATE replicas SET seen_at = seen_at + interval '{jump}'")
    for passed in (0.0, 2.0, 4.0, 6.0, 7.9):
        seconds.passed = passed
        assert await watcher.heartbeat() == ()
    seconds.passed = 8.0
    assert await watcher.heartbeat() == (job_id,)
    assert await shared.run("SELECT FROM replicas WHERE id = 'dead'") == "SELECT 0"
    await dead.heartbeat()  # it had only been stopped
    assert await watcher.heartbeat() == ()
    await store.close()


@pytest.mark.parametrize("jump", ["-365 days", "365 days"])
async def test_a_replica_that_beats_is_alive_whatever_the_clock_says(shared: Shared, jump: str) -> None:
    await receiving(shared.url, "alive")
    seconds, store = Seconds(), await SqlJobStore.open(shared.url)
    watcher, alive = (PostgresHeartbeat(store, name, 8.0, seconds) for name in ("watcher", "alive"))
    for _ in range(10):
        await alive.heartbeat()
        await shared.run(f"UPDATE replicas SET seen_at = seen_at + interval '{jump}'")
        seconds.passed += 2.0
        assert await watcher.heartbeat() == ()
    await store.close()


async def test_nobody_is_dead_because_the_database_was_away_for_all(shared: Shared) -> None:
    await receiving(shared.url, "alive")
    seconds, store = Seconds(), await SqlJobStore.open(shared.url)
    watcher, alive = (PostgresHeartbeat(store, name, 8.0, seconds) for name in ("watcher", "alive"))
    await alive.heartbeat()
    assert await watcher.heartbeat() == ()
    seconds.passed += 60
    assert await watcher.heartbeat() == ()
    seconds.passed += 2
    await alive.heartbeat()
    for _ in range(3):
        assert await watcher.heartbeat() == ()
        seconds.passed += 2
    await store.close()


async def test_the_upload_of_a_replica_that_left_is_given_up_at_once(shared: Shared) -> None:
    job_id = await receiving(shared.url, "gone")
    store = await SqlJobStore.open(shared.url)
    assert await PostgresHeartbeat(store, "watcher", 8.0, Seconds()).heartbeat() == (job_id,)
    await store.close()
