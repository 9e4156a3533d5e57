"""Gzip of JSON responses for clients that accept it.

Events, blobs and ranges are not JSON documents and stay as they are. Registry and Docker clients below `/v2/` and
Docker's paths get no content coding. HEAD has the header fields of the plain document.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from isal import igzip
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware.error_format import error_format_of

MIN_BYTES = 1_000  # of a document; a shorter one fits into one packet anyway
THREAD_BYTES = 256 << 10  # of a document that is compressed in a thread; a shorter one takes less than a millisecond
_JSON = ("application/json", "application/problem+json")
_ALWAYS_WHOLE = frozenset({HTTPStatus.PARTIAL_CONTENT, HTTPStatus.NOT_MODIFIED, HTTPStatus.NO_CONTENT})


class JsonCompression:
    """Pure ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "HEAD" or error_format_of(scope["path"]) is not None:
            await self._app(scope, receive, send)
            return
        is_accepted = accepts_gzip(",".join(Headers(scope=scope).getlist("accept-encoding")))
        await self._app(scope, receive, _JsonCompressor(send, is_accepted=is_accepted))


class _JsonCompressor:
    """Delays the start of a JSON response until its size is known."""

    def __init__(self, send: Send, *, is_accepted: bool) -> None:
        self._send, self._is_accepted = send, is_accepted
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_plain_json(message):
            headers = MutableHeaders(scope=message)
            if "accept-encoding" not in headers.get("vary", "").lower():
                headers.add_vary_header("Accept-Encoding")
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            body = message.get("body", b"")
            if self._is_accepted and len(body) >= MIN_BYTES and not message.get("more_body", False):
                message = {**message, "body": await _compress(body)}
                headers = MutableHeaders(scope=start)
                headers["Content-Encoding"] = "gzip"
                headers["Content-Length"] = str(len(message["body"]))
            await self._send(start)
        await self._send(message)


def accepts_gzip(text: str) -> bool:
    """Return whether an `Accept-Encoding` names gzip, or `*`, with a weight above 0 (RFC 9110 12.5.3)."""
    weights: dict[str, bool] = {}
    for part in text.split(","):
        coding, *parameters = (item.strip().lower() for item in part.split(";"))
        weight = next((item[2:] for item in parameters if item.startswith("q=")), "1")
        weights[coding] = weight.strip("0.") != ""
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))


def _is_plain_json(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    media_type = headers.get("content-type", "").partition(";")[0].strip()
    return start["status"] not in _ALWAYS_WHOLE and media_type in _JSON and "content-encoding" not in headers


async def _compress(body: bytes) -> bytes:
    if len(body) < THREAD_BYTES:
        return igzip.compress(body, compresslevel=1)
    return await asyncio.to_thread(igzip.compress, body, compresslevel=1)


__all__ = ["MIN_BYTES", "JsonCompression", "accepts_gzip"]
