"""The three ways in, what they answer, and what is refused before, within and after the body."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.job_response import waited_response
from app.api.routes.push import MAX_NAME, display_name
from app.errors import DigestMismatch, Interrupted, MissingTag, RegistryUnreachable, TarmacError
from app.jobs import Job, JobState, utc_now
from tests.api.conftest import APP, OTHER, Served, serving
from tests.support.archives import entry, image, oci_image, oci_layout

HEX = hashlib.sha256(APP).hexdigest()
BASE64 = base64.b64encode(hashlib.sha256(APP).digest()).decode()
ZEROS = "sha256:" + "0" * 64
JSON = {"Content-Type": "application/json"}


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["status"], document["code"]) == (status, status, code), document
    return document


async def one_byte_at_a_time(body: bytes) -> AsyncIterator[bytes]:
    for byte in body:
        yield bytes([byte])


async def test_a_form_gives_a_job_that_lands_the_image(served: Served) -> None:
    answer = await served.client.post("/push", files={"archive": ("x.tar", APP)})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert job["archives"][0]["name"] == "x.tar"
    assert job["archives"][0]["digest"] == f"sha256:{HEX}"
    ended = await served.ended(job)
    assert ended["state"] == "succeeded"
    assert ended["images"][0]["digest"] == await served.digest("team/app", "1")


async def test_a_raw_body_is_an_archive(served: Served) -> None:
    answer = await served.client.post("/push", content=APP, params={"wait": 30, "tag": "mine:2"})
    assert answer.status_code == 200
    assert answer.json()["images"][0]["destinations"] == ["127.0.0.1:8080/mine:2"]
    assert await served.digest("mine", "2")


@pytest.mark.parametrize(
    ("path", "name"),
    [("/push/x.tar", "x.tar"), ("/push/a/b%20c.tar", "b c.tar"), ("/push/", "archive"), ("/push", "archive")],
)
async def test_curl_t_is_understood_with_and_without_a_file_name(served: Served, path: str, name: str) -> None:
    answer = await served.client.put(path, content=APP, params={"wait": 30})
    assert answer.status_code == 200
    assert answer.json()["archives"][0]["name"] == name


async def test_a_body_of_unknown_length_is_taken(served: Served) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield APP[:1000]
        yield APP[1000:]

    answer = await served.client.post("/push?wait=30", content=chunks())
    assert answer.json()["state"] == "succeeded"


async def test_a_form_that_arrives_byte_by_byte_is_the_same_form(served: Served) -> None:
    request = served.client.build_request("POST", "/push?wait=30", files={"archive": ("x.tar", APP)})
    headers = {"Content-Type": request.headers["content-type"]}
    answer = await served.client.post("/push?wait=30", content=one_byte_at_a_time(request.read()), headers=headers)
    assert answer.json()["archives"][0]["digest"] == f"sha256:{HEX}"


async def test_options_may_stand_before_and_after_the_archive_and_in_the_query(served: Served) -> None:
    parts: list[tuple[str, tuple[str | None, str | bytes]]] = [
        ("prefix", (None, "mirror")),
        ("archive", ("x.tar", APP)),
        ("label", (None, "a=b")),
        ("label", (None, "c=d")),
        ("dry_run", (None, "false")),
    ]
    answer = await served.client.post("/push?wait=30&layer_compression=zstd&dry_run=false", files=parts)
    job = answer.json()
    assert job["labels"] == {"a": "b", "c": "d"}
    assert job["images"][0]["destinations"] == ["127.0.0.1:8080/mirror/team/app:1"]


async def test_several_archives_of_a_form_are_one_job(served: Served) -> None:
    parts = [("archive", ("x.tar", APP)), ("archive", ("x.tar", OTHER))]
    job = (await served.client.post("/push?wait=30", files=parts)).json()
    assert job["state"] == "succeeded"
    assert len({archive["name"] for archive in job["archives"]}) == 2
    assert await served.digest("team/app", "1") != await served.digest("team/other", "1")


async def test_server_paths_with_patterns_below_the_roots_are_pushed(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    (root / "a.tar").write_bytes(APP)
    (root / "b.tar").write_bytes(OTHER)
    async with serving(tmp_path / "data", path_roots=(root,)) as served:
        body = {"paths": [f"{root}/*.tar"], "wait": 30, "label": {"from": "usb"}}
        answer = await served.client.post("/push", json=body)
        assert answer.status_code == 200
        assert [archive["source"] for archive in answer.json()["archives"]] == ["path", "path"]
        outside = await served.client.post("/push", json={"paths": ["/etc/passwd"]})
        problem(outside, 403, "path_not_allowed")
        assert served.spooled() == []


async def test_paths_are_off_without_roots(served: Served) -> None:
    problem(await served.client.post("/push", json={"paths": ["/x.tar"]}), 403, "path_not_allowed")


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 422), (b'{"paths": 1}', 422), (b'{"paths": ["/a"], "tgg": 1}', 422)]
)
async def test_json_that_says_nothing_useful_is_refused(served: Served, body: bytes, status: int) -> None:
    problem(await served.client.post("/push", content=body, headers=JSON), status, "invalid_request")


async def test_a_json_body_is_not_read_without_end(served: Served) -> None:
    body = b'{"paths": ["' + b"x" * (1 << 20) + b'"]}'
    problem(await served.client.post("/push", content=body, headers=JSON), 422, "invalid_request")


async def test_a_dry_run_pushes_nothing(served: Served) -> None:
    job = (await served.client.post("/push?wait=30&dry_run=true", content=APP)).json()
    assert (job["state"], job["images"][0]["state"]) == ("succeeded", "planned")
    assert await served.digest("team/app", "1") is None


async def test_who_does_not_wait_long_enough_gets_202(served: Served) -> None:
    answer = await served.client.post("/push", content=APP, headers={"Prefer": "wait=0"})
    assert answer.status_code == 202
    await served.ended(answer.json())


@pytest.mark.parametrize(
    "headers",
    [{"Content-Digest": f"sha-256=:{BASE64}:"}, {"Repr-Digest": f"sha-256=:{BASE64}:"}],
    ids=["Content-Digest", "Repr-Digest"],
)
async def test_a_right_digest_field_is_fine(served: Served, headers: dict[str, str]) -> None:
    answer = await served.client.post(f"/push?wait=30&checksum=sha256:{HEX}", content=APP, headers=headers)
    assert answer.status_code == 200


async def test_a_wrong_checksum_refuses_the_archive_and_nothing_is_pushed(served: Served) -> None:
    answer = await served.client.post(f"/push?wait=30&checksum={ZEROS}", content=APP)
    document = problem(answer, 422, "checksum_mismatch")
    assert document["job"]["state"] == "failed"
    assert answer.headers["location"] == f"/jobs/{document['job']['id']}"
    assert await served.digest("team/app", "1") is None
    assert served.spooled() == []


async def test_a_digest_field_of_a_form_is_not_the_archives_and_is_refused(served: Served) -> None:
    headers = {"Content-Digest": f"sha-256=:{BASE64}:"}
    answer = await served.client.post("/push", files={"archive": ("x.tar", APP)}, headers=headers)
    assert "checksum" in problem(answer, 422, "invalid_request")["detail"]


async def test_the_same_key_gives_the_same_job(served: Served) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await served.client.post("/push", content=APP, headers=headers)
    again = await served.client.post("/push", content=APP, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    other = await served.client.post("/push", content=OTHER, headers=headers)
    assert other.status_code == 422


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_is_short_and_printable(served: Served, key: str) -> None:
    answer = await served.client.post("/push", content=APP, headers={"Idempotency-Key": key})
    problem(answer, 422, "invalid_request")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("tag=a:1&tag=b:1", "invalid_request"),
        ("tgg=a", "invalid_request"),
        ("wait=soon", "invalid_request"),
        ("registry=nowhere", "unknown_registry"),
        ("tag=NO:1", "invalid_reference"),
        ("checksum=md5:1", "invalid_request"),
    ],
)
async def test_a_wrong_option_of_the_query_is_told_before_the_body_is_read(
    served: Served, query: str, code: str
) -> None:
    async def never() -> AsyncIterator[bytes]:
        for _ in "x":
            raise AssertionError("the body was read")
        yield b""

    headers = {"Content-Length": "1000"}
    problem(await served.client.post(f"/push?{query}", content=never(), headers=headers), 422, code)
    assert (await served.client.get("/jobs")).json()["jobs"] == []


async def test_a_wrong_option_after_the_archive_fails_its_job(served: Served) -> None:
    parts: list[tuple[str, tuple[str | None, str | bytes]]] = [("archive", ("x.tar", APP)), ("tgg", (None, "1"))]
    document = problem(await served.client.post("/push", files=parts), 422, "invalid_request")
    assert document["job"]["problem"]["code"] == "invalid_request"
    assert served.spooled() == []


async def test_a_form_without_an_archive_makes_no_job(served: Served) -> None:
    problem(await served.client.post("/push", files={"tag": (None, "a:1")}), 422, "invalid_request")
    assert (await served.client.get("/jobs")).json()["jobs"] == []


async def test_an_empty_body_is_no_archive(served: Served) -> None:
    problem(await served.client.post("/push"), 422, "invalid_request")
    problem(await served.client.post("/push", content=one_byte_at_a_time(b"")), 422, "invalid_request")


async def test_a_body_that_ends_early_fails_its_job_and_leaves_nothing(served: Served) -> None:
    answer = await served.client.post("/push", content=one_piece(APP[:600]), headers={"Content-Length": "5000"})
    document = problem(answer, 400, "upload_incomplete")
    assert document["retryable"]
    assert document["job"]["state"] == "failed"
    assert served.spooled() == []


async def test_a_form_that_ends_early_fails_its_job_and_leaves_nothing(served: Served) -> None:
    request = served.client.build_request("POST", "/push", files={"archive": ("x.tar", APP)})
    headers = {"Content-Type": request.headers["content-type"]}
    answer = await served.client.post("/push", content=one_piece(request.read()[:-8]), headers=headers)
    assert problem(answer, 400, "upload_incomplete")["job"]["state"] == "failed"
    assert served.spooled() == []


async def test_a_field_that_forbids_a_push_may_stand_behind_the_archive(served: Served) -> None:
    layers = image(*({"f": random.Random(n).randbytes(400_000)} for n in range(3)))
    archive = oci_layout([entry(oci_image(layers, compression="gzip"))])
    request = served.client.build_request(
        "POST",
        "/push",
        files=[("tag", (None, b"team/app:1")), ("archive", ("x.tar", archive)), ("dry_run", (None, b"true"))],
    )

    async def slowly(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]
            assert (await served.client.get("/jobs")).status_code == 200  # time for what should not happen

    headers = {"Content-Type": request.headers["content-type"]}
    answer = await served.client.post("/push", params={"wait": 20}, content=slowly(request.read()), headers=headers)
    assert answer.json()["state"] == "succeeded", answer.text
    assert [path.name for path in (served.data / "images" / "blobs").glob("*/*")] == []


@pytest.mark.parametrize("priority", ["11", "-11", "1.5", "high"])
async def test_a_priority_is_a_small_whole_number(served: Served, priority: str) -> None:
    problem(await served.client.post(f"/push?priority={priority}", content=APP), 422, "invalid_request")


async def test_the_priority_of_a_form_stands_in_the_job(served: Served) -> None:
    form = await served.client.post("/push", files={"archive": APP}, data={"priority": "-3"})
    assert form.json()["priority"] == -3


async def one_piece(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def test_a_malformed_form_is_400(served: Served) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    problem(await served.client.post("/push", content=b"nonsense", headers=headers), 400, "invalid_request")


async def test_what_is_no_archive_is_422_and_says_what_it_is(served: Served) -> None:
    document = problem(await served.client.post("/push", content=b"nonsense" * 1000), 422, "unknown_format")
    assert document["job"]["state"] == "failed"


async def test_a_body_over_the_limit_is_refused_before_and_while_it_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path, max_upload_bytes=1000) as served:
        problem(await served.client.post("/push", content=APP), 413, "too_large")
        assert (await served.client.get("/jobs")).json()["jobs"] == []
        problem(await served.client.post("/push", content=one_piece(APP)), 413, "too_large")
        assert served.spooled() == []


async def test_a_body_there_is_no_room_for_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path, max_upload_bytes=1 << 60) as served:
        answer = await served.client.post("/push", content=one_piece(APP), headers={"Content-Length": str(1 << 59)})
        assert problem(answer, 507, "spool_full")["retryable"]
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("length", ["x", "-1", "+1", "1 1", "1,1", "0x10", "1e3", "\u0661", ""])
async def test_a_content_length_is_a_number(served: Served, length: str) -> None:
    headers = {b"Content-Length": length.encode()}
    problem(await served.client.post("/push", content=one_piece(APP), headers=headers), 400, "invalid_request")


@pytest.mark.parametrize("path", ["/push", "/push/", "/push?tag=a:1", "/images/load"])
@pytest.mark.parametrize("digits", [18, 19, 20, 21, 50, 500, 5_000])
async def test_a_length_beyond_every_number_is_too_large(served: Served, path: str, digits: int) -> None:
    headers = {"Content-Length": "9" * digits}
    answer = await served.client.post(path, content=one_piece(APP), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert (await served.client.get("/jobs")).json()["jobs"] == []


async def test_zeros_before_a_length_say_nothing(served: Served) -> None:
    for zeros in (1, 30, 3_000):
        headers = {"Content-Length": "0" * zeros + str(len(APP))}
        answer = await served.client.post("/push?wait=30", content=one_piece(APP), headers=headers)
        assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")


async def test_a_job_that_fails_while_its_client_waits_is_a_problem_with_the_job(tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"nonsense" * 1000)
    async with serving(tmp_path / "data", path_roots=(tmp_path,)) as served:
        answer = await served.client.post("/push", json={"paths": [f"{tmp_path}/bad.tar"], "wait": 30})
        document = problem(answer, 422, "unknown_format")
        assert document["job"]["state"] == "failed"
        assert answer.headers["location"] == f"/jobs/{document['job']['id']}"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RegistryUnreachable("gone"), 502),
        (Interrupted("stopped"), 502),
        (MissingTag("no name"), 422),
        (DigestMismatch("wrong"), 422),
        (None, 409),
    ],
)
def test_whose_fault_it_was_tells_the_status_of_a_waited_failure(error: TarmacError | None, status: int) -> None:
    state = JobState.CANCELLED if error is None else JobState.FAILED
    job = Job.new(JobState.QUEUED, utc_now()).evolve(state=state, problem=error and error.problem)
    answer = waited_response(job)
    assert answer.status_code == status
    assert json.loads(bytes(answer.body))["job"]["id"] == job.id


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("x.tar", "x.tar"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.tar", "x.tar"),
        ("a\r\nb\x1b[31m", "a__b_[31m"),
        ("", "archive"),
        ("/", "archive"),
        ("ä" * 300, "ä" * (MAX_NAME - 1) + "…"),
    ],
)
def test_a_file_name_is_only_ever_shown(sent: str, shown: str) -> None:
    assert display_name(sent) == shown


async def test_so_many_uploads_as_the_settings_say_come_in_at_once(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield APP[:1000]
        await go.wait()
        yield APP[1000:]

    async with serving(tmp_path, max_uploads=1) as running:
        first = asyncio.create_task(running.client.post("/push", content=slowly()))
        while not (await running.client.get("/jobs")).json()["jobs"]:
            pass
        answer = await running.client.post("/push", content=OTHER)
        problem(answer, 503, "busy")
        assert int(answer.headers["retry-after"]) > 0
        go.set()
        assert (await first).status_code == 202
        assert (await running.client.post("/push", content=OTHER)).status_code == 202
