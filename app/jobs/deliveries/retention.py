"""DeliveryRetention: deletes the reports of old deliveries whose jobs are deleted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from app.jobs.deliveries.store import DeliveryStore, Expiry

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryRetention:
    """`keep`: the time for which a delivery is kept after its last job has ended."""

    store: DeliveryStore
    keep: timedelta

    async def apply(self, now: datetime, service_age: float) -> int:
        """Delete old deliveries, and return how many were deleted. Raises Unavailable.

        The service must also have run for `keep` since: a wrong clock deletes nothing."""
        expiry = Expiry(now, now - self.keep, service_age - self.keep.total_seconds())
        total = 0
        while count := await self.store.delete_old_deliveries(expiry):
            total += count
        if total:
            _log.info("delivery.deleted", deliveries=total)
        return total


__all__ = ["DeliveryRetention"]
