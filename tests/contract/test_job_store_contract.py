"""What every JobStore must do; the memory twin, SQLite and PostgreSQL run the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.archive import Compression
from app.errors import InvalidRequest, RegistryDenied, Unavailable
from app.jobs import ArchiveSource, Job, JobArchive, JobImage, JobState
from app.jobs.store import JobQuery, JobStore, cursor_of, key_of, parse_cursor
from app.jobs.store.engine import SESSION
from app.jobs.store.memory import MemoryJobStore
from app.jobs.store.sql import JOBS, SqlJobStore
from app.oci import Digest, Platform
from app.push import ImageState, Progress, PushOptions
from app.spool import SpooledFile
from tests.support.postgres import Postgres

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FULL = Job(
    id="0" * 32,
    state=JobState.FAILED,
    created_at=NOON,
    started_at=NOON + timedelta(seconds=1),
    finished_at=NOON + timedelta(seconds=2, microseconds=3),
    attempt=3,
    labels={"team": "a/b", 'odd."key': "ü"},
    registry="mirror",
    options=PushOptions(
        tag="a:1",
        rename=(("nginx:1", "team/nginx:1"),),
        prefix="p",
        images=("*",),
        platforms=(Platform("linux", "arm64", "v8"),),
        layer_compression=Compression.ZSTD,
        format="oci-archive",
        dry_run=True,
        on_existing_tag="skip",
    ),
    archives=(
        JobArchive(
            "x.tar",
            ArchiveSource.PATH,
            7,
            Digest.of(b"x"),
            "oci-archive",
            Compression.GZIP,
            SpooledFile("/data/x.tar", 9, owned=False, identity=(1, 2, 3, 4)),
            Digest.of(b"y"),
        ),
        JobArchive("y.tar", ArchiveSource.UPLOAD),
    ),
    images=(
        JobImage(
            "x.tar",
            ("nginx:1",),
            ("registry.test/team/nginx:1",),
            Digest.of(b"m"),
            "application/vnd.oci.image.manifest.v1+json",
            ("linux/arm64/v8",),
            ImageState.FAILED,
            RegistryDenied("no").problem,
        ),
    ),
    progress=Progress(bytes_received=7, bytes_expected=9, percent=12.5, eta_seconds=3),
    notices=("one", "two"),
    problem=RegistryDenied("no").problem,
    revision=42,
    idempotency_key="key",
    fingerprint="f" * 64,
)


@pytest.fixture(scope="session")
def database(postgres: Postgres) -> str:
    """One for all tests of a store: a new one costs 0.2 s, emptying it 5 ms."""
    return postgres.create()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JobStore]:
    if request.param == "memory":
        yield MemoryJobStore()
        return
    shared = request.param == "postgresql"
    url = request.getfixturevalue("database") if shared else f"sqlite:///{tmp_path / 'tarmac.db'}"
    store = await SqlJobStore.open(url)
    yield store
    if shared:
        async with store.transaction() as connection:
            await connection.execute(JOBS.delete())
    await store.close()


def job(number: int, state: JobState = JobState.QUEUED, **more: object) -> Job:
    return replace(Job.new(state, NOON + timedelta(seconds=number)), **more)  # type: ignore[arg-type]


async def test_a_job_comes_back_as_it_was(store: JobStore) -> None:
    await store.add(FULL)
    assert await store.get(FULL.id) == FULL


async def test_what_is_not_there_is_none(store: JobStore) -> None:
    assert await store.get("nothing") is None
    assert await store.page(JobQuery()) == ()


async def test_a_key_is_given_once(store: JobStore) -> None:
    first, second = job(1, idempotency_key="k"), job(2, idempotency_key="k")
    assert await store.add(first) == first
    assert await store.add(second) == first
    assert await store.get(second.id) is None


async def test_a_key_is_given_once_among_many_at_the_same_time(store: JobStore) -> None:
    added = await asyncio.gather(*(store.add(job(number, idempotency_key="k")) for number in range(20)))
    assert len({item.id for item in added}) == 1


async def test_jobs_without_a_key_do_not_collide(store: JobStore) -> None:
    await store.add(job(1))
    await store.add(job(2))
    assert len(await store.page(JobQuery())) == 2


async def test_a_key_that_was_given_up_is_free(store: JobStore) -> None:
    first, second = job(1, idempotency_key="k"), job(2, idempotency_key="k")
    await store.add(first)
    await store.save(first.evolve(idempotency_key=None))
    assert await store.add(second) == second


async def test_a_newer_revision_replaces_an_older_one_and_not_the_other_way(store: JobStore) -> None:
    first = job(1)
    newer, newest = first.evolve(notices=("2",)), first.evolve().evolve(notices=("3",))
    await store.add(first)
    await store.save(newest)
    await store.save(newer)
    assert await store.get(first.id) == newest


async def test_only_who_knows_the_present_state_writes_another(store: JobStore) -> None:
    """Of two replicas that take over one job at the same moment one does; of a cancel and an end the first counts."""
    queued = job(1)
    await store.add(queued)
    running, cancelled = queued.transition_to(JobState.RUNNING), queued.transition_to(JobState.CANCELLED)
    assert await store.save(running, over=queued)
    assert not await store.save(running, over=queued)
    assert not await store.save(cancelled.evolve(), over=queued)
    assert not await store.save(running.evolve(state=JobState.SUCCEEDED))
    assert await store.get(queued.id) == running


@pytest.mark.parametrize("late", [JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED, JobState.QUEUED])
async def test_a_run_that_was_thought_dead_writes_nothing_over_its_successor(store: JobStore, late: JobState) -> None:
    queued = job(1)
    first = queued.transition_to(JobState.RUNNING)
    again = first.transition_to(JobState.QUEUED, attempt=2)
    second = again.transition_to(JobState.RUNNING)
    await store.add(queued)
    for present, before in ((first, queued), (again, first), (second, again)):
        assert await store.save(present, over=before)
    zombie = replace(first, state=late, revision=10_000, notices=("of the dead",))
    assert not await store.save(zombie, over=first)
    assert await store.get(queued.id) == second


async def test_of_many_that_change_one_state_at_once_one_does(store: JobStore) -> None:
    queued = job(1)
    await store.add(queued)
    changed = [queued.evolve(state=JobState.RUNNING, notices=(str(number),)) for number in range(10)]
    taken = await asyncio.gather(*(store.save(item, over=queued) for item in changed))
    assert sum(taken) == 1
    assert await store.get(queued.id) == changed[taken.index(True)]


async def test_a_question_that_no_text_of_a_database_holds_finds_nothing(store: JobStore) -> None:
    assert await store.get("\0") is None


async def test_a_deleted_job_stays_deleted(store: JobStore) -> None:
    first = job(1)
    await store.add(first)
    await store.delete(first.id)
    await store.delete(first.id)
    await store.save(first.evolve())
    assert await store.get(first.id) is None


async def test_a_page_is_newest_first_and_goes_on_where_it_ended(store: JobStore) -> None:
    twins = [job(1), job(1)]
    jobs = [job(2), *sorted(twins, key=key_of, reverse=True), job(0)]
    for item in jobs:
        await store.add(item)
    first = await store.page(JobQuery(limit=2))
    rest = await store.page(JobQuery(before=parse_cursor(cursor_of(first[-1])), limit=10))
    assert [*first, *rest] == jobs


async def test_a_page_of_states_and_labels(store: JobStore) -> None:
    labelled = job(1, JobState.FAILED, labels={"team": "a/b", 'odd."key': "ü"})
    await store.add(labelled)
    await store.add(job(2, JobState.FAILED, labels={"team": "A/B"}))
    await store.add(job(3, JobState.QUEUED, labels={"team": "a/b"}))
    assert await store.page(JobQuery(frozenset({JobState.FAILED}), ("team", "a/b"))) == (labelled,)
    assert await store.page(JobQuery(label=("team", "a"))) == ()
    assert await store.page(JobQuery(label=("none", "a/b"))) == ()
    assert await store.page(JobQuery(states=frozenset())) == ()


async def test_a_state_is_found_after_it_changed(store: JobStore) -> None:
    first = job(1)
    await store.add(first)
    running = first.transition_to(JobState.RUNNING)
    assert await store.save(running, over=first)
    assert await store.page(JobQuery(frozenset({JobState.QUEUED}))) == ()
    assert await store.page(JobQuery(frozenset({JobState.RUNNING}))) == (running,)


async def test_jobs_are_counted_by_state(store: JobStore) -> None:
    await store.add(job(1))
    await store.add(job(2))
    await store.add(job(3, JobState.FAILED))
    counted = await store.count()
    assert (counted[JobState.QUEUED], counted[JobState.FAILED], counted[JobState.RUNNING]) == (2, 1, 0)


@pytest.mark.parametrize("cursor", ["", "%%%", "YWJj", "ä", "_w"])
def test_a_cursor_of_somebody_else_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="cursor"):
        parse_cursor(cursor)


async def test_a_replica_that_is_stopped_within_a_transaction_does_not_lock_a_job_for_ever(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await SqlJobStore.open(database)
    monkeypatch.setitem(SESSION, "idle_in_transaction_session_timeout", "200ms")
    stopped = await SqlJobStore.open(database)
    queued = job(1)
    await other.add(queued)

    async def stop_in_the_middle() -> None:
        async with stopped.transaction() as connection:
            await connection.execute(JOBS.update().where(JOBS.c.id == queued.id).values(state="failed"))
            async with asyncio.timeout(25):
                assert await other.save(queued.transition_to(JobState.RUNNING), over=queued)

    with pytest.raises(Unavailable):
        await stop_in_the_middle()
    await other.delete(queued.id)
    for item in (stopped, other):
        await item.close()
