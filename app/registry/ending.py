"""Requests that are brought to their end although nobody wants their answer any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def carried_out(request: Coroutine[Any, Any, T], wind_up: Callable[[], bool], seconds: float) -> T:
    """What `request` gives or raises. When cancelled it is broken off; but where `wind_up` says that its end can be
    brought about, it has `seconds` to get there first: a session is cancelled only when nothing is under way in it."""
    task = asyncio.create_task(request)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done() and wind_up():
            await asyncio.wait((task,), timeout=seconds)
        raise
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # nobody else asks for it
