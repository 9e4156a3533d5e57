"""Interim responses, and where heads end, however the bytes come."""

from __future__ import annotations

import asyncio

import httpcore
import pytest

from app.registry.connection import Stream
from app.registry.response_head import (
    MAX_HEAD_BYTES,
    MAX_INTERIM,
    MAX_INTERIM_BYTES,
    HeadEnd,
    interim_length,
    is_final_begun,
)
from tests.registry.test_connection import connected

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


@pytest.mark.parametrize("head", [FINAL, b"HTTP/1.1 200 OK\n\n", b"HTTP/1.1 200 OK\r\n\n"])
def test_a_head_ends_with_its_blank_line_also_byte_by_byte(head: bytes) -> None:
    end = HeadEnd()
    for place in range(len(head)):
        assert not end.is_over
        end.feed(head[place : place + 1])
    assert end.is_over


def test_a_head_that_is_too_long_counts_as_ended() -> None:
    end = HeadEnd()
    end.feed(b"x" * MAX_HEAD_BYTES)
    assert not end.is_over
    end.feed(b"x")
    assert end.is_over


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
