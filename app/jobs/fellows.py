"""The replicas of one service: the Fellows port."""

from __future__ import annotations

from typing import Protocol


class Fellows(Protocol):
    """Who else is at work. Raises Unavailable."""

    @property
    def beat_seconds(self) -> float: ...

    async def beat(self) -> tuple[str, ...]:
        """A sign of life of this replica; the ids of jobs whose uploads died with a replica that gives none."""
        ...

    async def leave(self) -> None:
        """This replica stops in order."""
        ...


__all__ = ["Fellows"]
