"""Delays between retries, and the clock they depend on. Pure, except for `TimeSource`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.errors import RegistryError, RegistryRateLimited

MAX_RETRY_AFTER_SECONDS = 300.0  # seconds; a longer Retry-After is cut to this, and the request is retried


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits of retries; times in seconds.

    The wait between two attempts is a random part of `first_wait`, doubled with each attempt, plus the registry's
    Retry-After. Full jitter spreads the retries of workers that failed together.
    """

    tries: int = 6
    patience: float = 600.0  # total wait; the attempts are not counted, because a large blob may need an hour
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_retry_after: float = MAX_RETRY_AFTER_SECONDS


DEFAULT_POLICY = RetryPolicy()


@dataclass(frozen=True, slots=True)
class TimeSource:
    """Clock, sleep and random numbers; tests replace them."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    now: Callable[[], float] = time.monotonic


REAL = TimeSource()


def delay_after(error: RegistryError, number: int, policy: RetryPolicy, chance: float) -> float:
    """Return the seconds between attempt `number` (from 1), which failed with `error`, and the next one."""
    wait = min(policy.longest_wait, policy.first_wait * 2.0 ** (number - 1)) * chance
    return wait + honoured_wait(error, policy)


def honoured_wait(error: RegistryError, policy: RetryPolicy) -> float:
    """Return the part of a wait that the registry asked for."""
    asked = error.retry_after if isinstance(error, RegistryRateLimited) else None
    return min(asked or 0.0, policy.longest_retry_after)
