"""One probe of a registry for all requests of the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from app.errors import RegistryError
from app.registry.distribution.probe import CHECK_SECONDS, RegistryReport, probe_with_timeout

KEPT_SECONDS = 5.0  # between the starts of two probes

Check = Callable[[], Awaitable[RegistryReport]]


class Probe:
    """The probe of one registry. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked = 0.0
        self._task: asyncio.Task[RegistryReport | RegistryError] | None = None

    async def outcome(self, url: str, check: Check) -> RegistryReport | RegistryError:
        """Return the outcome of `check` of the last KEPT_SECONDS, or of a new call."""
        task = self._task
        if task is None or (task.done() and self._clock() - self._asked >= KEPT_SECONDS):
            self._asked = self._clock()
            task = self._task = asyncio.create_task(probe_with_timeout(url, check, CHECK_SECONDS))
        return await asyncio.shield(task)  # other requests wait for it, too


__all__ = ["KEPT_SECONDS", "Probe"]
