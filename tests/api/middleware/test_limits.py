"""The outermost layer, by ASGI messages."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.api.middleware.limits import MAX_HEAD_BYTES, MAX_HEADERS, LongRequest, RequestLimitsMiddleware, head_error
from app.errors import UploadIncomplete

HOST = (b"host", b"tarmac.test:8080")


async def asked(headers: list[tuple[bytes, bytes]], reached: list[Scope], **more: str) -> tuple[int, dict[str, Any]]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope)

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read of a request that is refused")

    scope = {"type": "http", "headers": headers, "path": "/push", "method": "POST", **more}
    await RequestLimitsMiddleware(app)(scope, receive, send)
    return (sent[0]["status"], json.loads(sent[1]["body"])) if sent else (0, {})


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [HOST, HOST],
        [(b"host", b"")],
        [(b"host", b"a b")],
        [(b"host", b"a/../b")],
        [(b"host", b"user@a")],
        [HOST, (b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
        [HOST, (b"content-length", b"1"), (b"content-length", b"2")],
        [HOST, *[(b"a", b"b")] * MAX_HEADERS],
        [HOST, (b"a", b"b" * MAX_HEAD_BYTES)],
    ],
    ids=[
        "no-host",
        "two-hosts",
        "empty",
        "space",
        "path",
        "user",
        "cl-te",
        "two-lengths",
        "many",
        "long",
    ],
)
async def test_a_head_that_is_not_well_formed_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    reached: list[Scope] = []
    status, document = await asked(headers, reached)
    assert (status, document["code"]) == (400, "invalid_request")
    assert reached == []


@pytest.mark.parametrize("host", [b"localhost", b"127.0.0.1:8080", b"[::1]:8080", b"a-b.example.com", b"tarmac_1"])
async def test_a_plain_head_goes_on(host: bytes) -> None:
    assert head_error({"headers": [(b"host", host), (b"content-length", b"1")]}) is None
    reached: list[Scope] = []
    assert await asked([(b"host", host)], reached) == (0, {})
    assert len(reached) == 1


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ([], True),
        ([HOST], True),
        ([HOST, (b"content-length", b"1")], True),
        ([HOST, HOST], False),
        ([(b"host", b"")], False),
        ([(b"host", b"a b")], False),
        ([(b"transfer-encoding", b"chunked")], False),
        ([(b"transfer-encoding", b"chunked"), (b"content-length", b"1")], False),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "0.9"])
async def test_http_1_0_needs_no_host_and_has_no_chunks(
    headers: list[tuple[bytes, bytes]], taken: bool, version: str
) -> None:
    reached: list[Scope] = []
    status, _ = await asked(headers, reached, http_version=version)
    assert (status, len(reached)) == ((0, 1) if taken else (400, 0))


@pytest.mark.parametrize("path", ["/push", "/push/x.tar", "/push/", "/uploads", "/uploads/1", "/images/load", "/jobs"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("value", [b"bytes 100-199/200", b"bytes */200", b"bytes 0-199/200", b"lines 1-2/3", b""])
async def test_a_part_of_a_file_is_not_taken_for_the_whole(path: str, method: str, value: bytes) -> None:
    reached: list[Scope] = []
    headers = [HOST, (b"content-range", value), (b"content-length", b"100")]
    status, document = await asked(headers, reached, path=path, method=method)
    assert (status, document["code"], reached) == (400, "invalid_request", [])
    assert "Content-Range" in document["detail"]
    assert await asked(headers, reached, path=path, method="GET") == (0, {})
    assert await asked(headers, reached, path="/v2/a/blobs/uploads/1", method=method) == (0, {})


async def test_a_body_that_stalls_is_an_incomplete_upload() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b"a"
        await receive()

    waiting: list[Message] = [{"type": "http.request", "body": b"a", "more_body": True}]

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop()

    async def send(message: Message) -> None:
        raise AssertionError(message)

    with pytest.raises(UploadIncomplete, match="no byte came"):
        await RequestLimitsMiddleware(app, stall_seconds=0.001)(
            {"type": "http", "headers": [HOST], "path": "/"}, receive, send
        )


async def test_after_the_body_is_complete_nothing_is_timed() -> None:
    messages: list[Message] = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if len(messages) == 1:
            for _ in range(1000):  # longer than the guard's patience, by turns of the loop
                await asyncio.sleep(0)
        return messages.pop()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await RequestLimitsMiddleware(app, stall_seconds=0.0001)(
        {"type": "http", "headers": [HOST], "path": "/"}, receive, send
    )
    assert messages == []


async def test_the_lifespan_passes_through() -> None:
    reached: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["type"])

    async def nothing() -> Message:
        return {}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await RequestLimitsMiddleware(app)({"type": "lifespan"}, nothing, send)
    assert reached == ["lifespan"]


@pytest.mark.parametrize(("size", "taken"), [(1_023, False), (1_024, True)])
async def test_a_body_that_trickles_is_an_incomplete_upload(size: int, taken: bool) -> None:
    """A piece a second: never still, and never done."""
    now = [0.0]
    pieces: list[int] = []

    async def receive() -> Message:
        now[0] += 1.0
        return {"type": "http.request", "body": b"x" * size, "more_body": len(pieces) < 100}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            now[0] += 100.0  # the service's own time is not the client's
            pieces.append(len(message["body"]))
            more = message["more_body"]

    async def send(message: Message) -> None:
        raise AssertionError(message)

    guard = RequestLimitsMiddleware(app, clock=lambda: now[0])
    if taken:
        await guard({"type": "http", "headers": [HOST], "path": "/"}, receive, send)
        assert len(pieces) == 101
    else:
        with pytest.raises(UploadIncomplete, match="only 30690 bytes came in 30 s"):
            await guard({"type": "http", "headers": [HOST], "path": "/"}, receive, send)
        assert len(pieces) == 29


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/push"), ("PUT", "/push/x.tar"), ("PATCH", "/uploads/1"), ("GET", "/jobs/1/events")]
)
async def test_one_too_many_is_told_to_come_again_and_everything_else_goes_on(method: str, path: str) -> None:
    go, sent, reached = asyncio.Event(), [], []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])
        if scope["path"] == path:
            await go.wait()

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    guard = RequestLimitsMiddleware(app, most=dict.fromkeys(LongRequest, 1))
    scope = {"type": "http", "headers": [HOST], "method": method, "path": path}
    first = asyncio.ensure_future(guard(scope, receive, send))
    await asyncio.sleep(0)
    await guard(scope, receive, send)
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"retry-after"]) == (503, b"5")
    await guard({**scope, "method": "GET", "path": "/jobs"}, receive, send)
    go.set()
    await first
    await guard(scope, receive, send)
    assert reached == [path, "/jobs", path]
