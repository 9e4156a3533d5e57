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


# --- parts of any name -----------------------------------------------------------------------------------------------

NAMES = {
    "numbers in front": ["1-x.tar", "2-x.tar", "3-x.tar"],
    "hauler": ["haul_0.tar.zst", "haul_1.tar.zst", "haul_2.tar.zst"],
    "of a word": ["x.tar.one", "x.tar.two", "x.tar.three"],
    "the same": ["blob", "blob", "blob"],
    "of three": ["x-1of3", "x-2of3", "x-3of3"],
    "whole names": ["a.tar", "b.tar", "c.tar"],
}


def named(content: bytes, names: list[str], size: int = 0) -> Files:
    size = size or -(-len(content) // len(names))
    return [(name, content[number * size : (number + 1) * size]) for number, name in enumerate(names)]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_parts_are_known_by_their_content(served: Served, names: str, compression: str) -> None:
    content = wrap(APP, compression)  # type: ignore[arg-type]
    answer = await push(served, [*named(content, NAMES[names]), ("other.tar", OTHER)])
    assert answer.status_code == 200, answer.text
    first, other = answer.json()["archives"]
    assert (first["size"], other["name"]) == (len(content), "other.tar")
    assert await served.digest("team/app", "1")


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_no_archive_is_joined_to_one_that_breaks_off(served: Served, compression: str) -> None:
    content = wrap(APP, compression)[: len(wrap(APP, compression)) // 3]  # type: ignore[arg-type]
    answer = await push(served, [("a.tar", content), ("b.tar", OTHER)], keep_going="true")
    job = answer.json()["job"]
    assert [archive["name"] for archive in job["archives"]] == ["a.tar", "b.tar"]
    assert [archive["problem"] and archive["problem"]["code"] for archive in job["archives"]] == [
        "truncated_archive",
        None,
    ]
    assert await served.digest("team/other", "1")


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_what_is_behind_a_whole_archive_is_not_joined(served: Served, compression: str) -> None:
    content = wrap(APP, compression)  # type: ignore[arg-type]
    answer = await push(served, [("a.tar", content), ("a.tar.bin", b"\x89PNG" * 200)], keep_going="true")
    job = answer.json()["job"]
    assert [archive["problem"] and archive["problem"]["code"] for archive in job["archives"]] == [
        None,
        "unknown_format",
    ]
    assert await served.digest("team/app", "1")


async def test_zeros_behind_the_end_are_a_part(served: Served) -> None:
    content = APP.rstrip(b"\0") + bytes(3000 - len(APP.rstrip(b"\0")) % 512)
    content += bytes(-len(content) % 512)
    answer = await push(served, [("x-one", content[:-1024]), ("x-two", content[-1024:])])
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["archives"]) == 1


@pytest.mark.parametrize("order", [(0, 2), (0, 2, 1)])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_a_part_that_does_not_continue_is_named(served: Served, compression: str, order: tuple[int, ...]) -> None:
    parts = named(wrap(APP, compression), ["one", "two", "three"])  # type: ignore[arg-type]
    answer = await push(served, [parts[number] for number in order])
    assert answer.status_code == 422
    assert "three" in answer.json()["detail"]
    assert served.spooled() == []


@pytest.mark.parametrize("first", [True, False])
async def test_all_bad_archives_are_named_and_keep_going_may_follow_them(served: Served, first: bool) -> None:
    bad = [("a.tar", b"no tar" * 200), ("b.tar", b"none" * 300)]
    answer = await push(served, [*bad, ("c.tar", APP)])
    assert answer.status_code == 422
    assert [name in answer.json()["detail"] for name, _ in bad] == [True, True]
    option = ("keep_going", (None, b"true"))
    archives = [("archive", item) for item in [*bad, ("c.tar", APP)]]
    form = [option, *archives] if first else [*archives, option]
    job = (await served.client.post("/push?wait=30", files=form)).json()["job"]
    assert [archive["problem"] is not None for archive in job["archives"]] == [True, True, False]
    assert await served.digest("team/app", "1")


async def test_a_series_that_is_bad_is_one_archive(served: Served) -> None:
    parts = pieces(b"no tar at all" * 500, 2000)
    answer = await push(served, [*parts, ("c.tar", APP)], keep_going="true")
    job = answer.json()["job"]
    assert [archive["name"] for archive in job["archives"]] == ["x.tar", "c.tar"]


async def test_a_replay_joins_the_same_parts(served: Served) -> None:
    files = [("archive", item) for item in [*named(wrap(APP, "gzip"), ["one", "two"]), ("b.bin", b"\x89PNG" * 9)]]
    request = {"files": files, "headers": {"Idempotency-Key": "k"}, "params": {"keep_going": "true", "wait": "30"}}
    first, again = [await served.client.post("/push", **request) for _ in range(2)]  # type: ignore[arg-type]
    assert first.json()["job"]["id"] == again.json()["job"]["id"]
    assert len(first.json()["job"]["archives"]) == 2
