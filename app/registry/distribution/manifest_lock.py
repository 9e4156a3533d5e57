"""Locks that serialize the storing of manifests per repository."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class ManifestLock:
    """The lock of one repository. `failed_repeats` counts futile repetitions in a row."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.failed_repeats = 0


class ManifestLocks:
    """The locks of one host, shared by all its users."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, ManifestLock] = WeakValueDictionary()

    def at(self, repository: str) -> ManifestLock:
        """Return the lock of `repository`. It is discarded once it is neither locked nor awaited."""
        manifest_lock = self._locks.get(repository)
        if manifest_lock is None:
            manifest_lock = self._locks[repository] = ManifestLock()
        return manifest_lock
