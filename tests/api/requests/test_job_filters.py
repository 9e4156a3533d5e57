"""`GET /jobs` with filters and a search."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.conftest import APP, IN_ONE_LOOP, OTHER, Served

pytestmark = IN_ONE_LOOP


async def listed(served: Served, **query: Any) -> list[str]:
    answer = await served.client.get("/jobs", params=query)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


@pytest.fixture(scope="module")
def ids() -> dict[str, str]:
    return {}


async def jobs_of(served: Served, ids: dict[str, str]) -> dict[str, str]:
    """Return the ids of three ended jobs, which are made once."""
    if not ids:
        for name, body in (("app.tar", APP), ("other.tar", OTHER), ("bad.tar", b"x" * 2_000)):
            answer = await served.client.put(f"/push/{name}", content=body, params={"wait": 30})
            job = answer.json().get("job", answer.json())
            ids[name] = job["id"]
    return ids


async def test_each_filter_picks_jobs(shared: Served, ids: dict[str, str]) -> None:
    made = await jobs_of(shared, ids)
    app, other, bad = made["app.tar"], made["other.tar"], made["bad.tar"]
    created = (await shared.client.get(f"/jobs/{other}")).json()["created_at"]
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"state": "failed"}, [bad]),
        ({"state": ["failed", "succeeded"]}, [bad, other, app]),
        ({"state": "failed,succeeded"}, [bad, other, app]),
        ({"q": "TEAM/app"}, [app]),
        ({"q": "other.tar"}, [other]),
        ({"q": "bad.tar", "state": "succeeded"}, []),
        ({"registry": "default"}, [bad, other, app]),
        ({"registry": "absent"}, []),
        ({"source": "upload"}, [bad, other, app]),
        ({"source": "watch"}, []),
        ({"submitted_by": "absent"}, []),
        ({"since": "2100-01-01T00:00:00Z"}, []),
        ({"until": "2100-01-01"}, [bad, other, app]),
        ({"until": "1999-01-01T00:00:00+05:00"}, []),
        ({"delivery": "absent"}, []),
    ]
    for query, expected in cases:
        assert await listed(shared, **query) == expected, query
    assert other in await listed(shared, since=created.replace(".", ".")[:19] + "Z")


async def test_a_digest_finds_the_job_that_brought_it(shared: Served, ids: dict[str, str]) -> None:
    app = (await jobs_of(shared, ids))["app.tar"]
    document = (await shared.client.get(f"/jobs/{app}")).json()
    assert await listed(shared, q=document["images"][0]["digest"]) == [app]
    assert await listed(shared, q=document["archives"][0]["digest"][7:40]) == [app]


@pytest.mark.parametrize(
    "query",
    [
        "state=done",
        "state=",
        "q=",
        "q=%20",
        "q=%00",
        "q=" + "x" * 257,
        "since=yesterday",
        "since=0001-01-01T00:00:00%2B14:00",
        "source=disk",
        "registry=%00",
        "submitted_by=%0A",
        "delivery=%00",
        "label=a=%00",
        "name=app.tar",
        "archive=app.tar",
        "registry=a&registry=b",
    ],
)
async def test_a_filter_that_is_not_known_or_not_valid_is_refused(shared: Served, query: str) -> None:
    answer = await shared.client.get(f"/jobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("path", ["/events", "/audit", "/whoami"])
async def test_lists_refuse_unknown_parameters(shared: Served, path: str) -> None:
    async with asyncio.timeout(20):
        answer = await shared.client.get(path, params={"since_when": "now"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_document_says_who_sent_it_with_what_and_what_may_be_asked(shared: Served, ids: dict[str, str]) -> None:
    made = await jobs_of(shared, ids)
    document = (await shared.client.get(f"/jobs/{made['app.tar']}")).json()
    assert document["submitted_by"] is None
    assert document["delivery"] is None
    assert document["options"]["on_existing_tag"] == "overwrite"
    image = document["images"][0]
    assert image["targets"] == [{"name": image["names"][0], "destination": image["destinations"][0]}]
    itself = f"/jobs/{made['app.tar']}"
    assert document["links"]["self"] == itself
    assert (document["links"]["cancel"], document["links"]["retry"]) == (None, None)
    assert (await shared.client.get(document["links"]["images"])).status_code == 200
