"""Time that passes only when somebody waits."""

from __future__ import annotations

import asyncio
import random

from app.net.backoff import TimeSource


class Lapse:
    """`pause` for whatever waits; `waits` holds every wait in seconds, `now` their sum."""

    def __init__(self, seed: int | None = 1) -> None:
        self.waits: list[float] = []
        self.now = 0.0
        chance = random.Random(seed).random if seed is not None else (lambda: 1.0)
        self.pause = TimeSource(self._sleep, chance, lambda: self.now)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        until = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, until)
