"""Answers about jobs have a weak ETag, so that who polls gets what changed and nothing else."""

from __future__ import annotations

import pytest

from tests.api.conftest import APP, OTHER, Served


async def paths_of(served: Served) -> list[str]:
    job = (await served.client.post("/push?wait=30", content=APP)).json()
    return ["/jobs", "/jobs?limit=1", f"/jobs/{job['id']}", f"/jobs/{job['id']}/images"]


async def test_who_has_it_gets_304_and_no_body(served: Served) -> None:
    for path in await paths_of(served):
        first = await served.client.get(path)
        tag = first.headers["etag"]
        assert tag.startswith('W/"')
        assert first.headers["vary"] == "Accept-Encoding, Authorization"
        again = await served.client.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["vary"] == first.headers["vary"]


@pytest.mark.parametrize("wrap", ["{}", 'W/"x", {}', '"y",{} , "z"', "*"])
async def test_one_of_several_tags_is_enough_and_weak_is_as_good_as_strong(served: Served, wrap: str) -> None:
    path = (await paths_of(served))[2]
    tag = (await served.client.get(path)).headers["etag"]
    for known in (tag, tag.removeprefix("W/")):
        assert (await served.client.get(path, headers={"If-None-Match": wrap.format(known)})).status_code == 304


@pytest.mark.parametrize("known", ['"x"', "", "W/", '"', "x" * 1_000])
async def test_who_has_something_else_gets_it(served: Served, known: str) -> None:
    path = (await paths_of(served))[2]
    assert (await served.client.get(path, headers={"If-None-Match": known})).status_code == 200


async def test_another_representation_has_another_tag(served: Served) -> None:
    before = [(await served.client.get(path)).headers["etag"] for path in await paths_of(served)]
    assert len(set(before)) == 3  # the two lists are the same
    await served.client.post("/push?wait=30", content=OTHER)
    after = (await served.client.get("/jobs", headers={"If-None-Match": before[0]})).headers["etag"]
    assert after != before[0]


async def test_a_head_request_has_the_tag_of_the_get(served: Served) -> None:
    for path in await paths_of(served):
        assert (await served.client.head(path)).headers["etag"] == (await served.client.get(path)).headers["etag"]
