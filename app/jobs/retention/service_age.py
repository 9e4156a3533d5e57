"""ServiceAge: how long the service has run, over all its starts. Retention in days is measured by it.

The time of day alone must not delete anything: a machine may boot with a clock that is a year ahead. The age grows by
measured seconds. The time between two runs is known only from the clock, so it counts when the next start agrees with
that clock, and at most a day of it counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from app.jobs.model import Clock, utc_now

SHORTEST_GAP = timedelta(hours=1)  # concurrent replicas advance the age more often than this
LONGEST_GAP = timedelta(days=1)
_NONE = timedelta(0)


class ServiceAge(Protocol):
    """The age of the service in seconds; it never decreases."""

    def now(self) -> float: ...

    async def advance(self) -> None:
        """Store the time since the last call. The first call of a process is its start. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class AgeRecord:
    """The stored record. `turns` counts its changes, `clock` is the time of day of the last one.

    `gap`: seconds between the last two runs, which do not count yet."""

    seconds: float = 0.0
    turns: int = 0
    clock: datetime | None = None
    gap: float = 0.0

    def begin(self, now: datetime) -> AgeRecord:
        """Return the record at a start. If the clock was set back since, the last gap was due to a clock that was
        ahead."""
        gap = _NONE if self.clock is None else now - self.clock
        counted = 0.0 if gap < _NONE else self.gap
        between = min(gap, LONGEST_GAP) if gap > SHORTEST_GAP else _NONE
        return AgeRecord(self.seconds + counted, self.turns + 1, now, between.total_seconds())

    def advance(self, now: datetime, passed: float) -> AgeRecord:
        """Return the record after `passed` more seconds of a run."""
        is_back = self.clock is not None and now < self.clock
        return replace(
            self, seconds=self.seconds + passed, turns=self.turns + 1, clock=now, gap=0.0 if is_back else self.gap
        )


class AgeCounter:
    """What one process knows of the record.

    If several processes run at once, only the one that made the last change makes the next, so no second is counted
    twice."""

    def __init__(self, clock: Clock = utc_now, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._elapsed = clock, elapsed
        self._seen: AgeRecord | None = None
        self._seen_at = elapsed()

    def now(self) -> float:
        return 0.0 if self._seen is None else self._seen.seconds + self._elapsed() - self._seen_at

    def advanced(self, stored: AgeRecord) -> AgeRecord:
        """Return the record to store instead of `stored`."""
        passed = self._elapsed() - self._seen_at
        if self._seen is None:
            return stored.begin(self._clock())
        return stored.advance(self._clock(), passed) if stored.turns == self._seen.turns else stored

    def observe(self, record: AgeRecord) -> None:
        """Take note of the record that is now stored."""
        self._seen, self._seen_at = record, self._elapsed()


class LocalServiceAge:
    """The age of this process alone; nothing is stored."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed

    def now(self) -> float:
        return self._elapsed()

    async def advance(self) -> None:
        return None
