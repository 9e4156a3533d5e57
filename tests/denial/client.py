"""Requests over plain sockets, from an address of our choice."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

ANSWER_SECONDS = 60.0
sslproto.SSLProtocol.max_size = 16 << 10  # held for each connection, of which an attack has hundreds


@dataclass(slots=True)
class Client:
    """`token`: "" for a stranger; `address` of the loopback network, which limits by address go by; `tls`: None if the
    service has none."""

    port: int
    address: str
    token: str = ""
    tls: ssl.SSLContext | None = None
    answers: Counter[str] = field(default_factory=Counter)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        async with self._opened(self.tls) as streams:
            yield streams

    @asynccontextmanager
    async def plain_connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection that begins no handshake."""
        async with self._opened(None) as streams:
            yield streams

    @asynccontextmanager
    async def _opened(
        self, tls: ssl.SSLContext | None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(self.address, 0), ssl=tls)
        try:
            yield reader, writer
        finally:
            writer.close()

    def head(self, method: str, path: str, headers: Mapping[str, str], size: int | None = 0) -> bytes:
        fields = {"Host": f"127.0.0.1:{self.port}", **headers}
        if self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        if size is not None:
            fields["Content-Length"] = str(size)
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body, over a connection of its own. Status 0: no answer."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self.connection() as (reader, writer):
                head = self.head(method, path, {"Connection": "close", **(headers or {})}, len(body))
                writer.write(head + body)
                answer = await reader.read(-1)
        except (OSError, TimeoutError):
            self.answers["none"] += 1
            return 0, {}, b""
        first, _, content = answer.partition(b"\r\n\r\n")
        lines = first.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1]) if len(lines[0].split()) > 1 else 0
        self.answers[str(status)] += 1
        return status, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}, content
