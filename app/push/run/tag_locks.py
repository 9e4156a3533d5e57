"""One at a time: changes that read what stands under a tag and write it back with more in it."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class TagLocks:
    """Shared by every push of a process: two that each added to the same list would else lose what the other added.
    Against other processes there is no help, as registries have no compare-and-swap."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def lock(self, repository: str, tag: str) -> asyncio.Lock:
        """To be held while what stands under `tag` is read and written; gone when nobody holds it or waits."""
        lock = self._locks.get((repository, tag))
        if lock is None:
            lock = self._locks[repository, tag] = asyncio.Lock()
        return lock
