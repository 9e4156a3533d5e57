"""The replicas of one service: the Fellows port."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SweepSchedule:
    """How often the spool that replicas share is swept, and how long ago a job must have ended whose leftovers go."""

    interval: timedelta = timedelta(minutes=10)
    age: timedelta = timedelta(hours=1)


class ReplicaHeartbeat(Protocol):
    """Who else is at work. Raises Unavailable."""

    @property
    def beat_seconds(self) -> float: ...

    async def heartbeat(self) -> tuple[str, ...]:
        """A sign of life of this replica; the ids of jobs whose uploads died with a replica that gives none."""
        ...

    async def leave(self) -> None:
        """This replica stops in order."""
        ...


__all__ = ["ReplicaHeartbeat", "SweepSchedule"]
