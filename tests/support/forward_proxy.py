"""A forward proxy as companies have them: CONNECT for https, absolute URLs for http, a password of its own.

async with ForwardProxy(("user", "password"), names={"r.test": server.port}) as proxy:
    ... proxy.url; proxy.asked == ["CONNECT r.test:443", "GET http://r.test/v2/"]
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit


class ForwardProxy:
    """`names`: the hosts it knows, and the loopback port each of them is at; others it answers 403, and a wrong
    password 407, quoting it."""

    def __init__(self, login: tuple[str, str], names: Mapping[str, int]) -> None:
        self._login, self._names = login, names
        self._expected = "Basic " + base64.b64encode(":".join(login).encode()).decode()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.asked: list[str] = []

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        user, password = (quote(part, safe="") for part in self._login)
        return f"http://{user}:{password}@127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._pass_on(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # either side went away
        finally:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to one host, for as many requests as there are."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.partition("\r\n")[0].split(" ")
        self.asked.append(f"{method} {target}")
        host = target.rpartition(":")[0] if method == "CONNECT" else urlsplit(target).hostname or ""
        sent = "".join(line for line in head.split("\r\n") if line.lower().startswith("proxy-authorization:"))
        if sent.partition(":")[2].strip() != self._expected:
            await _refuse(writer, 407, f"not with {sent}")
        elif host not in self._names:
            await _refuse(writer, 403, "not allowed here")
        else:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._names[host])
            origin = b""
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                origin = f" http://{urlsplit(target).netloc}".encode()
                far_writer.write(head.encode("latin-1").replace(origin, b" ", 1))
            try:
                await asyncio.gather(_copy(reader, far_writer, origin), _copy(far_reader, writer))
            finally:
                far_writer.close()


async def _refuse(writer: asyncio.StreamWriter, status: int, words: str) -> None:
    writer.write(f"HTTP/1.1 {status} Refused\r\nContent-Length: {len(words)}\r\n\r\n{words}".encode())
    await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, without: bytes = b"") -> None:
    """`without`: what further requests have before their path."""
    while data := await reader.read(1 << 16):
        writer.write(data.replace(without, b" ", 1) if without else data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
