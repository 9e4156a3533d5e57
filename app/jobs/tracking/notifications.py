"""What other replicas did to jobs: the Announcements port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Told = Callable[[str | None], None]


class JobNotifications(Protocol):
    """How a change of a job by one replica reaches the others."""

    async def subscribe(self, told: Told) -> None:
        """Until cancelled: call `told` with the id of every job that another replica has written, and with None where
        some may have been missed. Raises nothing of its own: what is out of reach is tried again."""
        ...


__all__ = ["JobNotifications", "Told"]
