"""Locks that serialize the storing of manifests per repository."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class ManifestTurn:
    """The lock of one repository. `in_vain` counts futile repetitions in a row."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.in_vain = 0


class ManifestTurns:
    """The locks of one host, shared by all its users."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, ManifestTurn] = WeakValueDictionary()

    def at(self, repository: str) -> ManifestTurn:
        """Return the lock of `repository`. It is discarded once it is neither locked nor awaited."""
        turn = self._turns.get(repository)
        if turn is None:
            turn = self._turns[repository] = ManifestTurn()
        return turn
