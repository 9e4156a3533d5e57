"""Reports that requests fail and are sent again, or succeed, to the job that sends them.

Jobs that run at the same time share a registry. The observer therefore belongs to the context that the tasks of a job
inherit, not to the registry. `registry.warnings` does the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from app.errors import RegistryError


class RetryObserver(Protocol):
    """Called on the event loop; must neither wait nor raise."""

    def request_failed(self, error: RegistryError, wait: float) -> None:
        """A request failed with `error` and is sent again after `wait` seconds."""
        ...

    def request_held(self, error: RegistryError, wait: float) -> None:
        """A request is not sent for `wait` seconds, because `error` was the answer to another one; or `error` says what
        has not come yet of one that is under way."""
        ...

    def request_succeeded(self) -> None: ...


_observer: ContextVar[RetryObserver | None] = ContextVar("_observer", default=None)


@contextmanager
def observe_retries(observer: RetryObserver) -> Iterator[None]:
    """Report to `observer` the requests that are sent within the block, and by tasks that are created within it."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def report_failure(error: RegistryError, wait: float) -> None:
    """Call before the wait that precedes the next try."""
    if (observer := _observer.get()) is not None:
        observer.request_failed(error, wait)


def report_hold(error: RegistryError, wait: float) -> None:
    """Call before the wait for a registry that asked not to be sent anything meanwhile."""
    if (observer := _observer.get()) is not None:
        observer.request_held(error, wait)


@contextmanager
def report_delay(seconds: float, error: Callable[[], RegistryError]) -> Iterator[Callable[[], None]]:
    """Report what `error` returns if the block takes longer than `seconds` from the call of what it is given, and its
    success afterwards."""
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
