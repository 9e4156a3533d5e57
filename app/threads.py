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
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import cache, partial
from typing import Any, Generic, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

IO_THREADS = 16
HASHING_THREADS = 12  # more than the concurrently sent blobs, with spare threads for as many uploads
# Each thread that computes in Python makes everything else about twice as slow, since only one of them runs at a time.
PLANNING_THREADS = 2  # the second only for shares that have used little
LIGHT_SECONDS = 0.25  # of processor time, of which HALF_LIFE_SECONDS later half is forgotten
HALF_LIFE_SECONDS = 10.0

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
    """Return the result of `work`, run in a thread. If the caller is cancelled before a thread is free, `work` is never
    started. See `FairThreads`."""
    return await start_planning(share, work, *args, **kwargs)


def start_planning(share: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """As `plan_in_thread`, without waiting."""
    loop = asyncio.get_running_loop()
    return _PLANNERS.setdefault(loop, FairThreads()).start(share, partial(work, *args, **kwargs))


class FairThreads:
    """The planning threads as one event loop uses them.

    At most one thread works for a `share` (the name of a token) at a time. The share that has used the least processor
    time is next, so nobody waits for more than what runs. Two threads work at a time only if one of the two shares has
    used little."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[str, deque[tuple[Callable[[], Any], asyncio.Future[Any]]]] = {}
        self._running: set[str] = set()
        self._used: dict[str, tuple[float, float]] = {}  # share -> processor seconds, and when they were counted

    def start(self, share: str, work: Callable[[], T]) -> asyncio.Future[T]:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(share, deque()).append((work, future))
        self._fill()
        return future

    def _fill(self) -> None:
        for share in sorted(self._waiting.keys() - self._running, key=self._seconds):
            if len(self._running) >= PLANNING_THREADS or not self._may_run(share):
                return
            self._run_next(share)

    def _may_run(self, share: str) -> bool:
        return all(self._seconds(other) < LIGHT_SECONDS for other in self._running) or (
            self._seconds(share) < LIGHT_SECONDS
        )

    def _run_next(self, share: str) -> None:
        """Start the first entry of `share` that was not cancelled."""
        entries = self._waiting[share]
        while entries and share not in self._running:
            work, future = entries.popleft()
            if not future.cancelled():
                self._running.add(share)
                measured = _Measured(work)
                done = asyncio.get_running_loop().run_in_executor(planning(), measured)
                done.add_done_callback(partial(self._end, share, future, measured))
        if not entries:
            del self._waiting[share]

    def _end(
        self, share: str, future: asyncio.Future[Any], measured: _Measured[Any], done: asyncio.Future[Any]
    ) -> None:
        self._running.discard(share)
        now = self._clock()
        self._used[share] = (self._seconds(share) + measured.seconds, now)
        self._used = {name: used for name, used in self._used.items() if now - used[1] < 10 * HALF_LIFE_SECONDS}
        error = done.exception()
        if not future.cancelled() and error is None:
            future.set_result(done.result())
        elif not future.cancelled() and error is not None:
            future.set_exception(error)
        self._fill()

    def _seconds(self, share: str) -> float:
        seconds, since = self._used.get(share, (0.0, 0.0))
        return float(seconds * 0.5 ** ((self._clock() - since) / HALF_LIFE_SECONDS))


_PLANNERS: WeakKeyDictionary[asyncio.AbstractEventLoop, FairThreads] = WeakKeyDictionary()


class _Measured(Generic[T]):
    """`work` with the processor seconds that it used."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.seconds = 0.0

    def __call__(self) -> T:
        began = time.thread_time()
        try:
            return self._work()
        finally:
            self.seconds = time.thread_time() - began


async def hash_in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(hashing(), partial(work, *args, **kwargs))
