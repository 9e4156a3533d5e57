"""The only concurrency of the push: a fixed number of workers with one queue, and slots that pushes share."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import IntEnum
from functools import partial
from itertools import count

from app.push.blob_cache.cache import BlobInfoCache, NoBlobInfoCache
from app.push.decoder_memory import DecoderMemory
from app.push.run.tag_locks import TagLocks

Job = Callable[[], Awaitable[None]]


class TaskPriority(IntEnum):
    """Order of execution. Finishing an image completes a tag; a mount is one request; a transfer takes long."""

    IMAGE = 0
    MOUNT = 1
    TRANSFER = 2


class PushResources:
    """Limits of concurrency.

    All pushes of a process must share one instance: each running blob needs some MiB, so their total number limits the
    memory.
    """

    def __init__(
        self,
        workers: int = 6,
        transfers: int = 4,
        blob_cache: BlobInfoCache | None = None,
        decoders: DecoderMemory | None = None,
    ) -> None:
        self.workers = workers  # per push; requests without a blob are limited by these alone
        self.blob_cache = blob_cache or NoBlobInfoCache()
        self.decoders = decoders or DecoderMemory()  # shared by all decompression in the process
        self.tag_locks = TagLocks()
        self.transfer_slots = asyncio.Semaphore(
            transfers
        )  # blobs being read, compressed and sent; 4 saturate two cores
        self.follow_slots = asyncio.Semaphore(transfers // 2)  # of these, blobs that are still being received


class TaskPool:
    """A queue of jobs and its workers.

    Jobs may add jobs. A job handles its own expected errors; any other error ends the pool.
    """

    def __init__(self) -> None:
        self._queue: asyncio.PriorityQueue[tuple[TaskPriority, int, Job]] = asyncio.PriorityQueue()
        self._order = count()

    def add(self, rank: TaskPriority, job: Job) -> None:
        self._queue.put_nowait((rank, next(self._order), job))

    async def idle(self) -> None:
        """Wait until every job is done, including those added by jobs."""
        await self._queue.join()

    async def work(self) -> None:
        while True:
            _, _, job = await self._queue.get()
            try:
                await job()
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # an external cancellation: without an error the worker would end unnoticed, and `idle` would wait for
                # ever
                raise RuntimeError("a job of the push waited for something that was cancelled") from error
            self._queue.task_done()


class Bounded:
    """Adds jobs to a pool, at most `most` of one key at once. The others wait without a worker."""

    def __init__(self, pool: TaskPool, rank: TaskPriority, most: int) -> None:
        self._pool, self._rank, self._most = pool, rank, most
        self._running: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[Job]] = defaultdict(deque)

    def add(self, key: str, job: Job) -> None:
        if self._running[key] >= self._most:
            self._waiting[key].append(job)
            return
        self._running[key] += 1
        self._pool.add(self._rank, partial(self._work, key, job))

    async def _work(self, key: str, job: Job) -> None:
        await job()
        self._running[key] -= 1
        if self._waiting[key]:
            self.add(key, self._waiting[key].popleft())


@asynccontextmanager
async def task_pool(workers: int) -> AsyncIterator[TaskPool]:
    """Run a pool. Leaving does not wait: running jobs are cancelled."""
    pool = TaskPool()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(pool.work()) for _ in range(workers)]
            yield pool
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as errors:
        # raise the failed job's error without its group
        raise errors.exceptions[0] from None
