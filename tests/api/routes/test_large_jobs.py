"""Jobs of many images, long names and many archives: every answer is bounded, and all images can be had."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app.api.context import ApiContext
from app.errors import RegistryDenied
from app.jobs import ArchiveSource, Job, JobArchive, JobImage, JobService, JobState, utc_now
from app.jobs.image_page import page_of
from app.jobs.listing.pages import MAX_PAGE_BYTES
from app.jobs.model import MAX_IMAGES, MAX_IMAGES_BYTES
from app.push import ImageState
from tests.api.conftest import Served

DETAIL = "x" * 2_048


def image(number: int, *, names: int = 1, length: int = 30) -> JobImage:
    called = tuple(f"team/app{number}-{name}".ljust(length, "x") for name in range(names))
    return JobImage("x.tar", called, called, state=ImageState.PUSHED)


def job_of(images: tuple[JobImage, ...] = (), **more: Any) -> Job:
    job = Job.new(JobState.RECEIVING, utc_now()).transition_to(JobState.QUEUED, images=images)
    return replace(job, state=JobState.SUCCEEDED, **more)


async def stored(served: Served, job: Job) -> str:
    context: ApiContext = served.app.state.context
    await context.service._tracker.add(job)
    return f"/jobs/{job.id}"


async def all_images(served: Served, path: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query = f"limit={limit}"
    while True:
        answer = await served.client.get(f"{path}/images?{query}")
        assert len(answer.content) < 2 * MAX_IMAGES_BYTES
        page = answer.json()
        found += page["images"]
        if page["next_cursor"] is None:
            assert page["images_total"] == len(found)
            return found
        query = f"limit={limit}&cursor={page['next_cursor']}"


@pytest.mark.parametrize("limit", [1, 7, 1_000])
async def test_all_images_come_in_pages_in_their_order(served: Served, limit: int) -> None:
    path = await stored(served, job_of(tuple(map(image, range(20)))))
    found = await all_images(served, path, limit)
    assert [found_item["index"] for found_item in found] == list(range(20))
    assert found == (await served.client.get(path)).json()["images"]


async def test_a_document_has_a_thousand_images_and_counts_all(served: Served) -> None:
    path = await stored(served, job_of(tuple(map(image, range(10_000)))))
    document = (await served.client.get(path)).json()
    assert len(document["images"]) == MAX_IMAGES
    assert document["progress"]["images_total"] == 10_000
    assert [item["index"] for item in await all_images(served, path, 1_000)] == list(range(10_000))


async def test_a_page_of_long_names_ends_early_and_none_is_left_out(served: Served) -> None:
    path = await stored(served, job_of(tuple(image(number, names=1_000, length=400) for number in range(3))))
    assert len((await served.client.get(path)).content) < 3 * MAX_IMAGES_BYTES
    assert [item["index"] for item in await all_images(served, path, 100)] == [0, 1, 2]


async def test_a_job_without_images_has_one_empty_page(served: Served) -> None:
    path = await stored(served, job_of())
    assert await all_images(served, path, 100) == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=", "state=failed", "limit=1&limit=2", "brief=true"],
)
async def test_a_query_that_no_page_has_is_refused(served: Served, query: str) -> None:
    path = await stored(served, job_of((image(0),)))
    answer = await served.client.get(f"{path}/images?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_the_images_of_a_job_that_is_not_there_are_not_found(served: Served) -> None:
    for path in ("/jobs/x/images", "/jobs/%00/images"):
        assert (await served.client.get(path)).status_code == 404


async def test_a_cursor_beyond_the_end_gives_nothing(served: Served) -> None:
    path = await stored(served, job_of((image(0),)))
    beyond = page_of((image(0),), 5, 100).next_cursor
    page = (await served.client.get(f"{path}/images?cursor={beyond}")).json()
    assert (page["images"], page["next_cursor"]) == ([], None)


async def test_a_list_is_brief_and_says_how_many_there_are(served: Served) -> None:
    archives = tuple(JobArchive(f"{number}.tar", ArchiveSource.PATH) for number in range(100))
    notices = tuple(f"notice {number}" for number in range(100))
    inspection = ({"format": "oci-archive", "images": [], "notices": []},)
    await stored(served, job_of((image(0), image(1)), archives=archives, notices=notices, inspection=inspection))
    for query in ("", "?brief=false", "?brief=true"):
        (listed,) = (await served.client.get(f"/jobs{query}")).json()["jobs"]
        assert (listed["images"], listed["inspection"], listed["progress"]["images_total"]) == ([], None, 2)
        assert (len(listed["archives"]), listed["archives_total"], len(listed["notices"])) == (20, 100, 20)


async def test_a_page_of_large_jobs_ends_early_and_none_is_left_out(served: Served) -> None:
    archives = tuple(JobArchive("n" * 255, ArchiveSource.PATH, path="p" * 4_000) for _ in range(20))
    jobs = [job_of(archives=archives) for _ in range(60)]
    for job in jobs:
        await stored(served, job)
    found, query = [], "limit=500"
    while query:
        answer = await served.client.get(f"/jobs?{query}")
        assert len(answer.content) < 1.5 * MAX_PAGE_BYTES
        page = answer.json()
        found += [job["id"] for job in page["jobs"]]
        query = page["next_cursor"] and f"limit=500&cursor={page['next_cursor']}"
    assert found == [job.id for job in sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)]


@pytest.mark.parametrize("limit", [1, 49, 50, 51, 99, 100, 101, 500])
async def test_pages_of_every_length_go_on_where_they_end(served: Served, limit: int) -> None:
    jobs = {(await stored(served, job_of())).rpartition("/")[2] for _ in range(101)}
    service: JobService = served.app.state.context.service
    found, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        page, cursor = await service.page(limit=limit, cursor=cursor)
        found += [job.id for job in page]
        assert len(page) == limit or cursor is None
        pages += 1
    assert (len(found), set(found)) == (101, jobs)
    assert pages == -(-101 // limit)


def worst() -> Job:
    problem = replace(RegistryDenied("no").problem, detail=DETAIL)
    images = tuple(replace(image(number, names=200, length=400), problem=problem) for number in range(2_000))
    archives = tuple(JobArchive("n" * 300, ArchiveSource.PATH, path="p" * 4_000) for _ in range(1_000))
    notices = tuple("n" * 5_000 for _ in range(1_000))
    return job_of(images, archives=archives, notices=notices, problem=problem)


def test_a_document_is_bounded_whatever_its_job_is() -> None:
    document = worst().document()
    assert len(json.dumps(document)) < 3 << 20
    assert (document["archives_total"], len(document["notices"])) == (1_000, 201)
    assert "200" in document["notices"][-1]
    assert len(worst().document(whole=True)["images"]) == 2_000


def test_a_first_image_is_shown_however_large_it_is() -> None:
    job = job_of((image(0, names=1_000, length=3_000), image(1)))
    assert [item["index"] for item in job.document()["images"]] == [0]
