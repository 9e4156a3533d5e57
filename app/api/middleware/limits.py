"""The outermost layer: refuses what uvicorn and httptools accept.

Measured: they accept a head of 4 MB, 50,000 headers, two Hosts, no Host, and a body that stops in the middle.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import MalformedRequest, UploadStalled, problem_response
from app.errors import Busy

MAX_HEAD_BYTES = 32 << 10  # the usual limit of servers
MAX_HEADERS = 100
STALL_SECONDS = 30.0  # without a byte of the body
RATE_SECONDS = 30.0  # of waiting for the body, over which its rate is measured
LEAST_BYTES_PER_SECOND = 1024  # a modem of 1995 has three times that
_LOADS = re.compile(r"(?:/v\d+(?:\.\d+)*)?/images/.+")  # Docker's routes, with a version or without
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

Headers = Sequence[tuple[bytes, bytes]]


class LongRequest(StrEnum):
    """Kinds of requests that last long."""

    UPLOADS = "uploads"
    WATCHERS = "watchers"


MOST: Mapping[LongRequest, int] = {
    LongRequest.UPLOADS: 1_500,
    LongRequest.WATCHERS: 1_500,
}  # at once; a connection may have one


class RequestLimitsMiddleware:
    """Pure ASGI. `clock` measures in seconds the wait for a body."""

    def __init__(
        self,
        app: ASGIApp,
        stall_seconds: float = STALL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        most: Mapping[LongRequest, int] = MOST,
    ) -> None:
        self._app, self._clock, self._most = app, clock, most
        self._stall_seconds = stall_seconds
        self._present = dict.fromkeys(LongRequest, 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fault = head_error(scope)
        if fault is not None:
            await problem_response(MalformedRequest(fault), {"Connection": "close"})(scope, receive, send)
            return
        crowd = classify_request(scope)
        if crowd is None:
            await self._app(scope, self._timed(receive), send)
            return
        if self._present[crowd] >= self._most[crowd]:
            full = Busy(f"{self._most[crowd]} {crowd} are under way, and no more are taken; try again later")
            await problem_response(full, {"Connection": "close"})(scope, receive, send)
            return
        self._present[crowd] += 1
        try:
            await self._app(scope, self._timed(receive), send)
        finally:
            self._present[crowd] -= 1

    def _timed(self, receive: Receive) -> Receive:
        """Limit the wait for each piece of the body, and the rate of many short waits.

        The wait for the client's disconnect after the body has no limit. The time that the service takes to process a
        piece does not count.
        """
        complete = False
        waited, received = 0.0, 0

        async def timed() -> Message:
            nonlocal complete, waited, received
            if complete:
                return await receive()
            since = self._clock()
            try:
                async with asyncio.timeout(self._stall_seconds):
                    message = await receive()
            except TimeoutError:
                complete = True
                raise UploadStalled(f"no byte came for {self._stall_seconds:.0f} s; send the archive again") from None
            waited, received = waited + self._clock() - since, received + len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if waited >= RATE_SECONDS and not complete:
                if received < RATE_SECONDS * LEAST_BYTES_PER_SECOND:
                    complete = True
                    raise UploadStalled(f"only {received} bytes came in {waited:.0f} s; send the archive again")
                waited, received = 0.0, 0
            return message

        return timed


def classify_request(scope: Scope) -> LongRequest | None:
    path = scope.get("path", "")
    if path == "/events" or (
        path.startswith("/jobs/") and (path.endswith("/events") or b"wait=" in scope.get("query_string", b""))
    ):
        return LongRequest.WATCHERS
    sends = scope.get("method") in ("POST", "PUT", "PATCH")
    if sends and (path.startswith(("/push", "/uploads")) or _LOADS.fullmatch(path)):
        return LongRequest.UPLOADS
    return None


def head_error(scope: Scope) -> str | None:
    """Return what is wrong with the head of a request, if anything."""
    headers: Headers = scope["headers"]
    if len(headers) > MAX_HEADERS:
        return f"the request has more than {MAX_HEADERS} headers"
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEAD_BYTES:
        return f"the request's headers have more than {MAX_HEAD_BYTES} bytes"
    names = [name for name, _ in headers]
    is_old = scope.get("http_version", "1.1") < "1.1"
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or not (hosts or is_old) or not all(map(_HOST.fullmatch, hosts)):
        return "the request needs exactly one Host header that names a host"
    if names.count(b"content-length") > 1 or (b"content-length" in names and b"transfer-encoding" in names):
        return "the request gives the length of its body twice"
    if is_old and b"transfer-encoding" in names:
        return "Transfer-Encoding is not part of HTTP/1.0; send the body with Content-Length"
    return _fault_of_part(scope, names)


def _fault_of_part(scope: Scope, names: Sequence[bytes]) -> str | None:
    """Return the error of a partial PUT (RFC 9110 14.5), which is refused. Below /v2/ the route refuses it."""
    sends = scope.get("method") in ("POST", "PUT", "PATCH")
    if not sends or b"content-range" not in names or scope["path"].startswith("/v2/"):
        return None
    return (
        "the request has Content-Range, so its body is a part of a file; send the whole file, or send it in parts to "
        "/uploads"
    )
