"""Who runs jobs, when: the JobQueue port. `local`: this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

Run = Callable[[str], Awaitable[None]]


class JobQueue(Protocol):
    """First in, first out, a bounded number at a time. What is queued is not kept here: the job store has it, and
    whoever starts the queue puts it in again."""

    async def start(self, run: Run) -> None:
        """From now on call `run` with job ids. It handles its own errors; it is cancelled by `cancel` and `stop`."""
        ...

    async def put(self, job_id: str) -> None:
        """An id that is waiting already is not taken twice; one that runs begins anew when that run has ended."""
        ...

    async def cancel(self, job_id: str) -> None:
        """Take it out, or cancel its run and wait until it has ended (a few seconds at most)."""
        ...

    async def stop(self, grace_seconds: float) -> None:
        """Begin nothing more; let what runs end within the grace, then cancel it. Waiting ids are forgotten."""
        ...


__all__ = ["JobQueue", "Run"]
