"""A split archive as form parts: joined on its way, wherever the seams of form, network and archive lie."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.conftest import APP, OTHER, Served
from tests.support.archives import sha256, wrap

Files = list[tuple[str, bytes]]


def pieces(content: bytes, size: int, spelling: str = "x.tar.{:03}", first: int = 0) -> Files:
    return [
        (spelling.format(number), content[at : at + size])
        for number, at in enumerate(range(0, len(content), size), first)
    ]


async def push(served: Served, files: Files, **query: str) -> httpx.Response:
    return await served.client.post("/push", files=[("archive", file) for file in files], params={"wait": "30"} | query)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("size", [100_000, 3000, 512])
async def test_parts_are_taken_as_one_archive(served: Served, compression: str, size: int) -> None:
    content = wrap(APP, compression)  # type: ignore[arg-type]
    answer = await push(served, pieces(content, max(size, len(content) // 90)), checksum=sha256(content))
    assert answer.status_code == 200, answer.text
    (archive,) = answer.json()["archives"]
    assert (archive["name"], archive["size"], archive["digest"]) == ("x.tar", len(content), sha256(content))
    assert await served.digest("team/app", "1")


async def test_a_form_in_single_bytes_is_the_same_form(served: Served) -> None:
    content = wrap(APP, "zstd")
    files = pieces(content, len(content) // 2, first=1)
    request = served.client.build_request("POST", "/push", files=[("archive", file) for file in files])
    body = request.read()

    async def single() -> AsyncIterator[bytes]:
        for byte in body:
            yield bytes([byte])

    headers = {"Content-Type": request.headers["Content-Type"]}
    answer = await served.client.post("/push?wait=30", content=single(), headers=headers)
    assert answer.status_code == 200, answer.text


async def test_whole_archives_with_numbers_stay_apart(served: Served) -> None:
    answer = await push(served, [("x.tar.000", APP), ("x.tar.001", OTHER), ("y.tar", wrap(APP, "gzip"))])
    assert [archive["name"] for archive in answer.json()["archives"]] == ["x.tar", "x.tar (2)", "y.tar"]


async def test_options_may_stand_around_the_parts(served: Served) -> None:
    first, second = pieces(APP, len(APP) // 2 + 1)
    form = [("prefix", (None, b"p")), ("archive", first), ("archive", second), ("label", (None, b"a=b"))]
    answer = await served.client.post("/push?wait=30", files=form)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["labels"], await served.digest("p/team/app", "1") is not None) == ({"a": "b"}, True)


@pytest.mark.parametrize(
    ("order", "missing"), [((0, 2), "x.tar.001"), ((2, 1, 0), "x.tar.001"), ((1, 2), None), ((0,), None)]
)
async def test_a_part_that_is_missing_is_named(served: Served, order: tuple[int, ...], missing: str | None) -> None:
    parts = pieces(APP, 3000)
    answer = await push(served, [parts[number] for number in order])
    assert answer.status_code == 422
    problem = answer.json()
    if missing:
        assert problem["code"] == "missing_content"
        assert f"part {missing!r}" in problem["detail"]
    assert served.spooled() == []


async def test_the_description_that_zarf_puts_first_is_read(served: Served) -> None:
    content = wrap(APP, "zstd")
    parts = pieces(content, len(content) // 3, "z.tar.zst.part{:03}", 1)
    about = json.dumps({"Sha256Sum": sha256(content)[7:], "Bytes": len(content), "Count": len(parts)}).encode()
    answer = await push(served, [("z.tar.zst.part000", about), *parts])
    assert answer.status_code == 200, answer.text
    assert answer.json()["archives"][0]["digest"] == sha256(content)
    answer = await push(served, [("z.tar.zst.part000", about), *parts[:-1]])
    assert answer.status_code == 422
    assert parts[-1][0] in answer.json()["detail"]
