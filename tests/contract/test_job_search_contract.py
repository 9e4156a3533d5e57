"""Filters and search of every JobStore; the memory twin, SQLite and PostgreSQL run the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.auth.model import Submitter
from app.jobs import ArchiveSource, Job, JobArchive, JobImage, JobState
from app.jobs.listing.search_text import MAX_PART, search_parts
from app.jobs.store import SEARCHED_AT_ONCE, JobQuery, JobStore
from app.oci import Digest
from tests.contract.test_job_store_contract import database, store  # noqa: F401

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANY = JobQuery()


def job(number: int, **members: object) -> Job:
    return replace(Job(f"{number:032}", JobState.QUEUED, NOON + timedelta(minutes=number)), **members)  # type: ignore[arg-type]


MIRROR = job(
    1,
    registry="mirror",
    archives=(JobArchive("disk_7%.tar", ArchiveSource.WATCH, digest=Digest.of(b"one"), path="disk7/disk_7%.tar"),),
)
NIGHT = job(
    2,
    state=JobState.FAILED,
    submitter=Submitter("night"),
    delivery="d" * 32,
    archives=(JobArchive("b.tar", ArchiveSource.PATH),),
    images=(
        JobImage(
            "b.tar", ("docker.io/library/Nginx:1.25",), ("registry.test:5000/library/nginx:1.25",), Digest.of(b"two")
        ),
    ),
)
BARE = job(3, state=JobState.RECEIVING)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (ANY, [BARE, NIGHT, MIRROR]),
        (replace(ANY, states=frozenset({JobState.QUEUED, JobState.FAILED})), [NIGHT, MIRROR]),
        (replace(ANY, registry="mirror"), [MIRROR]),
        (replace(ANY, source="watch"), [MIRROR]),
        (replace(ANY, source="upload"), [BARE]),
        (replace(ANY, submitted_by="night"), [NIGHT]),
        (replace(ANY, submitted_by="night", submitter="day"), []),
        (replace(ANY, deliveries=frozenset({"d" * 32})), [NIGHT]),
        (replace(ANY, deliveries=frozenset()), []),
        (replace(ANY, since=BARE.created_at), [BARE]),
        (replace(ANY, until=MIRROR.created_at), [MIRROR]),
        (replace(ANY, since=NIGHT.created_at, until=NIGHT.created_at), [NIGHT]),
    ],
)
async def test_a_filter_finds_the_jobs_that_fit(store: JobStore, query: JobQuery, found: list[Job]) -> None:  # noqa: F811
    for stored in (MIRROR, NIGHT, BARE):
        await store.add(stored)
    assert [item.id for item in await store.page(query)] == [item.id for item in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nginx:1.25", [NIGHT]),
        ("library/nginx", [NIGHT]),
        ("disk7/", [MIRROR]),
        ("_7%.", [MIRROR]),
        ("disk%tar", []),
        ("isk_7", [MIRROR]),
        ("disk.7", []),
        (str(Digest.of(b"one"))[7:30], [MIRROR]),
        (str(Digest.of(b"two")), [NIGHT]),
        (".tar", [NIGHT, MIRROR]),
        ("tar\nregistry", []),
        ("absent", []),
    ],
)
async def test_a_search_finds_names_destinations_and_digests(store: JobStore, text: str, found: list[Job]) -> None:  # noqa: F811
    for stored in (MIRROR, NIGHT, BARE):
        await store.add(stored)
    page, following = await store.search(replace(ANY, text=text))
    assert [item.id for item in page] == [item.id for item in found]
    assert following is None


async def test_a_search_leads_on_from_its_last_job(store: JobStore) -> None:  # noqa: F811
    for number in range(4):
        await store.add(job(number, archives=(JobArchive("x.tar", ArchiveSource.UPLOAD),)))
    query = replace(ANY, text="x.tar", limit=3)
    page, following = await store.search(query)
    assert [item.id[-1] for item in page] == ["3", "2", "1"]
    page, following = await store.search(replace(query, before=following))
    assert ([item.id[-1] for item in page], following) == (["0"], None)


async def test_what_is_found_out_later_is_found_and_what_is_deleted_is_not(store: JobStore) -> None:  # noqa: F811
    await store.add(BARE)
    archive = JobArchive("late.tar", ArchiveSource.UPLOAD, digest=Digest.of(b"late"))
    queued = replace(BARE, state=JobState.QUEUED, revision=2, archives=(archive,))
    assert await store.save(queued, over=BARE)
    assert len((await store.search(replace(ANY, text="late")))[0]) == 1
    await store.delete(BARE.id)
    assert (await store.search(replace(ANY, text="late")))[0] == ()


def test_a_job_of_many_images_is_searched_in_parts_of_whole_lines() -> None:
    images = tuple(JobImage("x.tar", (f"name-{number}:1",), (f"host/name-{number}:1",)) for number in range(2_000))
    parts = search_parts(job(1, images=images))
    assert len(parts) > 1
    assert max(map(len, parts)) < MAX_PART + 100
    assert sum(part.count("host/name-") for part in parts) == len(images)
    assert SEARCHED_AT_ONCE > 1
