"""Server-sent events: their wire form, and streams that end with the service or the token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from app.api.context import ApiContext

KEEP_ALIVE_SECONDS = 15.0  # proxies close connections that are silent for 30 or 60
KEEP_ALIVE = b": still here\n\n"
RECONNECT = b"retry: 1000\n\n"  # milliseconds
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
Item = TypeVar("Item")


def event(name: str, data: dict[str, Any], revision: int | None = None) -> bytes:
    """Return the wire form of a server-sent event."""
    number = "" if revision is None else f"id: {revision}\n"
    return f"event: {name}\n{number}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


async def follow(
    context: ApiContext, upcoming: Callable[[], Awaitable[Item]], pause: float = 0.0
) -> AsyncGenerator[Item | bytes, None]:
    """Yield what `upcoming` returns, and KEEP_ALIVE while it is silent, until the service stops or the token lapses.

    `pause` is the least time in seconds between two items. Raises what `upcoming` raises.
    """
    ends = (asyncio.ensure_future(context.stopping.wait()), asyncio.ensure_future(context.lapse()))
    waiting = asyncio.ensure_future(upcoming())
    try:
        while not any(reason.done() for reason in ends):
            await asyncio.wait({waiting, *ends}, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                yield KEEP_ALIVE
                continue
            yield waiting.result()
            if pause:
                await asyncio.wait(ends, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            waiting = asyncio.ensure_future(upcoming())
    finally:
        await cancel_all(waiting, *ends)


async def cancel_all(*tasks: asyncio.Future[Any]) -> None:
    """Cancel the tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
