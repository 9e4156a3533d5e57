"""Locks for changes that read the content of a tag and write it back extended."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class TagLocks:
    """The locks of all pushes in a process: two that add to the same index would otherwise lose an addition.

    It does not protect against other processes, because registries have no compare-and-swap.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def lock(self, repository: str, tag: str) -> asyncio.Lock:
        """Return the lock of `tag`, to be acquired for reading and writing its content. It is discarded when unused."""
        lock = self._locks.get((repository, tag))
        if lock is None:
            lock = self._locks[repository, tag] = asyncio.Lock()
        return lock
