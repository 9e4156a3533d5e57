"""A registry that does exactly what a script says, byte for byte, for faults no real registry gives on demand.

    steps = [answer(202, {"Location": "/v2/a/blobs/uploads/1"}), reset_after(1000)]
    async with ScriptedRegistry(steps) as server:
        ... HttpSettings(parse_registry_url(server.url, "url"))
    server.requests[1].body        # what came, as far as it came

Steps are used up in order, one for each request; `/v2/` is answered 200 without one unless `ping` is a step.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

STALL_SECONDS = 1.0


@dataclass
class Seen:
    """A request as it came. `complete`: its body came to its proper end."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Connection:
    """What a step may do with a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def pieces(self, seen: Seen, limit: int | None = None) -> AsyncIterator[bytes]:
        """The body as it comes, `seen.complete` at its proper end; no more than `limit` bytes of it."""
        if "chunked" in seen.headers.get("transfer-encoding", ""):
            while size := int((await self.reader.readline()).strip() or b"0", 16):
                while size and (data := await self.reader.read(min(size, 1 << 16))):
                    size -= len(data)
                    yield data
                if await self.reader.readline() != b"\r\n":
                    return
            seen.complete = await self.reader.readline() == b"\r\n"
            return
        left = int(seen.headers.get("content-length", "0"))
        spare = left if limit is None else max(0, left - limit)
        while left > (0 if limit is None else spare):
            data = await self.reader.read(min(left if limit is None else left - spare, 1 << 16))
            if not data:
                return
            left -= len(data)
            yield data
        seen.complete = left == 0

    async def read_body(self, seen: Seen, limit: int | None = None) -> None:
        """The body, or no more than about `limit` bytes of it."""
        if "chunked" in seen.headers.get("transfer-encoding", ""):
            await self._read_chunks(seen, limit)
            return
        length = int(seen.headers.get("content-length", "0"))
        wanted = length if limit is None else min(length, limit)
        while len(seen.body) < wanted:
            data = await self.reader.read(wanted - len(seen.body))
            if not data:
                return
            seen.body += data
        seen.complete = wanted == length

    async def _read_chunks(self, seen: Seen, limit: int | None) -> None:
        while limit is None or len(seen.body) < limit:
            size = int((await self.reader.readline()).strip() or b"-1", 16)
            if size < 0:
                return
            seen.body += await self.reader.readexactly(size)
            await self.reader.readline()
            if size == 0:
                seen.complete = True
                return

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes, *, head: bool = False) -> None:
        lines = [f"HTTP/1.1 {status} Scripted"]
        lines += [f"{name}: {value}" for name, value in {"Content-Length": str(len(body)), **headers}.items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head else body))
        await self.writer.drain()

    def reset(self) -> None:
        """RST, not FIN."""
        self.writer.transport.abort()


Step = Callable[[Connection, Seen], Awaitable[None]]


def answer(status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Step:
    """Read the whole body, then answer."""

    async def step(connection: Connection, seen: Seen) -> None:
        await connection.read_body(seen)
        await connection.answer(status, headers or {}, body, head=seen.method == "HEAD")

    return step


def answer_early(status: int, body: bytes = b"", after: int = 0) -> Step:
    """Answer after `after` bytes of the body, read no more, close politely: the shape of a proxy's 413."""

    async def step(connection: Connection, seen: Seen) -> None:
        await connection.read_body(seen, after)
        await connection.answer(status, {"Connection": "close"}, body)
        connection.writer.write_eof()
        while await connection.reader.read(1 << 16):
            pass
        connection.writer.close()

    return step


def answer_rudely(status: int, body: bytes, after: int) -> Step:
    """Answer after `after` bytes of the body and close at once: the reset follows the answer on its heels."""

    async def step(connection: Connection, seen: Seen) -> None:
        await connection.read_body(seen, after)
        await connection.answer(status, {"Connection": "close"}, body)
        connection.writer.close()

    return step


def answer_and_stall(status: int, body: bytes, after: int) -> Step:
    """Answer after `after` bytes of the body, then neither read nor close for a time longer than a test is patient."""

    async def step(connection: Connection, seen: Seen) -> None:
        await connection.read_body(seen, after)
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await connection.answer(status, {"Connection": "close"}, body)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), STALL_SECONDS)
        connection.reset()

    return step


def reset_after(bytes_read: int) -> Step:
    async def step(connection: Connection, seen: Seen) -> None:
        await connection.read_body(seen, bytes_read)
        connection.reset()

    return step


def close() -> Step:
    """Read the request, answer nothing, close."""

    async def step(connection: Connection, seen: Seen) -> None:
        await connection.read_body(seen)
        connection.writer.close()

    return step


