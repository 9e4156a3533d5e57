"""What TagLeases must do; those of one process and those of several replicas run the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from app.errors import Unavailable
from app.jobs import Job, JobState
from app.jobs.leases import LocalTagLeases, TagLeases, TagsLeasedError
from app.jobs.store.sql import JOBS, SqlJobStore
from app.jobs.store.tag_leases import TAGS, PostgresTagLeases
from tests.support.postgres import Postgres

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LOOKS = 20  # turns of the loop, or looks at the database, in which somebody who may go on would have


@dataclass
class Sides:
    """Two replicas' leases, which are one and the same in one process."""

    one: TagLeases
    other: TagLeases
    stores: tuple[SqlJobStore, ...] = ()

    async def running(self, number: int) -> Job:
        """The job accepted in minute `number`, at work."""
        job = Job.new(JobState.RUNNING, NOON).evolve(accepted_at=NOON + timedelta(minutes=number))
        for store in self.stores[:1]:
            await store.add(job)
        return job

    async def ended(self, job: Job) -> None:
        for store in self.stores[:1]:
            assert await store.save(job.transition_to(JobState.FAILED, finished_at=NOON), over=job)


@pytest.fixture(scope="session")
def database(postgres: Postgres) -> str:
    return postgres.create()


@pytest.fixture(params=["local", "postgresql"])
async def sides(request: pytest.FixtureRequest) -> AsyncIterator[Sides]:
    if request.param == "local":
        leases = LocalTagLeases()
        yield Sides(leases, leases)
        return
    async with replicas(request.getfixturevalue("database")) as found:
        yield found


@pytest.fixture
async def replicated(database: str) -> AsyncIterator[Sides]:
    async with replicas(database) as found:
        yield found


@asynccontextmanager
async def replicas(url: str) -> AsyncIterator[Sides]:
    async with AsyncExitStack() as stack:
        stores = []
        for _ in range(2):
            stores.append(await SqlJobStore.open(url))
            stack.push_async_callback(stores[-1].close)
        one, other = (PostgresTagLeases(store, wait_seconds=0, patience_seconds=0) for store in stores)
        yield Sides(one, other, tuple(stores))
        async with stores[0].transaction() as connection:
            for table in (JOBS, TAGS):
                await connection.execute(table.delete())


async def wants(leases: TagLeases, job: Job, names: set[str], got: asyncio.Event, go: asyncio.Event) -> frozenset[str]:
    async with leases.lease(job, names) as superseded:
        got.set()
        await go.wait()
        return superseded


async def does_not_come(event: asyncio.Event, leases: TagLeases) -> bool:
    """After so much has happened that it would have."""
    for _ in range(LOOKS):
        if isinstance(leases, PostgresTagLeases):
            async with leases._store.transaction() as connection:
                await connection.execute(select(func.now()))
        else:
            await asyncio.sleep(0)
    return not event.is_set()


async def test_a_tag_is_one_jobs_at_a_time(sides: Sides) -> None:
    first, second = await sides.running(1), await sides.running(2)
    got, go = asyncio.Event(), asyncio.Event()
    go.set()
    async with sides.one.lease(first, {"r/app:1", "r/app:2"}):
        waiting = asyncio.create_task(wants(sides.other, second, {"r/app:2", "r/app:3"}, got, go))
        assert await does_not_come(got, sides.other)
    assert await waiting == frozenset()
    assert got.is_set()


async def test_other_tags_are_not_waited_for(sides: Sides) -> None:
    first, second = await sides.running(1), await sides.running(2)
    async with sides.one.lease(first, {"r/app:1"}), sides.other.lease(second, {"r/app:2"}) as superseded:
        assert superseded == frozenset()


async def test_what_a_later_job_has_written_is_not_an_older_ones_any_more(sides: Sides) -> None:
    older, newer = await sides.running(1), await sides.running(2)
    async with sides.one.lease(newer, {"r/app:1", "r/app:2"}):
        await sides.one.record_pushed(newer, {"r/app:1"})
    async with sides.other.lease(older, {"r/app:1", "r/app:2"}) as superseded:
        assert superseded == {"r/app:1"}
        await sides.other.record_pushed(older, {"r/app:1"})
    async with sides.other.lease(older, {"r/app:1"}) as superseded:
        assert superseded == {"r/app:1"}, "an older claim does not take the place of a newer one"
    async with sides.one.lease(newer, {"r/app:1"}) as superseded:
        assert superseded == frozenset(), "a job does not outdate itself"


async def test_jobs_that_want_each_others_tags_do_not_wait_for_ever(sides: Sides) -> None:
    names = [f"r/app:{number}" for number in range(8)]

    async def work(number: int) -> None:
        job = await sides.running(number)
        wanted = names[number % 5 :] + names[: number % 3]
        async with (sides.one, sides.other)[number % 2].lease(job, wanted):
            await asyncio.sleep(0)
        await sides.ended(job)

    await asyncio.gather(*map(work, range(12)))


