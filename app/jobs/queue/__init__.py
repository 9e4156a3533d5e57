"""JobQueue: port that decides when jobs run. `local` runs them in this process.

fair_queue     priority, fair share, FIFO; pure
local          LocalJobQueue
pgqueuer       PgQueuerJobQueue
pgqueuer_rows  its SQL
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

Run = Callable[[str], Awaitable[None]]
LONGEST_DELAY = timedelta(hours=1)  # maximum delay of a job
_NO_DELAY = timedelta(0)


@dataclass(frozen=True, slots=True)
class QueueSchedule:
    """When a waiting job runs.

    It runs not before `not_before` (None: at once). Jobs of the highest `priority` run first. Within a priority the
    shares alternate, so that a client with a thousand jobs does not delay one with a single job. Within a share the
    order is first in, first out."""

    not_before: datetime | None = None
    priority: int = 0
    share: str = ""

    def delay(self, now: datetime) -> timedelta:
        """Return the remaining delay at `now`.

        A time further away than LONGEST_DELAY was stored while the clock was ahead; such a job is due."""
        delay = _NO_DELAY if self.not_before is None else self.not_before - now
        return delay if _NO_DELAY < delay <= LONGEST_DELAY else _NO_DELAY


AT_ONCE = QueueSchedule()


class JobQueue(Protocol):
    """Runs a bounded number of jobs at a time, each according to its schedule.

    The queue is not durable: the job store is, and the service puts waiting jobs in again at start."""

    async def start(self, run: Run) -> None:
        """Begin to call `run` with job ids. `run` handles its own errors; `cancel` and `stop` cancel it."""
        ...

    async def put(self, job_id: str, schedule: QueueSchedule = AT_ONCE) -> None:
        """Add a job. If it waits already, the newer schedule replaces the old one.

        A job that is running runs again after its present run has ended, according to `schedule`."""
        ...

    async def cancel(self, job_id: str) -> None:
        """Remove a waiting job, or cancel its run and wait until that has ended (a few seconds at most)."""
        ...

    async def stop(self, grace_seconds: float) -> None:
        """Start nothing more, let runs end within the grace period, then cancel them. Waiting ids are dropped."""
        ...


__all__ = ["AT_ONCE", "LONGEST_DELAY", "JobQueue", "QueueSchedule", "Run"]
