"""Connections as they come: uvicorn's own protocol, with the limits that it lacks (it waits for ever for the first
byte, for the rest of a head, and for a reader that does not read), and with all that came: it forgets what was not yet
asked for when a client leaves, and so an archive that was sent whole.

Each limit is a timer of the connection, started and stopped by what the protocol is told anyway: a thousand that stand
still cost a thousand timers, and no task."""

from __future__ import annotations

import asyncio
import resource
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.problems import RETRY_AFTER_SECONDS

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable, HTTPScope

HEAD_SECONDS = 10.0  # from the connection, or the first byte of a further request, to the end of the head
UNREAD_SECONDS = 60.0  # with more to send than the buffers take, and nothing taken
MAX_CONNECTIONS = 4096
OWN_FILES = 256  # descriptors that are not a connection's: database, spool, registries, the interpreter
FILES_EACH = 2  # a connection that uploads has a file in the spool besides
MOST_FILES = 65536  # more than this the service does not ask for


def raise_file_limit() -> int:
    """As many connections as the process may have files for; the soft limit of most systems, 1,024, is raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    files = MOST_FILES if soft == resource.RLIM_INFINITY else soft
    return max(1, min(MAX_CONNECTIONS, (files - OWN_FILES) // FILES_EACH))


class Connection(HttpToolsProtocol):
    """`most`: connections at once; `main` sets what the process has files for."""

    most = MAX_CONNECTIONS
    head_seconds = HEAD_SECONDS
    unread_seconds = UNREAD_SECONDS

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        super()._start_asgi_task(cycle, _with_what_came(cycle, app))

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def _await_head(self) -> None:
        self._head = self.loop.call_later(self.head_seconds, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        self._stop()
        fields = ("connection: close", "content-length: 0", f"retry-after: {RETRY_AFTER_SECONDS}")
        self.transport.write("\r\n".join((f"HTTP/1.1 {status.value} {status.phrase}", *fields, "", "")).encode())
        self.transport.close()

    def _stop(self) -> None:
        for timer in (self._head, self._unread):
            if timer is not None:
                timer.cancel()
        self._head = self._unread = None


def _with_what_came(cycle: RequestResponseCycle, app: ASGI3Application) -> ASGI3Application:
    """Before `app` hears that its client has left it gets what had come by then."""

    async def run(scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async def received() -> ASGIReceiveEvent:
            event = await receive()
            if event["type"] != "http.disconnect" or not cycle.body or cycle.response_complete:
                return event
            body, cycle.body = bytes(cycle.body), bytearray()
            return {"type": "http.request", "body": body, "more_body": cycle.more_body}

        await app(scope, received, send)

    return run  # type: ignore[return-value]  # of HTTP alone; a lifespan is not started here


__all__ = ["HEAD_SECONDS", "MAX_CONNECTIONS", "UNREAD_SECONDS", "Connection", "raise_file_limit"]
