"""JobNotifications: port for changes of jobs by other replicas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

ChangeListener = Callable[[str | None], None]


class JobNotifications(Protocol):
    """Notifies this replica of changes that others make to jobs."""

    async def subscribe(self, notify: ChangeListener) -> None:
        """Call `notify` with the id of each job that another replica has written, until cancelled.

        Call it with None if notifications may have been missed. Connection errors are retried, not raised."""
        ...


__all__ = ["ChangeListener", "JobNotifications"]
