"""What a file holds is never told to whoever may name it by path; of an upload a little is, to the one who sent it."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from tests.api.conftest import Served, serving
from tests.support.archives import Member, tar, to_json

SECRET = "hunter2"
TEXT = f"{SECRET} and more\n".encode()
DESCRIPTION = json.dumps({"Sha256Sum": SECRET, "Bytes": SECRET, "Count": SECRET}).encode()
MARKER = b'{"imageLayoutVersion":"1.0.0"}'


def index(**members: Any) -> bytes:
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": f"sha256:{'0' * 64}", "size": 2}
    return to_json({"schemaVersion": 2, "manifests": [entry | members]})


def pax(value: bytes) -> bytes:
    record = b" size=%b\n" % value
    content = b"%d%b" % (len(record) + 2, record)
    header = bytearray(tar([Member("x", content)])[:512])
    header[156:157] = b"x"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content.ljust(512, b"\0") + tar([Member("a", b"b")])


FILES: dict[str, bytes | dict[str, bytes]] = {
    "text": TEXT * 100,
    "short": TEXT,
    "bytes": b"\0\1\2" + TEXT * 100,
    "gzip": gzip.compress(TEXT * 100),
    "zstd": zstd.compress(TEXT * 100),
    "xz": lzma.compress(TEXT * 100),
    "json": to_json({SECRET: SECRET}),
    "pem": b"-----BEGIN PRIVATE KEY-----\n" + TEXT,
    "pax": pax(SECRET.encode()),
    "x.tar.000": DESCRIPTION,
    "layout-in-a-tar": tar(
        [Member("oci-layout", to_json({"imageLayoutVersion": SECRET})), Member("index.json", b"{}")]
    ),
    "layout": {"oci-layout": to_json({"imageLayoutVersion": SECRET}), "index.json": b"{}"},
    "not-json": {"oci-layout": TEXT, "index.json": TEXT},
    "not-utf-8": {"oci-layout": MARKER, "index.json": b"\xff" + TEXT},
    "a-digest": {"oci-layout": MARKER, "index.json": index(digest=SECRET)},
    "a-size": {"oci-layout": MARKER, "index.json": index(size=SECRET)},
    "a-media-type": {"oci-layout": MARKER, "index.json": index(mediaType=SECRET)},
    "docker": {"manifest.json": TEXT},
    "storage": {"docker/registry/v2/repositories/a/_manifests/tags/1/current/link": TEXT},
    "yaml": {"images.yaml": TEXT, "docker/registry/v2/repositories/x": b""},
    "yaml-keys": {"images.yaml": f"docker.io:\n  {SECRET}: x\n".encode(), "docker/registry/v2/repositories/x": b""},
    "yaml-value": {"images.yaml": f"a: b: {SECRET}\n".encode(), "docker/registry/v2/repositories/x": b""},
}


def lay_out(root: Path, name: str) -> Path:
    there = root / name
    content = FILES[name]
    if isinstance(content, bytes):
        there.write_bytes(content)
        return there
    for member, data in content.items():
        (there / member).parent.mkdir(parents=True, exist_ok=True)
        (there / member).write_bytes(data)
    return there


@pytest.mark.parametrize("name", FILES)
async def test_nothing_of_a_file_that_is_named_by_path_is_told(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "in"
    root.mkdir()
    there = lay_out(root, name)
    async with serving(tmp_path / "data", path_roots=(root,)) as served:
        for query in ("?wait=30", "?wait=30&dry_run=true", "?wait=30&format=oci-archive"):
            answer = await served.client.post(f"/push{query}", json={"paths": [str(there)]})
            assert answer.status_code == 422, answer.text
            assert_hidden(answer.text)
        for path in ("/jobs", "/audit"):
            assert_hidden((await served.client.get(path)).text)
        for job in (await served.client.get("/jobs")).json()["jobs"]:
            assert_hidden((await served.client.get(f"/jobs/{job['id']}/events")).text)
    assert_hidden(caplog.text + "".join(capsys.readouterr()))


@pytest.mark.parametrize("name", ["text", "short", "bytes", "gzip", "zstd", "xz", "json", "pem"])
async def test_a_checksum_tells_nothing_of_a_file_that_is_no_tar(tmp_path: Path, name: str) -> None:
    """Neither its digest, nor whether a guess of it is right: what is short can be guessed."""
    root = tmp_path / "in"
    root.mkdir()
    there = lay_out(root, name)
    digest = hashlib.sha256(there.read_bytes()).hexdigest()
    async with serving(tmp_path / "data", path_roots=(root,)) as served:
        answers = []
        for guess in (digest, "0" * 64):
            query = f"/push?wait=30&checksum=sha256:{guess}"
            answers.append((await served.client.post(query, json={"paths": [str(there)]})).json())
        assert digest not in json.dumps(answers[1])
        assert answers[0]["code"] == answers[1]["code"] != "checksum_mismatch"
        assert {archive["digest"] for answer in answers for archive in answer["job"]["archives"]} == {None}


def assert_hidden(text: str) -> None:
    assert SECRET not in text
    assert SECRET.encode().hex(" ") not in text
    assert SECRET[:4] not in text


@pytest.mark.parametrize("name", ["pax", "layout-in-a-tar"])
async def test_nothing_of_a_file_in_the_watched_folder_is_told(tmp_path: Path, name: str) -> None:
    root = tmp_path / "in"
    root.mkdir()
    lay_out(root, name)
    async with serving(tmp_path / "data", watch_dir=root, watch_settle=0) as served:
        async with asyncio.timeout(30):
            while not (reports := list((root / "failed").glob("*.json"))):
                await next_job(served)
        for report in reports:
            assert_hidden(report.read_text())
        assert_hidden((await served.client.get("/jobs")).text)


async def next_job(served: Served) -> None:
    for job in (await served.client.get("/jobs")).json()["jobs"]:
        await served.client.get(f"/jobs/{job['id']}?wait=1")


@pytest.mark.parametrize("name", ["text", "gzip", "pax", "layout-in-a-tar"])
async def test_of_an_upload_a_little_is_told(served: Served, name: str) -> None:
    content = FILES[name]
    assert isinstance(content, bytes)
    answer = await served.client.post("/push?wait=30", content=content)
    assert answer.status_code == 422
    assert SECRET in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 400
