"""Idle: whether something was left unchanged for so long that it expires.

The clock alone does not decide: this process must have seen it unchanged for a while too."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import timedelta

SEEN_FOR = timedelta(hours=6)  # a wrong clock at boot is corrected within this time; a station runs as long each day


class Idle:
    """Tracks unchanged things by key. `elapsed` is monotonic, in seconds."""

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._seen: dict[str, tuple[float, float]] = {}  # by key: when it was touched, and when that was seen first

    def is_over(self, key: str, touched: float, now: float, limit: timedelta) -> bool:
        """Return whether `key` was unchanged for `limit`. `touched` and `now` are seconds since 1970.

        It was if this process has seen it unchanged for `limit`, regardless of the clock. Call this regularly."""
        present = self._elapsed()
        if self._seen.get(key, (None, 0.0))[0] != touched:
            self._seen[key] = (touched, present)
        seen = present - self._seen[key][1]
        if seen >= limit.total_seconds():
            return True
        return now - touched >= limit.total_seconds() and seen >= min(limit, SEEN_FOR).total_seconds()

    def keep(self, keys: Collection[str]) -> None:
        """Forget all other keys."""
        self._seen = {key: seen for key, seen in self._seen.items() if key in keys}
