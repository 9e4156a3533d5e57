"""The HTTP protocol of a connection: that of uvicorn, with limits.

- Limits of time: uvicorn waits for ever for a first byte, for the rest of a head, and for a client that reads nothing.
  Each limit is a timer of the connection, started and stopped by calls that the protocol gets anyway: a thousand idle
  connections cost a thousand timers and no task.
- Limits of size: uvicorn accepts heads and pipelined requests of any size. A head has at most MAX_HEAD_BYTES and
  MAX_FIELDS, all unfinished heads together MAX_HEADS_BYTES, and at most MAX_PIPELINED requests wait behind another.
- If all connections are in use, an idle one of the address with the most connections is closed for a new one. If none
  is idle, RESERVED further ones are accepted for probes only.
- Complete bodies: when a client disconnects, uvicorn drops bytes that were not read yet, and so a completely sent
  archive.
- Offers to change the protocol are ignored (RFC 9110 7.8). The parser drops the body behind one.
- HTTP/1.0: no chunks, no interim response, and a persistent connection if the client asks for it.
"""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.problems import RETRY_AFTER_SECONDS, MalformedRequest, MethodNotAllowed, problem_response
from app.errors import TarmacError, TooLarge
from app.net.addresses import share_of
from app.server.connections import ConnectionLimiter
from app.server.lingering import LingeringTransport
from app.server.unread import UnreadResponses

if TYPE_CHECKING:
    from uvicorn._types import (
        ASGI3Application,
        ASGIReceiveCallable,
        ASGIReceiveEvent,
        ASGISendCallable,
        ASGISendEvent,
        HTTPScope,
    )

HEAD_SECONDS = 10.0  # from the connection, or the first byte of a further request, to the end of the head
UNREAD_SECONDS = 60.0  # while the send buffers are full and the client reads nothing
MAX_CONNECTIONS = 4096
MAX_TLS_CONNECTIONS = 1024  # each needs 50 to 100 KiB
RESERVED = 16  # further connections, for PROBES only
PROBES = (b"/healthz", b"/readyz")
MAX_HEAD_BYTES = 64 << 10  # in one head, also of an unfinished field
MAX_FIELDS = 100
MAX_HEADS_BYTES = 16 << 20  # in all unfinished heads
MAX_PIPELINED = 16  # requests behind the current one; browsers and curl send none
OWN_FILES = 256  # descriptors for other uses: database, spool, registries, the interpreter
FILES_EACH = 2  # a connection with an upload also has a file in the spool
MOST_FILES = 65536  # maximum that the service requests
_OF_AN_OFFER = frozenset({b"upgrade", b"http2-settings"})  # fields, and tokens of Connection


def raise_file_limit(*, tls: bool = False) -> int:
    """Raise the soft limit of open files, 1,024 on most systems, and return the number of connections it allows.

    With `tls`, the memory of the connections limits the number, too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    files = MOST_FILES if soft == resource.RLIM_INFINITY else soft
    return max(1, min(MAX_TLS_CONNECTIONS if tls else MAX_CONNECTIONS, (files - OWN_FILES - RESERVED) // FILES_EACH))


class _TooMuchError(Exception):
    """More input than the parser may read; `status` is the response."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(slots=True)
