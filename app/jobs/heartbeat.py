"""ReplicaHeartbeat: port for the replicas of one service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SweepSchedule:
    """When the shared spool is swept.

    `age` is the minimum time since the end of a job whose leftover files are deleted."""

    interval: timedelta = timedelta(minutes=10)
    age: timedelta = timedelta(hours=1)


class ReplicaHeartbeat(Protocol):
    """The heartbeat of this replica, and the detection of dead ones. Every method raises Unavailable."""

    @property
    def beat_seconds(self) -> float: ...

    async def heartbeat(self) -> tuple[str, ...]:
        """Record a heartbeat; return the ids of jobs whose uploads were received by a replica that is now dead."""
        ...

    async def leave(self) -> None:
        """Sign off: this replica shuts down."""
        ...


__all__ = ["ReplicaHeartbeat", "SweepSchedule"]
