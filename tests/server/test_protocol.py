"""Connections that stand still, by a transport that is not there and a clock that is turned by hand."""

from __future__ import annotations

import resource
from functools import partial

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from app.server.lingering import LINGER_SECONDS
from app.server.protocol import (
    HEAD_SECONDS,
    MAX_HEAD_BYTES,
    MAX_PIPELINED,
    MAX_TLS_CONNECTIONS,
    RESERVED,
    UNREAD_SECONDS,
    Limits,
    raise_file_limit,
)
from app.server.unread import UnreadResponses
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


async def test_of_too_much_that_is_not_read_the_oldest_goes() -> None:
    limits = Limits(unread=UnreadResponses(most=100))
    readers = [connected(limits=limits) for _ in range(4)]
    for connection, wire, _ in readers[:3]:
        wire.unread = 40
        connection.pause_writing()
    assert [wire.aborted for _, wire, _ in readers] == [True, False, False, False]
    readers[1][0].resume_writing()
    readers[3][1].unread = 50
    readers[3][0].pause_writing()
    assert [wire.aborted for _, wire, _ in readers] == [True, False, False, False]


def test_who_reads_little_loses_nothing_to_who_reads_nothing() -> None:
    unread, ended = UnreadResponses(most=100), list[int]()
    unread.add(1, "slow", 30, partial(ended.append, 1))
    for number in range(2, 6):
        unread.add(number, "greedy", 60, partial(ended.append, number))
    assert ended == [2, 3, 4]
    unread.remove(5)
    unread.add(6, "other", 70, partial(ended.append, 6))
    assert ended == [2, 3, 4]


async def test_a_connection_that_is_gone_leaves_no_timer() -> None:
    connection, _, loop = connected()
    connection.pause_writing()
    connection.connection_lost(ConnectionResetError())
    assert all(handle.cancelled() for _, handle in loop.timers)


async def test_a_connection_too_many_is_told_to_come_again() -> None:
    state, limits = ServerState(), Limits(most=1)
    wires = [connected(state, limits=limits)[1] for _ in range(RESERVED + 2)]
    assert [wire.closed for wire in wires] == [*[False] * (RESERVED + 1), True]
    assert wires[-1].sent.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"retry-after: 5\r\n" in wires[-1].sent


REQUEST = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("path", [b"/healthz", b"/readyz", b"/tarmac/healthz?x=1"])
async def test_a_probe_is_answered_when_there_are_as_many_connections_as_may_be(path: bytes) -> None:
    state, limits = ServerState(), Limits(most=1)
    connected(state, limits=limits)
    probe, wire, _ = connected(state, limits=limits)
    probe.data_received(REQUEST % path)
    assert not wire.closed
    other, refused, _ = connected(state, limits=limits)
    other.data_received(REQUEST % b"/jobs")
    assert refused.sent.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert refused.closed


async def test_an_idle_connection_makes_room_for_a_new_one() -> None:
    state, limits = ServerState(), Limits(most=3)
    busy, idle, begun = (connected(state, limits=limits) for _ in range(3))
    for connection, _, _ in (busy, idle, begun):
        connection.data_received(REQUEST % b"/jobs")
    idle[0].cycle.response_complete = begun[0].cycle.response_complete = True
    begun[0].data_received(b"GET")
    new, wire, _ = connected(state, limits=limits)
    new.data_received(REQUEST % b"/jobs")
    assert [busy[1].closed, idle[1].closed, begun[1].closed, wire.closed] == [False, True, False, False]


PIECE = 16 << 10


@pytest.mark.parametrize(
    "head",
    [
        b"X: y\r\n" * 2_000_000,
        b"X: " + b"y" * 10_000_000,
        b"X" * 10_000_000,
        b"".join(b"X-%d: %s\r\n" % (number, b"y" * 2000) for number in range(99)) * 20,
    ],
    ids=["fields", "a value", "a name", "long fields"],
)
@pytest.mark.parametrize("before", [b"", REQUEST % b"/", REQUEST % b"/jobs?wait=60"], ids=["alone", "/", "wait"])
async def test_a_head_without_end_is_refused_after_little_of_it(head: bytes, before: bytes) -> None:
    """Also behind a request that is under way: then the connection ends without a word."""
    limits = Limits()
    connection, wire, _ = connected(limits=limits)
    sent = before + b"GET / HTTP/1.1\r\nHost: a\r\n" + head
    read = 0
    while not wire.closed:
        connection.data_received(sent[read : read + PIECE])
        read += PIECE
    connection.connection_lost(None)
    assert read <= MAX_HEAD_BYTES + 3 * PIECE
    assert limits.heads_bytes == 0
    assert wire.sent.startswith(b"HTTP/1.1 431 ") or (before and not wire.sent)


async def test_an_address_without_end_is_refused() -> None:
    connection, wire, _ = connected()
    connection.data_received(b"GET /" + b"x" * MAX_HEAD_BYTES)
    connection.data_received(b"x")
    assert wire.sent.startswith(b"HTTP/1.1 431 ")
    connection.connection_lost(None)


async def test_all_heads_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.server.protocol.MAX_HEADS_BYTES", 100_000)
    limits = Limits()
    connections = [connected(limits=limits) for _ in range(5)]
    for connection, _, _ in connections:
        connection.data_received(b"GET / HTTP/1.1\r\nX: " + b"y" * 30_000)
    assert [wire.closed for _, wire, _ in connections] == [False, False, False, True, True]
    assert connections[-1][1].sent.startswith(b"HTTP/1.1 503 ")
    for connection, _, _ in connections:
        connection.connection_lost(None)
    assert limits.heads_bytes == 0


async def test_requests_behind_another_have_a_limit() -> None:
    connection, wire, _ = connected()
    connection.data_received(REQUEST % b"/" * (MAX_PIPELINED + 1))
    before = wire.closed
    connection.data_received(REQUEST % b"/")
    assert (before, wire.closed, len(connection.pipeline)) == (False, True, MAX_PIPELINED)
    assert wire.sent == b""


@pytest.mark.parametrize(("limits", "most"), [((1024, 4096), 1912), ((64, 64), 1), ((-1, -1), 4096)])
def test_there_are_as_many_connections_as_files(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    assert raise_file_limit() == most
    assert raise_file_limit(tls=True) == min(most, MAX_TLS_CONNECTIONS)


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


async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"2"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b"no"})


@pytest.mark.parametrize("end", ["time", "client", "service"])
async def test_a_client_that_is_refused_while_it_sends_can_read_why(end: str) -> None:
    loop = Running()
    connection, wire, _ = connected(loop=loop, app=refusing)
    connection.data_received(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
    await loop.started.pop()
    assert wire.sent.endswith(b"\r\n\r\nno")
    assert (wire.ended, wire.closed, connection.is_idle) == (True, False, False)
    for _ in range(3):
        connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert loop.started == []  # what comes now is dropped, whatever it is
    if end == "time":
        loop.pass_seconds(LINGER_SECONDS)
    elif end == "client":
        connection.connection_lost(None)
    else:
        connection.shutdown()
    assert wire.closed
    loop.pass_seconds(1000)
    assert wire.sent.count(b"HTTP/1.1") == 1


async def test_a_connection_that_is_closed_after_a_whole_request_does_not_linger() -> None:
    loop = Running()
    connection, wire, _ = connected(loop=loop, app=refusing)
    connection.data_received(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    await loop.started.pop()
    assert (wire.ended, wire.closed) == (False, True)
