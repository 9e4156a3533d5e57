"""Server-sent events of an application in this process: a stream that does not end by itself is read in part."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message

SECONDS = 20.0  # for one event


@dataclass(slots=True)
class EventStream:
    """`status` and `body` as far as they came."""

    status: int = 0
    body: bytes = b""
    _queue: asyncio.Queue[tuple[str, dict[str, Any]]] = field(default_factory=asyncio.Queue)

    async def next(self, *names: str) -> tuple[str, dict[str, Any]]:
        """Return the next event; the next one of `names` if there are some."""
        async with asyncio.timeout(SECONDS):
            while True:
                name, data = await self._queue.get()
                if not names or name in names:
                    return name, data

    def add(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.body += message.get("body", b"")
        *whole, self.body = self.body.split(b"\n\n")
        for block in whole:
            fields = dict(line.split(": ", 1) for line in block.decode().splitlines() if not line.startswith(":"))
            if "event" in fields:
                self._queue.put_nowait((fields["event"], json.loads(fields["data"])))


@asynccontextmanager
async def reading(app: ASGIApp, path: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[EventStream]:
    """Read the events of `path` while the block runs."""
    stream, started = EventStream(), asyncio.Event()
    fields = {"host": "tarmac.test", **(headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields.items()],
        "server": ("tarmac.test", 80),
        "client": ("127.0.0.1", 1),
    }
    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        found = next(asked, None)
        if found is None:
            await asyncio.Event().wait()
        return found or {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        stream.add(message)
        started.set()

    task: asyncio.Task[None] = asyncio.create_task(app(scope, receive, send))  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(SECONDS):
            await started.wait()
        yield stream
    finally:
        task.cancel()
        await asyncio.wait([task])
