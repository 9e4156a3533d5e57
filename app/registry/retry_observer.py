"""Reports that requests fail and are sent again, or succeed, to the job that sends them.

Jobs that run at the same time share a registry. The observer therefore belongs to the context that the tasks of a job
inherit, not to the registry. `registry.warnings` does the same."""

from __future__ import annotations

from collections.abc import Iterator
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
        """A request is not sent for `wait` seconds, because `error` was the answer to another one."""
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


def report_success() -> None:
    if (observer := _observer.get()) is not None:
        observer.request_succeeded()
