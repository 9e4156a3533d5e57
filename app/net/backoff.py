"""How long to wait before trying again, and what waiting needs of the world. Pure but for `TimeSource`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.errors import RegistryError, RegistryRateLimited

LONGEST_RETRY_AFTER = 300.0  # seconds; what asks for more gets this, and another try


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Times in seconds. Between two tries a random part of `first_wait`, doubled with each try (full jitter: workers
    that failed together do not come back together), on top of a registry's Retry-After."""

    tries: int = 6
    patience: float = 600.0  # of waiting in all; what the tries take is not counted, a large blob may need an hour
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_retry_after: float = LONGEST_RETRY_AFTER


DEFAULT_POLICY = RetryPolicy()


@dataclass(frozen=True, slots=True)
class TimeSource:
    """What waiting needs of the world; tests bring their own."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    now: Callable[[], float] = time.monotonic


REAL = TimeSource()


def delay_after(error: RegistryError, number: int, policy: RetryPolicy, chance: float) -> float:
    """Seconds between try `number` (from 1), which failed with `error`, and the next."""
    wait = min(policy.longest_wait, policy.first_wait * 2.0 ** (number - 1)) * chance
    return wait + honoured_wait(error, policy)


def honoured_wait(error: RegistryError, policy: RetryPolicy) -> float:
    """Return the part of a wait that the registry asked for."""
    asked = error.retry_after if isinstance(error, RegistryRateLimited) else None
    return min(asked or 0.0, policy.longest_retry_after)
