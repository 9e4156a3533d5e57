"""Times in queries."""

from __future__ import annotations

from datetime import UTC, datetime

from app.errors import InvalidRequest


def in_utc(moment: datetime | None, name: str) -> datetime | None:
    """Return `moment` in UTC; without an offset it is UTC. `name` is its parameter. Raises InvalidRequest."""
    try:
        aware = moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware and aware.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest(f"`{name}` lies outside of the years 1 to 9999") from None


__all__ = ["in_utc"]
