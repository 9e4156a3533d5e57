"""The images of a job as rows of their own, in SQLite and in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select, text

from app.errors import RegistryDenied, Unavailable
from app.jobs import Job, JobImage, JobState, JobTracker
from app.jobs.store import JobQuery, images
from app.jobs.store.engine import make_engine
from app.jobs.store.migrate import upgrade
from app.jobs.store.sql import IMAGES, SqlJobStore
from app.oci import Digest
from app.push import ImageState
from tests.support.postgres import Postgres

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tarmac.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create()


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlJobStore]:
    store = await SqlJobStore.open(url)
    yield store
    await store.close()


def image(number: int, state: ImageState = ImageState.PENDING) -> JobImage:
    name = f"team/app{number}:1"
    return JobImage("x.tar", (name,), (f"registry.test/{name}",), Digest.of(name.encode()), state=state)


def of_images(count: int, state: JobState = JobState.QUEUED) -> Job:
    job = Job.new(JobState.RECEIVING, NOON).transition_to(JobState.QUEUED, images=tuple(map(image, range(count))))
    return replace(job, state=state)


def changed(job: Job, number: int, **changes: Any) -> Job:
    """Another revision, in which one image is another."""
    found = list(job.images)
    found[number] = replace(found[number], **changes)
    return job.evolve(images=tuple(found))


@contextmanager
def counted(store: SqlJobStore) -> Iterator[list[int]]:
    """The rows of images that are written, statement by statement."""
    written: list[int] = []

    def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        if statement.lstrip().startswith("INSERT INTO job_images"):
            written.append(len(parameters) if isinstance(parameters, list) else 1)

    engine = store._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    yield written
    event.remove(engine, "before_cursor_execute", note)


async def rows(store: SqlJobStore) -> int:
    async with store.transaction() as connection:
        return int((await connection.execute(select(func.count()).select_from(IMAGES))).scalar_one())


async def test_progress_of_one_image_writes_one_row(store: SqlJobStore) -> None:
    job = of_images(3_000)
    await store.add(job)
    newer = changed(job, 1_234, state=ImageState.PUSHED, problem=RegistryDenied("no").problem)
    with counted(store) as written:
        assert await store.save(newer, over=job)
        assert await store.save(newer.evolve(notices=("x",)), over=newer)
    assert written == [1]
    found = await store.get(job.id)
    assert found is not None
    assert found.images == newer.images


async def test_the_ledger_writes_what_changed_since_it_stored_last(store: SqlJobStore) -> None:
    tracker = JobTracker(store, save_seconds=0)
    job = of_images(50, JobState.QUEUED)
    await tracker.add(job)
    with counted(store) as written:
        await tracker.transition(job.id, lambda job: job.transition_to(JobState.RUNNING))
        for number in (3, 3, 7):
            tracker.update_progress(job.id, lambda job, number=number: changed(job, number, state=ImageState.PUSHING))  # type: ignore[misc]
        await tracker._save(job.id)
        await tracker._save(job.id)
        await tracker.transition(job.id, lambda job: job.transition_to(JobState.SUCCEEDED))
    assert written == [2]
    stored = await store.get(job.id)
    assert stored is not None
    assert [number for number, each in enumerate(stored.images) if each.state is ImageState.PUSHING] == [3, 7]


async def test_images_of_a_shorter_list_leave_nothing_behind(store: SqlJobStore) -> None:
    job = of_images(5)
    await store.add(job)
    shorter = job.evolve(images=job.images[1:3])
    assert await store.save(shorter, over=job)
    assert await store.get(job.id) == shorter
    assert await rows(store) == 2


async def test_a_replica_that_lost_the_job_writes_no_image(store: SqlJobStore) -> None:
    job = of_images(5)
    await store.add(job)
    taken = job.transition_to(JobState.RUNNING)
    assert await store.save(taken, over=job)
    late = changed(job, 0, state=ImageState.FAILED).transition_to(JobState.CANCELLED)
    assert not await store.save(late, over=job)
    assert await store.get(job.id) == taken


async def test_images_go_with_their_job(store: SqlJobStore) -> None:
    for job in (of_images(5), of_images(3)):
        await store.add(job)
    await store.delete(job.id)
    assert await rows(store) == 5
    assert await store.images(job.id, 0, 10) == ()
    assert not await store.save(changed(job, 0, state=ImageState.PUSHED), over=job)
    assert await rows(store) == 5


async def test_images_are_read_in_pages_and_for_a_document_the_first(store: SqlJobStore) -> None:
    job = of_images(12)
    await store.add(job)
    assert await store.images(job.id, 0, 5) == job.images[:5]
    assert await store.images(job.id, 10, 5) == job.images[10:]
    assert await store.images(job.id, 12, 5) == ()
    assert await store.images("\0", 0, 5) == ()
    first = await store.get(job.id, 4)
    assert first is not None
    assert (first.images, first.progress.images_total) == (job.images[:4], 12)


async def test_a_list_reads_no_image_and_no_inspection(store: SqlJobStore) -> None:
    job = replace(of_images(3), inspection=({"format": "oci-archive"},))
    await store.add(job)
    async with store.transaction() as connection:
        await connection.execute(text("DROP TABLE job_images"))
        await connection.execute(text("UPDATE jobs SET inspection = '0'"))
    assert await store.page(JobQuery()) == (job.brief(),)
    assert job.brief().progress.images_total == 3
    with pytest.raises(Unavailable):
        await store.get(job.id)


async def test_an_inspection_is_kept_until_it_is_another(store: SqlJobStore) -> None:
    job = replace(of_images(1), inspection=({"format": "oci-archive"},))
    await store.add(job)
    newer = job.evolve()
    assert await store.save(newer, over=job)
    assert await store.get(job.id) == newer
    newest = newer.evolve(inspection=({"format": "imgpkg"},))
    assert await store.save(newest, over=newer)
    assert await store.get(job.id) == newest


def stored_by_0_1(job: str, states: list[str], **progress: int) -> dict[str, Any]:
    images = [{"archive": "x.tar", "names": ["a:1"], "destinations": ["r/a:1"], "state": state} for state in states]
    return {
        "id": job,
        "state": "failed",
        "created_at": NOON.isoformat(),
        "images": images,
        "inspection": [{"format": "oci-archive"}],
        "progress": progress,
    }


async def test_jobs_of_before_are_read_and_their_images_counted(url: str) -> None:
    states = [state.value for state in ImageState]
    documents = [
        stored_by_0_1(f"{number:032}", states[: number % (len(states) + 1)], images_done=number)
        for number in range(120)
    ]
    engine = make_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(upgrade, "0006")
        for document in documents:
            row = {"id": document["id"], "document": json.dumps(document), "at": NOON.isoformat()}
            await connection.execute(
                text(
                    "INSERT INTO jobs (id, state, created_at, labels, revision, document, attempt, place, home, holder,"
                    " submitter) VALUES (:id, 'failed', :at, '{}', 1, :document, 1, '', '', '', '')"
                ),
                row,
            )
    await engine.dispose()
    store = await SqlJobStore.open(url)
    try:
        for document in documents:
            job = await store.get(document["id"])
            assert job is not None
            progress, found = job.progress, [image.state.value for image in job.images]
            assert found == [item["state"] for item in document["images"]]
            assert job.inspection == ({"format": "oci-archive"},)
            assert (progress.images_total, progress.images_done) == (len(found), document["progress"]["images_done"])
            counts = (progress.images_pushed, progress.images_present, progress.images_skipped, progress.images_failed)
            assert counts == tuple(map(found.count, ("pushed", "already_present", "skipped", "failed")))
        assert len(await store.page(JobQuery(limit=500))) == len(documents)
    finally:
        await store.close()


async def test_rows_are_written_some_at_a_time(store: SqlJobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "WRITTEN_AT_ONCE", 4)
    job = of_images(10)
    with counted(store) as written:
        await store.add(job)
    assert written == [4, 4, 2]
    assert await store.get(job.id) == job


async def test_a_response_reads_no_more_than_it_shows(store: SqlJobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job = of_images(10)
    await store.add(job)
    monkeypatch.setattr(images, "MAX_READ_BYTES", 1)
    shown = await store.get(job.id, 1_000)
    assert shown is not None
    assert shown.images == job.images[:1]
    assert await store.images(job.id, 4, 3) == job.images[4:5]
    assert await store.get(job.id) == job
