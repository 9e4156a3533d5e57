"""Rate limits of one token, or without tokens of one address: requests per second, and long requests at once.

Each kind of request has a token bucket for each share. Its capacity is the number of requests that may arrive at once;
it fills by the rate. Long requests (uploads, waits, event streams) are counted while they last: a share may use half of
the places that the others leave free.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.context import CALLER
from app.api.middleware.limits import MOST, LongRequest, classify_request
from app.api.problems import problem_response
from app.auth.model import EVERYBODY, Caller, is_too_many
from app.errors import Busy, RateLimited
from app.net.addresses import share_of
from app.telemetry.metrics import Metrics

MAX_SHARES = 10_000  # of one kind; the least recently used are dropped
_NO_LEVELS: Mapping[str, tuple[float, float]] = {}
FREE = frozenset({"/healthz", "/readyz"})
_STEERING = re.compile(r"/jobs/[^/]+/(?:cancel|retry)|/uploads/[^/]+/push|/(?:deliveries|store)(?:/.*)?")


class Kind(StrEnum):
    REQUESTS = "requests"  # all but those of the other kinds
    UPLOADS = "uploads"  # that create a job
    JOBS = "jobs"  # that change one: cancel, retry, delete, push a retained archive
    PULLS = "pulls"  # below /v2/
    FAILURES = "failures"  # of authentication, by address


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_second` requests, and `at_once` after a pause. 0 per second means no limit."""

    per_second: float
    at_once: int


DEFAULT_RATES: Mapping[Kind, Rate] = {
    Kind.REQUESTS: Rate(200, 2_000),
    Kind.UPLOADS: Rate(50, 2_000),
    Kind.JOBS: Rate(20, 500),
    Kind.PULLS: Rate(1_000, 10_000),  # a node pulls some hundred blobs at once, and all nodes may have one token
    Kind.FAILURES: Rate(1, 50),
}


def rates_of(per_second: Mapping[Kind, float]) -> Mapping[Kind, Rate]:
    """Return rates whose bursts are in the same proportion as those of the defaults."""
    return {
        kind: Rate(rate, max(1, round(rate * DEFAULT_RATES[kind].at_once / DEFAULT_RATES[kind].per_second)))
        for kind, rate in per_second.items()
    }


@dataclass(slots=True)
class Buckets:
    """The buckets of all shares. `clock` returns monotonic seconds."""

    rates: Mapping[Kind, Rate] = field(default_factory=lambda: DEFAULT_RATES)
    clock: Callable[[], float] = time.monotonic
    metrics: Metrics | None = None
    _levels: dict[Kind, OrderedDict[str, tuple[float, float]]] = field(default_factory=dict)

    def take(self, kind: Kind, share: str) -> None:
        """Count one request. Raises RateLimited."""
        wait = self._missing(kind, share)
        if wait > 0:
            raise self._limited(kind, wait)
        self._spend(kind, share)

    def check(self, kind: Kind, share: str) -> None:
        """Raise RateLimited as `take` does, without counting."""
        wait = self._missing(kind, share)
        if wait > 0:
            raise self._limited(kind, wait)

    def count(self, kind: Kind, share: str) -> None:
        """Count a request whose kind became known later."""
        if self._missing(kind, share) <= 0:
            self._spend(kind, share)

    def _level(self, kind: Kind, share: str) -> float:
        rate = self.rates[kind]
        level, since = self._levels.get(kind, _NO_LEVELS).get(share, (float(rate.at_once), self.clock()))
        return min(float(rate.at_once), level + (self.clock() - since) * rate.per_second)

    def _missing(self, kind: Kind, share: str) -> float:
        """Return the seconds until one more request is allowed; 0 if it is now."""
        rate = self.rates[kind]
        if not rate.per_second:
            return 0.0
        return max(0.0, (1.0 - self._level(kind, share)) / rate.per_second)

    def _spend(self, kind: Kind, share: str) -> None:
        if not self.rates[kind].per_second:
            return
        levels = self._levels.setdefault(kind, OrderedDict())
        levels[share] = (self._level(kind, share) - 1.0, self.clock())
        levels.move_to_end(share)
        while len(levels) > MAX_SHARES:
            levels.popitem(last=False)

    def _limited(self, kind: Kind, wait: float) -> RateLimited:
        if self.metrics is not None:
            self.metrics.rate_limited.labels(kind.value).inc()
        seconds = max(1, math.ceil(wait))
        return RateLimited(
            f"more than {self.rates[kind].per_second:g} {kind} a second; wait {seconds} s, and send fewer at once",
            retry_after=seconds,
        )


def kind_of(scope: Scope) -> Kind | None:
    """Return the kind of a request; None if it has no limit."""
    method, path = scope["method"], scope["path"]
    if path in FREE:
        return None
    if path == "/v2" or path.startswith("/v2/"):
        return Kind.PULLS
    if method == "DELETE" or (method == "POST" and _STEERING.fullmatch(path)):
        return Kind.JOBS
    begins = method in ("POST", "PUT") and path.startswith(("/push", "/uploads"))
    return Kind.UPLOADS if begins or path.endswith("/images/load") else Kind.REQUESTS


class Rates:
    """Pure ASGI, below authentication. Responds 429 with Retry-After."""

    def __init__(self, app: ASGIApp, buckets: Buckets, most: Mapping[LongRequest, int] = MOST) -> None:
        self._app, self._buckets, self._most = app, buckets, most
        self._present: dict[LongRequest, Counter[str]] = {crowd: Counter() for crowd in LongRequest}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = kind_of(scope) if scope["type"] == "http" else None
        if kind is None:
            await self._app(scope, receive, send)
            return
        caller: Caller = scope.get(CALLER, EVERYBODY)
        try:
            self._buckets.take(kind, share_of_caller(caller))
        except RateLimited as error:
            await limited_response(error)(scope, receive, send)
            return
        crowd = classify_request(scope)
        if crowd is None or not caller.name:
            await self._app(scope, receive, send)
            return
        await self._among_others(crowd, caller.name)(scope, receive, send)

    def _among_others(self, crowd: LongRequest, share: str) -> ASGIApp:
        present = self._present[crowd]
        if is_too_many(present[share] + 1, present.total() - present[share], self._most[crowd]):
            return problem_response(
                Busy(f"the token of {share} has as many {crowd} under way as one may have now; try again later")
            )

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            present[share] += 1
            try:
                await self._app(scope, receive, send)
            finally:
                present[share] -= 1
                if not present[share]:
                    del present[share]

        return counted


def share_of_caller(caller: Caller) -> str:
    return caller.name or share_of(caller.submitter.address)


def limited_response(error: RateLimited) -> ASGIApp:
    return problem_response(error, {"Retry-After": str(error.retry_after)})


__all__ = [
    "DEFAULT_RATES",
    "Buckets",
    "Kind",
    "Rate",
    "Rates",
    "kind_of",
    "limited_response",
    "rates_of",
    "share_of_caller",
]
