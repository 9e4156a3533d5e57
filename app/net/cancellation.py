"""Requests that may finish after their caller was cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def finish_or_cancel(request: Coroutine[Any, Any, T], wind_up: Callable[[], bool], seconds: float) -> T:
    """Return the result of `request`, or cancel it if the caller is cancelled.

    If `wind_up` then returns True, the request can finish and has `seconds` to do so: an upload session may only be
    cancelled while no request runs in it.

    Further cancellations do not shorten that time, because a task group cancels all of its tasks, also those that are
    ending.
    """
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
            task.exception()  # mark the exception as retrieved


async def _wait_for(task: asyncio.Task[Any], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while not task.done() and (left := until - loop.time()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((task,), timeout=left)
