"""Connections that stand still, by a transport that is not there and a clock that is turned by hand."""

from __future__ import annotations

import resource

import pytest
from uvicorn.server import ServerState

from app.api.connection import HEAD_SECONDS, UNREAD_SECONDS, Connection, raise_file_limit
from tests.support.connections import Running, connected, heard


@pytest.mark.parametrize("pieces", [[], [b"G"], [b"GET / HTTP/1.1\r\n", b"Host: a\r\n"], [b"\r\n", b"\r\n"]])
async def test_a_head_that_does_not_come_is_waited_for_ten_seconds(pieces: list[bytes]) -> None:
    connection, wire, loop = connected()
    for piece in pieces:
        connection.data_received(piece)
        loop.pass_seconds(1)
    loop.pass_seconds(HEAD_SECONDS - len(pieces) - 0.1)
    early = wire.closed
    loop.pass_seconds(0.1)
    assert (early, wire.closed) == (False, True)
    assert wire.sent.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_a_head_that_came_is_no_longer_timed_and_a_further_one_is() -> None:
    connection, wire, loop = connected()
    connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    loop.pass_seconds(1000)
    assert not wire.closed
    connection.cycle.response_complete = True
    connection.data_received(b"GET /")
    loop.pass_seconds(HEAD_SECONDS)
    assert wire.closed


async def test_a_body_is_not_timed_as_a_head() -> None:
    connection, wire, loop = connected()
    connection.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
    connection.data_received(b"def")
    loop.pass_seconds(1000)
    assert not wire.closed


async def test_a_reader_that_does_not_read_is_let_go() -> None:
    connection, wire, loop = connected()
    connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.pause_writing()
    loop.pass_seconds(UNREAD_SECONDS - 1)
    connection.resume_writing()
    loop.pass_seconds(UNREAD_SECONDS)
    aborted = [wire.aborted]
    connection.pause_writing()
    loop.pass_seconds(UNREAD_SECONDS)
    assert [*aborted, wire.aborted] == [False, True]


async def test_a_connection_that_is_gone_leaves_no_timer() -> None:
    connection, _, loop = connected()
    connection.pause_writing()
    connection.connection_lost(ConnectionResetError())
    assert all(handle.cancelled() for _, handle in loop.timers)


async def test_a_connection_too_many_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "most", 1)
    state = ServerState()
    _, first, _ = connected(state)
    _, second, _ = connected(state)
    assert (first.closed, second.closed) == (False, True)
    assert second.sent.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"retry-after: 5\r\n" in second.sent


@pytest.mark.parametrize(("limits", "most"), [((1024, 4096), 1920), ((64, 64), 1), ((-1, -1), 4096)])
def test_there_are_as_many_connections_as_files(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    assert raise_file_limit() == most


@pytest.mark.parametrize(("size", "complete"), [(6, True), (9, False)])
async def test_what_came_before_a_client_left_is_heard_before_that_it_left(size: int, complete: bool) -> None:
    loop = Running()
    connection, _, _ = connected(loop=loop)
    connection.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\nabcdef" % size)
    connection.connection_lost(None)
    heard.clear()
    await loop.started[0]
    assert heard == [
        {"type": "http.request", "body": b"abcdef", "more_body": not complete},
        {"type": "http.disconnect"},
    ]
