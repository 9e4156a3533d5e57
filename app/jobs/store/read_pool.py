"""ReadPool: reads the job database with one call in a thread.

aiosqlite passes every step of a transaction (begin, execute, fetch, commit) to its thread and back: six turns of the
event loop for a page of jobs. During eight uploads a turn takes 10 ms and more, so a status response took a tenth of a
second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine

T = TypeVar("T")
AT_ONCE = 2  # a list of 500 jobs takes a while, and a short query should not wait for it


class ReadPool:
    """Threads with read connections, for SQLite only. They see committed data."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # not the upload threads, which are all busy at times
        self._threads = ThreadPoolExecutor(AT_ONCE, "read-jobs")

    async def run(self, query: Callable[[Connection], T]) -> T:
        """Run `query` in a thread and return its result. Raises what SQLAlchemy raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, query)

    def _read(self, query: Callable[[Connection], T]) -> T:
        with self._engine.begin() as connection:
            return query(connection)

    async def close(self) -> None:
        """Close the connections. No thread remains, even if the caller is cancelled."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown()
        self._engine.dispose()
