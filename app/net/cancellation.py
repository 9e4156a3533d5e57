"""Requests that are brought to their end although nobody wants their answer any more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def finish_or_cancel(request: Coroutine[Any, Any, T], wind_up: Callable[[], bool], seconds: float) -> T:
    """Return what `request` returns. When cancelled it is broken off; but if `wind_up` says that its end can be brought
    about, it has `seconds` to get there first: a session is cancelled only when nothing is under way in it. To be
    cancelled again meanwhile shortens nothing: a task group cancels all of its tasks, also one that is ending."""
    task = asyncio.create_task(request)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done() and wind_up():
            await _wait_for(task, seconds)
        raise
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # nobody else asks for it


async def _wait_for(task: asyncio.Task[Any], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while not task.done() and (left := until - loop.time()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((task,), timeout=left)
