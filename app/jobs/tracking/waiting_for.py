"""What a job waits for during an outage of its registry: `waiting_for` of the job document."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from app.errors import Problem


@dataclass(frozen=True, slots=True)
class WaitingFor:
    """The outage that a job waits for. `registry` is the name of a configured registry.

    `since`: time at which the first request failed or was delayed. `attempts`: failed requests since then.
    `last_error`: code and message of the latest failure. `next_at`: time of the next request; None while one is under
    way."""

    registry: str
    since: datetime
    attempts: int
    last_error: str
    next_at: datetime | None = None

    @classmethod
    def begin(cls, registry: str, now: datetime) -> Self:
        return cls(registry, now, 0, "")

    def after(self, problem: Problem, now: datetime, next_at: datetime | None, *, is_attempt: bool = True) -> Self:
        """Return the state after `problem`, whose request is retried at `next_at`.

        Several requests may wait at once; the earliest counts. `is_attempt` says whether the request was sent."""
        pending = [at for at in (self.next_at, next_at) if at is not None and at > now]
        return replace(
            self,
            attempts=self.attempts + is_attempt,
            last_error=f"{problem.code}: {problem.detail}",
            next_at=min(pending, default=next_at),
        )
