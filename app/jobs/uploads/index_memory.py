"""What the indexes of archives that are being received may hold together."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator
from typing import Protocol

from app.auth.model import is_too_many
from app.errors import Busy

MAX_INDEX_BYTES = 96 << 20
MAX_ARCHIVE_INDEX_BYTES = 30 << 20  # of an archive with 100,000 members
FREE_BYTES = 16 << 10  # of each archive, not counted: about 50 members


class Indexing(Protocol):
    @property
    def memory(self) -> int:
        """Return the bytes that the index has."""
        ...


class IndexMemory:
    """Bytes by archive. A share, the name of a token, may hold half of what the others leave. Thread-safe."""

    def __init__(self, most: int = MAX_INDEX_BYTES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: dict[str, tuple[str, int]] = {}
        self._by_share: Counter[str] = Counter()

    @property
    def used(self) -> int:
        return self._by_share.total()

    def hold(self, key: str, share: str, size: int) -> bool:
        """Hold `size` bytes for the archive `key` instead of what it held. Return False if there is no room; then it
        holds what it held."""
        if size <= FREE_BYTES:
            return True
        with self._lock:
            own = self._by_share[share] - self._held.get(key, (share, 0))[1] + size
            others = self.used - self._by_share[share]
            if own + others > self._most or (share and is_too_many(own, others, self._most)):
                return False
            self._held[key] = (share, size)
            self._by_share[share] = own
            return True

    async def checked(
        self, key: str, share: str, chunks: AsyncIterator[bytes], index: Indexing
    ) -> AsyncIterator[bytes]:
        """Yield the chunks of an archive while there is memory for its index. Raises Busy."""
        async for chunk in chunks:
            yield chunk
            if not self.hold(key, share, index.memory):
                raise Busy(
                    "many archives with many members are being received, and there is no memory for the index of "
                    "another one; send it again later, or send fewer at once"
                )

    def release_all(self, job_id: str) -> None:
        """Release what the archives of a job hold."""
        for key in [key for key in self._held if key.startswith(f"{job_id}-")]:
            self.release(key)

    def release(self, key: str) -> None:
        with self._lock:
            share, size = self._held.pop(key, ("", 0))
            self._by_share[share] -= size
            self._by_share += Counter()  # drop zeros


__all__ = ["FREE_BYTES", "MAX_ARCHIVE_INDEX_BYTES", "MAX_INDEX_BYTES", "IndexMemory"]
