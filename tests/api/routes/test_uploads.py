"""Uploads in pieces: tus 1.0 and the IETF draft on one resource, before the whole service."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import ClientDisconnect
from structlog.testing import capture_logs

from app.errors import SpoolFull
from app.jobs.resumable import table as upload_states
from app.spool.upload_files import UploadFiles
from tests.api.conftest import APP, OTHER, Served, serving
from tests.support.archives import docker_save, image, tagged

TUS = {"Tus-Resumable": "1.0.0"}
STREAM = TUS | {"Content-Type": "application/offset+octet-stream"}
PARTIAL = {"Content-Type": "application/partial-upload"}
HALF = len(APP) // 2


def metadata(**values: str) -> dict[str, str]:
    return {
        "Upload-Metadata": ",".join(f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in values.items())
    }


async def begin(served: Served, length: int | None = len(APP), **values: str) -> tuple[str, str]:
    """The paths of the upload and of its job."""
    size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    answer = await served.client.post("/uploads", headers=TUS | size | metadata(**values))
    assert answer.status_code == 201, answer.text
    return answer.headers["location"], answer.headers.get("tarmac-job", "")


async def append(served: Served, upload: str, offset: int, body: Any, **headers: str) -> httpx.Response:
    return await served.client.patch(upload, headers=STREAM | {"Upload-Offset": str(offset)} | headers, content=body)


async def job_of(served: Served, path: str) -> dict[str, Any]:
    document: dict[str, Any] = (await served.client.get(path, params={"wait": 30})).json()
    return document


async def broken(body: bytes) -> AsyncIterator[bytes]:
    yield body
    raise ClientDisconnect


async def test_an_upload_in_two_pieces_lands_the_image(served: Served) -> None:
    upload, path = await begin(served, filename="x.tar", prefix="mirror", filetype="application/x-tar")
    first = await append(served, upload, 0, APP[:HALF])
    assert (first.status_code, first.headers["upload-offset"]) == (204, str(HALF))
    receiving = (await served.client.get(path)).json()
    assert receiving["state"] == "receiving"
    assert receiving["archives"][0]["name"] == "x.tar"
    assert receiving["progress"]["bytes_received"] == HALF
    assert receiving["progress"]["bytes_expected"] == len(APP)
    last = await append(served, upload, HALF, APP[HALF:])
    assert (last.status_code, last.headers["upload-complete"], last.headers["tarmac-job"]) == (204, "?1", path)
    job = await job_of(served, path)
    assert job["state"] == "succeeded", job
    assert job["archives"][0]["digest"] == f"sha256:{hashlib.sha256(APP).hexdigest()}"
    assert job["images"][0]["destinations"] == ["127.0.0.1:8080/mirror/team/app:1"]


async def test_what_came_before_the_connection_broke_need_not_be_sent_again(served: Served) -> None:
    upload, path = await begin(served)
    assert (await append(served, upload, 0, broken(APP[:HALF]))).json()["code"] == "upload_incomplete"
    shown = await served.client.head(upload, headers=TUS)
    assert shown.headers["upload-offset"] == str(HALF)
    assert shown.headers["upload-length"] == str(len(APP))
    assert shown.headers["cache-control"] == "no-store"
    await append(served, upload, HALF, APP[HALF:])
    assert (await job_of(served, path))["state"] == "succeeded"


@pytest.mark.parametrize("size", [0, 300, HALF])
async def test_an_upload_goes_on_after_the_service_was_started_anew(tmp_path: Path, size: int) -> None:
    async with serving(tmp_path) as served:
        upload, path = await begin(served, filename="x.tar")
        await append(served, upload, 0, APP[:size])
    async with serving(tmp_path) as served:
        assert (await served.client.head(upload, headers=TUS)).headers["upload-offset"] == str(size)
        assert (await served.client.get(path)).json()["state"] == "receiving"
        await append(served, upload, size, APP[size:])
        job = await job_of(served, path)
    assert job["state"] == "succeeded", job
    assert job["archives"][0]["digest"] == f"sha256:{hashlib.sha256(APP).hexdigest()}"


async def test_the_draft_is_spoken_on_the_same_resource(served: Served) -> None:
    begun = await served.client.post(
        "/uploads?tag=mine:1",
        headers={
            "Upload-Complete": "?0",
            "Upload-Length": str(len(APP)),
            "Upload-Draft-Interop-Version": "8",
            "Content-Disposition": "inline; filename*=UTF-8''a%20b.tar",
        },
    )
    upload = begun.headers["location"]
    assert (begun.status_code, begun.headers["upload-draft-interop-version"]) == (201, "8")
    first = await served.client.patch(
        upload, headers=PARTIAL | {"Upload-Offset": "0", "Upload-Complete": "?0"}, content=APP[:HALF]
    )
    assert (first.status_code, first.headers["upload-complete"]) == (204, "?0")
    last = await served.client.patch(
        upload, headers=PARTIAL | {"Upload-Offset": str(HALF), "Upload-Complete": "?1"}, content=APP[HALF:]
    )
    assert (last.status_code, last.headers["upload-complete"]) == (202, "?1")
    assert last.headers["location"] == f"/jobs/{last.json()['id']}"
    job = await job_of(served, last.headers["location"])
    assert job["archives"][0]["name"] == "a b.tar"
    assert job["images"][0]["destinations"] == ["127.0.0.1:8080/mine:1"]
    shown = await served.client.head(upload)
    assert (shown.headers["upload-complete"], shown.headers["upload-offset"]) == ("?1", str(len(APP)))


async def test_a_creation_may_carry_everything(served: Served) -> None:
    tus = await served.client.post("/uploads", headers=STREAM | {"Upload-Length": str(len(APP))}, content=APP)
    assert (tus.status_code, tus.headers["upload-offset"]) == (201, str(len(APP)))
    assert (await job_of(served, tus.headers["tarmac-job"]))["state"] == "succeeded"
    draft = await served.client.post("/uploads", headers={"Upload-Complete": "?1"}, content=OTHER)
    assert (draft.status_code, draft.headers["upload-complete"]) == (202, "?1")
    assert (await job_of(served, draft.headers["location"]))["state"] == "succeeded"


async def test_a_length_may_be_told_with_the_last_bytes(served: Served) -> None:
    upload, path = await begin(served, None)
    first = await append(served, upload, 0, APP[:HALF])
    assert first.headers["upload-defer-length"] == "1"
    await append(served, upload, HALF, APP[HALF:], **{"Upload-Length": str(len(APP))})
    assert (await job_of(served, path))["state"] == "succeeded"


async def test_bytes_that_do_not_have_their_checksum_are_left_out(served: Served) -> None:
    upload, path = await begin(served)
    wrong = base64.b64encode(hashlib.sha1(b"something else").digest()).decode()
    refused = await append(served, upload, 0, APP[:HALF], **{"Upload-Checksum": f"sha1 {wrong}"})
    assert (refused.status_code, refused.json()["code"]) == (460, "checksum_mismatch")
    assert (await served.client.head(upload, headers=TUS)).headers["upload-offset"] == "0"
    right = base64.b64encode(hashlib.sha256(APP).digest()).decode()
    await append(served, upload, 0, APP, **{"Upload-Checksum": f"sha256 {right}"})
    assert (await job_of(served, path))["state"] == "succeeded"


async def test_parts_that_come_side_by_side_become_one_upload(served: Served) -> None:
    parts = []
    for piece in (APP[:HALF], APP[HALF:]):
        headers = STREAM | {"Upload-Length": str(len(piece)), "Upload-Concat": "partial"}
        part = await served.client.post("/uploads", headers=headers, content=piece)
        assert "tarmac-job" not in part.headers
        parts.append(part.headers["location"])
    final = await served.client.post(
        "/uploads",
        headers=TUS | metadata(tag="joined:1") | {"Upload-Concat": f"final;http://tarmac.test{parts[0]} {parts[1]}"},
    )
    assert final.status_code == 201, final.text
    job = await job_of(served, final.headers["tarmac-job"])
    assert job["images"][0]["destinations"] == ["127.0.0.1:8080/joined:1"]
    assert job["state"] == "succeeded"
    assert (await served.client.head(parts[0], headers=TUS)).status_code == 404


async def two_parts(served: Served) -> list[str]:
    parts = []
    for piece in (APP[:HALF], APP[HALF:]):
        headers = STREAM | {"Upload-Length": str(len(piece)), "Upload-Concat": "partial"}
        parts.append((await served.client.post("/uploads", headers=headers, content=piece)).headers["location"])
    return parts


async def test_of_several_requests_that_join_the_same_parts_one_does_and_no_job_is_left(served: Served) -> None:
    parts = await two_parts(served)
    headers = TUS | metadata(tag="joined:1") | {"Upload-Concat": f"final;{parts[0]} {parts[1]}"}
    answers = await asyncio.gather(*(served.client.post("/uploads", headers=headers) for _ in range(4)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 201
    assert set(statuses[1:]) <= {404, 423}
    (joined,) = [answer for answer in answers if answer.status_code == 201]
    assert (await job_of(served, joined.headers["tarmac-job"]))["state"] == "succeeded"
    assert len((await served.client.get("/jobs")).json()["jobs"]) == 1


async def test_parts_that_cannot_be_joined_leave_no_job_that_waits(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(files: UploadFiles, name: str, parts: object) -> None:
        raise SpoolFull("no room")

    parts = await two_parts(served)
    headers = TUS | metadata(tag="joined:1") | {"Upload-Concat": f"final;{parts[0]} {parts[1]}"}
    with monkeypatch.context() as patch:
        patch.setattr(UploadFiles, "join", fail)
        refused = await served.client.post("/uploads", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (507, "spool_full")
    (job,) = (await served.client.get("/jobs")).json()["jobs"]
    assert job["state"] == "failed"
    assert (await served.client.post("/uploads", headers=headers)).status_code == 201


async def test_bytes_that_begin_elsewhere_are_refused_in_the_words_of_both(served: Served) -> None:
    upload, _ = await begin(served)
    tus = await append(served, upload, 7, APP[7:])
    assert (tus.status_code, tus.json()["code"]) == (409, "conflict")
    draft = await served.client.patch(
        upload, headers=PARTIAL | {"Upload-Offset": "7", "Upload-Complete": "?0"}, content=APP[7:]
    )
    assert draft.status_code == 409
    assert draft.json()["type"].endswith("#mismatching-upload-offset")
    assert (draft.json()["expected-offset"], draft.json()["provided-offset"]) == (0, 7)


async def test_an_archive_that_is_none_is_refused_as_soon_as_it_is_known(served: Served) -> None:
    upload, path = await begin(served, 100_000)
    answer = await append(served, upload, 0, b"no tar at all " * 100)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_format")
    job = (await served.client.get(path)).json()
    assert (job["state"], job["problem"]["code"]) == ("failed", "unknown_format")
    assert (await served.client.head(upload, headers=TUS)).status_code == 404


async def test_the_last_bytes_are_answered_with_what_is_wrong_with_the_archive(served: Served) -> None:
    upload, path = await begin(served, checksum="sha256:" + "0" * 64)
    answer = await append(served, upload, 0, APP)
    assert (answer.status_code, answer.json()["code"]) == (422, "checksum_mismatch")
    assert answer.json()["job"]["id"] == path.rpartition("/")[2]
    assert served.spooled() == []


async def test_an_upload_that_is_given_up_leaves_nothing(served: Served) -> None:
    upload, path = await begin(served)
    await append(served, upload, 0, APP[:HALF])
    assert (await served.client.delete(upload, headers=TUS)).status_code == 204
    assert (await served.client.head(upload, headers=TUS)).status_code == 404
    assert (await served.client.get(path)).json()["state"] == "cancelled"
    assert list((served.data / "uploads").iterdir()) == []


async def test_an_archive_that_is_held_is_pushed_without_being_sent_again(served: Served) -> None:
    upload, path = await begin(served, filename="x.tar", hold="true", dry_run="true")
    await append(served, upload, 0, APP)
    dry = await job_of(served, path)
    assert dry["images"][0]["state"] == "planned", dry
    pushed = await served.client.post(f"{upload}/push", json={"rename": {"example.com/team/app:1": "b:2"}})
    assert pushed.status_code == 202, pushed.text
    job = await served.ended(pushed.json())
    assert job["images"][0]["destinations"] == ["127.0.0.1:8080/b:2"]
    assert job["archives"][0]["digest"] == dry["archives"][0]["digest"]
    assert await served.digest("b", "2") is not None
    assert (await served.client.delete(upload)).status_code == 204
    assert list((served.data / "uploads").iterdir()) == []


async def test_of_two_writers_the_newer_goes_on_and_the_older_is_told(served: Served) -> None:
    upload, path = await begin(served)
    hanging = asyncio.Event()

    async def half_and_no_more() -> AsyncIterator[bytes]:
        yield APP[:HALF]
        hanging.set()
        await asyncio.Event().wait()

    older = asyncio.ensure_future(append(served, upload, 0, half_and_no_more()))
    await hanging.wait()
    shown = await served.client.head(upload, headers=TUS)
    assert shown.headers["upload-offset"] == str(HALF)
    refused = await older
    assert (refused.status_code, refused.json()["code"]) == (423, "conflict")
    await append(served, upload, HALF, APP[HALF:])
    assert (await job_of(served, path))["state"] == "succeeded"


async def test_a_job_that_is_cancelled_ends_its_upload(served: Served) -> None:
    upload, path = await begin(served)
    await append(served, upload, 0, APP[:HALF])
    assert (await served.client.post(f"{path}/cancel")).status_code == 202
    assert (await append(served, upload, HALF, APP[HALF:])).status_code == 404


@pytest.mark.parametrize("hold", ["true", "false"])
async def test_a_wrapped_archive_arrives_in_pieces_too(tmp_path: Path, hold: str) -> None:
    wrapped = gzip.compress(APP, mtime=0)
    async with serving(tmp_path) as served:
        upload, path = await begin(served, len(wrapped), hold=hold)
        await append(served, upload, 0, wrapped[:100])
    async with serving(tmp_path) as served:
        await append(served, upload, 100, wrapped[100:])
        job = await job_of(served, path)
        assert (job["state"], job["archives"][0]["compression"]) == ("succeeded", "gzip"), job
        assert job["archives"][0]["digest"] == f"sha256:{hashlib.sha256(wrapped).hexdigest()}"
        again = await served.client.post(f"{upload}/push", json={"tag": "again:1"})
        assert again.status_code == (202 if hold == "true" else 409)
        if hold == "true":
            assert (await served.ended(again.json()))["state"] == "succeeded"


async def test_an_upload_whose_last_byte_came_before_the_kill_becomes_a_job_at_the_start(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        upload, path = await begin(served)
    (tmp_path / "uploads" / f"{upload.rpartition('/')[2]}.part").write_bytes(APP)
    async with serving(tmp_path) as served:
        assert (await job_of(served, path))["state"] == "succeeded"
        shown = await served.client.head(upload, headers=TUS)
        assert (shown.headers["upload-complete"], shown.headers["tarmac-job"]) == ("?1", path)


async def test_an_upload_to_which_no_byte_comes_for_a_day_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path) as served:
        upload, path = await begin(served, filename="x.tar", relativePath="disk/one/x.tar")
        await append(served, upload, 0, APP[:HALF])
    for file in (tmp_path / "uploads").iterdir():
        os.utime(file, (0, 0))
    async with serving(tmp_path) as served:  # a start with a clock that is ahead looks the same
        assert (await served.client.head(upload, headers=TUS)).headers["upload-offset"] == str(HALF)
    monkeypatch.setattr("app.jobs.retention.idle.SEEN_FOR", timedelta(0))
    with capture_logs() as logs:
        async with serving(tmp_path) as served:
            job = await job_of(served, path)
    (expired,) = (line for line in logs if line["event"] == "upload.expired")
    assert (expired["job"], expired["complete"]) == (job["id"], False)
    assert upload.rpartition("/")[2].startswith(expired["upload"])
    async with serving(tmp_path) as served:
        assert (job["state"], job["problem"]["code"]) == ("failed", "upload_incomplete")
        (archive,) = job["archives"]
        assert (archive["name"], archive["path"], archive["size"]) == ("x.tar", "disk/one/x.tar", HALF)
        assert (await served.client.head(upload, headers=TUS)).status_code == 404


async def test_a_held_archive_without_a_name_is_given_one_and_not_sent_again(served: Served) -> None:
    nameless = docker_save([image({"bin/app": b"nameless"})])
    upload, path = await begin(served, len(nameless), hold="true", dry_run="true")
    await append(served, upload, 0, nameless)
    assert (await job_of(served, path))["problem"]["code"] == "missing_tag"
    named = await served.client.post(f"{upload}/push", json={"tag": "named:1"})
    assert (await served.ended(named.json()))["state"] == "succeeded"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 400, "invalid_request"),
        ({"Upload-Length": "ten"}, 400, "invalid_request"),
        ({"Upload-Length": "1", "Tus-Resumable": "0.2.2"}, 400, "invalid_request"),
        ({"Upload-Length": str(1 << 40)}, 413, "too_large"),
        ({"Upload-Length": "1"} | metadata(tga="x:1"), 422, "invalid_request"),
        ({"Upload-Length": "1"} | metadata(registry="other"), 422, "unknown_registry"),
        ({"Upload-Length": "1", "Upload-Metadata": "filename not-base64!"}, 422, "invalid_request"),
        ({"Upload-Complete": "true"}, 400, "invalid_request"),
        ({"Upload-Concat": "final;/uploads/elsewhere"}, 422, "invalid_request"),
    ],
)
async def test_what_cannot_be_taken_is_refused_before_the_first_byte(
    served: Served, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await served.client.post("/uploads", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert list((served.data / "uploads").iterdir()) == []


async def test_more_bytes_than_were_announced_are_refused(served: Served) -> None:
    upload, _ = await begin(served, 1000)
    assert (await append(served, upload, 0, APP)).status_code == 422
    assert (await served.client.head(upload, headers=TUS)).headers["upload-offset"] == "0"


async def test_options_tells_what_is_spoken(served: Served) -> None:
    answer = await served.client.options("/uploads")
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["accept-patch"] == "application/partial-upload"
    assert "concatenation" in answer.headers["tus-extension"]


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
@pytest.mark.parametrize("name", ["0" * 32, "%2e%2e", "x.json"])
async def test_an_upload_that_is_not_there_is_not_found(served: Served, method: str, name: str) -> None:
    headers = STREAM | {"Upload-Offset": "0"}
    assert (await served.client.request(method, f"/uploads/{name}", headers=headers)).status_code in (404, 405)


async def test_who_may_not_push_may_not_upload(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    digest = hashlib.sha256(b"reader").hexdigest()
    tokens.write_text(f"someone:{digest}:read\n")
    async with serving(tmp_path / "data", tokens_file=tokens) as served:
        headers = TUS | {"Upload-Length": "1"}
        assert (await served.client.post("/uploads", headers=headers)).status_code == 401
        reader = headers | {"Authorization": "Bearer reader"}
        assert (await served.client.post("/uploads", headers=reader)).status_code == 403
        assert (await served.client.get("/")).status_code == 200


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"Upload-Length": "10"}, APP, "invalid_request"),
        ({"Upload-Length": str(len(APP) - 1)}, APP, "invalid_request"),
        ({"Upload-Length": str(len(APP)), "Upload-Checksum": "crc32 AAAA"}, APP, "invalid_request"),
        ({"Upload-Length": str(len(APP)), "Upload-Checksum": "sha1 " + "A" * 27 + "="}, APP, None),
        ({"Upload-Length": str(len(APP)), "Content-Digest": "sha-256=:AA==:"}, b"", "invalid_request"),
        ({"Upload-Length": "5000"}, b"nonsense" * 600, "unknown_format"),
        ({"Upload-Length": str(len(APP)), "Upload-Concat": "partial"}, APP + b"x", "invalid_request"),
    ],
)
async def test_an_upload_whose_creation_fails_leaves_nothing_that_waits(
    served: Served, headers: dict[str, str], body: bytes, code: str | None
) -> None:
    """Its client does not learn the address, and cannot go on with it."""
    answer = await served.client.post("/uploads", content=body, headers=TUS | headers)
    assert answer.status_code >= 400
    assert code in (None, answer.json()["code"])
    jobs = (await served.client.get("/jobs")).json()["jobs"]
    assert {job["state"] for job in jobs} <= {"failed"}
    assert [path.name for path in (served.data / "uploads").iterdir()] == []


@pytest.mark.parametrize("sent", [0, 1, 600, len(APP) - 1])
async def test_a_creation_that_breaks_leaves_nothing_that_waits(served: Served, sent: int) -> None:
    headers = TUS | {"Upload-Length": str(len(APP)), "Content-Type": "application/offset+octet-stream"}
    answer = await served.client.post("/uploads", content=broken(APP[:sent]), headers=headers)
    assert answer.json()["code"] == "upload_incomplete"
    (job,) = (await served.client.get("/jobs")).json()["jobs"]
    assert (job["state"], job["problem"]["code"]) == ("failed", "upload_incomplete")
    assert [path.name for path in (served.data / "uploads").iterdir()] == []


async def test_the_parts_of_a_concatenation_are_addresses(served: Served) -> None:
    for urls in ("http://[/uploads/x", "http://[::1/uploads/" + "0" * 32, "/uploads/" + "0" * 31, "x"):
        headers = TUS | {"Upload-Concat": f"final;{urls}"}
        assert (await served.client.post("/uploads", headers=headers)).status_code in (404, 422)


async def test_the_largest_indexes_of_idle_uploads_go_first(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_states, "MAX_INDEX_BYTES", 1_500)
    many = docker_save([tagged(image({"a": b"1"}, {"b": b"2"}, {"c": b"3"}), "team/many:1")])
    begun = [await begin(served, len(content)) for content in (APP, many)]
    for (upload, _), content in zip(begun, (APP, many), strict=True):
        assert (await append(served, upload, 0, content[:-1024])).status_code == 204
    known = served.app.state.context.uploads._uploads
    assert [upload.tally.memory > 0 for upload in known.all()] == [False, True]
    await append(served, begun[0][0], len(APP) - 1024, APP[-1024:])
    await append(served, begun[1][0], len(many) - 1024, many[-1024:])
    for (_, path), content in zip(begun, (APP, many), strict=True):
        job = await job_of(served, path)
        assert job["state"] == "succeeded", job
        assert job["archives"][0]["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert sum(upload.tally.memory for upload in known.all()) == 0
