"""What every JobQueue must do; the one of this process and the one that replicas share run the same."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy.engine import make_url

from app.jobs import Job, JobState
from app.jobs.queue import JobQueue, QueueSchedule, pgqueuer
from app.jobs.queue.local import LocalJobQueue
from app.jobs.queue.pgqueuer import PgQueuerJobQueue, Replica
from app.jobs.queue.pgqueuer_rows import QueueRow, QueueTable
from app.jobs.store.engine import plain_dsn
from app.jobs.store.sql import SqlJobStore
from tests.support.postgres import Postgres

SOON = 30.0
Open = Callable[[int], AbstractAsyncContextManager[JobQueue]]


class Work:
    """Runs that end when they are told to, or are cancelled."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.cancelled: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.news = asyncio.Condition()

    async def run(self, job_id: str) -> None:
        gate = self.gates[job_id] = asyncio.Event()
        self.began.append(job_id)
        await self._tell()
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(job_id)
            raise

    async def until(self, *began: str) -> None:
        async with asyncio.timeout(SOON), self.news:
            await self.news.wait_for(lambda: len(self.began) >= len(began))
        assert self.began == list(began)

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()


async def everywhere(_: str) -> bool:
    return True


async def nowhere(_: str) -> bool:
    return False


@dataclass
class Shared:
    """One database that queues of several replicas are opened on."""

    url: str

    @asynccontextmanager
    async def replica(
        self, most: int = 1, *, place: str = "", home: str = "", blind: bool = False, timeout: float = 2.0
    ) -> AsyncIterator[PgQueuerJobQueue]:
        fellow = Replica(uuid4(), place, home, nowhere if blind else everywhere, timeout)
        async with PgQueuerJobQueue.open(self.url, fellow, most) as queue:
            yield queue

    async def job(self, number: int = 0, *, place: str = "", state: JobState = JobState.FAILED) -> str:
        """A stored one: the queue asks where its archives lie. (One that is QUEUED is taken in without being put.)"""
        job = Job.new(state, datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number))
        store = await SqlJobStore.open(self.url)
        await store.add(job)
        await store.close()
        await self.run("UPDATE jobs SET place = $2 WHERE id = $1", job.id, place)
        return job.id

    async def run(self, statement: str, *values: object) -> str:
        connection = await asyncpg.connect(plain_dsn(self.url))
        try:
            return str(await connection.execute(statement, *values))
        finally:
            await connection.close()


@pytest.fixture(scope="module")
def shared_url(postgres: Postgres) -> str:
    return postgres.create()


@pytest.fixture
async def shared(shared_url: str) -> AsyncIterator[Shared]:
    await (await SqlJobStore.open(shared_url)).close()
    shared = Shared(shared_url)
    yield shared
    await shared.run("TRUNCATE jobs")
    await shared.run("TRUNCATE tarmac_pgqueuer")


@pytest.fixture(params=["local", "postgresql"])
def opened(request: pytest.FixtureRequest) -> Open:
    @asynccontextmanager
    async def local(most: int) -> AsyncIterator[JobQueue]:
        yield LocalJobQueue(most)

    return local if request.param == "local" else request.getfixturevalue("shared").replica


@pytest.fixture
async def ids(request: pytest.FixtureRequest, opened: Open) -> list[str]:
    if "shared" not in request.fixturenames and "postgresql" not in request.node.name:
        return list("abcd")
    shared: Shared = request.getfixturevalue("shared")
    return [await shared.job(number) for number in range(4)]


async def test_jobs_run_in_order_and_so_many_at_a_time(opened: Open, ids: list[str]) -> None:
    async with opened(2) as queue:
        work = Work()
        for id_ in ids[:3]:
            await queue.put(id_)
        await queue.start(work.run)
        await work.until(*ids[:2])
        work.gates[ids[1]].set()
        await work.until(*ids[:3])
        await queue.stop(0)


async def test_priority_goes_first_and_a_time_is_waited_for(opened: Open, ids: list[str]) -> None:
    async with opened(1) as queue:
        work = Work()
        await queue.put(ids[0], QueueSchedule(not_before=datetime.now(UTC) + timedelta(hours=1), priority=9))
        await queue.put(ids[1])
        await queue.put(ids[2], QueueSchedule(priority=1))
        await queue.start(work.run)
        await work.until(ids[2])
        work.gates[ids[2]].set()
        await work.until(ids[2], ids[1])
        work.gates[ids[1]].set()
        await queue.put(ids[0])
        await work.until(ids[2], ids[1], ids[0])
        await queue.stop(0)


