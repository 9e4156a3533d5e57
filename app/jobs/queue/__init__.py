"""Who runs jobs, when: the JobQueue port. `local`: this process.

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
LONGEST_DELAY = timedelta(hours=1)  # no turn is put off for longer
_NO_DELAY = timedelta(0)


@dataclass(frozen=True, slots=True)
class QueueSchedule:
    """When a waiting job is to run: not before `not_before` (None: at once); then the highest `priority` first; within
    one priority the shares take turns, so that who sends a thousand jobs does not keep out who sends one; within a
    share first in, first out."""

    not_before: datetime | None = None
    priority: int = 0
    share: str = ""

    def delay(self, now: datetime) -> timedelta:
        """Return how long the turn is put off at `now`. A moment further away than LONGEST_DELAY was stored while the
        clock was ahead; the turn has come."""
        delay = _NO_DELAY if self.not_before is None else self.not_before - now
        return delay if _NO_DELAY < delay <= LONGEST_DELAY else _NO_DELAY


AT_ONCE = QueueSchedule()


class JobQueue(Protocol):
    """A bounded number at a time, each when its turn has come. What is queued is not kept here: the job store has it,
    and whoever starts the queue puts it in again."""

    async def start(self, run: Run) -> None:
        """From now on call `run` with job ids. It handles its own errors; it is cancelled by `cancel` and `stop`."""
        ...

    async def put(self, job_id: str, turn: QueueSchedule = AT_ONCE) -> None:
        """An id that is waiting already is not taken twice: the newer turn counts. One that runs begins anew when that
        run has ended, as its turn says."""
        ...

    async def cancel(self, job_id: str) -> None:
        """Take it out, or cancel its run and wait until it has ended (a few seconds at most)."""
        ...

    async def stop(self, grace_seconds: float) -> None:
        """Begin nothing more; let what runs end within the grace, then cancel it. Waiting ids are forgotten."""
        ...


__all__ = ["AT_ONCE", "LONGEST_DELAY", "JobQueue", "QueueSchedule", "Run"]