class Limits:
    """Limits shared by the connections of one server.

    `most`: connections at once; `limiter`: counts connections before they have a protocol; `heads_bytes`: size of all
    unfinished heads; `unread`: responses that clients do not read."""

    most: int = MAX_CONNECTIONS
    limiter: ConnectionLimiter | None = None
    heads_bytes: int = 0
    unread: UnreadResponses = field(default_factory=UnreadResponses)


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection of a server with `limits`."""

    def __init__(self, *given: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*given, **named)
        self._limits = limits
        self._head: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._head_bytes = self._field_bytes = 0
        self._only_probes = False
        self._is_deaf = False  # ignores input behind a malformed request

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        self._lingering = LingeringTransport(transport, self.loop, self._has_unread)
        super().connection_made(self._lingering)  # type: ignore[arg-type]  # it is one but for its class
        if self._limits.limiter is not None:
            self._limits.limiter.end_handshake(transport.get_extra_info("socket").fileno())
        if len(self.connections) > self._limits.most and not self._close_idle():
            self._only_probes = True
            if len(self.connections) > self._limits.most + RESERVED:
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
                return
        self._await_head()

    def _close_idle(self) -> bool:
        """Close one idle connection; return whether there was one."""
        idle = [other for other in self.connections if isinstance(other, LimitedHttpProtocol) and other.is_idle]
        if not idle:
            return False
        count = Counter(other.address for other in self.connections if isinstance(other, LimitedHttpProtocol))
        max(idle, key=lambda other: count[other.address]).transport.close()
        return True

    @property
    def is_idle(self) -> bool:
        """Return whether a response was sent and nothing of a further request has arrived."""
        is_answered = self.cycle is not None and self.cycle.response_complete
        return is_answered and self._head is None and not self.transport.is_closing()

    @property
    def address(self) -> str:
        return self.client[0] if self.client else ""

    def connection_lost(self, exc: Exception | None) -> None:
        self._lingering.close()
        self._stop()
        self._end_head()
        super().connection_lost(exc)

    def _has_unread(self) -> bool:
        if self.cycle is None or not self.cycle.response_complete:
            return False
        return self._is_deaf or self.cycle.more_body

    def data_received(self, data: bytes) -> None:
        if self._lingering.lingers or self._is_deaf:
            return
        self._unset_keepalive_if_required()
        if self._head is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()
        try:
            if self._head is not None:
                self._count_head(len(data))
            self._parse(data)
        except _TooMuchError as error:
            self._refuse(error.status)
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, _TooMuchError):
                self._refuse(cause.status)
            else:
                self._refuse_request(_fault_of(error))

    def _count_head(self, size: int) -> None:
        """Count received bytes of a head. Raises _TooMuchError.

        A read counts as a whole; the rest of it may belong to the body."""
        if self._head_bytes > MAX_HEAD_BYTES:
            raise _TooMuchError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        self._limits.heads_bytes += size
        self._head_bytes += size
        if self._limits.heads_bytes > MAX_HEADS_BYTES:
            raise _TooMuchError(HTTPStatus.SERVICE_UNAVAILABLE)

    def _end_head(self) -> None:
        self._limits.heads_bytes -= self._head_bytes
        self._head_bytes = self._field_bytes = 0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head is None:
            self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._field_bytes += len(name) + len(value)
        if len(self.headers) >= MAX_FIELDS or self._field_bytes > MAX_HEAD_BYTES:
            raise _TooMuchError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        super().on_header(name, value)

    def _parse(self, data: bytes) -> None:
        """Feed the parser. A request with an offer is parsed again without it, by a new parser."""
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                if self.parser.get_method() == b"CONNECT":
                    self._refuse_request(MethodNotAllowed("CONNECT is not supported; this service is not a proxy"))
                    return
                data = self._head_without_offer() + data[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it

    def _head_without_offer(self) -> bytes:
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = (b"%b: %b" % field for field in _without_offer(self.headers))
        return b"\r\n".join((line, *fields, b"", b""))

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        if self._head is not None:
            self._head.cancel()
            self._head = None
        self._end_head()
        self._check_place()
        is_old = self.parser.get_http_version() < "1.1"
        self.expect_100_continue = self.expect_100_continue and not is_old
        super().on_headers_complete()
        if is_old:
            self.cycle.keep_alive = _asks_to_be_kept(self.headers)

    def _check_place(self) -> None:
        """Raise _TooMuchError if the request exceeds the connection limits."""
        if self._only_probes and not self.url.partition(b"?")[0].endswith(PROBES):
            raise _TooMuchError(HTTPStatus.SERVICE_UNAVAILABLE)
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _TooMuchError(HTTPStatus.TOO_MANY_REQUESTS)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if cycle.scope["http_version"] < "1.1":
            app = _without_chunks(cycle, app)
        super()._start_asgi_task(cycle, _with_what_came(cycle, app))

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)
        size = self.transport.get_write_buffer_size()
        self._limits.unread.add(id(self), share_of(self.address), size, self.transport.abort)

    def resume_writing(self) -> None:
        self._end_unread()
        super().resume_writing()

    def _end_unread(self) -> None:
        self._limits.unread.remove(id(self))
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _await_head(self) -> None:
        self._head = self.loop.call_later(HEAD_SECONDS, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
            self.transport.close()
            return
        self._write(status, ("content-length: 0", f"retry-after: {RETRY_AFTER_SECONDS}"))
        self.transport.close()

    def _refuse_request(self, error: TarmacError) -> None:
        """Respond with a problem document.

        If earlier requests are not answered yet, the connection is closed after their responses. If its own response
        has begun, the connection is closed at once."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                cycle.keep_alive = False
                self._is_deaf = True
                return
            if self.pipeline or cycle.response_started:
                self._stop()
                self.transport.close()
                return
            cycle.disconnected = True  # drops what the application would send
            cycle.message_event.set()
        response = problem_response(error)
        fields = (f"{name.decode()}: {value.decode()}" for name, value in response.raw_headers)
        self._write(HTTPStatus(response.status_code), fields, bytes(response.body))
        self._lingering.linger()

    def _write(self, status: HTTPStatus, fields: Iterable[str], body: bytes = b"") -> None:
        self._stop()
        lines = (f"HTTP/1.1 {status.value} {status.phrase}", "connection: close", *fields, "", "")
        self.transport.write("\r\n".join(lines).encode() + body)

    def _stop(self) -> None:
        self._end_unread()
        if self._head is not None:
            self._head.cancel()
            self._head = None


