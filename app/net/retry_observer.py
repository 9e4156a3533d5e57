"""Reports of failed, repeated and successful requests to the job that sends them.

Jobs that run at the same time share a registry. The observer therefore belongs to the context that the tasks of a job
inherit, not to the registry. `app.net.warnings` works the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from app.errors import RegistryError


class RetryObserver(Protocol):
    """Observer of requests, called on the event loop. Its methods must neither wait nor raise."""

    def request_failed(self, error: RegistryError, wait: float) -> None:
        """Record that a request failed with `error` and is sent again after `wait` seconds."""
        ...

    def request_held(self, error: RegistryError, wait: float) -> None:
        """Record that a request is delayed for `wait` seconds.

        `error` is the response to another request, or describes what a running request still waits for.
        """
        ...

    def request_succeeded(self) -> None: ...


_observer: ContextVar[RetryObserver | None] = ContextVar("_observer", default=None)


@contextmanager
def observe_retries(observer: RetryObserver) -> Iterator[None]:
    """Report to `observer` the requests of the block, and of tasks that are created within it."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def report_failure(error: RegistryError, wait: float) -> None:
    """Report a failure. Call this before the wait that precedes the next attempt."""
    if (observer := _observer.get()) is not None:
        observer.request_failed(error, wait)


def report_hold(error: RegistryError, wait: float) -> None:
    """Report a pause that the registry asked for. Call this before the wait."""
    if (observer := _observer.get()) is not None:
        observer.request_held(error, wait)


@contextmanager
def report_delay(seconds: float, error: Callable[[], RegistryError]) -> Iterator[Callable[[], None]]:
    """Report `error()` if the block takes longer than `seconds`, and its success afterwards.

    The time starts when the yielded function is called.
    """
    timers: list[asyncio.TimerHandle] = []
    is_late = asyncio.Event()

    def report() -> None:
        is_late.set()
        report_hold(error(), 0.0)

    try:
        yield lambda: timers.append(asyncio.get_running_loop().call_later(seconds, report))
        if is_late.is_set():
            report_success()
    finally:
        for timer in timers:
            timer.cancel()


def report_success() -> None:
    if (observer := _observer.get()) is not None:
        observer.request_succeeded()
