"""Bodies under a type that they are not, and the small forms in which clients say the same thing."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.api.conftest import APP, IN_ONE_LOOP, OTHER, Served, serving
from tests.support.archives import wrap

WRONG = [
    "application/json",
    "application/json; charset=utf-8",
    "application/problem+json",
    "APPLICATION/JSON",
    "text/plain",
    "text/plain; charset=UTF-8",
    "application/x-www-form-urlencoded",
    "image/png",
    "video/mp4",
    "application/xml",
    "application/pdf",
    "multipart/form-data",
    "multipart/form-data; boundary=XX",
    "multipart/mixed; boundary=XX",
    "nonsense",
    ";",
    "",
    "*/*",
]


pytestmark = IN_ONE_LOOP


async def newest(served: Served) -> str | None:
    """The id of the job that was accepted last."""
    jobs = (await served.client.get("/jobs")).json()["jobs"]
    return jobs[0]["id"] if jobs else None


async def cut(body: bytes, *sizes: int) -> AsyncIterator[bytes]:
    at = 0
    for size in sizes:
        yield body[at : at + size]
        at += size
    yield body[at:]


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd", "xz", "bzip2"])
async def test_an_archive_is_taken_under_any_type(shared: Served, kind: str, compression: str) -> None:
    body = wrap(APP, compression)  # type: ignore[arg-type]
    for content in (body, cut(body, 1, 1, 100, 500), cut(body)):
        answer = await shared.client.post("/push?wait=30", content=content, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json().get("state")) == (200, "succeeded"), answer.text
    answer = await shared.client.put("/push/x.tar?wait=30", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["archives"][0]["name"]) == (200, "x.tar")


async def test_an_archive_under_another_type_is_bounded_as_any_other(tmp_path: Path) -> None:
    async with serving(tmp_path, max_upload_bytes=1000) as served:
        for content in (APP, cut(APP, 600)):
            answer = await served.client.post("/push", content=content, headers={"Content-Type": "application/json"})
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert served.spooled() == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "image/png"])
async def test_json_under_another_type_is_told_how_to_be_sent(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x.tar").write_bytes(APP)
    async with serving(tmp_path / "data", path_roots=(tmp_path,)) as served:
        body = json.dumps({"paths": [f"{tmp_path}/x.tar"]}).encode()
        answer = await served.client.post("/push", content=b"\n " + body, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert "application/json" in answer.json()["detail"]
        assert (await served.client.get("/jobs")).json()["jobs"] == []


@pytest.mark.parametrize("body", [b"archive=@x.tar", b"tag=a%3A1&archive=x.tar", b"label[]=a", b"paths=/data/x.tar"])
async def test_pairs_are_told_how_to_send_a_file(shared: Served, body: bytes) -> None:
    before = await newest(shared)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await shared.client.post("/push", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "curl" in answer.json()["detail"]
    assert await newest(shared) == before


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.tar", APP)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("text/plain", b"nothing of use", 422, "unknown_format"),
        ("text/html", b"<html>", 422, "unknown_format"),
        ("application/zip", zipped(), 422, "unknown_format"),
        ("application/json", b"nothing of use", 400, "invalid_request"),
        ("application/json", b"", 422, "invalid_request"),
        ("application/json", b"{}", 422, "invalid_request"),
        ("multipart/mixed; boundary=XX", b"--XX\r\n\r\nx\r\n--XX--\r\n", 422, "invalid_request"),
        ("multipart/byteranges; boundary=XX", b"--XX\r\n\r\nx\r\n--XX--\r\n", 422, "invalid_request"),
        ("multipart/form-data", b"nothing of use", 400, "invalid_request"),
        ("text/plain", b"", 422, "invalid_request"),
    ],
)
async def test_what_is_nothing_that_is_read_is_told_so(
    shared: Served, kind: str, body: bytes, status: int, code: str
) -> None:
    for content in (body, cut(body, *[1] * len(body))):
        answer = await shared.client.post("/push", content=content, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def form(
    *parts: bytes, boundary: bytes = b"XX", preamble: bytes = b"", padding: bytes = b"", end: bytes = b""
) -> bytes:
    line = b"--" + boundary
    body = b"".join(line + padding + b"\r\n" + part + b"\r\n" for part in parts)
    return preamble + body + line + b"--" + padding + end


def part(disposition: str, content: bytes, *more: str) -> bytes:
    head = "\r\n".join((f"Content-Disposition: form-data; {disposition}", *more, "", ""))
    return head.encode() + content


ARCHIVE = part('name="archive"; filename="x.tar"', APP, "Content-Type: application/x-tar")
TYPE = 'multipart/form-data; boundary="XX"'


async def posted(served: Served, body: Any, kind: str = TYPE, query: str = "wait=30") -> httpx.Response:
    return await served.client.post(f"/push?{query}", content=body, headers={"Content-Type": kind})


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "text/plain", "application/x-www-form-urlencoded", "image/png"]
)
@pytest.mark.parametrize("boundary", [b"XX", b"----WebKitFormBoundary7MA4YWxkTrZu0gW", b"0x'()+_,-./:=?"])
async def test_a_form_says_its_boundary_itself_where_its_type_does_not(
    shared: Served, kind: str, boundary: bytes
) -> None:
    body = form(part('name="tag"', b"a:1"), ARCHIVE, boundary=boundary)
    for content in (body, cut(body, *[1] * 700)):
        answer = await posted(shared, content, kind)
        assert (answer.status_code, answer.json()["archives"][0]["name"]) == (200, "x.tar"), answer.text


@pytest.mark.parametrize(
    "preamble", [b"\r\n", b"This is a form.\r\n", b"--XY\r\n--X\r\nXX\r\n", b"\r\n" * 100, b"--XXZ\r\n"]
)
@pytest.mark.parametrize("padding", [b"", b" ", b" \t \t"])
@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\nThat was the form.\r\n--XX\r\n"])
async def test_what_mime_allows_around_the_parts_is_passed_over(
    shared: Served, preamble: bytes, padding: bytes, end: bytes
) -> None:
    body = form(part('name="tag"', b"a:1"), ARCHIVE, preamble=preamble, padding=padding, end=end)
    for content in (body, cut(body, *[1] * 800)):
        answer = await posted(shared, content)
        assert (answer.status_code, len(answer.json()["archives"])) == (200, 1), answer.text


@pytest.mark.parametrize("body", [form(ARCHIVE).replace(b"\r\n", b"\n", 4), b"x" * 100_000, b"\r\n" * 50_000])
async def test_a_form_that_does_not_begin_is_refused(shared: Served, body: bytes) -> None:
    for content in (body, cut(body, *[1000] * 90)):
        answer = await posted(shared, content)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "name",
    ["archive", "archive[]", "archive[0]", "archives", "archive1", "file", "files", "files[]", "files[3]", "upload",
     "image", "data", "x.tar", "Archive", ""],
)  # fmt: skip
async def test_a_file_is_an_archive_whatever_its_part_is_called(shared: Served, name: str) -> None:
    answer = await posted(shared, form(part(f'name="{name}"; filename="x.tar"', APP)))
    assert (answer.status_code, answer.json()["archives"][0]["name"]) == (200, "x.tar"), answer.text


async def test_files_under_several_names_are_several_archives(shared: Served) -> None:
    body = form(part('name="archive[0]"; filename="x.tar"', APP), part('name="archive[1]"; filename="y.tar"', OTHER))
    answer = await posted(shared, body)
    assert [archive["name"] for archive in answer.json()["archives"]] == ["x.tar", "y.tar"]


async def test_an_option_may_come_from_a_file_and_a_list_with_brackets(shared: Served) -> None:
    body = form(
        part('name="tag"; filename="tag.txt"', b"a:1", "Content-Type: text/plain"),
        part('name="label[]"', b"a=b"),
        part('name="label[1]"', b"c=d"),
        ARCHIVE,
    )
    answer = await posted(shared, body, query="wait=30&label[]=e=f")
    assert answer.status_code == 200, answer.text
    assert answer.json()["labels"] == {"a": "b", "c": "d", "e": "f"}
    assert answer.json()["images"][0]["destinations"] == ["127.0.0.1:8080/a:1"]
    for more in ("tag[]=a:1", "prefix[0]=a", "label[=a", "[]=a"):
        answer = await posted(shared, form(ARCHIVE), query=more)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


EMPTY = part('name="archive"; filename=""', b"", "Content-Type: application/octet-stream")


@pytest.mark.parametrize(
    "parts",
    [
        (EMPTY, ARCHIVE),
        (ARCHIVE, EMPTY),
        (EMPTY, EMPTY, ARCHIVE, EMPTY),
        (part('name="file2"; filename=""', b"", "Content-Type: application/octet-stream"), ARCHIVE),
        (part('name="archive"', b""), ARCHIVE),
        (part('name="archive[]"; filename=""', b""), ARCHIVE),
    ],
)
async def test_a_file_that_was_not_chosen_says_nothing(shared: Served, parts: tuple[bytes, ...]) -> None:
    answer = await posted(shared, form(*parts))
    assert answer.status_code == 200, answer.text
    assert [archive["name"] for archive in answer.json()["archives"]] == ["x.tar"]


async def test_a_form_with_no_file_chosen_says_what_it_lacks(shared: Served) -> None:
    before = await newest(shared)
    answer = await posted(shared, form(EMPTY))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert await newest(shared) == before


async def test_an_empty_file_with_a_name_is_no_archive(shared: Served) -> None:
    answer = await posted(shared, form(part('name="archive"; filename="x.tar"', b"")))
    assert answer.status_code == 422
    assert answer.json()["job"]["state"] == "failed"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("name=archive; filename=x.tar; filename*=utf-8''x.tar", "x.tar"),
        ("name=archive; filename=x.tar", "x.tar"),
        ("name=archive;filename=x.tar", "x.tar"),
        (f'name="archive"; filename="=?utf-8?B?eA==?="; filename*=utf-8\'\'{quote("größe.tar")}', "größe.tar"),
        ("name=\"archive\"; filename*=UTF-8'de'a%20b.tar", "a b.tar"),
        ('name="archive"; filename*=iso-8859-1\'\'gr%F6%DFe.tar; filename="x.tar"', "größe.tar"),
        ('name="archive"; filename="größe.tar"', "größe.tar"),
        ('name="archive"; filename="x.tar; filename*=UTF-8\'\'evil"', "x.tar; filename*=UTF-8''evil"),
        ('name="archive"; filename="x.tar"; filename*=UTF-8\'\'', "x.tar"),
        ('name="archive"; filename="x.tar"; filename*=UTF-8\'\'%ff%fe', "��"),
        ('name="archive"; filename="x.tar"; filename*=koi8\'\'y.tar', "x.tar"),
        ('name="archive"; filename="x.tar"; filename*=nonsense', "x.tar"),
        ('name="archive"; filename="C:\\dir\\x.tar"', "x.tar"),
        ("name=\"archive\"; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
        ('name="archive"; filename="a\\"b.tar"', 'a"b.tar'),
    ],
)
async def test_a_file_name_is_read_as_clients_write_it(shared: Served, disposition: str, name: str) -> None:
    answer = await posted(shared, form(part(disposition, APP)))
    assert (answer.status_code, answer.json()["archives"][0]["name"]) == (200, name), answer.text
    headers = {
        b"Upload-Complete": b"?1",
        b"Content-Disposition": f"inline; {disposition}".encode(),
        b"Content-Type": b"application/partial-upload",
    }
    created = await shared.client.post("/uploads", content=APP, headers=headers)
    assert (created.status_code, created.json()["archives"][0]["name"]) == (202, name), created.text


@pytest.mark.parametrize("name", ["archive", "archive[]"])
@pytest.mark.parametrize("content", [b"x.tar", b"@x.tar", b"/data/in/x.tar", b"https://example.com/x.tar"])
async def test_a_name_in_place_of_a_file_is_told_how_to_send_one(shared: Served, name: str, content: bytes) -> None:
    before = await newest(shared)
    answer = await posted(shared, form(part(f'name="{name}"', content)))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "@" in answer.json()["detail"]
    assert await newest(shared) == before


async def test_an_archive_may_be_a_part_without_a_file_name(shared: Served) -> None:
    answer = await posted(shared, form(part('name="archive"', APP)))
    assert (answer.status_code, answer.json()["archives"][0]["name"]) == (200, "archive")


@pytest.mark.parametrize(
    ("encoding", "status"),
    [("base64", 400), ("BASE64", 400), ("quoted-printable", 400), ("binary", 200), ("8bit", 200)],
)
async def test_a_part_in_an_encoding_of_mail_is_refused(shared: Served, encoding: str, status: int) -> None:
    disposition = 'name="archive"; filename="x.tar"'
    answer = await posted(shared, form(part(disposition, APP, f"Content-Transfer-Encoding: {encoding}")))
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=XX", ""])
@pytest.mark.parametrize("length", [1 << 40, 10**18, 10**30])
async def test_a_length_above_the_limit_is_too_large_whatever_is_sent(shared: Served, kind: str, length: int) -> None:
    headers = {"Content-Type": kind, "Content-Length": str(length)}
    answer = await shared.client.post("/push", content=cut(b"{}"), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    tus = {"Tus-Resumable": "1.0.0", "Upload-Defer-Length": "1"}
    answer = await shared.client.post("/uploads", content=cut(APP), headers=headers | tus)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    created = (await shared.client.post("/uploads", headers=tus)).headers["location"]
    more = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    answer = await shared.client.patch(created, content=cut(APP), headers=headers | more)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
