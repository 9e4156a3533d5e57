"""The audit trail in SQLite and in PostgreSQL: entries are bounded, and the retention alone deletes the oldest."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from app.errors import Unavailable
from app.jobs import ArchiveSource, Job, JobArchive, JobImage, JobState
from app.jobs.audit import AuditSize, audit_members
from app.jobs.audit_retention import AuditRetention
from app.jobs.store import audit
from app.jobs.store.sql import SqlJobStore
from app.oci import Digest
from app.push import ImageState
from tests.support.postgres import Postgres

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECONDS = DAY.total_seconds()
REFUSED = "only added to"


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlJobStore]:
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.create()
    else:
        url = f"sqlite:///{tmp_path / 'tarmac.db'}"
    store = await SqlJobStore.open(url)
    yield store
    await store.close()


async def end(store: SqlJobStore, number: int, age: float, *, at: datetime | None = None) -> None:
    job = replace(Job.new(JobState.QUEUED, NOON), id=f"{number:032}")
    await store.add(job)
    ended = job.transition_to(JobState.CANCELLED, finished_at=at or NOON + number * DAY, ended_age=age)
    assert await store.save(ended, over=job)


async def kept(store: SqlJobStore) -> list[int]:
    return [int(entry.entry["job"]) for entry in await store.entries(None, 0, 500)]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit",
        "DELETE FROM audit WHERE number = 1",
        "UPDATE audit SET job = ''",
        "UPDATE audit SET size = 0",
    ],
)
async def test_nobody_but_the_retention_deletes_or_changes_an_entry(store: SqlJobStore, statement: str) -> None:
    await end(store, 1, 0)
    with pytest.raises(Unavailable, match=REFUSED):
        async with store.transaction() as connection:
            await connection.execute(text(statement))
    assert await kept(store) == [1]


async def test_after_the_retention_the_guard_is_closed_again(store: SqlJobStore) -> None:
    for number in range(4):
        await end(store, number, number * SECONDS)
    assert await AuditRetention(store, keep=DAY).apply(NOON + 4 * DAY, 4 * SECONDS) == 3
    with pytest.raises(Unavailable, match=REFUSED):
        async with store.transaction() as connection:
            await connection.execute(text("DELETE FROM audit"))
    assert await kept(store) == [3]


@pytest.mark.parametrize(
    ("now", "age", "expected"),
    [
        (NOON + 10 * DAY, 10 * SECONDS, []),
        (NOON + 10 * DAY, 3 * SECONDS, [2, 3]),  # the service has not run for so long: its clock may be wrong
        (NOON + 3 * DAY, 10 * SECONDS, [2, 3]),
        (NOON + 1 * DAY, 10 * SECONDS, [0, 1, 2, 3]),
    ],
)
async def test_entries_go_when_both_the_clock_and_the_age_of_the_service_say_so(
    store: SqlJobStore, now: datetime, age: float, expected: list[int]
) -> None:
    for number in range(4):
        await end(store, number, number * SECONDS)
    await AuditRetention(store, keep=DAY + timedelta(seconds=1)).apply(now, age)
    assert await kept(store) == expected


async def test_an_entry_of_a_clock_that_was_ahead_does_not_keep_all_after_it(store: SqlJobStore) -> None:
    await end(store, 0, 0, at=NOON + 10_000 * DAY)
    await end(store, 1, SECONDS)
    assert await AuditRetention(store, keep=DAY).apply(NOON + 3 * DAY, 3 * SECONDS) == 2


async def test_the_oldest_entries_go_until_the_rest_is_small_enough(
    store: SqlJobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "DELETED_AT_ONCE", 2)
    for number in range(8):
        await end(store, number, 0)
    whole = await store.audit_size()
    assert whole.entries == 8
    assert whole.size == sum(len(json.dumps(entry.entry)) for entry in await store.entries(None, 0, 500))
    gone: list[int] = []
    most = whole.size * 3 // 8
    assert await AuditRetention(store, max_bytes=most, deleted=gone.append).apply(NOON, 0) == 5
    assert (sum(gone), await kept(store)) == (5, [5, 6, 7])
    assert (await store.audit_size()).size <= most


async def test_without_a_bound_nothing_goes(store: SqlJobStore) -> None:
    await end(store, 1, 0)
    assert await AuditRetention(store).apply(NOON + 100_000 * DAY, 1e12) == 0
    assert (await store.audit_size()).entries == 1


async def test_an_empty_trail_has_no_size(store: SqlJobStore) -> None:
    assert await store.audit_size() == AuditSize(0, 0)
    assert await AuditRetention(store, keep=DAY, max_bytes=1).apply(NOON, 0) == 0


async def test_a_page_of_large_entries_ends_early_and_none_is_left_out(
    store: SqlJobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await end(store, number, 0)
    size = (await store.audit_size()).size // 5
    monkeypatch.setattr(audit, "PAGE_BYTES", size * 2 + size // 2)
    after, pages = 0, []
    while page := await store.entries(None, after, 500):
        after = page[-1].number
        pages.append([int(entry.entry["job"]) for entry in page])
    assert pages == [[0, 1], [2, 3], [4]]
    monkeypatch.setattr(audit, "PAGE_BYTES", 1)
    assert len(await store.entries(None, 0, 500)) == 1


LONG = "x" * 5_000
WORST = (LONG, "\x00" * 5_000, "ü" * 5_000, "\U0001f40b" * 5_000)


@pytest.mark.parametrize("word", WORST, ids=["letters", "control", "latin", "astral"])
@pytest.mark.parametrize("state", ImageState)
def test_an_entry_is_small_whatever_the_job_is(word: str, state: ImageState) -> None:
    archive = JobArchive(word, ArchiveSource.PATH, path=word)
    image = JobImage(word, (word,) * 100, (word,) * 100, state=state)
    job = replace(Job.new(JobState.QUEUED, NOON), archives=(archive,) * 300, images=(image,) * 300, labels={"k": word})
    entry = audit_members(job)
    assert len(json.dumps(entry)) < 140 << 10
    assert (entry["archives_total"], entry["images_total"]) == (300, 300)
    assert len(entry["archives"][0]["name"]) == 512
    assert entry["archives"][0]["name"].endswith("…")


def test_a_usual_job_of_300_images_is_listed_in_full() -> None:
    destination = "registry.local:5000/rancher/mirrored-prometheus-operator-prometheus-config-reloader:v0.65.1"
    digest = Digest.of(b"x")
    images = tuple(
        JobImage("x.tar", (destination,), (destination,), digest, state=ImageState.PUSHED) for _ in range(300)
    )
    entry = audit_members(replace(Job.new(JobState.QUEUED, NOON), images=images))
    assert (len(entry["images"]), entry["images"][0]["destinations_total"]) == (300, 1)


def test_images_that_a_cancelled_job_did_not_get_to_are_counted_alone() -> None:
    states = (ImageState.PUSHED, ImageState.CANCELLED, ImageState.FAILED, ImageState.SKIPPED)
    images = tuple(JobImage("x.tar", (), (state.value,), state=state) for state in states)
    entry = audit_members(replace(Job.new(JobState.QUEUED, NOON), images=images))
    assert [image["state"] for image in entry["images"]] == ["pushed", "failed", "skipped"]
    assert entry["images_total"] == 4
