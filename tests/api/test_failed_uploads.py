"""An upload that failed keeps in its job and in the audit trail what is known of its archive, whichever way it came."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.api.routes.push import display_path
from app.jobs.bounds import MAX_PATH
from app.jobs.deliveries.model import DECISIONS
from tests.api.conftest import APP, Served, serving
from tests.api.routes.test_uploads import TUS, append, begin
from tests.support.archives import docker_save, image, sha256

CUT = APP[: len(APP) // 3]
TEXT = b"this is no archive at all" * 100
NAMELESS = docker_save([image({"bin/app": b"nameless"})])
PACKED = gzip.compress(APP, mtime=0)
WRONG = {"checksum": sha256(b"another")}
Archive = dict[str, Any]


async def failed(served: Served, code: str) -> Archive:
    """The archive of the one job, which failed with `code`; the audit trail says the same."""
    (job,) = (await served.client.get("/jobs")).json()["jobs"]
    assert (job["state"], job["problem"]["code"]) == ("failed", code)
    (archive,) = job["archives"]
    (entry,) = (await served.client.get("/audit")).json()["entries"]
    (audited,) = entry["archives"]
    assert audited == {name: archive[name] for name in ("name", "path", "source", "size", "digest", "format")}
    assert bool(served.spooled()) is (code in DECISIONS and archive["source"] == "upload")
    known: Archive = archive
    return known


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_put_that_breaks_off_keeps_its_name_and_bytes(served: Served) -> None:
    answer = await served.client.put("/push/x.tar", content=pieces(CUT), headers={"Content-Length": str(len(APP))})
    assert answer.status_code == 400
    assert answer.json()["job"]["archives"][0]["name"] == "x.tar"
    archive = await failed(served, "upload_incomplete")
    assert (archive["name"], archive["size"], archive["digest"]) == ("x.tar", len(CUT), None)
    assert (archive["source"], archive["format"]) == ("upload", None)


async def test_a_put_of_which_no_byte_came_keeps_its_name(served: Served) -> None:
    await served.client.put("/push/x.tar", content=pieces(), headers={"Content-Length": "5000"})
    archive = await failed(served, "upload_incomplete")
    assert (archive["name"], archive["size"], archive["digest"]) == ("x.tar", 0, None)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (CUT, "truncated_archive"),
        (PACKED[: len(PACKED) // 2], "truncated_archive"),
        (TEXT, "unknown_format"),
        (b"x", "unknown_format"),
    ],
)
async def test_what_came_whole_and_is_no_archive_keeps_its_digest(served: Served, content: bytes, code: str) -> None:
    answer = await served.client.put("/push/x.tar", content=content)
    assert answer.json()["code"] == code
    archive = await failed(served, code)
    assert (archive["name"], archive["size"], archive["digest"]) == ("x.tar", len(content), sha256(content))


async def test_a_wrong_checksum_keeps_everything(served: Served) -> None:
    await served.client.put("/push/x.tar", content=APP, params=WRONG)
    archive = await failed(served, "checksum_mismatch")
    assert (archive["size"], archive["digest"], archive["format"]) == (len(APP), sha256(APP), "docker-archive")


async def test_a_wrong_checksum_of_what_is_no_image_archive_is_still_that(served: Served) -> None:
    other = docker_save([])
    await served.client.put("/push/x.tar", content=other, params=WRONG)
    assert (await failed(served, "checksum_mismatch"))["digest"] == sha256(other)


async def test_an_archive_without_a_name_keeps_everything(served: Served) -> None:
    await served.client.put("/push/x.tar", content=NAMELESS)
    archive = await failed(served, "missing_tag")
    assert (archive["digest"], archive["format"]) == (sha256(NAMELESS), "docker-archive")


async def test_what_is_too_large_keeps_its_name_and_what_came_of_it(tmp_path: Path) -> None:
    async with serving(tmp_path, max_upload_bytes=5000) as served:
        answer = await served.client.put("/push/big.tar", content=pieces(APP[:4000], APP[4000:8000]))
        assert answer.status_code == 413
        archive = await failed(served, "too_large")
        assert (archive["name"], archive["size"], archive["digest"]) == ("big.tar", 4000, None)


@pytest.mark.parametrize(
    ("filename", "name", "path"),
    [
        ("x.tar", "x.tar", "x.tar"),
        ("disk/day 1/x.tar", "x.tar", "disk/day 1/x.tar"),
        ("disk\\x.tar", "x.tar", "disk/x.tar"),
        ("../../etc/x.tar", "x.tar", "etc/x.tar"),
        ("/a//./x.tar", "x.tar", "a/x.tar"),
    ],
)
async def test_a_form_that_breaks_off_keeps_name_path_and_bytes(
    served: Served, filename: str, name: str, path: str
) -> None:
    request = served.client.build_request("POST", "/push", files={"archive": (filename, APP)})
    body = request.read()
    headers = {"Content-Type": request.headers["content-type"]}
    await served.client.post("/push", content=pieces(body[: len(body) // 2]), headers=headers)
    archive = await failed(served, "upload_incomplete")
    assert (archive["name"], archive["path"], archive["digest"]) == (name, path, None)
    assert 0 < archive["size"] < len(APP)


async def test_of_several_parts_the_whole_ones_and_the_broken_one_are_kept(served: Served) -> None:
    request = served.client.build_request(
        "POST", "/push", files=[("archive", ("d/a.tar", APP)), ("archive", ("d/b.tar", TEXT))]
    )
    headers = {"Content-Type": request.headers["content-type"]}
    answer = await served.client.post("/push", content=request.read(), headers=headers)
    assert answer.json()["code"] == "unknown_format"
    first, second = answer.json()["job"]["archives"]
    assert (first["path"], first["size"], first["digest"]) == ("d/a.tar", len(APP), sha256(APP))
    assert (second["path"], second["name"]) == ("d/b.tar", "b.tar")
    assert second["size"] > 0
    (entry,) = (await served.client.get("/audit")).json()["entries"]
    assert [item["path"] for item in entry["archives"]] == ["d/a.tar", "d/b.tar"]


@pytest.mark.parametrize(
    ("content", "code", "options"),
    [
        (CUT, "truncated_archive", {}),
        (PACKED[: len(PACKED) // 2], "truncated_archive", {}),
        (APP, "checksum_mismatch", WRONG),
        (PACKED, "checksum_mismatch", WRONG),
        (NAMELESS, "missing_tag", {}),
    ],
)
@pytest.mark.parametrize("hold", ["true", "false"])
async def test_an_upload_in_pieces_keeps_everything(
    served: Served, content: bytes, code: str, options: dict[str, str], hold: str
) -> None:
    named = {"filename": "x.tar", "relativePath": "disk/x.tar", "hold": hold, **options}
    upload, path = await begin(served, len(content), **named)
    half = len(content) // 2
    await append(served, upload, 0, content[:half])
    await append(served, upload, half, content[half:])
    job = (await served.client.get(path, params={"wait": 30})).json()
    assert (job["state"], job["problem"]["code"]) == ("failed", code)
    (archive,) = job["archives"]
    assert (archive["name"], archive["path"], archive["size"]) == ("x.tar", "disk/x.tar", len(content))
    assert archive["digest"] == sha256(content)
    if code != "truncated_archive" and hold == "false":
        assert archive["format"] == "docker-archive"
    (entry,) = (await served.client.get("/audit")).json()["entries"]
    assert (entry["archives"][0]["path"], entry["archives"][0]["digest"]) == ("disk/x.tar", sha256(content))


async def test_an_upload_in_pieces_that_is_no_archive_keeps_what_came(served: Served) -> None:
    upload, path = await begin(served, len(TEXT), filename="x.tar")
    await append(served, upload, 0, TEXT)
    job = (await served.client.get(path)).json()
    assert (job["state"], job["problem"]["code"]) == ("failed", "unknown_format")
    assert (job["archives"][0]["name"], job["archives"][0]["size"]) == ("x.tar", len(TEXT))
    assert job["archives"][0]["digest"] == sha256(TEXT)


async def test_an_upload_in_pieces_that_is_given_up_keeps_what_came(served: Served) -> None:
    upload, path = await begin(served, len(APP), filename="x.tar")
    await append(served, upload, 0, CUT)
    assert (await served.client.delete(upload, headers=TUS)).status_code == 204
    job = (await served.client.get(path)).json()
    assert (job["state"], job["archives"][0]["size"]) == ("cancelled", len(CUT))


@pytest.mark.parametrize(
    ("content", "code", "digest"),
    [
        (CUT, "truncated_archive", None),
        (PACKED[: len(PACKED) // 2], "truncated_archive", sha256(PACKED[: len(PACKED) // 2])),
        (NAMELESS, "missing_tag", None),
        (APP, "checksum_mismatch", sha256(APP)),
        (PACKED, "checksum_mismatch", sha256(PACKED)),
    ],
)
async def test_a_server_file_keeps_its_path_below_the_root(
    tmp_path: Path, content: bytes, code: str, digest: str | None
) -> None:
    root = tmp_path / "in"
    (root / "disk" / "day 1").mkdir(parents=True)
    (root / "disk" / "day 1" / "x.tar").write_bytes(content)
    async with serving(tmp_path / "data", path_roots=str(root)) as served:
        options = WRONG if code == "checksum_mismatch" else {}
        sent = await served.client.post("/push", json={"paths": [f"{root}/**/*.tar"], **options})
        await served.ended(sent.json())
        archive = await failed(served, code)
        assert (archive["name"], archive["path"], archive["source"]) == ("x.tar", "disk/day 1/x.tar", "path")
        assert (archive["size"], archive["digest"]) == (len(content), digest)
        if code == "missing_tag":
            assert archive["format"] == "docker-archive"


async def test_a_job_of_a_server_file_that_succeeded_says_its_path(tmp_path: Path) -> None:
    root = tmp_path / "in"
    (root / "a").mkdir(parents=True)
    (root / "a" / "x.tar").write_bytes(APP)
    async with serving(tmp_path / "data", path_roots=str(root)) as served:
        job = await served.ended((await served.client.post("/push", json={"paths": [f"{root}/a/x.tar"]})).json())
        assert (job["state"], job["archives"][0]["path"]) == ("succeeded", "a/x.tar")


async def test_a_raw_body_has_no_path(served: Served) -> None:
    job = await served.ended((await served.client.post("/push", content=APP)).json())
    assert (job["archives"][0]["name"], job["archives"][0]["path"]) == ("archive", None)


async def test_a_failed_upload_cannot_be_tried_again(served: Served) -> None:
    answer = await served.client.put("/push/x.tar", content=TEXT)
    retried = await served.client.post(f"/jobs/{answer.json()['job']['id']}/retry")
    assert (retried.status_code, retried.json()["code"]) == (409, "conflict")


def test_a_path_is_shown_and_bounded() -> None:
    assert display_path("") == ""
    assert display_path("../..") == ""
    assert display_path("a\x1b[31m/x.tar") == "a_[31m/x.tar"
    assert len(display_path("d/" * 10_000)) == MAX_PATH
    assert json.loads(json.dumps(display_path("\u202egnp.tar"))) == "_gnp.tar"
