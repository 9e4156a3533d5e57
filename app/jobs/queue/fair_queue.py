"""FairQueue: the order of waiting jobs, by time, priority, fair share and arrival. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Container
from itertools import count

from app.jobs.queue import QueueSchedule

Line = dict[str, None]  # ids in order, with fast removal


class FairQueue:
    """Waiting jobs in fair order.

    Within a priority the share with the fewest running jobs is next; among equals, the one served least recently.
    Removing one of 100,000 jobs costs a step per share, not per job. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._schedules: dict[str, QueueSchedule] = {}
        self._due: dict[str, float] = {}  # for jobs that are not due yet
        self._lines: dict[int, dict[str, Line]] = {}  # priority -> share -> ids
        self._delayed: list[tuple[float, int, str]] = []
        self._order = count()
        self._running: dict[str, str] = {}  # id -> share
        self._last_served: dict[str, int] = {}  # share -> order number of its last removal

    def put(self, job_id: str, schedule: QueueSchedule, due: float = 0.0) -> None:
        """Add a job, or replace its schedule. `due`: time at which a job with a `not_before` is due."""
        if self._schedules.get(job_id) == schedule:
            return
        self.discard(job_id)
        self._schedules[job_id] = schedule
        if schedule.not_before is None:
            self._enqueue(job_id, schedule)
        else:
            self._due[job_id] = due
            heapq.heappush(self._delayed, (due, next(self._order), job_id))

    def discard(self, job_id: str) -> None:
        schedule = self._schedules.pop(job_id, None)
        self._due.pop(job_id, None)
        line = None if schedule is None else self._lines.get(schedule.priority, {}).get(schedule.share)
        if schedule is not None and line is not None and job_id in line:
            del line[job_id]
            self._forget_empty(schedule)

    def clear(self) -> None:
        self._schedules.clear()
        self._due.clear()
        self._lines.clear()
        self._delayed.clear()

    def pop(self, now: float, busy: Container[str], *, only_idle: bool = False) -> str | None:
        """Remove and return the next id that is not `busy`; it counts as running until `release`.

        `only_idle`: consider only shares without a running job."""
        self._enqueue_due(now)
        running = Counter(self._running.values())
        for priority in sorted(self._lines, reverse=True):
            shares = (share for share in self._lines[priority] if not (only_idle and running[share]))
            for share in sorted(shares, key=lambda share: (running[share], self._last_served.get(share, -1))):
                job_id = next((line for line in self._lines[priority][share] if line not in busy), None)
                if job_id is not None:
                    self.discard(job_id)
                    self._running[job_id] = share
                    self._last_served[share] = next(self._order)
                    return job_id
        return None

    def release(self, job_id: str) -> None:
        share = self._running.pop(job_id, None)
        if share is not None and not any(share in lines for lines in self._lines.values()):
            self._last_served.pop(share, None)

    def seconds_to_next(self, now: float) -> float | None:
        """Return the seconds until the next delayed job is due; None if there is none."""
        self._drop_stale()
        return self._delayed[0][0] - now if self._delayed else None

    def _enqueue_due(self, now: float) -> None:
        self._drop_stale()
        while self._delayed and self._delayed[0][0] <= now:
            _, _, job_id = heapq.heappop(self._delayed)
            del self._due[job_id]
            self._enqueue(job_id, self._schedules[job_id])
            self._drop_stale()

    def _drop_stale(self) -> None:
        """Drop delayed entries that were removed or rescheduled."""
        while self._delayed and not self._is_current(*self._delayed[0]):
            heapq.heappop(self._delayed)

    def _is_current(self, moment: float, _: int, job_id: str) -> bool:
        return self._due.get(job_id) == moment

    def _enqueue(self, job_id: str, schedule: QueueSchedule) -> None:
        self._lines.setdefault(schedule.priority, {}).setdefault(schedule.share, {})[job_id] = None

    def _forget_empty(self, schedule: QueueSchedule) -> None:
        lines = self._lines[schedule.priority]
        if not lines[schedule.share]:
            del lines[schedule.share]
        if not lines:
            del self._lines[schedule.priority]
