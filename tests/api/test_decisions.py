"""Archives that only lack a decision are kept, and pushed by a retry with options: nothing is sent twice."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import APP, OTHER, Served, serving
from tests.support.archives import docker_save, image, tagged

UNNAMED = docker_save([tagged(image({"bin/app": b"three"}))])
TWO = docker_save([tagged(image({"a": b"1"}), "a:1"), tagged(image({"b": b"2"}), "b:1")])
CLASH = docker_save([tagged(image({"a": b"1"}), "x.test/a:1"), tagged(image({"b": b"2"}), "y.test/a:1")])
TOKEN = "token-of-ci"


async def refused(served: Served, body: bytes, code: str, **query: Any) -> dict[str, Any]:
    """Return the failed job of an upload that is refused with `code`."""
    answer = await served.client.put("/push/x.tar", content=body, params={"wait": 30, **query})
    assert answer.json()["code"] == code, answer.text
    job: dict[str, Any] = answer.json()["job"]
    return job


@pytest.mark.parametrize(
    ("body", "code", "query", "retry"),
    [
        (UNNAMED, "missing_tag", {}, {"tag": "named:1"}),
        (UNNAMED, "missing_tag", {"prefix": "mirror"}, {"tag": "named:1"}),
        (TWO, "single_image_required", {"tag": "one:1"}, {"images": ["*a:1"]}),
        (TWO, "single_image_required", {"tag": "one:1"}, {"rename": ["a:1=one:1"]}),
        (CLASH, "destination_conflict", {}, {"rename": ["y.test/a:1=other:1"]}),
        (APP, "tag_exists", {"tag": "taken:1", "on_existing_tag": "error"}, {"on_existing_tag": "overwrite"}),
        (APP, "tag_exists", {"tag": "taken:1", "on_existing_tag": "error"}, {"tag": "free:1"}),
        (APP, "tag_exists", {"tag": "taken:1", "on_existing_tag": "error"}, {"prefix": "elsewhere"}),
    ],
)
async def test_what_was_refused_is_pushed_by_a_retry_with_options(
    served: Served, body: bytes, code: str, query: dict[str, str], retry: dict[str, Any]
) -> None:
    if code == "tag_exists":
        await served.client.put("/push/", content=OTHER, params={"tag": "taken:1", "wait": 30})
    job = await refused(served, body, code, **query)
    assert job["links"]["retry"] is not None
    assert served.spooled()
    again = await served.client.post(f"/jobs/{job['id']}/retry", json=retry)
    assert (again.status_code, again.json()["attempt"]) == (202, 2), again.text
    ended = await served.ended(job)
    assert (ended["state"], ended["id"]) == ("succeeded", job["id"]), ended["problem"]
    for name, value in query.items():
        if name not in retry and name != "tag":
            assert ended["options"][name] == value


async def test_options_may_stand_in_the_query(served: Served) -> None:
    job = await refused(served, UNNAMED, "missing_tag", label="a=b")
    again = await served.client.post(f"/jobs/{job['id']}/retry?tag=named:1&prefix=mirror")
    assert again.status_code == 202
    ended = await served.ended(job)
    assert ended["images"][0]["destinations"][0].endswith("/mirror/named:1")
    assert ended["labels"] == {"a": "b"}
    assert await served.digest("mirror/named", "1") == ended["images"][0]["digest"]


async def test_a_decision_may_be_made_wrongly_and_then_rightly(served: Served) -> None:
    job = await refused(served, UNNAMED, "missing_tag")
    await served.client.post(f"/jobs/{job['id']}/retry")
    assert (await served.ended(job))["problem"]["code"] == "missing_tag"
    await served.client.post(f"/jobs/{job['id']}/retry?tag=named:1")
    assert (await served.ended(job))["state"] == "succeeded"
    done = await served.client.post(f"/jobs/{job['id']}/retry?tag=other:1")
    assert (done.status_code, done.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("tag=", "invalid_reference"),
        ("tag=a/../b:1", "invalid_reference"),
        ("tag=a:1&tag=b:1", "invalid_request"),
        ("registry=absent", "unknown_registry"),
        ("on_existing_tag=maybe", "invalid_request"),
        ("verify=content", "invalid_request"),
        ("label=a=b", "invalid_request"),
        ("wait=1", "invalid_request"),
        ("paths=/x", "invalid_request"),
        ("nonsense=1", "invalid_request"),
    ],
)
async def test_a_retry_with_options_that_cannot_be_is_refused_and_changes_nothing(
    served: Served, query: str, code: str
) -> None:
    job = await refused(served, UNNAMED, "missing_tag")
    answer = await served.client.post(f"/jobs/{job['id']}/retry?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    present = (await served.client.get(f"/jobs/{job['id']}")).json()
    assert (present["state"], present["attempt"]) == ("failed", 1)


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"{", b'{"images": [1, {}]}'])
async def test_a_body_that_holds_no_options_is_refused(served: Served, body: bytes) -> None:
    job = await refused(served, UNNAMED, "missing_tag")
    answer = await served.client.post(f"/jobs/{job['id']}/retry", content=body)
    assert answer.status_code in (400, 422)


async def test_other_refusals_keep_nothing(served: Served) -> None:
    for body in (APP[:1_500], b"x" * 2_000):
        answer = await served.client.put("/push/x.tar", content=body, params={"wait": 30})
        assert answer.json()["job"]["links"]["retry"] is None
    wrong = {"checksum": f"sha256:{'0' * 64}"}
    await refused(served, APP, "checksum_mismatch", **wrong)
    assert served.spooled() == []


async def test_a_resumable_upload_is_kept_as_well(served: Served) -> None:
    tus = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(len(UNNAMED)),
        "Content-Type": "application/offset+octet-stream",
    }
    begun = await served.client.post("/uploads", content=UNNAMED, headers=tus)
    assert begun.json()["code"] == "missing_tag"
    (job,) = (await served.client.get("/jobs")).json()["jobs"]
    again = await served.client.post(f"/jobs/{job['id']}/retry?tag=named:1")
    assert again.status_code == 202
    assert (await served.ended(job))["state"] == "succeeded"


async def test_what_is_kept_survives_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as first:
        job = await refused(first, UNNAMED, "missing_tag")
    async with serving(tmp_path) as second:
        await second.client.post(f"/jobs/{job['id']}/retry?tag=named:1")
        assert (await second.ended(job))["state"] == "succeeded"


async def test_the_key_of_the_first_request_gives_the_same_job(served: Served) -> None:
    key = {"Idempotency-Key": "k"}
    first = await served.client.put("/push/x.tar", content=UNNAMED, headers=key)
    job = first.json()["job"]
    await served.client.post(f"/jobs/{job['id']}/retry?tag=named:1")
    await served.ended(job)
    again = await served.client.put("/push/x.tar", content=UNNAMED, headers=key, params={"wait": 30})
    assert (again.status_code, again.json()["id"]) == (200, job["id"])
    other = await served.client.put("/push/x.tar", content=UNNAMED, headers=key, params={"tag": "named:1"})
    assert (other.status_code, other.json()["code"]) == (422, "invalid_request")


async def test_the_rights_of_the_caller_decide_and_what_is_kept_counts(tmp_path: Path) -> None:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    (tmp_path / "tokens").write_text(f"ci:{digest}:push:team/a:stored=1GiB")
    async with serving(tmp_path / "data", tokens_file=tmp_path / "tokens") as served:
        served.client.headers["Authorization"] = f"Bearer {TOKEN}"
        job = await refused(served, APP, "forbidden")
        used = (await served.client.get("/whoami")).json()["quotas"]["stored_bytes"]["used"]
        assert used == len(APP)
        plain = await served.client.post(f"/jobs/{job['id']}/retry")
        assert (plain.status_code, plain.json()["code"]) == (403, "forbidden")
        await served.client.post(f"/jobs/{job['id']}/retry?prefix=team/b")
        assert (await served.ended(job))["problem"]["code"] == "forbidden"
        await served.client.post(f"/jobs/{job['id']}/retry?prefix=team/a")
        assert (await served.ended(job))["state"] == "succeeded"
        assert (await served.client.get("/whoami")).json()["quotas"]["stored_bytes"]["used"] == 0


async def test_a_wait_that_is_required_ends_with_its_own_code(served: Served) -> None:
    queue = served.app.state.context.service._runtime.queue
    blocked = asyncio.Event()
    queue._run = lambda _: blocked.wait()  # nothing is run
    answer = await served.client.put("/push/x.tar", content=APP, params={"wait": "0.05", "wait_required": "true"})
    assert (answer.status_code, answer.json()["code"]) == (504, "wait_expired")
    assert answer.json()["job"]["state"] in ("queued", "running")
    assert answer.headers["location"] == f"/jobs/{answer.json()['job']['id']}"
    soft = await served.client.put("/push/y.tar", content=OTHER, params={"wait": "0.05", "wait_required": "false"})
    assert soft.status_code == 202
    blocked.set()


async def test_a_wait_that_is_required_needs_a_time(served: Served) -> None:
    for query in ({"wait_required": "true"}, {"wait_required": "maybe", "wait": "1"}):
        answer = await served.client.put("/push/x.tar", content=APP, params=query)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    preferred = {"Prefer": "wait=30"}
    fine = await served.client.put("/push/x.tar", content=APP, params={"wait_required": "true"}, headers=preferred)
    assert fine.status_code == 200
