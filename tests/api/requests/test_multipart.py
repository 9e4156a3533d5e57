"""Forms, whole and one byte at a time, and those that are cut off or lie."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import pytest

from app.api.problems import MalformedRequest
from app.api.requests.multipart import MAX_PARTS, MAX_PREAMBLE_BYTES, MAX_TEXT_BYTES, Form
from app.errors import UploadIncomplete

TYPE = "multipart/form-data; boundary=XX"
FORM = (
    b'--XX\r\nContent-Disposition: form-data; name="tag"\r\n\r\na:1\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="archive"; filename="x.tar"\r\n'
    b"Content-Type: application/x-tar\r\n\r\n\r\n--YX is not here\r\n--X\r\n"
    b'\r\n--XX\r\ncontent-disposition: form-data; name="archive"; filename="\xc3\xa4.tar"\r\n\r\n'
    b"\r\n--XX--\r\n"
)
EXPECTED = [("tag", None, b"a:1"), ("archive", "x.tar", b"\r\n--YX is not here\r\n--X\r\n"), ("archive", "ä.tar", b"")]


async def pieces(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def parsed(body: Iterable[bytes], content_type: str = TYPE) -> list[tuple[str, str | None, bytes]]:
    form = Form(content_type, pieces(body))
    return [
        (part.name, part.filename, b"".join([chunk async for chunk in part.chunks()])) async for part in form.parts()
    ]


def part(name: str, value: bytes) -> bytes:
    return b'--XX\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n' + value + b"\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
async def test_a_form_reads_the_same_however_it_is_cut(size: int) -> None:
    assert await parsed(FORM[at : at + size] for at in range(0, len(FORM), size)) == EXPECTED


async def test_a_form_that_ends_anywhere_before_its_boundary_is_not_complete() -> None:
    body = FORM.removesuffix(b"--\r\n")
    for end in range(len(body) + 1):
        with pytest.raises(UploadIncomplete):
            await parsed([body[:end]])


async def test_a_part_that_nobody_reads_is_passed_over() -> None:
    form = Form(TYPE, pieces([part("a", b"1"), part("b", b"2"), b"--XX--\r\n"]))
    assert [item.name async for item in form.parts()] == ["a", "b"]


async def test_a_large_part_comes_in_the_pieces_it_arrived_in() -> None:
    chunk = b"x" * 1000
    body = [b'--XX\r\nContent-Disposition: form-data; name="archive"\r\n\r\n', chunk, chunk, b"\r\n--XX--\r\n"]
    form = Form(TYPE, pieces(body))
    async for part in form.parts():
        received = [piece async for piece in part.chunks()]
    assert received == [chunk, chunk]
    assert received[0] is chunk  # no copy


async def test_an_option_has_a_longest_length_and_is_utf_8() -> None:
    for value in (b"x" * (MAX_TEXT_BYTES + 1), b"\xff"):
        form = Form(TYPE, pieces([part("tag", value) + b"--XX--\r\n"]))
        option = await anext(form.parts())
        with pytest.raises(MalformedRequest, match="tag"):
            await option.text()


async def test_a_form_has_so_many_parts_and_no_more() -> None:
    fine = b"".join(part("label", b"a=b") for _ in range(MAX_PARTS))
    assert len(await parsed([fine, b"--XX--"])) == MAX_PARTS
    with pytest.raises(MalformedRequest, match="parts"):
        await parsed([fine, part("label", b"a=b"), b"--XX--"])


@pytest.mark.parametrize(
    "body",
    [
        b"no boundary at all",
        b"--XX\r\nX: y\r\n\r\n1\r\n--XX--\r\n",
        b"--XX\r\nContent-Disposition: form-data\r\n\r\n1\r\n--XX--\r\n",
        b"--XX\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--XX--\r\n",
        b"--XX\r\n" + b"A: b\r\n" * 9 + b"\r\n1\r\n--XX--\r\n",
        b"--XX\r\nA: " + b"b" * 5_000 + b"\r\n\r\n1\r\n--XX--\r\n",
        b"--XX\r\n: b\r\n\r\n1\r\n--XX--\r\n",
    ],
)
async def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        await parsed([body])
    with pytest.raises(MalformedRequest):
        await parsed(body[at : at + 1] for at in range(len(body)))


@pytest.mark.parametrize("content_type", ["multipart/form-data", f"multipart/form-data; boundary={'X' * 300}"])
async def test_a_form_needs_a_boundary_of_reasonable_length(content_type: str) -> None:
    with pytest.raises(MalformedRequest):
        await parsed([b""], content_type)


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
async def test_a_preamble_is_read_once_however_it_is_cut(size: int) -> None:
    preamble = b"For a reader without MIME.\r\n--XXZ\r\n --XX\r\nx--XX\r\n--XX x\r\n\n--X\n"
    for padding in (b"", b" \t "):
        body = preamble + FORM.replace(b"--XX\r\n", b"--XX" + padding + b"\r\n")
        assert await parsed(body[at : at + size] for at in range(0, len(body), size)) == EXPECTED


async def test_a_preamble_has_a_longest_length_and_costs_little_byte_by_byte() -> None:
    for filler in (b"x", b"\n", b"-", b"--XX "):
        with pytest.raises(MalformedRequest):
            await parsed([filler] * (MAX_PREAMBLE_BYTES + 10))


async def test_lines_that_end_with_lf_alone_are_told() -> None:
    with pytest.raises(MalformedRequest, match="CR and LF"):
        await parsed([FORM.replace(b"\r\n", b"\n")])
