"""The thread pools of the process, separated by kind of work, so that one kind never blocks another.

    default executor   short reads and writes of files and databases, which everything waits for
    hashing            archives and layers written, read, hashed and decompressed
    planning           request texts: names, patterns, paths; limits bound one request to seconds
    resolving          host names; a name server may be silent for a minute, so each name has its own thread,
                       and the process does not wait for these threads at exit

Blocks of layers are compressed by the executor of `app.push.run.compress`, one thread per core.
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
HASHING_THREADS = 12  # more than the concurrently sent blobs, with spare threads for as many uploads
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
        except (OSError, ValueError) as error:  # gaierror, UnicodeError: unknown name, and invalid name
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
    """Limit the default executor of the running loop, whose size otherwise depends on the number of cores."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(IO_THREADS, "io"))


async def plan_in_thread(share: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of `work`, run in a thread.

    At most one thread works for a `share` (the name of a token) at a time, so no token delays the others. If the caller
    is cancelled before a thread is free, `work` is never started."""
    async with _SHARES.setdefault((asyncio.get_running_loop(), share), asyncio.Lock()):
        return await asyncio.get_running_loop().run_in_executor(planning(), partial(work, *args, **kwargs))


async def hash_in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(hashing(), partial(work, *args, **kwargs))
