"""AuditRetention: deletes the oldest entries of the audit trail, if the operator has set a limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AuditBounds:
    """Limits of the trail; None means unlimited.

    `oldest` is the service age at which the oldest entries to be kept were written. Both it and the clock must say that
    an entry is old, so that a wrong clock deletes nothing."""

    now: datetime
    keep: timedelta | None = None
    oldest: float = 0.0
    max_bytes: int | None = None

    def is_beyond(self, at: datetime, age: float, size: int) -> bool:
        """Return whether an entry of `at` and `age` is beyond the limits.

        `size` is the size in bytes of the entry and all newer ones."""
        if self.max_bytes is not None and size > self.max_bytes:
            return True
        if self.keep is None:
            return False
        return not self.now - self.keep <= at <= self.now and age <= self.oldest


class AuditEntries(Protocol):
    """The part of the job store that deletes audit entries."""

    async def delete_entries(self, bounds: AuditBounds) -> int:
        """Delete a batch of the oldest entries beyond `bounds` and return their number. Raises Unavailable."""
        ...


def _ignore(count: int) -> None: ...


@dataclass(frozen=True, slots=True)
class AuditRetention:
    """Applies the limits: `keep` is the maximum age, `max_bytes` the maximum total size as JSON; None means unlimited.

    `deleted` is called with the number of deleted entries."""

    trail: AuditEntries
    keep: timedelta | None = None
    max_bytes: int | None = None
    deleted: Callable[[int], None] = _ignore

    async def apply(self, now: datetime, service_age: float) -> int:
        """Delete the entries beyond the limits and return their number. Raises Unavailable."""
        if self.keep is None and self.max_bytes is None:
            return 0
        oldest = 0.0 if self.keep is None else service_age - self.keep.total_seconds()
        bounds = AuditBounds(now, self.keep, oldest, self.max_bytes)
        total = 0
        while count := await self.trail.delete_entries(bounds):
            total += count
            self.deleted(count)
        if total:
            _log.info("audit.deleted", entries=total)
        return total


__all__ = ["AuditBounds", "AuditEntries", "AuditRetention"]