def _with_what_came(cycle: RequestResponseCycle, app: ASGI3Application) -> ASGI3Application:
    """Pass the bytes received so far to `app` before it is notified that the client has disconnected."""

    async def run(scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async def received() -> ASGIReceiveEvent:
            event = await receive()
            if event["type"] != "http.disconnect" or not cycle.body or cycle.response_complete:
                return event
            body, cycle.body = bytes(cycle.body), bytearray()
            return {"type": "http.request", "body": body, "more_body": cycle.more_body}

        await app(scope, received, send)

    return run  # type: ignore[return-value]  # of HTTP alone; a lifespan is not started here


def _without_chunks(cycle: RequestResponseCycle, app: ASGI3Application) -> ASGI3Application:
    """Change the responses for HTTP/1.0.

    A body without a length ends with the connection (RFC 9112 6.3), instead of the chunks that uvicorn would send.
    After a body with a length the connection stays open if the client asked for it."""

    ends_with_connection = False

    async def run(scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async def sent(event: ASGISendEvent) -> None:
            nonlocal ends_with_connection
            if event["type"] == "http.response.start":
                names = {name.lower() for name, _ in event["headers"]}
                has_length = b"content-length" in names or scope["method"] == "HEAD" or event["status"] in (204, 304)
                ends_with_connection = not has_length
                if ends_with_connection:
                    cycle.keep_alive = cycle.chunked_encoding = False
                elif cycle.keep_alive and b"connection" not in names:
                    event = {**event, "headers": [*event["headers"], (b"connection", b"keep-alive")]}
            elif event["type"] == "http.response.body" and ends_with_connection:
                cycle.expected_content_length = len(event.get("body", b""))  # uvicorn subtracts it again
            await send(event)

        await app(scope, receive, sent)

    return run  # type: ignore[return-value]  # of HTTP alone


def _without_offer(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    """Yield the fields of a head without those of the offer."""
    for name, value in headers:
        if name == b"connection":
            kept = (token for token in map(bytes.strip, value.split(b",")) if token.lower() not in _OF_AN_OFFER)
            yield name, b", ".join(kept)
        elif name not in _OF_AN_OFFER:
            yield name, value


def _asks_to_be_kept(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether an HTTP/1.0 client asks for a persistent connection; by default it ends with the response."""
    tokens = {token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")}
    return b"keep-alive" in tokens and b"close" not in tokens


def _fault_of(error: httptools.HttpParserError) -> TarmacError:
    if "Content-Length overflow" in str(error):  # text of the parser, which has no separate class for it
        return TooLarge("Content-Length exceeds the largest possible upload (TARMAC_MAX_UPLOAD_BYTES)")
    return MalformedRequest(f"malformed HTTP request: {error}")


__all__ = [
    "HEAD_SECONDS",
    "MAX_CONNECTIONS",
    "MAX_TLS_CONNECTIONS",
    "UNREAD_SECONDS",
    "LimitedHttpProtocol",
    "Limits",
    "raise_file_limit",
]
