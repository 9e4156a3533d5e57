"""Reading the job database: one question, one call in a thread.

aiosqlite hands every step of a transaction (begin, execute, fetch, commit) to its thread and back, six turns of the
event loop for a page of jobs. While eight uploads come in a turn takes 10 ms and more, so a status answer took the
tenth part of a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine

T = TypeVar("T")
AT_ONCE = 2  # a list of 500 jobs takes a while, and the short question behind it should not wait for it


class ReadPool:
    """For SQLite alone: what is read is what was committed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # not the threads that write uploads: those are all busy at times
        self._threads = ThreadPoolExecutor(AT_ONCE, "read-jobs")

    async def run(self, question: Callable[[Connection], T]) -> T:
        """Raises what SQLAlchemy raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, question)

    def _ask(self, question: Callable[[Connection], T]) -> T:
        with self._engine.begin() as connection:
            return question(connection)

    async def close(self) -> None:
        """Also where the caller is cancelled no thread is left behind."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown()
        self._engine.dispose()
