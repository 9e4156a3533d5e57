"""Storage of deliveries: the DeliveryStore port."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.jobs.deliveries.model import Delivery, DeliverySummary, ReportRow
from app.jobs.store import Key

RowKey = tuple[str, str, int]  # path, job, number
StoredRow = tuple[RowKey, ReportRow]


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """Selects deliveries that match all members, newest first. None matches any.

    `submitter`: only deliveries that the caller may see; `submitted_by`: only those that it asked for. `text`: a part
    of the name, in lower case. `before`: only deliveries older than this key."""

    limit: int = 50
    before: Key | None = None
    submitter: str | None = None
    submitted_by: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Expiry:
    """A delivery is deleted if the clock says that it ended before `ended_before`, and the age of the service that it
    ended before `age`."""

    now: datetime
    ended_before: datetime
    age: float


class DeliveryStore(Protocol):
    """Deliveries and the rows of their reports. The rows of a job are written with the job."""

    async def join_delivery(self, new: Delivery, key: str | None) -> Delivery:
        """Store `new`, unless an open delivery has the same `key`: then return that one. Raises Unavailable."""
        ...

    async def get_delivery(self, delivery_id: str) -> Delivery | None: ...

    async def list_deliveries(self, query: DeliveryQuery) -> tuple[Delivery, ...]: ...

    async def summarize(self, deliveries: Sequence[Delivery]) -> tuple[DeliverySummary, ...]: ...

    async def delivery_rows(self, delivery_id: str, after: RowKey | None, limit: int) -> tuple[StoredRow, ...]:
        """Return the rows after the row with the key `after`, by path, job and number."""
        ...

    async def list_files(self, delivery_id: str, rows: Sequence[ReportRow]) -> None:
        """Add rows of listed files. A row with the same path replaces an earlier one."""
        ...

    async def count_listed(self, delivery_id: str) -> int:
        """Return the number of rows of listed files."""
        ...

    async def close_delivery(self, delivery_id: str) -> None:
        """Let the next use of its name begin another delivery."""
        ...

    async def delete_delivery(self, delivery_id: str) -> None: ...

    async def delete_old_deliveries(self, expiry: Expiry) -> int:
        """Delete deliveries without jobs, and return how many were deleted."""
        ...


__all__ = ["DeliveryQuery", "DeliveryStore", "Expiry", "RowKey", "StoredRow"]