async def test_what_outdates_no_job_that_waits_is_forgotten(sides: Sides) -> None:
    jobs = [await sides.running(number) for number in range(3)]
    for job in jobs:
        await sides.one.record_pushed(job, {"r/nobody:1"})
        async with sides.one.lease(job, {f"r/app:{job.id}"}):
            await sides.one.record_pushed(job, {f"r/app:{job.id}"})
        await sides.ended(job)
    await sides.other.forget(jobs[1].accepted_at)
    oldest = (await sides.running(0)).evolve(accepted_at=NOON - timedelta(days=1))
    async with sides.one.lease(oldest, {f"r/app:{job.id}" for job in jobs}) as superseded:
        assert superseded == {f"r/app:{job.id}" for job in jobs[1:]}
    await sides.ended(oldest)
    await sides.other.forget(None)
    async with sides.one.lease(oldest, {f"r/app:{job.id}" for job in jobs}) as superseded:
        assert superseded == frozenset()


async def test_a_run_that_is_cancelled_while_it_waits_leaves_nothing_behind(sides: Sides) -> None:
    first, second, third = [await sides.running(number) for number in range(3)]
    got, go = asyncio.Event(), asyncio.Event()
    async with sides.one.lease(first, {"r/app:1"}):
        waiting = asyncio.create_task(wants(sides.other, second, {"r/app:1", "r/app:2"}, got, go))
        assert await does_not_come(got, sides.other)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with sides.one.lease(third, {"r/app:2"}) as superseded:
            assert superseded == frozenset()


# --- of several replicas ---------------------------------------------------------------------------------------------


async def test_the_tags_of_a_job_that_no_longer_runs_are_free(replicated: Sides) -> None:
    """Its replica is dead, or was stopped and has lost the job."""
    first, second = await replicated.running(1), await replicated.running(2)
    async with replicated.one.lease(first, {"r/app:1"}):
        await replicated.ended(first)
        async with replicated.other.lease(second, {"r/app:1"}) as superseded:
            assert superseded == frozenset()


async def test_a_job_that_is_taken_over_keeps_its_tags_from_its_earlier_attempt(replicated: Sides) -> None:
    job, other = await replicated.running(1), await replicated.running(2)
    got, go = asyncio.Event(), asyncio.Event()
    go.set()
    again = job.transition_to(JobState.QUEUED, attempt=job.attempt + 1).transition_to(JobState.RUNNING)
    async with AsyncExitStack() as zombie:
        await zombie.enter_async_context(replicated.one.lease(job, {"r/app:1"}))
        assert await replicated.stores[1].save(again, over=job)
        async with replicated.other.lease(again, {"r/app:1"}):
            await zombie.aclose()  # gives back what is no longer its own
            waiting = asyncio.create_task(wants(replicated.one, other, {"r/app:1"}, got, go))
            assert await does_not_come(got, replicated.one)
        await waiting


async def test_what_an_earlier_attempt_had_is_not_kept_from_those_that_the_later_one_waits_for(
    replicated: Sides,
) -> None:
    """Within its replica the job that was taken over comes after the other, which waits for the attempt that died."""
    job, other = await replicated.running(1), await replicated.running(2)
    again = job.transition_to(JobState.QUEUED, attempt=job.attempt + 1).transition_to(JobState.RUNNING)
    async with replicated.one.lease(job, {"r/app:1"}):
        assert await replicated.stores[1].save(again, over=job)
        async with replicated.other.lease(other, {"r/app:1"}) as superseded:
            assert superseded == frozenset()


async def test_who_would_wait_long_gives_way_to_what_may_end_it(replicated: Sides) -> None:
    first, second = await replicated.running(1), await replicated.running(2)
    hasty = PostgresTagLeases(replicated.stores[1], wait_seconds=0, longest_seconds=0)
    async with replicated.one.lease(first, {"r/app:1"}):
        with pytest.raises(TagsLeasedError):
            await hasty.lease(second, {"r/app:1"}).__aenter__()
    async with hasty.lease(second, {"r/app:1"}):
        pass


async def test_a_database_that_does_not_answer_is_waited_for(
    replicated: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await replicated.running(1)
    store = replicated.stores[0]
    transaction, failures = store.transaction, iter([True, True, False, True, False, True])

    def sometimes() -> object:
        if next(failures):
            raise Unavailable("the database does not answer")
        return transaction()

    monkeypatch.setattr(store, "transaction", sometimes)
    async with replicated.one.lease(job, {"r/app:1"}):
        await replicated.one.record_pushed(job, {"r/app:1"})
    assert next(failures, None) is None, "the lease was not given back either: it ends with the run"
    older = job.evolve(accepted_at=NOON)
    async with replicated.other.lease(older, {"r/app:1"}) as superseded:
        assert superseded == {"r/app:1"}