async def test_a_share_of_many_does_not_keep_out_a_share_of_one(opened: Open, ids: list[str]) -> None:
    async with opened(1) as queue:
        work = Work()
        for id_ in ids[:3]:
            await queue.put(id_, QueueSchedule(share="many"))
        await queue.put(ids[3], QueueSchedule(share="one"))
        await queue.start(work.run)
        await work.until(ids[0])
        work.gates[ids[0]].set()
        await work.until(ids[0], ids[3])
        await queue.stop(0)


async def test_a_share_of_which_none_runs_waits_for_no_other(opened: Open, ids: list[str]) -> None:
    async with opened(2) as queue:
        work = Work()
        for id_ in ids[:3]:
            await queue.put(id_, QueueSchedule(share="many", priority=1))
        await queue.start(work.run)
        await work.until(*ids[:2])
        await queue.put(ids[3], QueueSchedule(share="one"))
        await work.until(*ids[:2], ids[3])
        work.gates[ids[3]].set()
        work.gates[ids[0]].set()
        await work.until(*ids[:2], ids[3], ids[2])
        await queue.stop(0)


async def test_a_job_put_while_it_runs_runs_again_afterwards(opened: Open, ids: list[str]) -> None:
    async with opened(2) as queue:
        work = Work()
        await queue.put(ids[0])
        await queue.start(work.run)
        await work.until(ids[0])
        await queue.put(ids[0])
        await queue.put(ids[0])
        work.gates[ids[0]].set()
        await work.until(ids[0], ids[0])
        await queue.stop(0)


async def test_cancel_takes_out_what_waits_and_ends_what_runs(opened: Open, ids: list[str]) -> None:
    async with opened(1) as queue:
        work = Work()
        for id_ in ids[:3]:
            await queue.put(id_)
        await queue.start(work.run)
        await work.until(ids[0])
        await queue.cancel(ids[1])
        await queue.cancel(ids[0])
        assert work.cancelled == [ids[0]]
        await work.until(ids[0], ids[2])
        await queue.cancel("nothing")
        await queue.stop(0)


