"""AuditRetention: deletes the oldest entries of the audit trail, if the operator has set a bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AuditBounds:
    """`oldest`: the age of the service since which the entries that are kept were written; both it and the clock must
    say that an entry is old, so that a clock that is wrong deletes nothing. None: no bound."""

    now: datetime
    keep: timedelta | None = None
    oldest: float = 0.0
    max_bytes: int | None = None

    def is_beyond(self, at: datetime, age: float, size: int) -> bool:
        """Whether an entry of `at` and `age` goes, if all that are left with it have `size` bytes."""
        if self.max_bytes is not None and size > self.max_bytes:
            return True
        if self.keep is None:
            return False
        return not self.now - self.keep <= at <= self.now and age <= self.oldest


class AuditEntries(Protocol):
    async def delete_entries(self, bounds: AuditBounds) -> int:
        """Delete the oldest entries that are beyond `bounds`, some at a time. Return how many went. Raises
        Unavailable."""
        ...


def _ignore(count: int) -> None: ...


@dataclass(frozen=True, slots=True)
class AuditRetention:
    """`keep`: the age at which entries go; `max_bytes`: of all of them as JSON; None: no bound. `deleted` is called
    with the number of entries that went."""

    trail: AuditEntries
    keep: timedelta | None = None
    max_bytes: int | None = None
    deleted: Callable[[int], None] = _ignore

    async def apply(self, now: datetime, service_age: float) -> int:
        """Return how many entries went. Raises Unavailable."""
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
