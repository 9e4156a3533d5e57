"""An event loop whose clock leaps over the time in which nothing happens."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
STILL_SECONDS = 0.02  # without an event and without a thread at work: what is sent on loopback is there by then


class LeapingLoop(asyncio.SelectorEventLoop):
    """Time limits of any length end at once if nothing comes, and on a busy machine no earlier than the work that they
    limit. Only for peers that run in this loop: another process has time within `still` alone."""

    def __init__(self) -> None:
        self._leapt = 0.0
        self._threads = 0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return super().time() + self._leapt

    def leap(self, seconds: float) -> None:
        self._leapt += seconds

    @contextmanager
    def still(self) -> Iterator[None]:
        """Leap over nothing: somebody outside of the loop is at work."""
        self._threads += 1
        try:
            yield
        finally:
            self._threads -= 1

    @property
    def has_threads(self) -> bool:
        """Whether a thread is at work whose result is awaited."""
        return self._threads > 0

    def run_in_executor(  # type: ignore[override]  # as asyncio's own, which is declared with type variables of its own
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._end_thread)
        return future

    def _end_thread(self, _: asyncio.Future[Any]) -> None:
        self._threads -= 1


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: LeapingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= STILL_SECONDS or self._loop.has_threads:
            return super().select(timeout)
        found = super().select(STILL_SECONDS)
        if not found:
            self._loop.leap(timeout - STILL_SECONDS)
        return found
