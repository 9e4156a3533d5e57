"""What a job waits for while its registry does not answer: the `waiting_for` of the job document."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from app.errors import Problem


@dataclass(frozen=True, slots=True)
class WaitingFor:
    """`registry` is the name of a configured registry. `since`: when the first request failed; `attempts`: requests
    that have failed since then; `last_error`: code and message of the latest; `next_at`: when the next one follows,
    None if one is under way."""

    registry: str
    since: datetime
    attempts: int
    last_error: str
    next_at: datetime | None = None

    @classmethod
    def after(cls, before: Self | None, registry: str, problem: Problem, now: datetime, next_at: datetime) -> Self:
        """Return the state after one more request failed with `problem`; several may wait at the same time."""
        error = f"{problem.code}: {problem.detail}"
        if before is None:
            return cls(registry, now, 1, error, next_at)
        pending = before.next_at is not None and before.next_at > now
        first = min(before.next_at, next_at) if pending and before.next_at is not None else next_at
        return replace(before, attempts=before.attempts + 1, last_error=error, next_at=first)
