"""Whose turn it is to store a manifest in a repository."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class ManifestTurn:
    """Of one repository."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.in_vain = 0


class ManifestTurns:
    """Shared by all that speak to the same host."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, ManifestTurn] = WeakValueDictionary()

    def at(self, repository: str) -> ManifestTurn:
        """Gone when nobody holds it or waits for it."""
        turn = self._turns.get(repository)
        if turn is None:
            turn = self._turns[repository] = ManifestTurn()
        return turn
