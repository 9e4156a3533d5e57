"""One question to a registry for all who ask about it at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from app.errors import RegistryError
from app.registry.distribution.probe import CHECK_SECONDS, RegistryReport, probe_with_timeout

KEPT_SECONDS = 5.0  # from the begin of a question to the next one

Check = Callable[[], Awaitable[RegistryReport]]


class Probe:
    """Of one registry. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked = 0.0
        self._task: asyncio.Task[RegistryReport | RegistryError] | None = None

    async def outcome(self, url: str, check: Check) -> RegistryReport | RegistryError:
        """Return what `check` returned or raised in the last KEPT_SECONDS, or does now."""
        task = self._task
        if task is None or (task.done() and self._clock() - self._asked >= KEPT_SECONDS):
            self._asked = self._clock()
            task = self._task = asyncio.create_task(probe_with_timeout(url, check, CHECK_SECONDS))
        return await asyncio.shield(task)  # others wait for it, too


__all__ = ["KEPT_SECONDS", "Probe"]
