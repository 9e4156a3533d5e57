"""The outermost layer: what neither uvicorn nor httptools refuse, though they should (measured: a head of 4 MB, 50,000
headers, two Hosts, no Host, and a body that never goes on are all taken)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import MalformedRequest, UploadStalled, problem_response

MAX_HEAD_BYTES = 32 << 10  # what servers usually take
MAX_HEADERS = 100
STALL_SECONDS = 30.0  # without a byte of the body
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

Headers = Sequence[tuple[bytes, bytes]]


class Guard:
    """Pure ASGI."""

    def __init__(self, app: ASGIApp, stall_seconds: float = STALL_SECONDS) -> None:
        self._app = app
        self._stall_seconds = stall_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fault = fault_of(scope["headers"])
        if fault is not None:
            await problem_response(MalformedRequest(fault), {"Connection": "close"})(scope, receive, send)
            return
        await self._app(scope, self._timed(receive), send)

    def _timed(self, receive: Receive) -> Receive:
        """Each wait for a piece of the body has an end; a wait for the client to go, after it, has none."""
        complete = False

        async def timed() -> Message:
            nonlocal complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout(self._stall_seconds):
                    message = await receive()
            except TimeoutError:
                complete = True
                raise UploadStalled(f"no byte came for {self._stall_seconds:.0f} s; send the archive again") from None
            complete = not message.get("more_body", False)
            return message

        return timed


def fault_of(headers: Headers) -> str | None:
    """What is wrong with the head of a request, if anything."""
    if len(headers) > MAX_HEADERS:
        return f"the request has more than {MAX_HEADERS} headers"
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEAD_BYTES:
        return f"the request's headers have more than {MAX_HEAD_BYTES} bytes"
    names = [name for name, _ in headers]
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        return "the request needs exactly one Host header that names a host"
    if names.count(b"content-length") > 1 or (b"content-length" in names and b"transfer-encoding" in names):
        return "the request gives the length of its body twice"
    return None
