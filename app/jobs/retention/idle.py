"""Idle: whether something was left alone for so long that it goes. The clock alone does not decide that: this process
must have seen it unchanged for a while, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import timedelta

SEEN_FOR = timedelta(hours=6)  # a clock that a machine started with is put right before; a station runs so long a day


class Idle:
    """`elapsed`: seconds that only grow."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._seen: dict[str, tuple[float, float]] = {}  # by key: when it was touched, and when that was seen first

    def is_over(self, key: str, touched: float, now: float, limit: timedelta) -> bool:
        """Return whether `key` was left alone for `limit`. `touched` and `now` are times of day, in seconds since 1970.
        After `limit` before the eyes of this process it was, whatever they say. Ask regularly."""
        present = self._elapsed()
        if self._seen.get(key, (None, 0.0))[0] != touched:
            self._seen[key] = (touched, present)
        seen = present - self._seen[key][1]
        if seen >= limit.total_seconds():
            return True
        return now - touched >= limit.total_seconds() and seen >= min(limit, SEEN_FOR).total_seconds()

    def keep(self, keys: Collection[str]) -> None:
        """Forget all others."""
        self._seen = {key: seen for key, seen in self._seen.items() if key in keys}
