"""Sockets for httpcore that notice a response while the request is still being sent.

A registry or a proxy that rejects a blob (413, 401, 507) responds after the first bytes and closes the connection.
httpcore's own streams do not read while they write, so the reset that follows discards the response, and a peer that
stops reading costs a timeout. Here bytes are read as they arrive, and a write fails at once if a response has begun;
httpcore then reads that response. Timeouts count time without progress: a slow registry may take its time.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import ssl
import struct
import termios
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

import httpcore

from app.net.dial import dial
from app.net.egress import EgressPolicy
from app.net.response_head import (
    CUT_HEAD,
    MAX_INTERIM,
    TLS_ALERT,
    TLS_RECORD,
    ResponseEnd,
    interim_length,
    is_final_begun,
)
from app.net.tls import TlsContexts

SLICE = 128 << 10  # bytes written under one timeout: 30 s without progress, not 30 s for a chunk of 1 MiB
PROGRESS_CHECKS = 8  # progress checks within one timeout
MAX_UNREAD_BYTES = 1 << 20  # bytes buffered before reading from the socket pauses


class IdleConnectionClosed(httpcore.ReadError):
    """A reused connection ended without a single byte of a response: it was closed while idle.

    The request may be sent again.
    """


ContextFor = Callable[[str], Awaitable[ssl.SSLContext]]


class _StreamProtocol(asyncio.Protocol):
    """Buffer of received bytes. `changed` wakes the one reader or writer after every event."""

    def __init__(self) -> None:
        self.unread = bytearray()
        self.ended = False
        self.error: Exception | None = None
        self.blocked = False
        self.closed = asyncio.Event()
        self.changed = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.unread += data
        if len(self.unread) > MAX_UNREAD_BYTES and self.transport is not None:
            self.transport.pause_reading()
        self.changed.set()

    def eof_received(self) -> bool:
        self.ended = True
        self.changed.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended, self.error = True, exc
        if exc is not None:
            self._read_after_reset()
        self.closed.set()
        self.changed.set()

    def _read_after_reset(self) -> None:
        """Read the response that is still in the kernel after a reset.

        A write that meets the reset closes the transport before the response was read. On a plain connection it can
        still be read, because the socket is open until connection_lost returns.
        """
        transport = self.transport
        if transport is None or transport.get_extra_info("sslcontext") is not None:
            return
        with contextlib.suppress(OSError):  # nothing to read, or the error that closed the connection
            while data := os.read(transport.get_extra_info("socket").fileno(), MAX_UNREAD_BYTES):
                self.unread += data

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False
        self.changed.set()

    @property
    def has_response(self) -> bool:
        """Return whether a final response has begun; 1xx does not count."""
        return is_final_begun(self.unread)


class Stream(httpcore.AsyncNetworkStream):
    """One connection, plain or TLS. `context_for` returns the TLS context for a server name."""

    def __init__(
        self, protocol: _StreamProtocol, transport: asyncio.Transport, context_for: ContextFor | None = None
    ) -> None:
        self._protocol, self._transport, self._context_for = protocol, transport, context_for
        self._responses = 0  # responses begun so far
        self._has_received = False  # whether a byte was received since the request began
        self._interim = 0  # number of responses before the final one
        self._response: ResponseEnd | None = None  # end of the response to the last request

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's port
        protocol = self._protocol
        await self._await_byte(timeout)
        if not self._has_received:
            await self._drop_interim(timeout)
            if protocol.unread.startswith(TLS_RECORD):
                raise httpcore.RemoteProtocolError(TLS_ALERT)
        if not protocol.unread:
            self._check_end()
        self._responses += not self._has_received
        self._has_received = True
        data = bytes(protocol.unread[:max_bytes])
        if self._response is not None:
            data = data[: self._response.take(data)]
        del protocol.unread[: len(data)]
        if not protocol.ended:
            self._transport.resume_reading()
        return data

    async def _await_byte(self, seconds: float | None, *, beyond: int = 0) -> None:
        protocol = self._protocol
        if not await self._wait(lambda: len(protocol.unread) > beyond or protocol.ended, seconds):
            raise httpcore.ReadTimeout

    async def _drop_interim(self, seconds: float | None) -> None:
        """Drop interim responses.

        Their number is limited, and they do not extend the timeout for the final response; httpcore would read them
        without limit.
        """
        protocol, loop = self._protocol, asyncio.get_running_loop()
        until = None if seconds is None else loop.time() + seconds
        while (length := interim_length(protocol.unread)) != 0:
            if length:
                del protocol.unread[:length]
                self._interim += 1
                if self._interim > MAX_INTERIM:
                    raise httpcore.RemoteProtocolError(f"more than {MAX_INTERIM} interim responses (1xx)")
            elif protocol.ended:
                return
            else:
                self._transport.resume_reading()
                left = None if until is None else until - loop.time()
                await self._await_byte(left, beyond=len(protocol.unread))

    def _check_end(self) -> None:
        """Raise unless the end of the connection is the end of a body."""
        if self._responses and not self._has_received and not self._interim:
            raise IdleConnectionClosed("the connection was closed while it was idle") from self._protocol.error
        if self._protocol.error is not None:
            raise httpcore.ReadError(str(self._protocol.error)) from self._protocol.error
        if (self._has_received or self._interim) and self._response is not None and not self._response.is_head_over:
            raise httpcore.RemoteProtocolError(CUT_HEAD)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's port
        if self._has_received or self._response is None:  # another request begins
            if self._has_received and self._protocol.unread:
                raise IdleConnectionClosed("the server sent more than its response")
            self._has_received, self._interim = False, 0
            self._response = ResponseEnd(is_to_head=buffer.startswith(b"HEAD "))
        view = memoryview(buffer)
        for start in range(0, len(view), SLICE):
            await asyncio.sleep(0)  # receive pending data before writing more
            self._check_writable()
            self._transport.write(view[start : start + SLICE])
            await self._drain(timeout)

    async def _drain(self, seconds: float | None) -> None:
        def writable() -> bool:
            if self._protocol.blocked:
                self._check_writable()
            return not self._protocol.blocked

        if not await self._wait(writable, seconds):
            raise httpcore.WriteTimeout

    async def _wait(self, done: Callable[[], bool], seconds: float | None) -> bool:
        """Wait until `done`, or return False after `seconds` without progress.

        Progress is any event, and each byte that the peer accepts: on a slow line much is still in transit when
        everything has been written.

        Progress is checked several times, because the last bytes written are acknowledged after the wait has begun.
        """
        protocol, still = self._protocol, 0
        while not done():
            protocol.changed.clear()
            left = self._unacknowledged_bytes()
            try:
                async with asyncio.timeout(None if seconds is None else seconds / PROGRESS_CHECKS):
                    await protocol.changed.wait()
            except TimeoutError:
                still = 0 if 0 <= self._unacknowledged_bytes() < left else still + 1
                if still >= PROGRESS_CHECKS:
                    return False
            else:
                still = 0
        return True

    def _unacknowledged_bytes(self) -> int:
        """Return the bytes written and not yet accepted by the peer, as far as the system knows."""
        waiting = self._transport.get_write_buffer_size()
        with contextlib.suppress(OSError):
            answer = fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
            waiting += struct.unpack("i", answer)[0]
        return waiting

    def _check_writable(self) -> None:
        """Raise WriteError if a response has begun or the connection ended. httpcore then reads the response."""
        if self._protocol.has_response:
            raise httpcore.WriteError("a response began before the request was sent")
        if self._protocol.ended:
            raise httpcore.WriteError("the connection was closed") from self._protocol.error

    async def aclose(self) -> None:
        if not self._protocol.closed.is_set():
            self._transport.abort()  # do not send what is still buffered: an interrupted body must stay incomplete
            await self._protocol.closed.wait()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's port
    ) -> Stream:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                if self._context_for is not None:
                    ssl_context = await self._context_for(server_hostname or "")
                transport = await loop.start_tls(
                    self._transport, self._protocol, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            self._abort_handshake()
            raise httpcore.ConnectTimeout from error
        except OSError as error:  # ssl.SSLError is a subclass
            self._abort_handshake()
            raise httpcore.ConnectError(str(error) or "closed during the TLS handshake") from error
        except BaseException:  # cancelled, or no context: httpcore would leave the connection open
            self._abort_handshake()
            raise
        secured = cast(asyncio.Transport, transport)
        self._protocol.transport = secured
        return Stream(self._protocol, secured, self._context_for)

    def _abort_handshake(self) -> None:
        """Abort the transport and mark it as closed: asyncio does not call connection_lost after a failed handshake."""
        self._transport.abort()
        self._protocol.closed.set()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # httpcore asks this of an idle connection; True means that it cannot be reused
            return bool(self._protocol.unread) or self._protocol.ended
        return self._transport.get_extra_info(info)


class Backend(httpcore.AsyncNetworkBackend):
    """Network backend that opens Streams to the addresses that `egress` permits, with the TLS contexts of `trust`.

    `egress` is None for a proxy: any address is permitted.
    """

    def __init__(self, egress: EgressPolicy | None = None, trust: TlsContexts | None = None) -> None:
        self._egress, self._trust = egress, trust

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's port
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Stream:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                sock = await dial(host, port, self._egress)
                transport, protocol = await loop.create_connection(_StreamProtocol, sock=sock)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except (OSError, UnicodeError) as error:  # UnicodeError: the host is not an IDNA name
            raise httpcore.ConnectError(str(error)) from error
        return Stream(protocol, transport, self._context_for(port if self._egress is not None else None))

    def _context_for(self, port: int | None) -> ContextFor | None:
        trust = self._trust
        return None if trust is None else lambda host: trust.context_for(host, port)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