async def test_a_replica_cancels_what_another_one_runs(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told to, long before its next sign of life and before the other gives up waiting."""
    monkeypatch.setattr(pgqueuer, "REMOTE_STOP_SECONDS", SOON)
    job_id = await shared.job()
    async with shared.replica(timeout=600) as one, shared.replica(timeout=600) as other:
        work = Work()
        await one.put(job_id)
        await one.start(work.run)
        await work.until(job_id)
        begun = asyncio.get_running_loop().time()
        await other.cancel(job_id)
        async with asyncio.timeout(SOON):
            while not work.cancelled:
                await asyncio.to_thread(int)  # the loop runs meanwhile
        assert work.cancelled == [job_id]
        assert asyncio.get_running_loop().time() - begun < SOON
        await one.stop(0)


async def test_a_dead_replicas_job_is_taken_over_and_it_learns_so_when_it_wakes(shared: Shared) -> None:
    job_id = await shared.job()
    async with shared.replica(timeout=30) as frozen, shared.replica(timeout=10) as heir:
        late, work = Work(), Work()
        await frozen.put(job_id)
        await frozen.start(late.run)
        await late.until(job_id)
        await shared.run("UPDATE tarmac_pgqueuer SET heartbeat = now() - interval '20 s'")
        await heir.start(work.run)
        await work.until(job_id)
        await frozen._send_heartbeats()
        await asyncio.sleep(0)
        assert late.cancelled == [job_id]
        await frozen.stop(0)
        assert await shared.run("SELECT FROM tarmac_pgqueuer") == "SELECT 1", "the heir still has the row"
        assert work.cancelled == []
        await heir.stop(0)


async def test_a_share_that_runs_at_another_replica_waits_for_its_turn(shared: Shared) -> None:
    ids = [await shared.job(number) for number in range(4)]
    async with shared.replica(2) as full, shared.replica() as other:
        work = Work()
        await full.put(ids[0], QueueSchedule(share="one"))
        await other.start(work.run)
        await work.until(ids[0])
        for id_ in ids[1:3]:
            await full.put(id_, QueueSchedule(share="many"))
        await full.start(work.run)
        await work.until(*ids[:3])
        await full.put(ids[3], QueueSchedule(share="one"))
        await full._fill()
        assert work.began == ids[:3]
        work.gates[ids[0]].set()
        await work.until(*ids)
        await full.stop(0)
        await other.stop(0)


async def test_only_who_reads_its_spool_takes_a_job(shared: Shared) -> None:
    job_id = await shared.job(place="there")
    async with shared.replica(place="here") as here, shared.replica(place="there") as there:
        blind, work = Work(), Work()
        await here.start(blind.run)
        await here.put(job_id)
        await there.start(work.run)
        await work.until(job_id)
        assert blind.began == []
        await here.stop(0)
        await there.stop(0)


async def test_only_who_sees_its_files_takes_a_job(shared: Shared) -> None:
    job_id = await shared.job()
    await shared.run("UPDATE jobs SET home = 'another'")
    async with shared.replica(blind=True) as blind, shared.replica(home="another") as seeing:
        nothing, work = Work(), Work()
        await blind.start(nothing.run)
        await blind.put(job_id)
        await seeing.start(work.run)
        await work.until(job_id)
        assert nothing.began == []
        await blind.stop(0)
        await seeing.stop(0)


async def test_a_job_that_nobody_put_in_is_found(shared: Shared) -> None:
    job_id = await shared.job(state=JobState.QUEUED)
    async with shared.replica() as queue:
        work = Work()
        await queue.start(work.run)
        await work.until(job_id)
        await queue.stop(0)


async def test_replicas_that_start_at_once_make_the_tables_once(postgres: Postgres) -> None:
    url = postgres.create()
    stores = await asyncio.gather(*(SqlJobStore.open(url) for _ in range(3)))
    for store in stores:
        await store.close()

    async def start() -> None:
        async with Shared(url).replica():
            pass

    await asyncio.gather(*(start() for _ in range(3)))


@pytest.mark.parametrize("fault", [asyncpg.InternalClientError("another operation"), ValueError("nobody knows it")])
async def test_no_fault_ends_the_work(shared: Shared, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    faults, take = [fault], QueueTable.claim

    async def taken(rows: QueueTable, entrypoints: Collection[str]) -> QueueRow | None:
        if faults:
            raise faults.pop()
        return await take(rows, entrypoints)

    monkeypatch.setattr(pgqueuer, "RESTART_SECONDS", 0.0)
    monkeypatch.setattr(QueueTable, "claim", taken)
    job_id = await shared.job(state=JobState.QUEUED)
    async with shared.replica() as queue:
        work = Work()
        await queue.start(work.run)
        await work.until(job_id)
        await queue.stop(0)


LOCK = 7  # of the advisory ones


@asynccontextmanager
async def stopped_within_a_command(url: str) -> AsyncIterator[None]:
    """A session as a replica leaves it that is stopped at the worst moment: it holds a lock, and of its next command
    the server has only the first message. To the server it is at work, and not idle in its transaction."""
    parts = make_url(url)
    reader, writer = await asyncio.open_unix_connection(f"{parts.query['host']}/.s.PGSQL.5432")

    async def until(kind: bytes) -> None:
        async with asyncio.timeout(SOON):
            while (head := await reader.readexactly(5))[:1] != kind:
                await reader.readexactly(int.from_bytes(head[1:]) - 4)
            await reader.readexactly(int.from_bytes(head[1:]) - 4)

    def message(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack(">I", len(body) + 4) + body

    named = f"user\0{parts.username}\0database\0{parts.database}\0application_name\0tarmac\0\0".encode()
    writer.write(message(b"", struct.pack(">I", 3 << 16) + named))
    await until(b"Z")
    writer.write(message(b"Q", f"BEGIN; SELECT pg_advisory_xact_lock({LOCK})\0".encode()))
    await until(b"Z")
    writer.write(message(b"P", b"\0SELECT 1\0\0\0") + message(b"H", b""))
    await until(b"1")
    yield
    writer.close()


async def test_what_a_replica_holds_that_is_stopped_within_a_command_is_set_free(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgqueuer, "IDLE_SECONDS", 0.1)
    async with stopped_within_a_command(shared.url), shared.replica() as queue:
        await queue.start(Work().run)
        async with asyncio.timeout(SOON):
            await shared.run("SELECT pg_advisory_xact_lock($1)", LOCK)
        await queue.stop(0)