def hang(arrived: asyncio.Event | None = None) -> Step:
    """Read the request and answer nothing until the other side goes away."""

    async def step(connection: Connection, seen: Seen) -> None:
        await connection.read_body(seen, 1)
        if arrived is not None:
            arrived.set()
        while await connection.reader.read(1 << 16):
            pass
        connection.writer.close()

    return step


def raw(data: bytes) -> Step:
    """Read the whole body, write exactly `data`, close."""

    async def step(connection: Connection, seen: Seen) -> None:
        await connection.read_body(seen)
        connection.writer.write(data)
        await connection.writer.drain()
        connection.writer.close()

    return step


App = Callable[[MutableMapping[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]


def served(app: App, *, cut: int | None = None, deaf: bool = False) -> Step:
    """As `app` (ASGI) answers. `cut`: of the body it gets so many bytes, then the connection is reset. `deaf`: it does
    what is asked, and the connection is reset in place of the answer."""

    async def step(connection: Connection, seen: Seen) -> None:
        answered = _Answered()
        try:
            await app(_scope_of(seen), _receiver(connection.pieces(seen, cut), seen), answered.send)
        except ConnectionError:
            connection.reset()
            return
        if deaf:
            connection.reset()
            return
        if int(seen.headers.get("content-length", "0")) == 0 and "transfer-encoding" not in seen.headers:
            seen.complete = True
        headers = answered.headers if seen.complete else {**answered.headers, "Connection": "close"}
        await connection.answer(answered.status, headers, answered.body, head=seen.method == "HEAD")
        if not seen.complete:
            connection.writer.write_eof()
            while await connection.reader.read(1 << 16):
                pass
            connection.writer.close()

    return step


@dataclass
class _Answered:
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().title(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message["body"]


def _scope_of(seen: Seen) -> MutableMapping[str, Any]:
    path, _, query = seen.target.partition("?")
    headers = [(name.encode(), value.encode()) for name, value in seen.headers.items()]
    return {
        "type": "http",
        "method": seen.method,
        "path": unquote(path),
        "query_string": query.encode(),
        "headers": headers,
    }


def _receiver(pieces: AsyncIterator[bytes], seen: Seen) -> Callable[[], Awaitable[MutableMapping[str, Any]]]:
    async def receive() -> MutableMapping[str, Any]:
        async for piece in pieces:
            return {"type": "http.request", "body": piece, "more_body": True}
        if not seen.complete:
            raise ConnectionError
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive


class ScriptedRegistry:
    """`requests` holds all that came, in order. `route` answers by path where a script by number would be brittle."""

    def __init__(
        self,
        steps: Iterable[Step] = (),
        *,
        route: Callable[[Seen], Step | None] | None = None,
        tls: ssl.SSLContext | None = None,
        ping: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        drops: int = 0,
    ) -> None:
        """`drops`: so many connections are reset as soon as they are there."""
        self._drops = drops
        self._host, self._port = host, port
        self._steps = list(steps)
        self._route, self._tls, self._ping = route, tls, ping
        self._server: asyncio.Server | None = None
        self._busy: set[asyncio.Task[None]] = set()
        self.requests: list[Seen] = []
        self.connections = 0

    @property
    def open_connections(self) -> int:
        return len(self._busy)

    async def all_closed(self) -> None:
        """Until the other side has left every connection."""
        await asyncio.gather(*self._busy, return_exceptions=True)

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def address(self) -> str:
        return f"{self._host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.address}"

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Method and path of every request but the ping."""
        return [(seen.method, seen.path) for seen in self.requests if seen.path != "/v2/"]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._host, self._port, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._busy:
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.connections <= self._drops:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                seen = await _read_head(reader)
                if seen is None:
                    break
                self.requests.append(seen)
                await self._step_for(seen)(Connection(reader, writer), seen)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side went away; what it had sent stands in `requests`
        finally:
            writer.close()

    def _step_for(self, seen: Seen) -> Step:
        if self._route is not None and (routed := self._route(seen)) is not None:
            return routed
        if seen.path == "/v2/" and not self._ping:
            return answer(200, body=b"{}")
        return self._steps.pop(0) if self._steps else answer(500, body=b"the script is at its end")


async def _read_head(reader: asyncio.StreamReader) -> Seen | None:
    first = await reader.read(1)
    if not first or first == b"\x16":  # a TLS handshake: this side speaks plain http
        return None
    head = first + await reader.readuntil(b"\r\n\r\n")
    start, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = start.split(" ")
    pairs = (line.partition(":") for line in lines if line)
    return Seen(method, target, {name.lower(): value.strip() for name, _, value in pairs})
