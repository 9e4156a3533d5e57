"""Files of the pages are written as fast as the client reads them."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.types import Message, Scope

from app.api.web.static_asset import PIECE_BYTES, StaticAsset

CONTENT = bytes(range(256)) * 2048
SCOPE: Scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}


async def nothing() -> Message:
    raise AssertionError("a file has no use for the body of a request")


async def test_a_file_is_written_in_pieces() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asset = StaticAsset(CONTENT, "text/plain", "default-src 'none'", '"etag"')
    await asset.response(Request(SCOPE))(SCOPE, nothing, send)
    start, *pieces = sent
    assert dict(start["headers"])[b"content-length"] == str(len(CONTENT)).encode()
    assert b"".join(piece["body"] for piece in pieces) == CONTENT
    assert max(len(piece["body"]) for piece in pieces) == PIECE_BYTES
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]


async def test_a_client_that_does_not_read_gets_no_further_piece() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    asset = StaticAsset(CONTENT, "text/plain", "default-src 'none'", '"etag"')
    writing = asyncio.create_task(asset.response(Request(SCOPE))(SCOPE, nothing, send))
    for _ in range(10):
        await asyncio.sleep(0)
    writing.cancel()
    assert sum(len(message.get("body", b"")) for message in sent) == PIECE_BYTES
