"""A TCP proxy that is a bad line: it cuts connections, or lets through only so many bytes a second.

async with BadLine(server.port, cuts=lambda: random.random() < 0.01) as line:
    ... line.url; line.received, line.cut
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

PATIENCE = 5.0  # seconds for the far end to take what it was sent
PIECE = 64 << 10  # the chance of a cut is asked for each piece of this size that comes from the client


class BadLine:
    """`received` bytes from clients; `cut` connections."""

    def __init__(
        self, port: int, *, cuts: Callable[[], bool] = lambda: False, bytes_per_second: int | None = None
    ) -> None:
        self._port, self._cuts, self._rate = port, cuts, bytes_per_second
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.received = 0
        self.cut = 0

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0))
        if self._rate is not None:  # else the system takes a megabyte at once, and the line only looks slow
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=PIECE)
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
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(_copy(far_reader, writer))
        try:
            while data := await reader.read(PIECE):
                self.received += len(data)
                if self._cuts():
                    self.cut += 1
                    back.cancel()
                    await asyncio.wait((back,))
                    await _arrived(far_reader, far_writer)
                    return
                await self._pace(len(data))
                far_writer.write(data)
                await far_writer.drain()
        except ConnectionError:
            pass  # either side went away; the other is told below
        finally:
            back.cancel()
            for item in (writer, far_writer):
                item.transport.abort()

    async def _pace(self, count: int) -> None:
        if self._rate is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), count / self._rate)


async def _arrived(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What went through before the cut does arrive: how much lies in the system's buffers is nothing that a test could
    count on, and a busy machine has megabytes there."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            writer.write_eof()
            while await reader.read(PIECE):
                pass


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(PIECE):
            writer.write(data)
            await writer.drain()
    writer.close()
