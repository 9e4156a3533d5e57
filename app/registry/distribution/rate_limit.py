"""Limits for all requests to one registry, across jobs: concurrency, requests and bytes per second, and pauses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.errors import RegistryRateLimited
from app.net.backoff import MAX_RETRY_AFTER_SECONDS, REAL, TimeSource
from app.net.retry_observer import report_hold
from app.registry.distribution.manifest_lock import ManifestLocks

MAX_CONCURRENCY = 32  # concurrent requests; the pushes of a service have fewer in progress
MIN_CONCURRENCY = 2  # so that a blob that takes an hour does not stop the small requests
SLICES = 4  # slices per second of a rate-limited body, so that the connection is never idle
MIN_SLICE_BYTES = 4 << 10


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Limits set by the operator; None: unlimited."""

    requests_per_second: float | None = None
    bytes_per_second: float | None = None


UNLIMITED = RateLimits()


class RatePacer:
    """Spreads spending evenly over time."""

    def __init__(self, rate: float | None, pause: TimeSource) -> None:
        self._rate, self._pause = rate, pause
        self._free_at = 0.0

    async def spend(self, amount: float) -> None:
        if self._rate is None:
            return
        now = self._pause.now()
        begins = max(now, self._free_at)
        self._free_at = begins + amount / self._rate  # before waiting: the next caller waits for this one
        if begins > now:
            await self._pause.sleep(begins - now)


class RequestThrottle:
    """The throttle of one registry host.

    A 429 or 503 halves the concurrency, and each full round of successful responses raises it by one. A Retry-After
    stops all requests.
    """

    def __init__(self, limits: RateLimits = UNLIMITED, pause: TimeSource = REAL) -> None:
        self._limits, self._pause = limits, pause
        self.concurrency = MAX_CONCURRENCY
        self.manifests = ManifestLocks()
        self._running = 0
        self._successes = 0
        self._reductions = 0
        self._paused_until = 0.0
        self._requests = RatePacer(limits.requests_per_second, pause)
        self._bytes = RatePacer(limits.bytes_per_second, pause)
        self._changed = asyncio.Event()

    @property
    def byte_quantum(self) -> int | None:
        """Return the bytes that may be spent at once, or None for any number."""
        rate = self._limits.bytes_per_second
        return None if rate is None else max(MIN_SLICE_BYTES, int(rate / SLICES))

    @asynccontextmanager
    async def slot(self, *, urgent: bool = False) -> AsyncIterator[int]:
        """Acquire a slot for one request.

        The ticket is for `record_response`. `urgent`: a cleanup, which does not wait.
        """
        if not urgent:
            await self._wait_until_admitted()
        self._running += 1
        try:
            yield self._reductions
        finally:
            self._running -= 1
            self._changed.set()

    async def _wait_until_admitted(self) -> None:
        await self._requests.spend(1)
        while True:
            wait = self._paused_until - self._pause.now()
            if wait > 0:
                error = RegistryRateLimited(f"the registry asked for a pause; {wait:.1f} s remain")
                report_hold(error, wait)
                await self._pause.sleep(wait)
            elif self._running < self.concurrency:
                return
            else:
                self._changed.clear()
                await self._changed.wait()

    def record_response(self, ticket: int, *, slow_down: bool, retry_after: float | None = None) -> None:
        """Record the result of a request.

        If several concurrent requests report it, only the first lowers the concurrency.
        """
        if slow_down:
            if ticket == self._reductions:
                self.concurrency = max(MIN_CONCURRENCY, min(self.concurrency, self._running) // 2)
                self._reductions += 1
            self._successes = 0
            if retry_after is not None:
                until = self._pause.now() + min(retry_after, MAX_RETRY_AFTER_SECONDS)
                self._paused_until = max(self._paused_until, until)
            return
        self._successes += 1
        if self._successes >= self.concurrency and self.concurrency < MAX_CONCURRENCY:
            self.concurrency, self._successes = self.concurrency + 1, 0
            self._changed.set()

    async def spend(self, count: int) -> None:
        """Wait until `count` more bytes may be sent."""
        await self._bytes.spend(count)
