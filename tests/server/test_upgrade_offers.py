"""Offers to change the protocol (RFC 9110 7.8) and the requests of HTTP/1.0, by connections without a network."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from app.server.protocol import MAX_PIPELINED
from tests.support.connections import Running, Wire, connected

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
OFFERS = {
    "h2c": H2C,
    "h2c-last": b"HTTP2-Settings: AAMAAABk\r\nUpgrade: h2c\r\nConnection: keep-alive, upgrade,HTTP2-Settings\r\n",
    "websocket": b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
    "tls": b"Upgrade: TLS/1.0, HTTP/2.0\r\nConnection: keep-alive\r\nConnection: Upgrade\r\n",
    "unknown": b"connection: UPGRADE\r\nupgrade: IRC/6.9, RTA/x11\r\n",
}
LENGTH = b"Content-Length: 6\r\n", b"abcdef"
CHUNKED = b"Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n4\r\ncdef\r\n0\r\n\r\n"
NO_BODY = b"", b""


class Seen:
    """An application that keeps what it is asked, and answers each request with its body."""

    def __init__(self) -> None:
        self.requests: list[tuple[Scope, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            body, more = body + message["body"], message["more_body"]
        self.requests.append((scope, body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


async def told(app: Any, *segments: bytes) -> Wire:
    """What a connection sends when `segments` come, each after what was there has been answered."""
    loop = Running()
    connection, wire, _ = connected(loop=loop, app=app)
    for segment in segments:
        connection.data_received(segment)
        await _settled(loop)
    return wire


async def _settled(loop: Running) -> None:
    loop.tasks += [asyncio.ensure_future(item) for item in loop.started]
    loop.started.clear()
    for _ in range(20):
        await asyncio.sleep(0)
        if loop.started:
            await _settled(loop)


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"GET", b"DELETE", b"OPTIONS", b"HEAD"])
@pytest.mark.parametrize(("framing", "body"), [LENGTH, CHUNKED, NO_BODY], ids=["length", "chunked", "none"])
@pytest.mark.parametrize("cut", ["whole", "after-the-head", "in-the-head", "in-the-body", "bytes"])
async def test_an_offer_that_is_not_taken_is_as_if_it_were_not_there(
    offer: bytes, method: bytes, framing: bytes, body: bytes, cut: str
) -> None:
    head = b"%b /push?a=b HTTP/1.1\r\nHost: a\r\n%bX-One: 1\r\n%b\r\n" % (method, offer, framing)
    at = {"whole": 0, "after-the-head": len(head), "in-the-head": 30, "in-the-body": len(head) + 2}
    data = head + body + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
    segments = [data[i : i + 1] for i in range(len(data))] if cut == "bytes" else [data[: at[cut]], data[at[cut] :]]
    seen = Seen()
    wire = await told(seen, *segments)
    scopes = [scope for scope, _ in seen.requests]
    assert [scope["path"] for scope in scopes] == ["/push", "/next"]
    assert (scopes[0]["method"].encode(), scopes[0]["query_string"]) == (method, b"a=b")
    assert [found for _, found in seen.requests] == [b"abcdef" if body else b"", b""]
    assert (b"x-one", b"1") in scopes[0]["headers"]
    assert wire.sent.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert not wire.closed


async def test_many_offers_in_one_segment_are_each_answered() -> None:
    seen = Seen()
    head = b"POST /%d HTTP/1.1\r\nHost: a\r\n" + H2C + b"Content-Length: 3\r\n\r\nabc"
    await told(seen, b"".join(head % number for number in range(MAX_PIPELINED)))
    assert [(scope["path"], body) for scope, body in seen.requests] == [(f"/{n}", b"abc") for n in range(MAX_PIPELINED)]


async def test_a_client_that_wants_the_connection_closed_gets_that_beside_its_offer() -> None:
    wire = await told(Seen(), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert wire.sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert wire.closed


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_a_tunnel_is_refused(version: bytes) -> None:
    seen = Seen()
    wire = await told(seen, b"CONNECT a:443 HTTP/%b\r\nHost: a\r\n\r\n\x16\x03\x01" % version)
    assert wire.sent.startswith(b"HTTP/1.1 405 ")
    assert wire.ended
    assert seen.requests == []


def split(answer: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    return line, {name.lower(): value.strip() for name, _, value in (field.partition(b":") for field in fields)}, body


async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in (b"one ", b"", b"two"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("asked", [b"", b"Connection: keep-alive\r\n", b"Connection: close\r\n"])
async def test_to_http_1_0_a_body_without_a_length_ends_with_the_connection(asked: bytes) -> None:
    wire = await told(streaming, b"GET / HTTP/1.0\r\n%b\r\n" % asked)
    _, fields, body = split(wire.sent)
    assert b"transfer-encoding" not in fields
    assert (fields[b"connection"], body, wire.closed) == (b"close", b"one two", True)


async def test_to_http_1_1_it_is_chunked() -> None:
    wire = await told(streaming, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    _, fields, body = split(wire.sent)
    assert (fields[b"transfer-encoding"], body) == (b"chunked", b"4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n")
    assert not wire.closed


@pytest.mark.parametrize(
    ("asked", "kept"),
    [(b"", False), (b"Connection: Keep-Alive\r\n", True), (b"Connection: keep-alive, close\r\n", False)],
)
async def test_a_connection_of_http_1_0_is_kept_if_that_is_asked_for(asked: bytes, kept: bool) -> None:
    seen = Seen()
    request = b"POST / HTTP/1.0\r\nContent-Length: 3\r\n%b\r\nabc" % asked
    wire = await told(seen, request, *[request] * kept)
    _, fields, _ = split(wire.sent)
    assert fields[b"connection"] == (b"keep-alive" if kept else b"close")
    assert (len(seen.requests), wire.closed) == (1 + kept, not kept)


async def test_http_1_0_is_not_sent_an_interim_answer() -> None:
    for version, told_to_go_on in ((b"1.0", False), (b"1.1", True)):
        wire = await told(
            Seen(), b"POST / HTTP/%b\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n" % version, b"abc"
        )
        assert wire.sent.startswith(b"HTTP/1.1 100 Continue\r\n") == told_to_go_on
        assert b"HTTP/1.1 200 OK\r\n" in wire.sent


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413, "too_large"),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 413, "too_large"),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", 400, "invalid_request"),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", 400, "invalid_request"),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "invalid_request"),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5,5\r\n\r\n", 400, "invalid_request"),
        (b"NONSENSE\r\n\r\n", 400, "invalid_request"),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_request"),
        (b"GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid_request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "invalid_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "invalid_request"),
    ],
)
async def test_what_is_no_request_is_refused_as_a_problem(head: bytes, status: int, code: str) -> None:
    seen = Seen()
    wire = await told(seen, head)
    line, fields, body = split(wire.sent)
    assert line.startswith(b"HTTP/1.1 %d " % status)
    assert (fields[b"content-type"], fields[b"connection"]) == (b"application/problem+json", b"close")
    assert (json.loads(body)["code"], json.loads(body)["status"], wire.ended) == (code, status, True)
    assert seen.requests == []


async def test_a_refusal_is_not_written_into_an_answer_under_way() -> None:
    wait = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        await wait.wait()

    wire = await told(slow, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"no chunk\r\n")
    assert wire.closed
    assert b"400" not in wire.sent


async def test_what_is_malformed_behind_a_request_takes_nothing_from_its_response() -> None:
    seen = Seen()
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    wire = await told(seen, request + b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\n")
    assert [body for _, body in seen.requests] == [b"abc"]
    assert wire.sent.count(b"HTTP/1.1 ") == 1
    assert wire.sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in wire.sent
    assert wire.ended


@pytest.mark.parametrize("cut", [True, False])
async def test_a_request_whose_body_is_malformed_is_told_so_and_its_application_hears_that_it_ended(cut: bool) -> None:
    heard: list[str] = []

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        while not heard or heard[-1] != "http.disconnect":
            heard.append((await receive())["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    head, bad = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabcX"
    wire = await told(reading, *((head, bad) if cut else (head + bad,)))
    assert wire.sent.startswith(b"HTTP/1.1 400 ")
    assert wire.sent.count(b"HTTP/1.1 ") == 1
    assert heard[-1] == "http.disconnect"


@pytest.mark.parametrize("coding", [b"gzip", b"identity", b"chunked, gzip", b"xchunked"])
async def test_a_body_in_a_coding_that_is_not_known_is_told_so(coding: bytes) -> None:
    wire = await told(Seen(), b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: %b\r\n\r\n" % coding)
    assert wire.sent.startswith(b"HTTP/1.1 400 ")
