"""Two who do not know of each other: nothing of one can be read, steered or pushed over by the other."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.auth import token_file as tokens
from tests.api.conftest import APP, OTHER, Served, serving
from tests.support.archives import docker_save, entry, image, oci_image, oci_layout, tagged

ANNA, BERT, LOOKER, ROOT, SMALL = (f"canary-token-of-{name}" for name in ("anna", "bert", "looker", "root", "small"))
MINE = docker_save([tagged(image({"bin/app": b"mine"}), "team/a/app:1")])
TUS = {"Tus-Resumable": "1.0.0"}


def line(name: str, token: str, rest: str = "") -> str:
    return f"{name}:{hashlib.sha256(token.encode()).hexdigest()}{rest}\n"


LINES = (
    line("anna", ANNA, ":push:team/a")
    + line("bert", BERT, ":push:team/b")
    + line("looker", LOOKER, ":read")
    + line("root", ROOT, ":admin")
    + line("small", SMALL, ":push::jobs=1,bytes=1KiB")
)


def by(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **more}


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Served]:
    file = tmp_path / "tokens"
    file.write_text(LINES)
    async with serving(tmp_path / "data", tokens_file=file) as running:
        yield running


async def pushed(served: Served, token: str, content: bytes = MINE, key: str = "") -> dict[str, Any]:
    answer = await served.client.post(
        "/push?wait=30", content=content, headers=by(token, **({"Idempotency-Key": key} if key else {}))
    )
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_only_an_administrator_puts_a_job_before_those_of_others(shared: Served) -> None:
    async def asked(token: str, priority: str) -> httpx.Response:
        return await shared.client.post(f"/push?wait=30&priority={priority}", content=MINE, headers=by(token))

    assert (await asked(ROOT, "1")).json()["priority"] == 1
    assert (await asked(ANNA, "-1")).json()["priority"] == -1
    assert code(await asked(ANNA, "1")) == (403, "forbidden")
    first = await shared.client.post("/uploads?priority=1", headers=by(ANNA, **TUS, **{"Upload-Length": "9"}))
    assert code(first) == (403, "forbidden")


async def test_a_job_of_another_token_is_not_there(shared: Served) -> None:
    job = await pushed(shared, ANNA)
    there = f"/jobs/{job['id']}"
    for method, path in (
        ("GET", there),
        ("GET", f"{there}?wait=1"),
        ("GET", f"{there}/events"),
        ("POST", f"{there}/cancel"),
        ("POST", f"{there}/retry"),
        ("DELETE", there),
    ):
        foreign = await shared.client.request(method, path, headers=by(BERT))
        unknown = await shared.client.request(method, path.replace(job["id"], "0" * 32), headers=by(BERT))
        assert code(foreign) == code(unknown) == (404, "not_found")
        assert foreign.json()["detail"].replace(job["id"], "0" * 32) == unknown.json()["detail"]
    assert (await shared.client.get("/jobs", headers=by(BERT))).json()["jobs"] == []
    assert [item["id"] for item in (await shared.client.get("/jobs", headers=by(ANNA))).json()["jobs"]] == [job["id"]]
    assert (await shared.client.get(there, headers=by(ANNA))).status_code == 200


async def test_who_may_read_sees_every_job_and_steers_none(shared: Served) -> None:
    job = await pushed(shared, ANNA)
    for token in (LOOKER, ROOT):
        listed = (await shared.client.get("/jobs", headers=by(token))).json()["jobs"]
        assert [item["id"] for item in listed] == [job["id"]]
    assert code(await shared.client.delete(f"/jobs/{job['id']}", headers=by(LOOKER))) == (403, "forbidden")
    assert (await shared.client.delete(f"/jobs/{job['id']}", headers=by(ROOT))).status_code == 204


async def test_a_name_outside_of_the_prefixes_is_refused_before_anything_is_pushed(shared: Served) -> None:
    for content, query in ((MINE, ""), (APP, ""), (APP, "?prefix=team/a"), (APP, "?tag=team/bb:1")):
        refused = await shared.client.post(f"/push{query}", content=content, headers=by(BERT))
        assert code(refused) == (403, "forbidden")
        assert "below team/b only" in refused.json()["detail"]
    assert (await shared.client.get("/v2/_catalog", headers=by(ROOT))).json()["repositories"] == []
    await pushed(shared, BERT, docker_save([tagged(image({"x": b"1"}), "team/b/app:1")]))
    answer = await shared.client.post("/push?wait=30&prefix=team/b", content=APP, headers=by(BERT))
    assert answer.json()["state"] == "succeeded"


async def test_one_image_outside_refuses_all_of_the_request(shared: Served) -> None:
    both = docker_save(
        [tagged(image({"x": b"1"}), "team/b/app:1"), tagged(image({"y": b"2"}), "team/a/app:1")],
    )
    assert code(await shared.client.post("/push", content=both, headers=by(BERT))) == (403, "forbidden")
    assert (await shared.client.get("/v2/_catalog", headers=by(ROOT))).json()["repositories"] == []


async def test_what_another_token_pushed_cannot_be_pulled(shared: Served) -> None:
    job = await pushed(shared, ANNA)
    digest = job["images"][0]["digest"]
    for path in (
        "/v2/team/a/app/manifests/1",
        f"/v2/team/a/app/blobs/{digest}",
        "/v2/team/a/app/tags/list",
        f"/v2/team/a/app/referrers/{digest}",
        "/v2/_catalog",
    ):
        assert (await shared.client.get(path, headers=by(BERT))).status_code == 403
    assert (await shared.client.get("/v2/team/a/app/tags/list", headers=by(ANNA))).status_code == 200
    assert (await shared.client.get("/v2/", headers=by(BERT))).status_code == 200


async def test_a_blob_of_another_token_is_neither_pulled_nor_claimed_by_its_digest(shared: Served) -> None:
    """Blobs lie once for all repositories; who knows a digest has not thereby seen what it stands for."""
    theirs = oci_image(image({"secret": random.Random(1).randbytes(100_000)}))
    await pushed(shared, ANNA, oci_layout([entry(theirs, name="team/a/app:1")]))
    layer, content = max(theirs.blobs.items(), key=lambda item: len(item[1]))
    claimed = oci_layout([entry(theirs, name="team/b/app:1")]).replace(content, bytes(len(content)))
    answer = await shared.client.post("/push?wait=30", content=claimed, headers=by(BERT))
    assert code(answer) == (422, "digest_mismatch")
    await pushed(shared, BERT, docker_save([tagged(image({"own": b"own"}), "team/b/own:1")]))
    for repository in ("team/b/own", "team/b/app"):
        pulled = await shared.client.get(f"/v2/{repository}/blobs/{layer}", headers=by(BERT))
        assert pulled.status_code == 404
    assert (await shared.client.get(f"/v2/team/a/app/blobs/{layer}", headers=by(ANNA))).status_code == 200


async def test_the_same_idempotency_key_of_two_tokens_is_two_keys(shared: Served) -> None:
    mine = await pushed(shared, ANNA, key="nightly")
    assert (await pushed(shared, ANNA, key="nightly"))["id"] == mine["id"]
    theirs = docker_save([tagged(image({"x": b"1"}), "team/b/app:1")])
    assert (await pushed(shared, BERT, theirs, key="nightly"))["id"] != mine["id"]


async def test_an_upload_of_another_token_is_not_there(shared: Served) -> None:
    begun = await shared.client.post("/uploads", headers=by(ANNA, **TUS, **{"Upload-Length": str(len(MINE))}))
    there = begun.headers["location"]
    patch = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert (await shared.client.head(there, headers=by(BERT, **TUS))).status_code == 404
    assert code(await shared.client.patch(there, content=MINE, headers=by(BERT, **patch))) == (404, "not_found")
    assert code(await shared.client.post(f"{there}/push", headers=by(BERT))) == (404, "not_found")
    assert code(await shared.client.delete(there, headers=by(BERT, **TUS))) == (404, "not_found")
    joined = by(BERT, **TUS, **{"Upload-Concat": f"final;{there}"})
    assert code(await shared.client.post("/uploads", headers=joined)) == (404, "not_found")
    done = await shared.client.patch(there, content=MINE, headers=by(ANNA, **patch))
    assert (done.status_code, done.headers["upload-complete"]) == (204, "?1")
    job = await shared.client.get(f"{done.headers['tarmac-job']}?wait=30", headers=by(ANNA))
    assert job.json()["state"] == "succeeded"
    assert code(await shared.client.get(done.headers["tarmac-job"], headers=by(BERT))) == (404, "not_found")


async def test_a_resumable_upload_keeps_to_the_prefixes_too(shared: Served) -> None:
    headers = {**TUS, "Upload-Length": str(len(MINE)), "Content-Type": "application/offset+octet-stream"}
    answer = await shared.client.post("/uploads", content=MINE, headers=by(BERT, **headers))
    assert code(answer) == (403, "forbidden")
    assert (await shared.client.get("/v2/_catalog", headers=by(ROOT))).json()["repositories"] == []


async def test_a_quota_bounds_uploads_and_jobs_of_one_token_alone(shared: Served) -> None:
    assert code(await shared.client.post("/push", content=APP, headers=by(SMALL))) == (413, "too_large")
    begin = {**TUS, "Upload-Length": "100"}
    assert (await shared.client.post("/uploads", headers=by(SMALL, **begin))).status_code == 201
    for refused in (
        await shared.client.post("/uploads", headers=by(SMALL, **begin)),
        await shared.client.post("/push", content=b"x", headers=by(SMALL)),
    ):
        assert code(refused) == (429, "quota_exceeded")
        assert refused.headers["retry-after"]
    longer = await shared.client.post("/uploads", headers=by(ANNA, **TUS, **{"Upload-Length": "2000"}))
    assert longer.status_code == 201


async def test_the_audit_trail_tells_who_sent_what_from_where_and_what_became_of_it(shared: Served) -> None:
    job = await pushed(shared, ANNA)
    await shared.client.post("/push", content=OTHER, headers=by(BERT))
    assert (await shared.client.delete(f"/jobs/{job['id']}", headers=by(ANNA))).status_code == 204
    for token in (ANNA, BERT):
        assert code(await shared.client.get("/audit", headers=by(token))) == (403, "forbidden")
    first, second = (await shared.client.get("/audit", headers=by(LOOKER))).json()["entries"]
    assert (first["token"], first["address"], first["outcome"]) == ("anna", "127.0.0.1", "succeeded")
    assert first["archives"][0]["digest"] == f"sha256:{hashlib.sha256(MINE).hexdigest()}"
    assert first["images"][0]["destinations"] == job["images"][0]["destinations"]
    assert first["images"][0]["digest"] == job["images"][0]["digest"]
    assert (second["token"], second["outcome"], second["code"]) == ("bert", "failed", "forbidden")


async def test_the_audit_trail_is_read_in_pages_since_a_time_and_as_json_lines(shared: Served) -> None:
    for _ in range(3):
        await pushed(shared, ANNA)
    page = (await shared.client.get("/audit?limit=2", headers=by(ROOT))).json()
    rest = (await shared.client.get(f"/audit?cursor={page['next_cursor']}", headers=by(ROOT))).json()
    assert (len(page["entries"]), len(rest["entries"])) == (2, 1)
    since = rest["entries"][0]["at"]
    found = (await shared.client.get("/audit", params={"since": since}, headers=by(ROOT))).json()["entries"]
    assert found[-1] == rest["entries"][0]
    assert (await shared.client.get("/audit?since=2999-01-01T00:00:00Z", headers=by(ROOT))).json()["entries"] == []
    for beyond in ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00%2B14:00"):
        answer = await shared.client.get(f"/audit?since={beyond}", headers=by(ROOT))
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    lines = await shared.client.get("/audit", headers=by(ROOT, Accept="application/jsonl"))
    assert [json.loads(line) for line in lines.text.splitlines()] == [*page["entries"], *rest["entries"]]
    again = await shared.client.get(
        f"/audit?format=jsonl&cursor={lines.headers['tarmac-next-cursor']}", headers=by(ROOT)
    )
    assert again.text == ""
    assert code(await shared.client.get("/audit?cursor=x", headers=by(ROOT))) == (422, "invalid_request")


async def test_a_token_stands_in_no_log_row_or_answer(shared: Served, capfd: pytest.CaptureFixture[str]) -> None:
    job = await pushed(shared, ANNA)
    await shared.client.get("/jobs", headers=by(f"{ANNA}x"))
    texts = [(await shared.client.get(path, headers=by(ROOT))).text for path in (f"/jobs/{job['id']}", "/audit")]
    texts += capfd.readouterr()
    kept = b"".join(path.read_bytes() for path in shared.data.rglob("*") if path.is_file())
    assert "canary-token" not in "".join(texts)
    assert b"canary-token" not in kept


@pytest.mark.parametrize("narrowed", ["team/a/other", "team/b"])
async def test_a_token_that_was_narrowed_retries_with_the_rights_it_has_now(
    tmp_path: Path, narrowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "CHECK_SECONDS", 0)
    file = tmp_path / "tokens"
    file.write_text(line("anna", ANNA, ":push:team/a") + line("root", ROOT, ":admin"))
    async with serving(tmp_path / "data", tokens_file=file) as shared:
        failed = await shared.client.post("/push?wait=30&on_existing_tag=error", content=MINE, headers=by(ANNA))
        other = docker_save([tagged(image({"bin/app": b"changed"}), "team/a/app:1")])
        again = await shared.client.post("/push?wait=30&on_existing_tag=error", content=other, headers=by(ANNA))
        assert (failed.status_code, again.status_code) == (200, 422)
        job = again.json()["job"]["id"]
        file.write_text(line("anna", ANNA, f":push:{narrowed}") + line("root", ROOT, ":admin") + "# changed\n")
        refused = await shared.client.post(f"/jobs/{job}/retry", headers=by(ANNA))
        assert code(refused) == (403, "forbidden")
        assert (await shared.client.get(f"/jobs/{job}", headers=by(ANNA))).json()["state"] == "failed"
        by_root = await shared.client.post(f"/jobs/{job}/retry", headers=by(ROOT))
        assert by_root.status_code == 202


async def test_patterns_that_cost_too_much_are_refused_by_name(shared: Served) -> None:
    """4,000 names and 500 slow patterns took minutes of processor time, and no cancel ended them."""
    names = [f"example.com/team/a/{'ab' * 10}{number}:1" for number in range(4000)]
    content = docker_save(
        [tagged(image({"bin/app": b"1"}), *names[start : start + 900]) for start in range(0, 4000, 900)]
    )
    globs = {"images": [f"*{'[ab]' * 12}{number}z*" for number in range(500)]}
    held = await shared.client.post(
        "/uploads?hold=true&dry_run=true",
        content=content,
        headers=by(
            ANNA, **TUS, **{"Upload-Length": str(len(content)), "Content-Type": "application/offset+octet-stream"}
        ),
    )
    assert held.status_code == 201, held.text
    await shared.client.get(f"{held.headers['tarmac-job']}?wait=60", headers=by(ANNA))
    asked = await shared.client.post(f"{held.headers['location']}/push", json=globs, headers=by(ANNA))
    job = await shared.client.get(f"{asked.headers['location']}?wait=60", headers=by(ANNA))
    assert job.json()["problem"]["code"] == "limit_exceeded", job.text
