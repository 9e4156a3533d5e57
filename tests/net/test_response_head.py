"""Interim responses, and where heads end, however the bytes come."""

from __future__ import annotations

import asyncio

import httpcore
import pytest

from app.net.connection import Stream
from app.net.response_head import (
    MAX_HEAD_BYTES,
    MAX_INTERIM,
    MAX_INTERIM_BYTES,
    ResponseEnd,
    interim_length,
    is_final_begun,
)
from tests.net.test_connection import connected

pytestmark = pytest.mark.leaping
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
FINAL = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("interim", [CONTINUE, HINTS, b"HTTP/1.0 102 Processing\n\n"])
def test_an_interim_response_is_known_when_it_is_whole(interim: bytes) -> None:
    for length in range(len(interim)):
        assert interim_length(interim[:length]) is None
    assert interim_length(interim) == interim_length(bytearray(interim + FINAL)) == len(interim)


@pytest.mark.parametrize(
    "data",
    [
        FINAL,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"220 smtp ready\r\n",
        b"HTTP/1.1 1xx odd\r\n\r\n",
        b"\x15\x03",
    ],
)
def test_anything_else_is_none(data: bytes) -> None:
    assert interim_length(data) == 0


def test_an_interim_head_without_an_end_is_left_to_the_parser() -> None:
    head = b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * MAX_INTERIM_BYTES
    assert interim_length(head) == 0


def test_a_final_response_has_begun_with_the_first_digit_of_its_status() -> None:
    for before in (b"", CONTINUE, CONTINUE + HINTS):
        whole = before + FINAL
        begun = [is_final_begun(whole[:length]) for length in range(len(whole) + 1)]
        assert begun.index(True) == len(before) + len(b"HTTP/1.1 2")
        assert all(begun[begun.index(True) :])


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\n\n", b"HTTP/1.1 200 OK\r\n\n"])
def test_a_head_ends_with_its_blank_line_also_byte_by_byte(head: bytes) -> None:
    end = ResponseEnd(is_to_head=False)
    for place in range(len(head)):
        assert not end.is_head_over
        assert end.take(head[place : place + 1]) == 1
    assert end.is_head_over
    assert end.left is None, "nothing says how long it is"


def test_a_head_that_is_too_long_counts_as_ended() -> None:
    end = ResponseEnd(is_to_head=False)
    end.take(b"x" * MAX_HEAD_BYTES)
    assert not end.is_head_over
    end.take(b"x")
    assert end.is_head_over


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("response", "is_to_head"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", False),
        (b"HTTP/1.1 200 OK\ncontent-length:5 \nX: y\n\nhello", False),
        (b"HTTP/1.0 201 Created\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", True),
    ],
)
def test_what_comes_behind_a_response_is_not_of_it(response: bytes, is_to_head: bool, size: int) -> None:
    end, sent, taken = ResponseEnd(is_to_head=is_to_head), response + response, 0
    while taken < len(sent):
        piece = sent[taken : taken + size]
        count = end.take(piece)
        taken += count
        if count < len(piece) or end.left == 0:
            break
    assert (taken, end.left) == (len(response), 0)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: some\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Content-Length: 5\r\n\r\n",
    ],
)
def test_a_length_that_is_not_certain_is_for_the_parser_to_find(head: bytes) -> None:
    end = ResponseEnd(is_to_head=False)
    assert end.take(head + b"more") == len(head) + 4
    assert end.left is None


@pytest.mark.parametrize("pieces", [[CONTINUE + HINTS + FINAL], [bytes([byte]) for byte in CONTINUE + HINTS + FINAL]])
async def test_interim_responses_are_dropped_before_the_final_one(pieces: list[bytes]) -> None:
    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    async with connected(far) as stream:
        await stream.write(b"x", timeout=5)
        read = b""
        while len(read) < len(FINAL):
            read += await stream.read(1000, timeout=5)
    assert read == FINAL


async def test_interim_responses_without_end_break_the_protocol() -> None:
    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(CONTINUE * (MAX_INTERIM + 1))

    async with connected(far) as stream:
        await stream.write(b"x", timeout=5)
        with pytest.raises(httpcore.RemoteProtocolError, match="interim"):
            await stream.read(1000, timeout=5)


async def test_interim_responses_give_no_more_time() -> None:
    ended = asyncio.Event()

    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        while not ended.is_set() and not writer.is_closing():
            writer.write(CONTINUE)
            await asyncio.wait([asyncio.create_task(ended.wait())], timeout=1)

    async with connected(far) as stream:
        await stream.write(b"x", timeout=5)
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(1000, timeout=5)
        ended.set()


async def read_to_end(stream: Stream) -> None:
    while await stream.read(1000, timeout=5):
        pass


@pytest.mark.parametrize("cut", [b"HTTP/1.1 2", CONTINUE, CONTINUE + b"HTTP/1.1 201 Cre", HINTS[:20]])
async def test_a_response_that_ends_in_its_head_is_no_idle_connection(cut: bytes) -> None:
    async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(FINAL)
        await reader.read(1)
        writer.write(cut)
        writer.write_eof()

    async with connected(far) as stream:
        await stream.write(b"x", timeout=5)
        assert await stream.read(1000, timeout=5) == FINAL
        await stream.write(b"x", timeout=5)
        with pytest.raises(httpcore.RemoteProtocolError, match="in the middle"):
            await read_to_end(stream)
