"""The threads of the process, apart by what they do, so that one kind of work never stops another.

    default executor   reads and writes of files and databases; short, and everything waits for it
    hashing            archives and layers written, read, hashed and decompressed
    planning           what the text of a request costs: names, patterns, paths; limits bound one request to seconds
    resolving          names of hosts; a name server may say nothing for a minute, so each name has a thread of its own,
                       and the end of the process waits for none of them

Blocks of layers are compressed by the executor of `app.push.run.compress`, one thread a core.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import cache, partial
from typing import Any, ParamSpec, TypeVar
from weakref import WeakValueDictionary

IO_THREADS = 16
HASHING_THREADS = 12  # more than the blobs that are sent at once, with room for as many uploads
PLANNING_THREADS = 2

_SHARES: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str], asyncio.Lock] = WeakValueDictionary()

P = ParamSpec("P")
T = TypeVar("T")


class _Resolving(Executor):
    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future = Future[T]()
        settle = partial(_settle, future, partial(work, *args, **kwargs))
        threading.Thread(target=settle, name="resolve", daemon=True).start()
        return future


def _settle(future: Future[T], work: Callable[[], T]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(work())
        except (OSError, ValueError) as error:  # gaierror, UnicodeError: no such name, and no name at all
            future.set_exception(error)


@cache
def resolving() -> Executor:
    return _Resolving()


@cache
def hashing() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(HASHING_THREADS, "hash")


@cache
def planning() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(PLANNING_THREADS, "plan")


def use_io_threads() -> None:
    """Bound the default executor of the running loop, whose size otherwise follows the number of cores."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(IO_THREADS, "io"))


async def plan_in_thread(share: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `work` returns. At most one thread works for a `share` (the name of a token) at any time, so no
    token keeps the others waiting. If the caller is cancelled before a thread is free, `work` is never begun."""
    async with _SHARES.setdefault((asyncio.get_running_loop(), share), asyncio.Lock()):
        return await asyncio.get_running_loop().run_in_executor(planning(), partial(work, *args, **kwargs))


async def hash_in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(hashing(), partial(work, *args, **kwargs))
