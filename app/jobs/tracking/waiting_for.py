"""What a job waits for while its registry does not answer: the `waiting_for` of the job document."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from app.errors import Problem


@dataclass(frozen=True, slots=True)
class WaitingFor:
    """`registry` is the name of a configured registry. `since`: when the first request failed or was held back;
    `attempts`: requests that have failed since then; `last_error`: code and message of the latest failure; `next_at`:
    when the next request follows, None if one is under way."""

    registry: str
    since: datetime
    attempts: int
    last_error: str
    next_at: datetime | None = None

    @classmethod
    def begin(cls, registry: str, now: datetime) -> Self:
        return cls(registry, now, 0, "")

    def after(self, problem: Problem, now: datetime, next_at: datetime | None, *, is_attempt: bool = True) -> Self:
        """Return the state after `problem` with one more request, the next try of which follows at `next_at`. Several
        requests may wait at the same time: the first of them counts. `is_attempt`: the request was sent."""
        pending = [at for at in (self.next_at, next_at) if at is not None and at > now]
        return replace(
            self,
            attempts=self.attempts + is_attempt,
            last_error=f"{problem.code}: {problem.detail}",
            next_at=min(pending, default=next_at),
        )
